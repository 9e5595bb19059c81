"""Suites: what is wrong with one is named, what is equal has one address, and what is stored is read again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from pydantic import ValidationError

from code_executor.api.suite_schemas import SuiteIn
from code_executor.core.models import File
from code_executor.grading import forms
from code_executor.grading.suite import Call, Level, Suite, SuiteError, Unit, Visibility, order
from tests.unit.grading.made import call, io, suite, units

EVERYTHING: dict[str, Any] = {
    "tests": [
        io("1\n", id="a", name="first", stdin="x", args=["y"], exitCode=3, group="g", weight=2.5, timeout=1.5),
        io("2\n", id="k", hint="Look at the last line."),
        io("[a]", id="b", checker={"type": "regex", "full": True}, visibility={"after": "2027-02-01T12:00:00Z"}),
        io("1.0", id="c", checker={"type": "float", "abs": 0.5, "rel": 0.0, "nan": True}, visibility="input"),
        io("A", id="d", checker={"type": "tokens", "ignoreCase": True}, visibility="hidden", group="h"),
        call("fib", id="e", args=[{"$tuple": [1]}], kwargs={"n": None}, expected={"a": None}, rel=1e-6, group="g"),
        call("s.push", id="f", raises={"type": "ValueError", "message": "no"}, setup="s = Stack()", stdin="1"),
        io("x", id="l", limits={"memory": 64 << 20, "cpuTime": 1.5}),
        io("x", id="p", checker={"type": "program", "code": "def check(i, o, a): return True"}),
        {"kind": "interactive", "id": "i", "interactor": "def interact(x): return True", "input": "1", "args": ["a"]},
        units("unittest", "import unittest", id="u", isolation="process"),
        units("pytest", "def test(): pass", id="v", weights={"*": 2, "*::test": 3, "b*": 1}),
        call("f", id="g", arguments=[[1, 2]], args=[[2, 1]], stdout="sorted\n", looseSequences=True, abs=0.1),
    ],
    "groups": [{"id": "h", "dependsOn": ["g"]}, {"id": "g", "points": 3}],
    "checker": {"type": "exact"},
    "visibility": "result",
    "scoring": {"mode": "groups", "max": 10},
    "stopOnFailure": "group",
    "module": "answer",
    "timeout": 5,
    "files": [{"path": "./data.txt", "content": "é"}, {"path": "b", "contentBase64": "AAE="}],
}


def through_the_schema(said: dict[str, Any]) -> Suite:
    return forms.suite_of(SuiteIn.model_validate_json(json.dumps(said)).object())


def test_what_is_stored_is_what_was_said() -> None:
    made = through_the_schema(EVERYTHING)
    text = forms.canonical(made)
    assert forms.read(text) == made
    assert forms.canonical(forms.read(text)) == text
    assert isinstance(made.tests[5].task, Call)
    assert made.tests[5].task.expected == {"a": None}
    assert made.tests[1].hint == "Look at the last line."
    assert made.tests[0].timeout == 1.5
    assert made.tests[1].timeout == 5
    levels = [test.visibility.level for test in made.tests[:5]]
    assert levels == [Level.RESULT, Level.RESULT, Level.FULL, Level.INPUT, Level.HIDDEN]
    assert made.files[0].path == "data.txt"
    assert made.files[1].data == b"\0\1"


def test_the_longest_glob_of_a_weight_comes_first() -> None:
    unit = suite(units("pytest", "x = 1", weights={"*": 2, "*::test": 3, "b*": 1})).tests[0].task
    assert isinstance(unit, Unit)
    assert unit.weights == (("*::test", 3.0), ("b*", 1.0), ("*", 2.0))


@pytest.mark.parametrize(
    ("names", "tests"),
    [
        (["test_a.py", "b_test.py", "help.py", "data.txt"], ["test_a.py", "b_test.py"]),
        (["deep/test_a.py", "tests.py"], ["deep/test_a.py", "tests.py"]),
        (["check.py", "data.txt"], ["check.py"]),
        (["data.txt"], []),
    ],
)
def test_which_files_have_tests(names: list[str], tests: list[str]) -> None:
    assert Unit.paths([File(name, b"") for name in names]) == tests


def test_the_form_that_is_stored_is_one_that_is_taken() -> None:
    made = through_the_schema(EVERYTHING)
    assert through_the_schema(json.loads(forms.canonical(made))) == made


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        random.Random(7).shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


def test_the_address_is_of_the_content() -> None:
    one, other = through_the_schema(EVERYTHING), through_the_schema(shuffled(EVERYTHING))
    assert forms.address(forms.canonical(one)) == forms.address(forms.canonical(other))
    spelled = suite(io("x", id="1", weight=1, stdin="", checker={"type": "lines"}), stopOnFailure=False)
    assert forms.canonical(spelled) == forms.canonical(suite(io("x")))
    assert forms.canonical(suite(io("y"))) != forms.canonical(suite(io("x")))
    assert forms.canonical(suite(io("x", hint="look"))) != forms.canonical(suite(io("x")))
    assert b"hint" not in forms.canonical(suite(io("x", hint=None))), "suites without hints keep their addresses"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"tests": []}, "tests"),
        ({"tests": [io(id="a"), io(id="a")]}, "tests"),
        ({"tests": [io(id="a b")]}, "tests.0.id"),
        ({"tests": [io(weight=0)]}, "tests"),
        ({"tests": [io()], "groups": [{"id": "g"}]}, "groups"),
        ({"tests": [io(group="g")], "groups": [{"id": "g", "dependsOn": ["h"]}]}, "groups.0.dependsOn"),
        (
            {
                "tests": [io(group="g"), io(group="h")],
                "groups": [{"id": "g", "dependsOn": ["h"]}, {"id": "h", "dependsOn": ["g"]}],
            },
            "groups",
        ),
        ({"tests": [io(group="g")], "groups": [{"id": "g", "dependsOn": ["g"]}]}, "groups"),
        ({"tests": [io("(", checker={"type": "regex"})]}, "tests.0.expected"),
        ({"tests": [io("", checker={"type": "contains"})]}, "tests.0.expected"),
        ({"tests": [io("")], "checker": {"type": "contains"}}, "tests.0.expected"),
        ({"tests": [call(args=[{"$pickle": "x"}])]}, "tests.0.args"),
        ({"tests": [call(kwargs={"$tuple": 1})]}, "tests.0.kwargs"),
        ({"tests": [call(expected={"$set": [1, 1]})]}, "tests.0.expected"),
        ({"tests": [call(expected=1, raises={"type": "ValueError"})]}, "tests.0.raises"),
        ({"tests": [io(checker={"type": "program"})]}, "tests.0.checker"),
        ({"tests": [io(checker={"type": "program", "code": "  "})]}, "tests.0.checker"),
        ({"tests": [io(checker={"code": "x"})]}, "tests.0.expected"),
        ({"tests": [{"kind": "interactive", "interactor": "\n"}]}, "tests.0.interactor"),
        ({"tests": [{"kind": "pytest", "files": []}]}, "tests.0.files"),
        ({"tests": [{"kind": "pytest", "files": [{"path": "a.txt", "content": ""}]}]}, "tests.0.files"),
        ({"tests": [{"kind": "pytest", "files": [{"path": "solution.py/t.py", "content": ""}]}]}, "tests.0.files"),
        ({"tests": [call()], "module": "main"}, "module"),
        ({"tests": [call()], "module": "class"}, "module"),
        ({"tests": [io(files=[{"path": "main.py", "content": ""}])]}, "tests.0.files"),
        (
            {"tests": [io(files=[{"path": "a/b", "content": ""}])], "files": [{"path": "a", "content": ""}]},
            "tests.0.files",
        ),
        ({"tests": [call()], "files": [{"path": "solution.py/x", "content": ""}]}, "tests.0.files"),
    ],
)
def test_what_is_wrong_is_named(said: dict[str, Any], field: str) -> None:
    with pytest.raises(SuiteError) as error:
        forms.suite_of(said)
    assert error.value.field == field


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"tests": []},
        {"tests": [{"expected": "x"}]},
        {"tests": [{"kind": "shell", "expected": "x"}]},
        {"tests": [{"kind": "io"}]},
        {"tests": [io(expectd="x")]},
        {"tests": [io(weight=-1)]},
        {"tests": [io(weight=float("inf"))]},
        {"tests": [io(exitCode=256)]},
        {"tests": [io(timeout=0)]},
        {"tests": [io(hint="x" * 1001)]},
        {"tests": [io(visibility="secret")]},
        {"tests": [io(visibility={"after": "soon"})]},
        {"tests": [io(checker={"type": "programme"})]},
        {"tests": [{"kind": "interactive"}]},
        {"tests": [{"kind": "unittest"}]},
        {"tests": [units("nose", "x = 1")]},
        {"tests": [units("pytest", "x = 1", isolation="none")]},
        {"tests": [units("pytest", "x = 1", weights={"*": -1})]},
        {"tests": [units("pytest", "x = 1", expected="x")]},
        {"tests": [call("__import__('os').system")]},
        {"tests": [call("a..b")]},
        {"tests": [io()], "stopOnFailure": "never"},
        {"tests": [io()], "scoring": {"mode": "most"}},
        {"tests": [io()], "scoring": {"max": 0}},
        {"tests": [io()] * 1001},
    ],
    ids=lambda said: str(said)[:60],
)
def test_what_has_the_wrong_shape_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SuiteIn.model_validate_json(json.dumps(said))


def test_groups_come_after_those_that_they_depend_on() -> None:
    made = suite(
        io(group="c"),
        io(group="b"),
        io(),
        io(group="a"),
        io(group="b"),
        groups=[{"id": "c", "dependsOn": ["b"]}, {"id": "b", "dependsOn": ["a"]}, {"id": "a"}],
    )
    assert order(made) == [2, 3, 1, 4, 0]


def test_a_visibility_changes_at_its_instant() -> None:
    changing = Visibility(Level.FULL, after=100.0, before=Level.RESULT)
    assert [changing.at(now) for now in (99.9, 100.0, 101.0)] == [Level.RESULT, Level.FULL, Level.FULL]
    assert Visibility(Level.INPUT).at(0.0) is Level.INPUT
