"""Exercism's Python track: a directory for each exercise, with instructions, a stub, an example and unit tests."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from code_labs.errors import ExchangeError, LabError
from code_labs.labs.formats.exchange import Imported, id_of, raising, test_of
from code_labs.labs.model import ID, LARGEST_FILE, MOST_TESTS, CallTest, Suite, lab_of

_EQUAL = frozenset({"assertEqual", "assertEquals", "assertIs", "assertListEqual", "assertDictEqual"})


def import_exercism(directory: str | Path) -> Imported:
    """Read one exercise; raise ``ExchangeError``.

    Its unit tests become calls where each is a comparison of a call with plain values, or an exception of one. The
    names of all other tests are in ``dropped``.
    """
    root = Path(directory)
    config = _config(root)
    files = config.get("files")
    files = files if isinstance(files, dict) else {}
    stub = _read(root, _first(files.get("solution"))) or _read(root, f"{root.name.replace('-', '_')}.py")
    example = _read(root, _first(files.get("example")) or _first(files.get("exemplar"))) or _read(
        root, ".meta/example.py"
    )
    tests = _read(root, _first(files.get("test")) or f"{root.name.replace('-', '_')}_test.py")
    task = "\n\n".join(filter(None, (_read(root, f".docs/{name}.md") for name in ("introduction", "instructions"))))
    if not task or not example:
        raise ExchangeError(
            f"{root}: this is no exercise of Exercism: .docs/instructions.md or .meta/example.py is missing"
        )
    dropped: list[str] = []
    made = list(_tests(tests, root.name, dropped))
    name = root.name if ID.fullmatch(root.name) else id_of(root.name, set())
    heading = re.match(r"#+\s*(.+)", task)
    title = root.name.replace("-", " ").capitalize()
    if heading and heading[1].strip().lower() not in ("instructions", "introduction", "description"):
        title = heading[1].strip()
    said: dict[str, Any] = {"id": name, "title": title[:200], "task": task, "starter": stub, "solution": example}
    if blurb := config.get("blurb"):
        said["summary"] = str(blurb)[:500]
    if made:
        said["suite"] = Suite(tests=tuple(made[:MOST_TESTS])).model_dump(by_alias=True)
    try:
        return Imported((lab_of(said),), tuple(dropped))
    except LabError as error:
        raise ExchangeError(f"{root}: {error}") from None


def _config(root: Path) -> dict[str, Any]:
    try:
        said = json.loads(_read(root, ".meta/config.json") or "{}")
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise ExchangeError(f"{root}: .meta/config.json is not a JSON object")
    return said


def _first(names: object) -> str:
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""


def _read(root: Path, name: str) -> str:
    """Return the text of a file below the directory, or empty: there is none, or it is outside."""
    if not name:
        return ""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExchangeError(f"{path}: cannot be read: {error}") from None
    if len(text) > LARGEST_FILE:
        raise ExchangeError(f"{path}: is larger than {LARGEST_FILE:,} characters")
    return text


def _tests(source: str, name: str, dropped: list[str]) -> Iterator[CallTest]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        dropped.append(f"{name}: its tests are not Python")
        return
    number = 0
    for method in ast.walk(tree):
        if not isinstance(method, ast.FunctionDef) or not method.name.startswith("test"):
            continue
        try:
            for test in [_test(statement, str(number + n), method.name) for n, statement in enumerate(method.body, 1)]:
                number += 1
                yield test
        except ValueError:
            dropped.append(f"{name}, {method.name}: is no comparison of a call with plain values")


def _test(statement: ast.stmt, number: str, name: str) -> CallTest:
    """Make a test of one statement; raise ``ValueError``."""
    more = {"name": name.removeprefix("test").strip("_").replace("_", " ")[:200]}
    match statement:
        case ast.Expr(ast.Call(ast.Attribute(attr=check), [left, right])) if check in _EQUAL:
            return test_of(ast.Compare(left, [ast.Eq()], [right]), number, **more)
        case ast.Expr(ast.Call(ast.Attribute(attr="assertTrue" | "assertFalse" as check), [what])):
            return test_of(what if check == "assertTrue" else ast.UnaryOp(ast.Not(), what), number, **more)
        case ast.With(
            items=[ast.withitem(ast.Call(ast.Attribute(attr="assertRaises"), [ast.Name(error)]))], body=[ast.Expr(call)]
        ):
            return raising(call, error, number, **more)
        case ast.Assert(test=test):
            return test_of(test, number, **more)
    raise ValueError("another statement")
