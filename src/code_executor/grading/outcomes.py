"""What came of a submission: of each test an `Outcome`, of all of them a `Grade`."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum

from code_executor.core.caller import LOCAL, Caller
from code_executor.core.limits import RunLimits
from code_executor.core.models import File, Reason, SourceProblem
from code_executor.grading.differences import Difference
from code_executor.grading.suite import SuiteTest


class Verdict(StrEnum):
    """What came of a test. Whatever is not clearly ``passed`` is something else."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    TIMEOUT = "timeout"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    ERROR = "error"
    NO_ANSWER = "no_answer"
    SKIPPED = "skipped"
    CHECKER_ERROR = "checker_error"
    INTERNAL = "internal"


OURS = frozenset({Verdict.CHECKER_ERROR, Verdict.INTERNAL})
"""Verdicts that are not the learner's fault: there is no score then."""

VERDICTS = {
    Reason.WALL_TIME: Verdict.TIMEOUT,
    Reason.CPU_TIME: Verdict.TIMEOUT,
    Reason.INPUT_TIME: Verdict.TIMEOUT,
    Reason.MEMORY_LIMIT: Verdict.MEMORY_LIMIT,
    Reason.OUTPUT_LIMIT: Verdict.OUTPUT_LIMIT,
    Reason.EXCEPTION: Verdict.ERROR,
    Reason.EXIT: Verdict.ERROR,
    Reason.SYNTAX: Verdict.ERROR,
    Reason.POLICY: Verdict.ERROR,
    Reason.SIGNAL: Verdict.ERROR,
    Reason.PROCESS_LIMIT: Verdict.ERROR,
    Reason.DISK_LIMIT: Verdict.ERROR,
    Reason.VIOLATION: Verdict.ERROR,
}
"""The verdict of a run that did not complete. What is not listed is our failure."""


class GradeVerdict(StrEnum):
    """``partial``: some of the points. ``error``: we failed, or a checker did, and there is no score."""

    PASSED = "passed"
    PARTIAL = "partial"
    FAILED = "failed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Submission:
    """A program to be graded. ``batch``: nobody waits for it. ``policy`` False: without the check of its source.

    ``policy_name``: of the policy that checks it; empty: the service's own. ``environment`` and ``limits``: as of an
    `Execution`, for each of its runs.
    """

    code: str
    files: tuple[File, ...] = ()
    caller: Caller = LOCAL
    batch: bool = False
    policy: bool = True
    environment: str = ""
    limits: RunLimits | None = None
    policy_name: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What came of one unit test of a test. ``message``: may say what was expected. ``weight``: what it counts."""

    id: str
    verdict: Verdict
    message: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a test.

    ``reason``: why its run ended; None if there was none. ``message``: what is wrong, without what was expected.
    ``line``: of the program or of its output. ``got``: what a call returned, about as Python writes it. ``fraction``:
    of its points, 0 to 1. Times in milliseconds, ``memory`` in bytes. ``trust``: whether learner and tests were apart.
    ``cases``: its unit tests. ``detail``: more of what is wrong, for whoever may see everything.
    ``flaky``: it printed something else when the same was graded before.
    """

    test: SuiteTest
    verdict: Verdict
    reason: Reason | None = None
    message: str = ""
    line: int | None = None
    stdout: str = ""
    stderr: str = ""
    difference: Difference | None = None
    got: str | None = None
    fraction: float = 0.0
    time: float = 0.0
    cpu_time: float = 0.0
    memory: int = 0
    trust: str = "isolated"
    cases: tuple[Case, ...] = ()
    detail: str = ""
    flaky: bool = False

    @property
    def out(self) -> str | None:
        """The SHA-256 of what it printed; None if it was not run."""
        return None if self.reason is None else hashlib.sha256(self.stdout.encode("utf-8", "replace")).hexdigest()

    @property
    def is_passed(self) -> bool:
        return self.verdict is Verdict.PASSED

    def skipped(self) -> Outcome:
        """Return what is told of it if it does not count, because another test failed."""
        return self if self.verdict is Verdict.SKIPPED else replace(skipped(self.test), time=self.time)


def skipped(test: SuiteTest) -> Outcome:
    return Outcome(test, Verdict.SKIPPED, message="it was skipped, because another test failed")


@dataclass(frozen=True, slots=True)
class GroupScore:
    """What came of a group."""

    id: str
    is_passed: bool
    score: float
    max: float


@dataclass(frozen=True, slots=True)
class Usage:
    """What a grade took: runs, milliseconds of them and of the processor, and the most memory in bytes."""

    runs: int = 0
    time: float = 0.0
    cpu_time: float = 0.0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Regrade:
    """What is different from an earlier grade: the tests that ``differs``, those of them that are ``flaky``.

    ``why``: what was another thing then, as ``"suite changed"``.
    """

    same: bool
    differs: tuple[str, ...] = ()
    flaky: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """A grade, signed (`grading.receipts`); ``regrade``: of what was graded before, as far as this receipt tells."""

    text: str
    regrade: Regrade | None = None


@dataclass(frozen=True, slots=True)
class Receipts:
    """``full``: with everything. ``rest``: with what is told to whoever may not see everything."""

    full: Receipt
    rest: Receipt


@dataclass(frozen=True, slots=True)
class Grade:
    """What came of a submission. ``outcomes``: in the order of the suite. ``score`` None: there is none.

    ``problems``: why nothing was run: what the policy or the compiler refuses. ``receipts`` None: nobody signs here.
    """

    id: str
    verdict: GradeVerdict
    score: float | None
    max: float
    outcomes: tuple[Outcome, ...]
    groups: tuple[GroupScore, ...] = ()
    problems: tuple[SourceProblem, ...] = ()
    usage: Usage = field(default_factory=Usage)
    receipts: Receipts | None = None

    @property
    def tally(self) -> dict[str, int]:
        """How many tests there were of each kind and verdict, as in ``"io passed"``."""
        return dict(Counter(f"{each.test.task.kind} {each.verdict}" for each in self.outcomes))
