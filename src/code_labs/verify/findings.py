"""What is wrong with a lab, as values: a code for programs, a sentence for the teacher, and where to look."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from code_labs.verify.mutants import Mutant


class Severity(StrEnum):
    """``error``: the lab must not be given to learners. ``warning``: look at it. ``note``: good to know."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


CODES: dict[str, tuple[Severity, str]] = {
    "unreadable": (Severity.ERROR, "the directory is no lab, or its solution is nested too deep"),
    "no-solution": (Severity.ERROR, "there is no solution, so nothing can be proved"),
    "no-tests": (Severity.ERROR, "there are no tests"),
    "bad-suite": (Severity.ERROR, "the grading service cannot use the tests"),
    "refused": (Severity.ERROR, "the policy or the compiler refuses the solution"),
    "solution-fails": (Severity.ERROR, "the solution does not pass a test"),
    "unstable": (Severity.ERROR, "the same program gave different results in several runs"),
    "starter-refused": (Severity.ERROR, "the policy or the compiler refuses the starter"),
    "starter-passes": (Severity.ERROR, "the starter passes all tests"),
    "stub-passes": (Severity.ERROR, "a program that does nothing, or always the same, passes all tests"),
    "weak-tests": (Severity.ERROR, "the tests pass too many wrong programs"),
    "survivor": (Severity.NOTE, "a wrong program that the tests pass"),
    "few-mutants": (Severity.NOTE, "the solution is too short for eight wrong versions of it"),
    "near-time": (Severity.ERROR, "the solution needs more than a quarter of the time that a learner's program has"),
    "near-memory": (Severity.ERROR, "the solution needs more than half of the memory"),
    "slow": (Severity.WARNING, "a test takes more than a second"),
    "example-wrong": (Severity.ERROR, "an example in the task is not what the solution does"),
    "unstated-name": (Severity.ERROR, "tests call a function that neither the task nor the starter names"),
    "solution-given": (Severity.ERROR, "what a learner gets has the solution in it"),
    "useless-test": (Severity.WARNING, "a test that no wrong program failed"),
    "duplicate-test": (Severity.WARNING, "two tests ask the same"),
    "few-tests": (Severity.WARNING, "there are fewer than three tests"),
    "no-visible-test": (Severity.WARNING, "learners see none of the tests"),
    "chance": (Severity.WARNING, "the solution uses chance or the time"),
}
"""What can be found: how bad it is, and what it means."""


@dataclass(frozen=True)
class Finding:
    """``message``: a sentence for the teacher. ``where``: a file or a test, as ``tests.toml, test 3``.

    ``detail``: more lines, such as what a run printed.
    """

    code: str
    message: str
    where: str = ""
    detail: str = ""

    @property
    def severity(self) -> Severity:
        return CODES[self.code][0]


@dataclass(frozen=True)
class Report:
    """What came of one lab. ``made`` and ``killed``: its mutants, and those that failed.

    ``runs``: how many programs were run. ``seconds``: by the clock.
    """

    lab: str
    findings: tuple[Finding, ...] = ()
    made: int = 0
    killed: int = 0
    survivors: tuple[Mutant, ...] = ()
    runs: int = 0
    seconds: float = 0.0

    @property
    def is_verified(self) -> bool:
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(finding.code for finding in self.findings)


def report_object(report: Report) -> dict[str, Any]:
    """Return the JSON form of a report."""
    return {
        "lab": report.lab,
        "verified": report.is_verified,
        "findings": [{"severity": finding.severity.value, **asdict(finding)} for finding in report.findings],
        "mutants": {
            "made": report.made,
            "killed": report.killed,
            "survivors": [{"line": each.line, "change": each.change} for each in report.survivors],
        },
        "runs": report.runs,
        "seconds": round(report.seconds, 3),
    }
