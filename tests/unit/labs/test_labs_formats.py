"""Labs of other systems: what both can hold survives, and what cannot is reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from code_labs.errors import ExchangeError
from code_labs.labs import CallTest, IoTest
from code_labs.labs.formats import (
    export_coderunner,
    export_nbgrader,
    import_coderunner,
    import_exercism,
    import_nbgrader,
)
from tests.unit.labs.made import made

QUESTION = """<?xml version="1.0" encoding="UTF-8"?>
<quiz>
  <question type="category"><category><text>top</text></category></question>
  <question type="coderunner">
    <name><text>Square it!</text></name>
    <questiontext format="html"><text><![CDATA[<p>Write <code>sqr(n)</code>.</p>]]></text></questiontext>
    <coderunnertype>python3</coderunnertype>
    <prototypetype>0</prototypetype>
    <penaltyregime>10, 20</penaltyregime>
    <answer>def sqr(n):\n    return n * n</answer>
    <answerpreload>def sqr(n):\n    pass</answerpreload>
    <testcases>
      <testcase testtype="0" useasexample="1" hiderestiffail="0" mark="2.0000000">
        <testcode><text>for i in range(2):\n    print(sqr(i))</text></testcode>
        <stdin><text></text></stdin><expected><text>0\n1\n</text></expected><extra><text></text></extra>
        <display><text>SHOW</text></display>
      </testcase>
      <testcase hiderestiffail="1" mark="1">
        <testcode><text>print(repr(sqr(-3)))</text></testcode>
        <expected><text>9</text></expected><display><text>HIDE</text></display>
      </testcase>
      <testcase mark="x">
        <testcode><text></text></testcode><stdin><text>4\n</text></stdin><expected><text>16</text></expected>
      </testcase>
      <testcase><testcode><text>print('''a\n  b''')</text></testcode><expected><text>a\n  b</text></expected></testcase>
    </testcases>
  </question>
  <question type="coderunner">
    <name><text>Own template</text></name><coderunnertype>python3</coderunnertype>
    <template>{{ STUDENT_ANSWER }}</template>
  </question>
  <question type="coderunner"><name><text>In C</text></name><coderunnertype>c_program</coderunnertype></question>
  <question type="multichoice"><name><text>Choose</text></name></question>
