"""Examples in the text of a task. They become tests, so that the solution shows whether they are right.

What is found: doctests (``>>> f(1)``), a call and its value in one line (```f(1)` returns `2```, ``f(1) == 2``,
``f(1)  # 2``, ``f(1) → 2``), and blocks of code under a line *Input* and a line *Output*.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from code_labs.labs.values import written

_SAYS = r"(?:returns?|gives|is|becomes|must (?:be|return|give)|should (?:be|return|give)|evaluates to|→|->|=>|==|=)"
_PAIR = re.compile(rf"`([^`]+\))`\s*{_SAYS}\s*`([^`]+)`")
_ONE = re.compile(r"^\s*(.+\))\s*(?:#\s*(?:→|->|=>|==|returns?|gives)?|→|->|=>|==)\s*(\S.*?)\s*$")
_QUOTED = re.compile(r"`([^`]+)`")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_LABEL = re.compile(r"^\W*(?:sample |example )?(input|output)\W*$", re.IGNORECASE)
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Example:
    """``line``: of the task, from 1. ``test``: its JSON object, without an id."""

    line: int
    text: str
    test: dict[str, Any]


def examples(task: str, names: frozenset[str]) -> list[Example]:
    """Return the examples of a task that call one of these functions, or that give a program an input."""
    lines = task.splitlines()
    found = [*_doctests(lines, names), *_pairs(lines, names), *_blocks(lines)]
    return sorted(found, key=lambda example: example.line)


# ---- doctests


def _doctests(lines: list[str], names: frozenset[str]) -> Iterator[Example]:
    before: list[str] = []
    at = 0
    while at < len(lines):
        start, text = at, lines[at].strip()
        at += 1
        if not text.startswith(">>>"):
            if _FENCE.match(text):
                before = []
            continue
        code = [text[3:].removeprefix(" ")]
        while at < len(lines) and lines[at].strip().startswith("..."):
            code.append(lines[at].strip()[3:].removeprefix(" "))
            at += 1
        wanted = []
        while at < len(lines) and lines[at].strip() and not lines[at].strip().startswith(">>>"):
            if _FENCE.match(lines[at]):
                break
            wanted.append(lines[at].strip())
            at += 1
        source = "\n".join(code)
        if not wanted:
            before.append(source)
        elif _is_expression(source) and _names(source, "\n".join(before)) & names:
            yield Example(start + 1, source, _of_doctest(before, source, wanted))


def _is_expression(source: str) -> bool:
    try:
        ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _names(*sources: str) -> set[str]:
    found = set()
    for source in sources:
        try:
            found |= {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return found


def _of_doctest(before: list[str], source: str, wanted: list[str]) -> dict[str, Any]:
    text = "\n".join(wanted)
    if text.startswith(_TRACEBACK):
        kind, _, message = wanted[-1].partition(": ")
        return _asked(before, source) | {"raises": {"type": kind.rpartition(".")[2], "message": message or None}}
    try:
        return _asked(before, source) | {"expected": written(text)}
    except ValueError:
        show = f"value = ({source})\n    if value is not None:\n        print(repr(value))"
        return _asked(before, source, show) | {"expected": None, "stdout": text}


def _asked(before: list[str], source: str, body: str = "") -> dict[str, Any]:
    setup = "\n".join([*before, f"def _example():\n    {body or f'return ({source})'}"])
    return {"kind": "call", "call": "_example", "setup": setup}


# ---- a call and its value


def _pairs(lines: list[str], names: frozenset[str]) -> Iterator[Example]:
    fenced = False
    for number, line in enumerate(lines, 1):
        if _FENCE.match(line):
            fenced = not fenced
            continue
        if line.strip().startswith((">>>", "...")):
            continue
        if fenced:
            said = [match.groups() for match in [_ONE.match(line)] if match]
        else:
            said = [match.groups() for match in _PAIR.finditer(line)]
            said += [match.groups() for text in _QUOTED.findall(line) if (match := _ONE.match(text))]
        for call, value in said:
            if _is_call(call, names):
                try:
                    yield Example(number, call, _asked([], call) | {"expected": written(value.strip())})
                except ValueError:
                    continue


def _is_call(source: str, names: frozenset[str]) -> bool:
    try:
        node = ast.parse(source.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return isinstance(node, ast.Call) and bool(_names(source) & names)


# ---- input and output


def _blocks(lines: list[str]) -> Iterator[Example]:
    labelled: list[tuple[str, int, str]] = []
    label = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if match := _LABEL.match(line):
            label = match[1].lower()
        elif _FENCE.match(line):
            start = at
            while at < len(lines) and not _FENCE.match(lines[at]):
                at += 1
            if label:
                labelled.append((label, start, "\n".join(lines[start:at])))
            label = ""
            at += 1
        elif line.strip():
            label = ""
    for (kind, _, stdin), (next_kind, start, output) in pairwise(labelled):
        if (kind, next_kind) == ("input", "output"):
            test = {"kind": "io", "stdin": stdin + "\n", "expected": output, "checker": {"type": "contains"}}
            yield Example(start + 1, stdin, test)
