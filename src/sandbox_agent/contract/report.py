"""A child's report: why it did not start a program, or, in a session, what came of a cell.

The report of a program is written before its first instruction. That of a cell can be forged by the cell. So a report
is read as anybody's text: bounded by the supervisor, and checked here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox_agent.contract.policy import SourceProblem
from sandbox_agent.contract.verdict import Reason

_REASONS = {
    "": Reason.COMPLETED,
    "policy": Reason.POLICY,
    "syntax": Reason.SYNTAX,
    "disk_limit": Reason.DISK_LIMIT,
}
_CELL_REASONS = {
    **_REASONS,
    "exception": Reason.EXCEPTION,
    "exit": Reason.EXIT,
    "memory_limit": Reason.MEMORY_LIMIT,
    "process_limit": Reason.PROCESS_LIMIT,
}
_LARGEST = 1 << 53

LONGEST_VALUE = 1 << 16
"""Characters of the text of a last value; more is cut off."""

LONGEST_MESSAGE, LONGEST_LINE, MOST_LINES = 8000, 1000, 100
"""Characters of an exception's message and of a line of its traceback, and how many lines that has."""


class ReportError(Exception):
    """The text is no report."""


@dataclass(frozen=True, slots=True)
class Raised:
    """The exception that ended a cell: its class, with the module, and the lines that Python prints of it."""

    type: str
    message: str
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What a child reported.

    ``exit_code``, ``line`` and ``memory`` (bytes) are a cell's, and None where they are not told. So are ``value``, the
    text of its last value, and ``exception``.
    """

    reason: Reason
    problems: tuple[SourceProblem, ...] = ()
    exit_code: int | None = None
    line: int | None = None
    memory: int | None = None
    value: str | None = None
    exception: Raised | None = None


def read(text: bytes, *, cell: bool = False) -> Report:
    """Read the report of a program, or of a ``cell``; raise ``ReportError`` with what is wrong with it."""
    try:
        found = json.loads(text)
        problems = tuple(
            SourceProblem(int(each["line"]), int(each["column"]), str(each["message"]), str(each.get("file", "")))
            for each in found["problems"]
        )
        reason = (_CELL_REASONS if cell else _REASONS)[found["reason"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ReportError(str(error)) from None
    exit_code, line, memory = (_natural(found.get(name)) for name in ("exit_code", "line", "memory"))
    value = found.get("value")
    shown = value[:LONGEST_VALUE] if isinstance(value, str) else None
    return Report(reason, problems, exit_code, line, memory, shown, _raised(found.get("exception")))


def _raised(value: object) -> Raised | None:
    match value:
        case {"type": str(kind), "message": str(message), "traceback": list(lines)}:
            lines = [str(line)[:LONGEST_LINE] for line in lines[:MOST_LINES]]
            return Raised(kind[:LONGEST_LINE], message[:LONGEST_MESSAGE], tuple(lines))
    return None


def _natural(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < _LARGEST else None


def describe(problems: Sequence[SourceProblem], reason: Reason) -> str:
    """Return what a learner reads of ``problems``: a line each, with its place unless Python's own text names it."""
    return "\n".join(
        problem.message
        if reason is Reason.SYNTAX and problem.message.startswith("  File")
        else f"{_place(problem)}: {problem.message}"
        for problem in problems
    )


def _place(problem: SourceProblem) -> str:
    where = f"{problem.file}, line" if problem.file else "Line"
    return f"{where} {problem.line}, column {problem.column}"


def error_text(stderr: str, sentence: str) -> str:
    """Return the ``error`` of an answer: what a program wrote to stderr, and why it was stopped, if it was."""
    written = stderr.removesuffix("\n")
    return f"{written}\n{sentence}" if written and sentence else written or sentence
