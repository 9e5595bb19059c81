"""A child's report: why it did not start a program, or, in a session, what came of a cell.

The report of a program is written before its first instruction. That of a cell can be forged by the cell. So a report
is read as anybody's text: bounded by the supervisor, and checked here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sandbox_agent.contract import claims
from sandbox_agent.contract.claims import ClaimError
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

LONGEST_VALUE = 1 << 16
"""Characters of the text of a last value; more is cut off."""

LONGEST_MESSAGE, LONGEST_LINE, MOST_LINES = 8000, 1000, 100
"""Characters of an exception's message and of a line of its traceback, and how many lines that has."""

_LAST_EXIT_CODE = 255
_LONGEST_PATH = 4096


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


def read(body: bytes, *, cell: bool = False) -> Report:
    """Read the report of a program, or of a ``cell``; raise ``ReportError`` with what is wrong with it."""
    try:
        found = claims.parsed(body)
    except ClaimError as error:
        raise ReportError(str(error)) from None
    reason = (_CELL_REASONS if cell else _REASONS).get(claims.text(found.get("reason")) or "")
    problems = tuple(map(_problem, claims.listed(found.get("problems"))))
    if reason is None or not isinstance(found.get("reason"), str) or not isinstance(found.get("problems"), list):
        raise ReportError("it has no reason that is known, or no list of problems")
    return Report(
        reason,
        problems,
        claims.natural(found.get("exit_code"), most=_LAST_EXIT_CODE),
        claims.natural(found.get("line"), 1, claims.LAST_LINE),
        claims.natural(found.get("memory")),
        claims.text(found.get("value"), LONGEST_VALUE),
        _raised(found.get("exception")),
    )


def _problem(claimed: object) -> SourceProblem:
    if not isinstance(claimed, dict):
        raise ReportError("a problem is no object")
    line, column = (claims.natural(claimed.get(name), 1, claims.LAST_LINE) for name in ("line", "column"))
    message = claims.text(claimed.get("message"), LONGEST_MESSAGE)
    if line is None or column is None or message is None:
        raise ReportError("a problem has no line, column or message")
    return SourceProblem(line, column, message, claims.text(claimed.get("file"), _LONGEST_PATH) or "")


def _raised(claimed: object) -> Raised | None:
    match claimed:
        case {"type": str(kind), "message": str(message), "traceback": list(lines)}:
            told = [claims.text(line, LONGEST_LINE) or "" for line in lines[:MOST_LINES]]
            name, words = claims.text(kind, LONGEST_LINE) or "", claims.text(message, LONGEST_MESSAGE) or ""
            return Raised(name, words, tuple(told))
    return None


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
