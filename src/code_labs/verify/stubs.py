"""Programs that do nothing, or always the same. No lab's tests should pass them."""

from __future__ import annotations

import ast
from typing import Any

from code_labs.labs import CallTest, IoTest, Lab
from code_labs.labs.values import spelled


def stubs(lab: Lab) -> dict[str, str]:
    """Return programs by what they do, in words that go on as "A program …"."""
    tests = lab.suite.tests if lab.suite else ()
    calls = [test for test in tests if isinstance(test, CallTest)]
    programs = [test for test in tests if isinstance(test, IoTest)]
    found = {"in which every function does nothing": emptied(lab.solution, {})} if calls else {"that does nothing": ""}
    if any(test.args or test.kwargs or test.setup or test.stdin for test in calls):
        values = _first_values(calls)
        if values:
            found["whose functions always return what the first test expects"] = emptied(lab.solution, values)
    if not calls and any(test.stdin or test.args or test.files for test in programs):
        found["that always prints what the first test expects"] = f"print({programs[0].expected!r}, end='')\n"
    return found


def _first_values(calls: list[CallTest]) -> dict[str, str]:
    values: dict[str, str] = {}
    for test in calls:
        if test.raises is None:
            try:
                values.setdefault(test.call.rpartition(".")[2], spelled(test.expected))
            except ValueError:
                continue
    return values


def emptied(source: str, values: dict[str, str], *, keep_docstrings: bool = False) -> str:
    """Return a program in which each function, but for special methods, returns a value, or else does nothing.

    ``values``: expressions, by the names of functions. ``keep_docstrings``: as the only thing that stays.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kept: list[ast.stmt] = [node.body[0]] if keep_docstrings and ast.get_docstring(node) is not None else []
            made: Any = ast.parse(values[node.name], mode="eval").body if node.name in values else None
            node.body[:] = [*kept, ast.Return(made) if made is not None else ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
