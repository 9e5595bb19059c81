"""TheAlgorithms/Python: files with doctests, drawn at random."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from compat.case import Case

_AS_FILE = """\
import doctest
import importlib
import sys

found = doctest.testmod(importlib.import_module({module!r}))
print(found)
sys.exit(found.failed > 0)
"""
_AS_CODE = """

import doctest as _doctest, sys as _sys
_found = _doctest.testmod()
print(_found)
_sys.exit(_found.failed > 0)
"""
_MOST_FILES = 64
_IMPORT = re.compile(r"^[ \t]*(?:import ([\w.]+)|from ([\w.]+) import ([\w, ]+|\([^)]*\)))", re.MULTILINE)
_NAME = re.compile(r"\w+")


def algorithms(root: Path, sample: int, seed: int) -> Iterator[Case]:
    """Yield ``sample`` files with doctests: one half is imported by the program, the other half is the program."""
    tested = sorted(path for path in root.rglob("*.py") if ">>>" in path.read_text())
    for number, path in enumerate(random.Random(seed).sample(tested, min(sample, len(tested)))):
        relative = path.relative_to(root)
        files = _needed(root, path)
        if number % 2:
            yield Case("TheAlgorithms", str(relative), path.read_text() + _AS_CODE, files)
        else:
            files[str(relative)] = path.read_bytes()
            module = ".".join(relative.with_suffix("").parts)
            yield Case("TheAlgorithms", str(relative), _AS_FILE.format(module=module), files)


def _needed(root: Path, path: Path) -> dict[str, bytes]:
    """Return the modules of the repository that the file imports, and that those import; by their paths."""
    files: dict[str, bytes] = {}
    waiting = [path]
    while waiting and len(files) < _MOST_FILES - 1:
        for name in _imported(waiting.pop()):
            found = root.joinpath(*name.split(".")).with_suffix(".py")
            if found.is_file() and str(found.relative_to(root)) not in files:
                files[str(found.relative_to(root))] = found.read_bytes()
                waiting.append(found)
    return files


def _imported(path: Path) -> Iterator[str]:
    """Yield the names of what a file imports, found by its text: its syntax may be newer than this interpreter."""
    for plain, module, names in _IMPORT.findall(path.read_text()):
        yield from filter(None, (plain, module))
        yield from (f"{module}.{name}" for name in _NAME.findall(names))