</quiz>
"""


# ---- CodeRunner


def test_a_question_of_coderunner_is_read_and_what_is_lost_is_said() -> None:
    found = import_coderunner(QUESTION.encode())
    (lab,) = found.labs
    assert (lab.id, lab.title, lab.task) == ("square-it", "Square it!", "<p>Write <code>sqr(n)</code>.</p>")
    assert lab.starter.endswith("pass")
    assert lab.suite is not None
    printed, returned, run = lab.suite.tests
    assert isinstance(printed, CallTest)
    assert printed.setup == "def run_test():\n    for i in range(2):\n        print(sqr(i))\n"
    assert (printed.call, printed.stdout, printed.weight, printed.visibility) == ("run_test", "0\n1\n", 2, "full")
    assert isinstance(returned, CallTest)
    assert (returned.call, returned.args, returned.expected, returned.visibility) == ("sqr", (-3,), 9, "result")
    assert isinstance(run, IoTest)
    assert (run.stdin, run.expected, run.weight) == ("4\n", "16", 1)
    said = "\n".join(found.dropped)
    for part in (
        "Square it!: the penalties 10, 20 were dropped",
        "Square it!: the task is HTML",
        "test 2: “hide rest if fail” was dropped",
        "test 4: left out: its code is not Python that can stand in a function",
        "Own template: left out: it has a template of its own",
        "In C: left out: its type is 'c_program'",
        "Choose: left out: a question of the type 'multichoice'",
    ):
        assert part in said
    assert len(found.dropped) == 7


def test_what_coderunner_can_hold_comes_back_equal() -> None:
    (lab,) = import_coderunner(QUESTION).labs
    made_of_it = export_coderunner([lab])
    assert made_of_it.dropped == ()
    (again,) = import_coderunner(made_of_it.text).labs
    assert again == lab


def test_what_coderunner_cannot_hold_is_said() -> None:
    out = export_coderunner([made()])
    (again,) = import_coderunner(out.text).labs
    assert again.suite is not None
    assert made().suite is not None
    assert [test.id for test in again.suite.tests] == ["1", "2", "3"]
    assert [sentence.split(" ")[1] for sentence in out.dropped] == ["goals", "concepts", "hints", "video"]
    tests: list[dict[str, Any]] = [
        {"id": "a", "kind": "io", "expected": "", "args": ["x"]},
        {"id": "b", "kind": "io", "expected": "", "checker": {"type": "tokens"}},
        {"id": "c", "kind": "call", "call": "f", "raises": {"type": "ValueError"}},
        {"id": "d", "kind": "call", "call": "f", "stdout": "x"},
        {"id": "e", "kind": "call", "call": "f", "files": [{"path": "x", "content": ""}]},
        {"id": "f", "kind": "call", "call": "run_test", "setup": "x = 1\n", "stdout": "x"},
    ]
    out = export_coderunner([made(suite={"tests": tests}, goals=[], concepts=[], hints=[], video=None)])
    assert len(out.dropped) == 6
    assert "<testcase " not in out.text


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<quiz>", "not XML that can be read"),
        ("<course/>", "begins with <course>"),
        ("<quiz/>", "no question of CodeRunner"),
        ('<!DOCTYPE q [<!ENTITY a "b">]><quiz>&a;</quiz>', "not XML that can be read"),
        ('<!DOCTYPE q SYSTEM "file:///etc/passwd"><quiz/>', "not XML that can be read"),
        ("x" * (9 << 20), "larger than"),
    ],
)
def test_what_is_no_file_of_coderunner_is_refused(text: str, why: str) -> None:
    with pytest.raises(ExchangeError, match=why):
        import_coderunner(text)


def test_a_control_character_is_not_written_into_xml() -> None:
    with pytest.raises(ExchangeError, match="control character"):
        export_coderunner([made(task="\x01")])


# ---- nbgrader


def cell(kind: str, source: str, **grading: Any) -> dict[str, Any]:
    return {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {"nbgrader": grading}}


SOLUTION = "import math\ndef area(r):\n    ### BEGIN SOLUTION\n    return math.pi * r ** 2\n    ### END SOLUTION"
HIDDEN = "### BEGIN HIDDEN TESTS\nassert area(1) is None\nassert not area(-1)\n### END HIDDEN TESTS"
TESTS = f"assert area(0) == 0\nx = 3\n{HIDDEN}"
NOTEBOOK = [
    cell("markdown", "# Circles\nWrite `area`."),
    cell("code", "import numpy"),
    cell("code", SOLUTION, solution=True, grade_id="area"),
    cell("code", TESTS, grade=True, grade_id="t", points=3),
    cell("markdown", "Explain.", solution=True, grade_id="essay"),
]


def notebook(cells: list[dict[str, Any]]) -> str:
    return json.dumps({"cells": cells, "nbformat": 4})


def test_a_notebook_is_read_and_what_is_lost_is_said() -> None:
    found = import_nbgrader(notebook(NOTEBOOK))
    (lab,) = found.labs
    assert (lab.id, lab.title) == ("area", "Circles")
    assert lab.starter == "import math\ndef area(r):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n"
    assert lab.solution == "import math\ndef area(r):\n    return math.pi * r ** 2\n"
    assert lab.suite is not None
    tests = [test for test in lab.suite.tests if isinstance(test, CallTest)]
    assert [(test.args, test.expected, test.visibility) for test in tests] == [
        ((0,), 0, "full"),
        ((1,), None, "result"),
        ((-1,), False, "result"),
    ]
    assert [test.weight for test in tests] == [1, 1, 1]
    assert [sentence[:30] for sentence in found.dropped] == [
        "a cell of code that is neither",
        "area: a statement of its tests",
        "'essay' is answered with text,",
    ]


def test_what_a_notebook_can_hold_comes_back_equal() -> None:
    (lab,) = import_nbgrader(notebook(NOTEBOOK)).labs
    lab = lab.model_copy(update={"starter": "# YOUR CODE HERE\nraise NotImplementedError()\n", "task": "Write it."})
    out = export_nbgrader(lab)
    assert out.dropped == ("area: the starter was left out: nbgrader makes it of the solution",)
    (again,) = import_nbgrader(out.text).labs
    assert again == lab.model_copy(update={"task": "# Circles\n\nWrite it."})


def test_what_a_notebook_cannot_hold_is_said() -> None:
    said = "\n".join(export_nbgrader(made()).dropped)
    for part in ("hints cannot be held", "video cannot be held", "test 3: left out", "the starter was left out"):
        assert part in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not a notebook"),
        ("[]", "no list of cells"),
        ('{"cells": [1]}', "no list of cells"),
        ('{"cells": [{"metadata": {"nbgrader": 1}}]}', "metadata of a cell"),
        ('{"cells": []}', "no cell with a solution"),
        ("x" * (9 << 20), "larger than"),
    ],
)
def test_what_is_no_notebook_is_refused(text: str, why: str) -> None:
    with pytest.raises(ExchangeError, match=why):
        import_nbgrader(text)


# ---- Exercism


@pytest.fixture
def exercise(tmp_path: Path) -> Path:
    root = tmp_path / "leap-year"
    for name, text in {
        ".docs/instructions.md": "# Instructions\n\nIs it a leap year?",
        ".meta/example.py": "def leap_year(year):\n    return year % 4 == 0\n",
        ".meta/config.json": '{"blurb": "Leap years.", "files": {"test": ["leap_test.py"], "solution": ["leap.py"]}}',
        "leap.py": "def leap_year(year):\n    pass\n",
        "leap_test.py": """
