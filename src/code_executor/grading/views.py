"""Grades as JSON, in full or as whoever may not see everything sees them.

`Audience.full` gets all. Anybody else gets of each test what its visibility says *now*. This is the only place where an
outcome becomes text for somebody, and what is not added here at a level is not told at it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from code_executor.core.codec import problem_object
from code_executor.grading import values
from code_executor.grading.outcomes import OURS, Case, Grade, Outcome, Receipt, Verdict
from code_executor.grading.suite import Call, Interactive, Io, Level, Unit

Object = dict[str, Any]

MOST_TEXT = 8 << 10
"""Characters of each text of a test that are told."""

_CUT = "\n… (more is not shown)"
_NO_HINT = frozenset({Verdict.PASSED, Verdict.SKIPPED, *OURS})
"""Verdicts of tests that the learner did not fail."""


@dataclass(frozen=True, slots=True)
class Audience:
    """``full``: whether everything is told. ``now``: the time (seconds since 1970) that visibility depends on."""

    full: bool
    now: float

    @classmethod
    def today(cls, *, full: bool) -> Audience:
        return cls(full, time.time())

    def level(self, outcome: Outcome) -> Level:
        return Level.FULL if self.full else outcome.test.visibility.at(self.now)


def test_object(outcome: Outcome, audience: Audience) -> Object | None:
    """Return what is told of a test; None if it is not listed."""
    level = audience.level(outcome)
    if level is Level.HIDDEN:
        return None
    test = outcome.test
    told: Object = {
        "id": test.id,
        "name": test.name or None,
        "group": test.group or None,
        "verdict": plain(outcome.verdict) if level is Level.RESULT else outcome.verdict.value,
        "score": points(outcome),
        "max": test.weight,
    }
    if level is Level.RESULT:
        return told
    if outcome.flaky:
        told["flaky"] = True
    told |= {
        "reason": outcome.reason and outcome.reason.value,
        "message": outcome.message or None,
        "hint": None if outcome.verdict in _NO_HINT else test.hint or None,
        "line": outcome.line,
        "stdout": _text(outcome.stdout),
        "stderr": _text(outcome.stderr),
        "got": outcome.got,
        "input": _input(outcome),
        "time": round(outcome.time, 3),
        "cpuTime": round(outcome.cpu_time, 3),
        "memory": outcome.memory,
        "trust": outcome.trust,
    }
    if outcome.cases:
        told["cases"] = [_case(case, level) for case in outcome.cases]
    if level is Level.FULL:
        difference = outcome.difference
        told["expected"] = _expected(outcome)
        told["diff"] = difference and {
            "line": difference.line,
            "expected": difference.expected,
            "got": difference.got,
        }
        if outcome.detail:
            told["detail"] = outcome.detail
    return told


def _case(case: Case, level: Level) -> Object:
    told: Object = {"id": case.id, "verdict": case.verdict.value, "weight": case.weight}
    if level is Level.FULL:  # what a test says has what it expects
        told["message"] = case.message or None
    return told


def test_claims(outcome: Outcome, audience: Audience) -> Object | None:
    """Return what a receipt says of a test; None if it is not listed. ``out``: the SHA-256 of what it printed."""
    level = audience.level(outcome)
    if level is Level.HIDDEN:
        return None
    told: Object = {"id": outcome.test.id, "verdict": outcome.verdict.value, "score": points(outcome)}
    if level is Level.RESULT:  # from the hash of what it printed, what it was given can be found by trying
        return told | {"verdict": plain(outcome.verdict)}
    return told | {"trust": outcome.trust, "out": outcome.out}


def grade_object(grade: Grade, audience: Audience, *, tests: bool = True) -> Object:
    """Return what is told of a grade; ``tests`` False: without its tests, which were told already."""
    told: Object = {
        "id": grade.id,
        "verdict": grade.verdict.value,
        "score": grade.score,
        "max": grade.max,
        "groups": [
            {"id": group.id, "passed": group.is_passed, "score": group.score, "max": group.max}
            for group in grade.groups
        ],
        "problems": [problem_object(problem) for problem in grade.problems],
    }
    if tests:
        told["tests"] = [each for outcome in grade.outcomes if (each := test_object(outcome, audience)) is not None]
    told["usage"] = None
    if audience.full:  # times of hidden tests say something of their inputs
        usage = grade.usage
        told["usage"] = {
            "runs": usage.runs,
            "time": round(usage.time, 3),
            "cpuTime": round(usage.cpu_time, 3),
            "memory": usage.memory,
        }
    receipt = receipt_of(grade, audience)
    told["receipt"] = receipt and receipt.text
    if receipt is not None and (regrade := receipt.regrade) is not None:
        told["regrade"] = {
            "same": regrade.same,
            "differs": list(regrade.differs),
            "flaky": list(regrade.flaky),
            "why": list(regrade.why),
        }
    return told


def receipt_of(grade: Grade, audience: Audience) -> Receipt | None:
    """Return the receipt of a grade that is told; None if there is none."""
    if grade.receipts is None:
        return None
    return grade.receipts.full if audience.full else grade.receipts.rest


def cost(outcome: Outcome) -> int:
    """Return about how many bytes it takes to hold what is told of a test."""
    return 4 * MOST_TEXT if len(outcome.stdout) + len(outcome.stderr) > MOST_TEXT else 2 * MOST_TEXT


def points(outcome: Outcome) -> float:
    """Return the points of a test by itself."""
    return round(outcome.test.weight * outcome.fraction, 6)


def plain(verdict: Verdict | str) -> str:
    """Return whether a test was passed, failed, or skipped."""
    return str(verdict) if verdict in (Verdict.PASSED, Verdict.SKIPPED) else "failed"


def _text(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + _CUT


def _input(outcome: Outcome) -> Object:
    task = outcome.test.task
    if isinstance(task, Io):
        return {"stdin": _text(task.stdin), "args": [_text(each) for each in task.args]}
    if isinstance(task, Interactive):
        return {"args": [_text(each) for each in task.args]}
    if isinstance(task, Unit):
        return {}
    given = ", ".join(
        [
            *(values.shown(values.value_of(each)) for each in task.args),
            *(f"{name}={values.shown(values.value_of(each))}" for name, each in task.kwargs.items()),
        ]
    )
    return {"call": _text(f"{task.call}({given})"), "setup": _text(task.setup), "stdin": _text(task.stdin)}


def _expected(outcome: Outcome) -> str | None:
    match outcome.test.task:
        case Io(expected=expected):
            return _text(expected)
        case Call() as task:
            return _text(_expected_of_call(task))
    return None


def _expected_of_call(task: Call) -> str:
    if task.raises is not None:
        return task.raises.type if task.raises.message is None else f"{task.raises.type}: {task.raises.message}"
    return values.shown(values.value_of(task.expected))
