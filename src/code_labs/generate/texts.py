"""What learners read in a lab that was made of code."""

from __future__ import annotations

import ast
from typing import Any

from code_labs.generate.material import Function
from code_labs.labs.values import spelled

Test = dict[str, Any]


def summary_of(function: Function) -> str:
    """Return what its docstring says before the first doctest."""
    said = (ast.get_docstring(function.node) or "").split(">>>")[0].strip()
    return said.removesuffix("Examples:").removesuffix("Example:").strip()


def heading(function: Function) -> str:
    return f"{function.name}({ast.unparse(function.node.args)})"


def examples_of(tests: list[Test]) -> str:
    """Return a list of the tests that learners see, in Markdown."""
    lines = []
    for test in tests:
        if test.get("visibility", "full") == "full":
            try:
                lines.append(_example(test))
            except ValueError:
                continue
    return "\n".join(lines)


def _example(test: Test) -> str:
    given = [*map(spelled, test["args"]), *(f"{name}={spelled(each)}" for name, each in test.get("kwargs", {}).items())]
    call = f"{test['call']}({', '.join(given)})"
    if "raises" in test:
        return f"- `{call}` raises `{test['raises']['type']}`."
    lines = []
    if test.get("stdout"):
        printed = test["stdout"].rstrip("\n").split("\n")
        more = "" if len(printed) == 1 else f" and {len(printed) - 1} more lines"
        lines.append(f"prints `{printed[0]}`{more}")
    if test["expected"] is not None or not lines:
        lines.append(f"returns `{spelled(test['expected'])}`")
    return f"- `{call}` {' and '.join(lines)}."


def task(lead: str, function: Function, tests: list[Test]) -> str:
    """Return a task: what to do, what the function is for, and examples."""
    parts = [lead, summary_of(function), examples_of(tests)]
    return "\n\n".join(part for part in parts if part)


def fenced(code: str) -> str:
    """Return code in a fence that is longer than any in it."""
    marks = "```"
    while marks in code:
        marks += "`"
    return f"{marks}python\n{code.rstrip()}\n{marks}"