import unittest
from leap import leap_year

class LeapTest(unittest.TestCase):
    def test_divisible_by_four(self):
        self.assertIs(leap_year(1996), True)

    def test_odd(self):
        self.assertFalse(leap_year(1997))
        self.assertEqual(leap_year(1999), False)

    def test_text(self):
        with self.assertRaises(TypeError):
            leap_year(None)

    def test_message(self):
        with self.assertRaises(ValueError) as err:
            leap_year(-1)
        self.assertEqual(err.exception.args[0], "no")

    def test_tuple(self):
        self.assertEqual(leap_year(1), (1, 2))
""",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_an_exercise_is_read_and_what_is_lost_is_said(exercise: Path) -> None:
    found = import_exercism(exercise)
    (lab,) = found.labs
    assert (lab.id, lab.title, lab.summary) == ("leap-year", "Leap year", "Leap years.")
    assert lab.suite is not None
    tests = [test for test in lab.suite.tests if isinstance(test, CallTest)]
    assert [(test.name, test.args, test.expected) for test in tests] == [
        ("divisible by four", (1996,), True),
        ("odd", (1997,), False),
        ("odd", (1999,), False),
        ("text", (None,), None),
    ]
    assert tests[3].raises is not None
    assert tests[3].raises.type == "TypeError"
    assert [sentence.split(":")[0] for sentence in found.dropped] == [
        "leap-year, test_message",
        "leap-year, test_tuple",
    ]


def test_files_outside_of_an_exercise_are_not_read(exercise: Path) -> None:
    (exercise.parent / "outside.py").write_text("secret = 1\n")
    config = '{"files": {"solution": ["../outside.py"], "test": ["leap_test.py"]}}'
    (exercise / ".meta/config.json").write_text(config)
    assert import_exercism(exercise).labs[0].starter == ""


def test_what_is_no_exercise_is_refused(exercise: Path, tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match="no exercise of Exercism"):
        import_exercism(tmp_path)
    (exercise / ".meta/config.json").write_text("[]")
    with pytest.raises(ExchangeError, match="not a JSON object"):
        import_exercism(exercise)
    (exercise / ".meta/config.json").write_text("{}")
    (exercise / ".meta/example.py").write_text("def (")
    with pytest.raises(ExchangeError, match="solution: is not Python"):
        import_exercism(exercise)
