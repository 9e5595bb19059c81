"""Checkers that are programs: code of the suite decides, in a trusted sandbox, whether an output is right.

The output goes there as a file. A checker that fails is never the learner's fault, and nothing is passed by it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Any

from code_executor.core.models import File, Reason, Result
from code_executor.grading import inside, trusted, values
from code_executor.grading.outcomes import Outcome, Submission, Verdict
from code_executor.grading.runs import Runs
from code_executor.grading.suite import Io, Suite

_DIRECTORY = "checked"
_NAMES = {"check": "checker.py", "interact": "interactor.py"}
_FILES = ("input.txt", "output.txt", "answer.txt")


@dataclass(frozen=True, slots=True)
class Order:
    """What code of a suite is to do: its ``function`` is called with the texts of files, or it runs with their names.

    ``verdict``: the file that it leaves.
    """

    code: str
    function: str
    files: tuple[str, ...]
    verdict: str

    @classmethod
    def of(cls, code: str, function: str, files: tuple[str, ...]) -> Order:
        return cls(code, function, files, f".verdict-{secrets.token_hex(8)}.json")

    @property
    def source(self) -> str:
        """Return the program that does it."""
        order = {
            "code": self.code,
            "name": _NAMES[self.function],
            "function": self.function,
            "files": list(self.files),
            "verdict": self.verdict,
        }
        return f"{inside.program('judge')}\n\njudge({values.as_json(order)!r})\n"


async def grade(runs: Runs, submission: Submission, suite: Suite, task: Io, outcome: Outcome) -> Outcome:
    """Have a checker look at the output of a run that ended as it must."""
    paths = tuple(f"{_DIRECTORY}/{name}" for name in _FILES)
    texts = (task.stdin, outcome.stdout, task.expected)
    given = [File(path, text.encode("utf-8", "replace")) for path, text in zip(paths, texts, strict=True)]
    order = Order.of(task.checker.code, "check", paths)
    files = {file.path: file for file in (*suite.files, *outcome.test.files, *given)}
    result = await runs.run(trusted.execution(submission, order.source, tuple(files.values())))
    return judged(outcome, result, trusted.answer_of(result, order.verdict), "the checker")


def judged(outcome: Outcome, result: Result, answer: Any, who: str) -> Outcome:
    """Return what a verdict that code of the suite has left makes of an outcome."""
    if result.reason is Reason.INTERNAL:
        return replace(outcome, verdict=Verdict.INTERNAL, message="the service failed while it ran the test")
    fraction = answer.get("fraction") if isinstance(answer, dict) else None
    if result.reason is not Reason.COMPLETED or type(fraction) is not float or not 0 <= fraction <= 1:
        broken = answer.get("broken") if isinstance(answer, dict) else None
        detail = str(broken or trusted.why_failed(result))
        return replace(outcome, verdict=Verdict.CHECKER_ERROR, message=f"{who} failed", detail=detail)
    message = str(answer.get("message") or "")
    if fraction == 1:
        return replace(outcome, verdict=Verdict.PASSED, fraction=1.0, message=message)
    message = message or f"{who} says that it is not right"
    return replace(outcome, verdict=Verdict.WRONG_ANSWER, fraction=fraction, message=message)
