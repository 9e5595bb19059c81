"""Five kinds of labs that a function or a program gives, as JSON objects. The verifier still has to accept each."""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Iterator
from typing import Any

from code_labs.generate import texts
from code_labs.generate.material import Function, Program, joined
from code_labs.matching.features import features_of
from code_labs.verify.mutants import Mutant
from code_labs.verify.stubs import emptied

Said = dict[str, Any]

GAP = "___"
_GAPS_FROM = 6
"""From how many lines on a function gets two gaps."""

_LINES = range(4, 13)
"""How many lines can be put in order."""


def _lab(function: Function, kind: str, title: str, tests: list[Said]) -> Said:
    return {
        "title": title[:200],
        "kind": kind,
        "solution": function.solution,
        "concepts": list(features_of(function.text).concepts)[:20],
        "suite": {"tests": tests},
    }


def _named(function: Function) -> str:
    return function.name.replace("_", " ")


def write(function: Function, tests: list[Said]) -> Said:
    """Write the function: its body is left out, its docstring stays."""
    lead = f"Write the function `{texts.heading(function)}`."
    starter = joined(function.context, _without_body(function))
    lab = _lab(function, "write", f"Write {_named(function)}", tests)
    return lab | {"starter": starter, "task": texts.task(lead, function, tests)}


def _without_body(function: Function) -> str:
    tree = ast.parse(function.text)
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef)
    lines = function.text.split("\n")
    docstring = ast.get_docstring(node) is not None
    first = node.body[0]
    head = (first.end_lineno or first.lineno) if docstring else first.lineno - 1
    if first.lineno == node.lineno or not head:  # all on one line
        return emptied(function.text, {}, keep_docstrings=True)
    margin = " " * node.body[0].col_offset
    return "\n".join([*lines[:head], f"{margin}..."])


def repair(function: Function, tests: list[Said], mutant: Mutant) -> Said:
    """Repair the one mistake that a mutant has."""
    lead = f"The function `{texts.heading(function)}` has one mistake. Find it and repair it."
    lab = _lab(function, "repair", f"Repair {_named(function)}", tests)
    starter = joined(function.context, mutant.source)
    hints = [f"Look at line {starter[: starter.index(mutant.source)].count(chr(10)) + mutant.line}."]
    return lab | {"starter": starter, "task": texts.task(lead, function, tests), "hints": hints}


def fill(function: Function, tests: list[Said]) -> Said | None:
    """Fill the gaps; None if there is nothing to leave out."""
    places = list(_gaps(function))
    if not places:
        return None
    count = 2 if len(function.text.split("\n")) >= _GAPS_FROM else 1
    lines = function.text.split("\n")
    for line, begin, end in sorted(places[:count], reverse=True):
        data = lines[line].encode()
        lines[line] = (data[:begin] + GAP.encode() + data[end:]).decode()
    said = "the gap" if len(places[:count]) == 1 else "both gaps"
    lead = f"Complete the function `{texts.heading(function)}`: fill {said}, `{GAP}`."
    lab = _lab(function, "fill", f"Complete {_named(function)}", tests)
    starter = joined(function.context, "\n".join(lines))
    return lab | {"starter": starter, "task": texts.task(lead, function, tests)}


def _gaps(function: Function) -> Iterator[tuple[int, int, int]]:
    """Yield places (line from 0, bytes from and to) that can be left out: conditions, loops, results, values."""
    tree = ast.parse(function.text)
    found: list[tuple[int, ast.expr]] = []
    for node in ast.walk(tree):
        match node:
            case ast.If(test=expression) | ast.While(test=expression):
                found.append((0, expression))
            case ast.For(iter=expression):
                found.append((1, expression))
            case ast.Return(value=ast.expr() as expression):
                found.append((2, expression))
            case ast.Assign(value=expression) | ast.AugAssign(value=expression):
                found.append((3, expression))
    taken: set[int] = set()
    for _, node in sorted(found, key=lambda each: (each[0], each[1].lineno)):
        is_plain = isinstance(node, ast.Name | ast.Constant | ast.List | ast.Dict | ast.JoinedStr)
        if not is_plain and node.lineno == node.end_lineno and node.lineno not in taken:
            taken.add(node.lineno)
            yield node.lineno - 1, node.col_offset, node.end_col_offset or 0


def order(function: Function, tests: list[Said]) -> Said | None:
    """Put the lines in order; None if there are too few, or too many, or two that are the same."""
    tree = ast.parse(function.text)
    said = ast.get_docstring(tree.body[0]) if isinstance(tree.body[0], ast.FunctionDef) else None
    if said is not None and isinstance(tree.body[0], ast.FunctionDef):
        del tree.body[0].body[0]
        if not tree.body[0].body:
            return None
    lines = ast.unparse(tree).split("\n")
    bare = [line.strip() for line in lines if line.strip()]
    if len(bare) not in _LINES or len(set(bare)) < len(bare):
        return None
    mixed = bare[1:]
    random.Random(hashlib.sha256(function.text.encode()).digest()).shuffle(mixed)  # noqa: S311  # the same each time
    if mixed == bare[1:]:
        mixed.reverse()
    lead = (
        f"Put the lines of the function `{texts.heading(function)}` in order. Remove the `#` before each, and indent "
        "them as they belong. The first line stands where it is."
    )
    start = "\n".join([f"# {bare[0]}", *(f"# {line}" for line in mixed)])
    lab = _lab(function, "order", f"Put {_named(function)} in order", tests)
    starter = joined(function.context, start)
    return lab | {"starter": starter, "task": texts.task(lead, function, tests)}


def predict(program: Program, output: str) -> Said:
    """Predict what a program prints."""
    task = (
        "What does this program print? Read it, and do not run it. Write a program that prints the same with one "
        f"`print` for each line.\n\n{texts.fenced(program.text)}"
    )
    lines = output.rstrip("\n").split("\n")
    return {
        "title": f"What does it print? ({program.where})",
        "kind": "predict",
        "task": task,
        "starter": "# One print for each line that you predict.\n",
        "solution": "".join(f"print({line!r})\n" for line in lines),
        "concepts": list(features_of(program.text).concepts)[:20],
        "suite": {"tests": [{"id": "1", "kind": "io", "expected": output, "visibility": "result"}]},
    }
