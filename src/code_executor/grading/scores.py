"""From outcomes to points: which tests are skipped, and what it all is worth. Plain code on plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from code_executor.grading.outcomes import OURS, GradeVerdict, GroupScore, Outcome, skipped
from code_executor.grading.suite import Mode, Stop, Suite, order

_DIGITS = 6
"""Decimals of a score."""


class Progress:
    """How far a grade has come, test by test in the order that counts.

    What is told of a test depends on those before it alone, so that it is the same however many run at once.
    """

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._depends = {group.id: group.depends_on for group in suite.groups}
        self._failed: set[str] = set()
        self._any_failed = False
        self._raw: dict[int, Outcome] = {}
        self._left = order(suite)
        self.settled: dict[int, Outcome] = {}

    def is_needless(self, at: int) -> bool:
        """Whether it is known already that a test will be skipped."""
        group = self._suite.tests[at].group
        if self._any_failed and self._suite.stop is Stop.ALWAYS:
            return True
        if group and group in self._failed and self._suite.stop is Stop.GROUP:
            return True
        return any(above in self._failed for above in self._depends.get(group, ()))

    def note(self, at: int, outcome: Outcome) -> None:
        """Take what came of a test, in any order, and settle all whose turn it is."""
        self._raw[at] = outcome
        while self._left and self._left[0] in self._raw:
            self._settle(self._left.pop(0))

    def _settle(self, at: int) -> None:
        outcome = self._raw[at]
        if self.is_needless(at):
            outcome = outcome.skipped()
        self.settled[at] = outcome
        if not outcome.is_passed:
            self._any_failed = True
            self._failed.add(outcome.test.group)


def above(suite: Suite, at: int) -> list[int]:
    """Return the positions of the tests that must be over before a test may begin."""
    depends = {group.id: group.depends_on for group in suite.groups}
    groups = set(depends.get(suite.tests[at].group, ()))
    return [each for each, test in enumerate(suite.tests) if test.group in groups]


def missing(suite: Suite, outcomes: Mapping[int, Outcome]) -> list[Outcome]:
    """Return the outcomes of all tests in the order of the suite; who has none was skipped."""
    return [outcomes.get(at) or skipped(test) for at, test in enumerate(suite.tests)]


def score(
    suite: Suite, outcomes: Sequence[Outcome]
) -> tuple[GradeVerdict, float | None, float, tuple[GroupScore, ...]]:
    """Return the verdict, the score (None: there is none), the points for everything, and the groups'."""
    passed = all(outcome.is_passed for outcome in outcomes)
    groups = _groups(suite, outcomes)
    if suite.mode is Mode.GROUPS:
        loose = [outcome for outcome in outcomes if not outcome.test.group]
        reached = math.fsum([*(group.score for group in groups), *map(_points, loose)])
        whole = math.fsum([*(group.max for group in groups), *(each.test.weight for each in loose)])
    else:
        reached = math.fsum(map(_points, outcomes))
        whole = math.fsum(outcome.test.weight for outcome in outcomes)
    best = whole if suite.max is None else suite.max
    if any(outcome.verdict in OURS for outcome in outcomes):
        return GradeVerdict.ERROR, None, best, ()
    if passed:
        return GradeVerdict.PASSED, best, best, groups
    reached = 0.0 if suite.mode is Mode.ALL or not whole else min(reached / whole, 1.0) * best
    verdict = GradeVerdict.PARTIAL if reached else GradeVerdict.FAILED
    return verdict, round(reached, _DIGITS), best, groups


def _points(outcome: Outcome) -> float:
    """Return the points of a test by itself. A fraction that is no number counts nothing."""
    if outcome.is_passed:
        return outcome.test.weight
    fraction = outcome.fraction
    return outcome.test.weight * fraction if 0 <= fraction <= 1 else 0.0


def _groups(suite: Suite, outcomes: Iterable[Outcome]) -> tuple[GroupScore, ...]:
    by_group: dict[str, list[Outcome]] = {group.id: [] for group in suite.groups}
    for outcome in outcomes:
        by_group.setdefault(outcome.test.group, []).append(outcome)
    found = []
    for group in suite.groups:
        members = by_group[group.id]
        passed = all(outcome.is_passed for outcome in members)
        weight = math.fsum(outcome.test.weight for outcome in members)
        if suite.mode is Mode.GROUPS:
            most = weight if group.points is None else group.points
            reached = most if passed else 0.0
        else:
            most, reached = weight, math.fsum(map(_points, members))
        found.append(GroupScore(group.id, passed, reached, most))
    return tuple(found)
