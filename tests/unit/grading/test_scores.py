"""Points: what each mode makes of outcomes, what is skipped, and that our failures leave no score."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.grading.outcomes import GradeVerdict, Outcome, Verdict, skipped
from code_executor.grading.scores import Progress, score
from code_executor.grading.suite import order
from tests.unit.grading.made import io, outcomes, suite

GROUPS = [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}]
GROUPED = [io(group="a"), io(group="a", weight=2), io(group="b", weight=3), io(weight=4)]


@pytest.mark.parametrize(
    ("scoring", "signs", "verdict", "points", "best"),
    [
        ({}, "++++", "passed", 10, 10),
        ({}, "+-+-", "partial", 4, 10),
        ({}, "----", "failed", 0, 10),
        ({"max": 100}, "+-+-", "partial", 40, 100),
        ({"max": 100}, "++++", "passed", 100, 100),
        ({"mode": "all"}, "+++-", "failed", 0, 10),
        ({"mode": "all", "max": 5}, "++++", "passed", 5, 5),
        ({"mode": "groups"}, "+-++", "partial", 7, 10),
        ({"mode": "groups"}, "++-+", "partial", 7, 10),
        ({"mode": "groups"}, "----", "failed", 0, 10),
        ({}, "+++!", "error", None, 10),
        ({"mode": "all"}, "---!", "error", None, 10),
    ],
)
def test_points(scoring: dict[str, object], signs: str, verdict: str, points: float | None, best: float) -> None:
    made = suite(*GROUPED, groups=GROUPS, scoring=scoring)
    found = score(made, outcomes(made, signs))
    assert found[:3] == (GradeVerdict(verdict), points, best)


def test_groups_can_have_points_of_their_own() -> None:
    made = suite(*GROUPED[:3], groups=[{"id": "a", "points": 1}, {"id": "b", "points": 9}], scoring={"mode": "groups"})
    _, points, best, groups = score(made, outcomes(made, "--+"))
    assert (points, best) == (9, 10)
    assert [(group.id, group.is_passed, group.score, group.max) for group in groups] == [
        ("a", False, 0, 1),
        ("b", True, 9, 9),
    ]


@pytest.mark.parametrize("fraction", [0.5, -1.0, 2.0, float("nan"), float("inf")])
def test_a_part_of_the_points_is_a_fraction(fraction: float) -> None:
    made = suite(io(weight=4))
    found = score(made, [Outcome(made.tests[0], Verdict.WRONG_ANSWER, fraction=fraction)])
    assert found[:3] == ((GradeVerdict.PARTIAL, 2, 4) if fraction == 0.5 else (GradeVerdict.FAILED, 0, 4))


def test_not_one_of_many_is_passed_by_rounding() -> None:
    made = suite(io(weight=1e6), io(weight=1e-9))
    assert score(made, outcomes(made, "+-"))[0] is GradeVerdict.PARTIAL


@given(st.text("+-!s", min_size=4, max_size=4), st.sampled_from(["sum", "all", "groups"]))
def test_only_all_of_it_is_passed(signs: str, mode: str) -> None:
    made = suite(*GROUPED, groups=GROUPS, scoring={"mode": mode})
    verdict, points, best, _ = score(made, outcomes(made, signs))
    assert (verdict is GradeVerdict.PASSED) == (signs == "++++")
    assert (verdict is GradeVerdict.ERROR) == ("!" in signs) == (points is None)
    assert points is None or 0 <= points <= best


STOPS = [False, "group", True]


@pytest.mark.parametrize("stop", STOPS)
@given(st.lists(st.sampled_from("+-"), min_size=5, max_size=5).map("".join), st.permutations(range(5)))
def test_what_is_told_does_not_depend_on_who_was_first(stop: object, signs: str, finished: list[int]) -> None:
    """By definition: a test is skipped if one before it, in what may stop it, was not passed or was skipped."""
    tests = [io(group="a"), io(group="a"), io(group="b"), io(group="b"), io()]
    made = suite(*tests, groups=GROUPS, stopOnFailure=stop)
    raw = outcomes(made, signs)
    progress = Progress(made)
    for at in finished:
        if progress.is_needless(at):
            progress.note(at, skipped(made.tests[at]))
        else:
            progress.note(at, raw[at])
    failed: list[int] = []
    for at in order(made):
        group = made.tests[at].group
        stops = {
            True: failed,
            "group": [each for each in failed if group and made.tests[each].group == group],
            False: [],
        }[stop]
        depends = [each for each in failed if group == "b" and made.tests[each].group == "a"]
        expected = Verdict.SKIPPED if stops or depends else raw[at].verdict
        assert progress.settled[at].verdict is expected
        if expected is not Verdict.PASSED:
            failed.append(at)


def test_nothing_is_settled_before_those_that_count_before_it() -> None:
    made = suite(io(), io(), io())
    raw = outcomes(made, "+++")
    for finished in itertools.permutations(range(3)):
        progress = Progress(made)
        for number, at in enumerate(finished, 1):
            progress.note(at, raw[at])
            settled = sorted(progress.settled)
            assert settled == list(range(len(settled)))
            assert set(finished[:number]) >= set(settled)
        assert len(progress.settled) == 3
