"""Who may not see everything is not told it: secrets are planted in every field, and looked for in every answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from code_executor.core.models import Reason
from code_executor.grading import forms, views
from code_executor.grading.differences import Difference
from code_executor.grading.outcomes import Case, Grade, GradeVerdict, Outcome, Usage, Verdict
from code_executor.grading.scores import score
from code_executor.grading.suite import Suite
from code_executor.grading.views import Audience
from tests.unit.grading.made import call, io, suite

INPUT, OUTPUT, ANSWER = "planted-input", "planted-output", "planted-answer"
"""What a test gives, what the program makes of it, and what is right."""

LEVELS: dict[str, set[str]] = {
    "full": {INPUT, OUTPUT, ANSWER},
    "input": {INPUT, OUTPUT},
    "result": set(),
    "hidden": set(),
}


def planted(level: str) -> list[dict[str, Any]]:
    """Return tests with a secret in each field that can hold one."""
    checked: dict[str, Any] = {
        "visibility": level,
        "name": "shown",
        "files": [{"path": f"{INPUT}.txt", "content": INPUT}],
    }
    return [
        io(ANSWER, id="io", stdin=INPUT, args=[INPUT], **checked),
        call(args=[INPUT], kwargs={"a": INPUT}, expected=ANSWER, setup=f"'{INPUT}'", id="call", **checked),
        call(args=[INPUT], stdout=ANSWER, arguments=[ANSWER], stdin=INPUT, id="printing", **checked),
        call(args=[INPUT], raises={"type": "ValueError", "message": ANSWER}, id="raising", **checked),
        io(ANSWER, stdin=INPUT, checker={"type": "program", "code": f"# {ANSWER}"}, id="checked", **checked),
        {"kind": "interactive", "interactor": f"# {ANSWER}", "input": ANSWER, "args": [INPUT], "id": "t", **checked},
        {
            "kind": "unittest",
            "id": "unit",
            "visibility": level,
            "name": "shown",
            "files": [{"path": "test.py", "content": f"# {ANSWER}"}],
        },
    ]


def graded(made: Suite, verdict: Verdict = Verdict.WRONG_ANSWER) -> Grade:
    outcomes = [
        Outcome(
            test,
            verdict,
            Reason.EXCEPTION,
            OUTPUT,
            7,
            OUTPUT,
            OUTPUT,
            Difference("is wrong", 1, ANSWER, OUTPUT),
            OUTPUT,
            time=1.0,
            cases=(Case(OUTPUT, Verdict.WRONG_ANSWER, ANSWER),),
            detail=ANSWER,
        )
        for test in made.tests
    ]
    found, points, best, groups = score(made, outcomes)
    return Grade("id", found, points, best, tuple(outcomes), groups, (), Usage(4, 987654.321, 5.0, 6))


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("level", LEVELS)
def test_what_is_told_at_each_level(level: str, verdict: Verdict) -> None:
    grade = graded(suite(*planted(level)), verdict)
    told = views.grade_object(grade, Audience(full=False, now=0.0))
    text = json.dumps(told)
    assert {secret for secret in (INPUT, OUTPUT, ANSWER) if secret in text} == LEVELS[level]
    assert "987654" not in text
    assert len(told["tests"]) == (0 if level == "hidden" else 7)
    if level == "result":
        plain = verdict.value if verdict in (Verdict.PASSED, Verdict.SKIPPED) else "failed"
        assert {(test["verdict"], *sorted(test)) for test in told["tests"]} == {
            (plain, "group", "id", "max", "name", "score", "verdict")
        }


@pytest.mark.parametrize("level", LEVELS)
def test_whoever_may_see_everything_is_told_everything(level: str) -> None:
    told = views.grade_object(graded(suite(*planted(level))), Audience(full=True, now=0.0))
    text = json.dumps(told)
    assert all(secret in text for secret in (INPUT, OUTPUT, ANSWER))
    assert len(told["tests"]) == 7
    assert told["usage"]["runs"] == 4


HINT = "planted-hint"


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("level", LEVELS)
def test_a_hint_is_told_with_the_input_and_where_the_learner_failed(level: str, verdict: Verdict) -> None:
    outcome = Outcome(suite(io(ANSWER, visibility=level, hint=HINT)).tests[0], verdict)
    told = views.test_object(outcome, Audience(full=False, now=0.0))
    theirs = verdict not in (Verdict.PASSED, Verdict.SKIPPED, Verdict.INTERNAL, Verdict.CHECKER_ERROR)
    assert (HINT in json.dumps(told)) == (theirs and level in ("full", "input"))
    if theirs and level in ("full", "input"):
        assert told is not None
        assert told["hint"] == HINT


def test_events_tell_what_the_answer_does() -> None:
    for level in LEVELS:
        grade = graded(suite(*planted(level)))
        audience = Audience(full=False, now=0.0)
        events = [views.test_object(outcome, audience) for outcome in grade.outcomes]
        whole = views.grade_object(grade, audience)
        assert whole == {
            **views.grade_object(grade, audience, tests=False),
            "tests": [each for each in events if each is not None],
        }


def test_a_level_that_changes_is_that_of_the_time_of_reading() -> None:
    visibility = {"after": "2027-02-01T12:00:00Z", "level": "full", "before": "hidden"}
    grade = graded(suite(io(ANSWER, visibility=visibility)))
    then = 1_801_483_200.0
    assert ANSWER not in json.dumps(views.grade_object(grade, Audience(full=False, now=then - 1)))
    assert ANSWER in json.dumps(views.grade_object(grade, Audience(full=False, now=then)))


def test_long_texts_are_cut() -> None:
    made = suite(io("e" * 100_000, stdin="i" * 100_000, args=["a" * 4000] * 8))
    outcome = Outcome(made.tests[0], Verdict.WRONG_ANSWER, stdout="o" * 100_000, stderr="r" * 100_000)
    told = views.test_object(outcome, Audience(full=True, now=0.0))
    assert told is not None
    assert all(len(told[name]) < views.MOST_TEXT + 100 for name in ("stdout", "stderr", "expected"))
    assert len(told["input"]["stdin"]) < views.MOST_TEXT + 100


def test_hidden_tests_count_all_the_same() -> None:
    made = suite(io("x"), io("x", visibility="hidden", weight=3))
    outcomes = [Outcome(made.tests[0], Verdict.PASSED, fraction=1.0), Outcome(made.tests[1], Verdict.WRONG_ANSWER)]
    verdict, points, best, _ = score(made, outcomes)
    assert (verdict, points, best) == (GradeVerdict.PARTIAL, 1, 4)
    assert forms.canonical(made)
