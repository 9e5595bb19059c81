"""Grades as others read them: their shapes, hostile names and output, and nothing of what may not be told."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from code_executor.core.models import SourceProblem
from code_executor.grading import exports
from code_executor.grading.outcomes import Case, Grade, Outcome, Receipt, Receipts, Usage, Verdict
from code_executor.grading.scores import score
from code_executor.grading.suite import Suite
from code_executor.grading.views import Audience
from tests.unit.grading.made import io, outcomes, suite
from tests.unit.grading.test_views import ANSWER, INPUT, LEVELS, OUTPUT, graded, planted

FULL, REST = Audience(full=True, now=0.0), Audience(full=False, now=0.0)
HOSTILE = "]]>&<x a='\"'>\x00\x08\x1b[31m\r\n\ud800\ufffe\U0001f600 é"
VISIBLE = "]]>&<x a='\"'>\\x00\\x08\\x1b[31m\\r\n\\ud800\\ufffe\U0001f600 é"


def grade_of(made: Suite, found: list[Outcome]) -> Grade:
    verdict, points, best, groups = score(made, found)
    return Grade("0f", verdict, points, best, tuple(found), groups, (), Usage(3, 1500.0))


def mixed() -> Grade:
    made = suite(
        io("1", id="one", name="First", group="basics", weight=2),
        io("2", id="two", group="basics"),
        io("3", id="three"),
    )
    return grade_of(made, outcomes(made, "+-s", stdout="1\n", time=250.0))


def parsed(document: bytes) -> ET.Element:
    return ET.fromstring(document)


def test_a_grade_is_a_results_json() -> None:
    told = exports.gradescope(mixed(), FULL)
    assert {name: value for name, value in told.items() if name != "tests"} == {
        "score": 2.0,
        "execution_time": 1.5,
        "output": "verdict: partial",
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"id": "0f", "verdict": "partial", "max": 4.0},
    }
    assert told["tests"][0] == {
        "name": "First",
        "number": "one",
        "score": 2.0,
        "max_score": 2.0,
        "status": "passed",
        "output": "passed\n\noutput:\n1\n",
        "tags": ["basics"],
        "visibility": "visible",
        "extra_data": {"id": "one", "verdict": "passed"},
    }
    assert [test["status"] for test in told["tests"]] == ["passed", "failed", "failed"]
    assert told["tests"][1]["name"] == "two"
    assert "expected:\n2" in told["tests"][1]["output"]
    assert told["tests"][2]["tags"] == []


def test_gradescope_shows_students_what_learners_see_here() -> None:
    for level in LEVELS:
        told = exports.gradescope(graded(suite(*planted(level))), FULL)
        assert {test["visibility"] for test in told["tests"]} == {"hidden" if level == "hidden" else "visible"}
        shown = json.dumps([test for test in told["tests"] if test["visibility"] == "visible"])
        assert {secret for secret in (INPUT, OUTPUT, ANSWER) if secret in shown} == LEVELS[level]
    hidden = exports.gradescope(graded(suite(*planted("hidden"))), FULL)["tests"][0]["output"]
    assert all(secret in hidden for secret in (INPUT, OUTPUT, ANSWER))


def test_a_test_that_is_shown_later_is_hidden_until_then() -> None:
    made = suite(io(ANSWER, visibility={"after": "2027-02-01T12:00:00Z"}))
    then = 1_801_483_200.0
    before, after = (exports.gradescope(graded(made), Audience(True, now)) for now in (then - 1, then))
    assert (before["tests"][0]["visibility"], after["tests"][0]["visibility"]) == ("hidden", "visible")


def test_unit_tests_are_listed_and_what_they_say_is_told_at_the_level_for_it() -> None:
    for level, told in (("full", {"test_a: passed", f"test_b: wrong_answer: {ANSWER}"}), ("input", {"test_a: passed"})):
        made = suite(io(visibility=level))
        cases = (Case("test_a", Verdict.PASSED), Case("test_b", Verdict.WRONG_ANSWER, ANSWER))
        grade = grade_of(made, [replace(outcomes(made, "-")[0], cases=cases, detail="")])
        report = exports.junit([("x", grade)], REST).decode()
        for text in (exports.gradescope(grade, REST)["tests"][0]["output"], report):
            assert all(each in text for each in told)
            assert (ANSWER in text) == (level == "full")


def test_a_grade_without_a_score_has_none_in_a_results_json() -> None:
    made = suite(io("1"), io("2"))
    told = exports.gradescope(grade_of(made, outcomes(made, "+!")), FULL)
    assert "score" not in told
    assert not any("score" in test for test in told["tests"])
    assert told["output"] == "The service failed to grade the program. There is no score."


def test_a_grade_is_a_junit_report() -> None:
    made = suite(io("1", id="one", name="First", group="basics"), *[io("2", id=each) for each in ("two", "3", "4")])
    found = outcomes(made, "+-!s", stdout="1\n", time=250.0)
    found[1] = replace(found[1], message="line 1 is wrong")
    root = parsed(exports.junit([("ada.py", grade_of(made, found)), ("bob.py", mixed())], FULL))
    assert (root.tag, [each.get("name") for each in root]) == ("testsuites", ["ada.py", "bob.py"])
    whole = root[0]
    counts = {name: whole.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {"tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "1.000"}
    properties = {each.get("name"): each.get("value") for each in whole.iter("property")}
    assert properties == {"id": "0f", "verdict": "error", "score": "", "max": "4"}
    first, wrong, ours, left = whole.findall("testcase")
    assert (first.get("name"), first.get("classname"), first.get("time")) == ("First", "basics", "0.250")
    assert (wrong.get("name"), wrong.get("classname")) == ("two", "ada.py")
    assert [[child.tag for child in case] for case in (first, wrong, ours, left)] == [
        ["system-out"],
        ["failure", "system-out"],
        ["error", "system-out"],
        ["skipped", "system-out"],
    ]
    failure = wrong[0]
    assert (failure.get("type"), failure.get("message")) == ("wrong_answer", "line 1 is wrong")
    assert "expected:\n2" in (failure.text or "")


def test_whatever_a_program_prints_the_xml_is_well_formed() -> None:
    made = suite(io(HOSTILE, name=HOSTILE, stdin=HOSTILE, args=[HOSTILE]))
    wrong = Outcome(made.tests[0], Verdict.WRONG_ANSWER, message=HOSTILE, stdout=HOSTILE, stderr=HOSTILE)
    grade = replace(grade_of(made, [wrong]), problems=(SourceProblem(1, 0, HOSTILE),))
    suite_of = parsed(exports.junit([(HOSTILE, grade)], FULL))[0]
    assert suite_of.get("name") == VISIBLE
    case = suite_of.find("testcase")
    assert case is not None
    assert case.get("name") == VISIBLE
    assert case.findtext("system-out") == case.findtext("system-err") == VISIBLE
    assert VISIBLE in (case.findtext("failure") or "")
    assert suite_of.findtext("system-err") == f"line 1: {VISIBLE}"


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("level", LEVELS)
def test_no_export_tells_what_may_not_be_told(level: str, verdict: Verdict) -> None:
    made = suite(*[{**each, "id": f"{level}-{each['id']}", "name": f"name-{level}"} for each in planted(level)])
    grade = replace(graded(made, verdict), receipts=Receipts(Receipt("full-receipt"), Receipt("rest-receipt")))
    for text in (json.dumps(exports.gradescope(grade, REST)), exports.junit([("x", grade)], REST).decode()):
        assert {secret for secret in (INPUT, OUTPUT, ANSWER) if secret in text} <= LEVELS[level]
        assert (f"name-{level}" in text) == (level != "hidden")
        assert "hidden-io" not in text
        assert "987654" not in text
        assert "full-receipt" not in text


def test_a_report_for_whoever_may_see_everything_has_all_tests() -> None:
    grade = graded(suite(*planted("hidden")))
    assert parsed(exports.junit([("x", grade)], FULL))[0].get("tests") == str(len(grade.outcomes))
    assert parsed(exports.junit([("x", grade)], REST))[0].get("tests") == "0"
