"""Suites of small programs: exercism's exercises, HumanEval, MBPP."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compat.case import Case


def exercism(root: Path) -> Iterator[Case]:
    """Yield each exercise of a checkout of exercism/python with its example solution and its tests."""
    for config in sorted(root.glob("exercises/*/*/.meta/config.json")):
        exercise = config.parent.parent
        told = json.loads(config.read_text())["files"]
        files = {path.name: path.read_bytes() for path in exercise.iterdir() if path.is_file()}
        for solution, example in zip(told["solution"], told.get("example") or told["exemplar"], strict=True):
            files[solution] = (exercise / example).read_bytes()
        test = told["test"][0]
        yield Case("exercism", f"{exercise.parent.name}/{exercise.name}", _tested(test, files[test]), files)


def _tested(test: str, source: bytes) -> str:
    if b"import pytest" in source:
        return f"import sys\nimport pytest\n\nsys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', {test!r}]))\n"
    return f"import unittest\n\nunittest.main(module={Path(test).stem!r}, verbosity=2)\n"


def humaneval(path: Path) -> Iterator[Case]:
    """Yield each problem of ``HumanEval.jsonl.gz`` with its canonical solution and its test."""
    for task in _lines(path):
        code = task["prompt"] + task["canonical_solution"] + "\n" + task["test"] + f"\ncheck({task['entry_point']})\n"
        yield Case("HumanEval", task["task_id"], code)


def mbpp(path: Path) -> Iterator[Case]:
    """Yield each problem of ``mbpp.jsonl`` with its solution and its asserts."""
    for task in _lines(path):
        code = "\n".join([task["test_setup_code"], task["code"], *task["test_list"], ""])
        yield Case("MBPP", str(task["task_id"]), code)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines():
        if line.strip():
            yield json.loads(line)
