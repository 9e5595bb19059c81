"""Unit tests of a suite against a program in another sandbox: what works as if both were one process, what does not."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.models import File
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import OURS, Grade, GradeVerdict, Outcome, Submission, Verdict
from tests.unit.grading.made import suite, units

pytestmark = pytest.mark.anyio

PROGRAM = '''
import asyncio, collections, enum

LIMIT = 10
Point = collections.namedtuple("Point", "x y")

class Color(enum.Enum):
    RED = 1

class Level(enum.IntEnum):
    LOW = 1

class EmptyError(Exception):
    def __init__(self, count):
        super().__init__(f"nothing left of {count}")
        self.count = count

class Stack:
    """Holds things."""
    made = 0
    def __init__(self, *items):
        self.items = list(items)
        type(self).made += 1
    def push(self, item):
        self.items.append(item)
        return self
    def pop(self):
        if not self.items:
            raise EmptyError(3)
        return self.items.pop()
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)
    def __getitem__(self, at): return self.items[at]
    def __setitem__(self, at, item): self.items[at] = item
    def __eq__(self, other): return isinstance(other, Stack) and self.items == other.items
    def __add__(self, other): return Stack(*self.items, *other.items)
    def __mul__(self, times): return Stack(*self.items * times)
    def __lt__(self, other): return len(self) < len(other)
    def __rpow__(self, base): return base ** len(self)
    def __sub__(self, other): return 0
    def __str__(self): return f"Stack of {len(self)}"
    def __repr__(self): return f"Stack({self.items})"
    def __enter__(self): return self
    def __exit__(self, *error): self.items.clear()

class Tall(Stack):
    pass

def double(x):
    if x is None:
        raise ValueError("no number")
    return x * 2
def sort(items, by=None):
    items.sort(key=by)
def note(table, names, text):
    table["seen"] = text; names.add(text)
def apply(function, *args): return function(*args)
def count():
    for number in range(3):
        yield number
kept = []
def keep(unused, function):
    kept.append(function)
def drop(function):
    kept.remove(function)
    return len(kept)
def greet(name): print("hello", name)
def ask(): return input("name? ").upper()
def read():
    import sys
    return [line.strip() for line in sys.stdin]
def leave(status):
    import sys
    sys.exit(status)
def fail(): return 1 / 0
def values():
    return {"a": [1, (2.5, None), {3}], 4: b"x", "z": 2 + 3j}, float("nan"), 10 ** 40, Point(1, 2), Color.RED, Level.LOW
async def later(x):
    await asyncio.sleep(0)
    return x
def frame():
    import pandas
    return pandas.DataFrame({"a": [1, 2]})
'''

TESTS = """
import asyncio, contextlib, io, math, unittest
from unittest.mock import patch
import solution
from solution import *
from solution import Color, EmptyError, Level, Point, Stack, double

class TestValues(unittest.TestCase):
    def test_results(self):
        self.assertEqual(double(21), 42)
        self.assertEqual(double("ab"), "abab")
        self.assertEqual(double([1]), [1, 1])
        self.assertEqual(solution.LIMIT, 10)
        self.assertIs(type(solution.LIMIT), int)

    def test_all_kinds(self):
        table, nan, large, point, color, level = solution.values()
        self.assertEqual(table, {"a": [1, (2.5, None), {3}], 4: b"x", "z": 2 + 3j})
        self.assertTrue(math.isnan(nan))
        self.assertEqual(large, 10 ** 40)
        self.assertEqual((point, point.x), ((1, 2), 1))
        self.assertEqual(color, Color.RED)
        self.assertEqual(color.name, "RED")
        self.assertEqual(level, Level.LOW)

    def test_arguments_change(self):
        items, table, names = [3, 1, 2], {}, set()
        solution.sort(items)
        solution.note(table, names, "x")
        self.assertEqual((items, table, names), ([1, 2, 3], {"seen": "x"}, {"x"}))

    def test_functions_are_called_here(self):
        self.assertEqual(solution.apply(lambda a, b: a - b, 5, 3), 2)
        items = ["bb", "a"]
        solution.sort(items, by=len)
        self.assertEqual(items, ["a", "bb"])
        with self.assertRaises(KeyError):
            solution.apply(lambda: {}[1])
        self.assertEqual(solution.apply(lambda x: solution.double(x) + 1, 2), 5)
        calls, listeners = [], []
        solution.keep(listeners, calls.append)
        self.assertEqual(solution.drop(calls.append), 0)

    def test_errors(self):
        with self.assertRaises(ValueError) as caught:
            double(None)
        self.assertEqual(str(caught.exception), "no number")
        self.assertRaises(ZeroDivisionError, solution.fail)
        with self.assertRaises(EmptyError) as caught:
            Stack().pop()
        self.assertEqual(str(caught.exception), "nothing left of 3")
        self.assertEqual(caught.exception.count, 3)
        with self.assertRaises(SystemExit) as caught:
            solution.leave(4)
        self.assertEqual(caught.exception.code, 4)

    def test_iteration(self):
        self.assertEqual(list(solution.count()), [0, 1, 2])
        self.assertEqual(sum(solution.count()), 3)
        self.assertIn(2, solution.count())

    def test_coroutines(self):
        self.assertEqual(asyncio.run(solution.later(5)), 5)
        async def here():
            return await solution.later(6)
        self.assertEqual(asyncio.run(here()), 6)

class TestObjects(unittest.TestCase):
    def test_an_object(self):
        stack = Stack(1)
        stack.push(2).push(3)
        self.assertEqual((len(stack), list(stack), stack[0], stack[-1], stack[0:2]), (3, [1, 2, 3], 1, 3, [1, 2]))
        stack[0] = 9
        self.assertEqual(stack.items, [9, 2, 3])
        stack.items = [5]
        self.assertEqual((str(stack), repr(stack), f"{stack}"), ("Stack of 1", "Stack([5])", "Stack of 1"))
        self.assertEqual(stack.pop(), 5)
        self.assertFalse(stack)
        self.assertIsInstance(stack, Stack)
        self.assertNotIsInstance(stack, solution.Tall)
        self.assertTrue(issubclass(solution.Tall, Stack))
        self.assertEqual(Stack.__doc__, "Holds things.")
        self.assertTrue(hasattr(stack, "push"))
        self.assertFalse(hasattr(stack, "shove"))

    def test_objects_of_the_program(self):
        self.assertEqual(Stack(1, 2), Stack(1, 2))
        self.assertNotEqual(Stack(1), Stack(2))
        self.assertEqual((Stack(1) + Stack(2)).items, [1, 2])
        self.assertEqual((Stack(1) * 2).items, [1, 1])
        self.assertEqual(2 ** Stack(1, 2, 3), 8)
        with self.assertRaises(TypeError):
            Stack(1) - 1
        self.assertLess(Stack(), Stack(1))
        with Stack(1) as stack:
            self.assertEqual(len(stack), 1)
        self.assertEqual(len(stack), 0)

    def test_is_not_equal_to_plain_values(self):
        self.assertNotEqual(Stack(1), [1])

class TestInputAndOutput(unittest.TestCase):
    def test_print(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            solution.greet("Ann")
        self.assertEqual(out.getvalue(), "hello Ann\\n")

    @patch("builtins.input", return_value="bob")
    def test_input(self, asked):
        self.assertEqual(solution.ask(), "BOB")
        asked.assert_called_once_with("name? ")

    @patch("sys.stdin", io.StringIO("one\\ntwo\\n"))
    def test_stdin(self):
        self.assertEqual(solution.read(), ["one", "two"])

    @unittest.skip("not this week")
    def test_skipped(self):
        self.fail()

    @unittest.expectedFailure
    def test_expected_failure(self):
        self.assertEqual(double(1), 3)

    def test_each(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(double(number), 2 * number)
"""

PYTESTS = """
import pytest
import solution
from solution import Stack, double

@pytest.fixture
def stack():
    return Stack(1, 2)

@pytest.mark.parametrize(("given", "wanted"), [(1, 2), ("a", "aa"), ([], [])])
def test_double(given, wanted):
    assert double(given) == wanted

def test_raises():
    with pytest.raises(ValueError, match="no number"):
        double(None)

def test_fixture(stack):
    assert len(stack) == 2
    assert [*stack] == [1, 2]

def test_print(capsys):
    solution.greet("Ann")
    assert capsys.readouterr().out == "hello Ann\\n"

def test_patched(monkeypatch):
    monkeypatch.setattr("builtins.input", lambda prompt: "x")
    assert solution.ask() == "X"

def test_close():
    assert double(0.15) == pytest.approx(0.3)

@pytest.mark.skip(reason="not this week")
def test_skipped():
    assert False

@pytest.mark.xfail
def test_xfail():
    assert double(1) == 3

class TestOfClass:
    def test_method(self):
        assert double(4) == 8
"""


async def graded(executor: Executor, code: str, *tests: dict[str, Any], **more: Any) -> Grade:
    return await Grader(executor).grade(Submission(code), suite(*tests, **more))


async def one(executor: Executor, code: str, test: dict[str, Any]) -> Outcome:
    (outcome,) = (await graded(executor, code, test)).outcomes
    return outcome


def told(outcome: Outcome) -> dict[str, str]:
    return {case.id.rpartition("::" if "::" in case.id else ".")[2]: case.verdict.value for case in outcome.cases}


async def test_tests_of_unittest_use_a_program_as_if_it_were_there(executor: Executor) -> None:
    outcome = await one(executor, PROGRAM, units("unittest", TESTS))
    wrong = [(case.id, case.message) for case in outcome.cases if case.verdict not in (Verdict.PASSED, Verdict.SKIPPED)]
    assert not wrong, (outcome.message, outcome.detail)
    assert (outcome.verdict, outcome.fraction, outcome.trust) == (Verdict.PASSED, 1.0, "isolated")
    assert [case.id for case in outcome.cases if case.verdict is Verdict.SKIPPED] == [
        "test_it.TestInputAndOutput.test_skipped"
    ]
    assert len(outcome.cases) == 16


async def test_tests_of_pytest_use_a_program_as_if_it_were_there(executor: Executor) -> None:
    outcome = await one(executor, PROGRAM, units("pytest", PYTESTS))
    wrong = [(case.id, case.message) for case in outcome.cases if case.verdict not in (Verdict.PASSED, Verdict.SKIPPED)]
    assert not wrong, (outcome.message, outcome.detail)
    assert outcome.verdict is Verdict.PASSED
    assert len(outcome.cases) == 11
    assert told(outcome)["test_skipped"] == "skipped"


FAILING = """
import unittest
from solution import double, missing

class TestFirst(unittest.TestCase):
    def test_right(self):
        self.assertEqual(double(1), 2)
    def test_wrong(self):
        self.assertEqual(double(3), 6)
    def test_broken(self):
        double(4)
    def test_missing(self):
        missing()
    def test_z_after(self):
        self.assertEqual(double(1), 2)
class TestSecond(unittest.TestCase):
    def test_right(self):
        self.assertEqual(double(1), 2)
"""


@pytest.mark.parametrize("framework", ["unittest", "pytest"])
@pytest.mark.parametrize(
    "end",
    [
        "import os; os._exit(0)",
        "while True: pass",
        "x = bytearray(1 << 30)",
        "import os; os.write(1, b'x' * (2 << 20)); os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
async def test_what_ends_fails_its_own_test_and_the_others_go_on(executor: Executor, framework: str, end: str) -> None:
    code = f"def double(x):\n    if x == 4:\n        {end}\n    return 7 if x == 3 else 2 * x\n"
    outcome = await one(executor, code, units(framework, FAILING, timeout=3, weights={"*test_wrong": 4}))
    assert outcome.verdict is Verdict.WRONG_ANSWER
    assert outcome.message == "3 of 6 tests failed"
    assert outcome.fraction == pytest.approx(3 / 9)
    verdicts = [case.verdict.value for case in sorted(outcome.cases, key=lambda case: case.id)]
    assert verdicts.count("passed") == 3
    assert told(outcome)["test_broken"] == ("wrong_answer" if framework == "pytest" else "error")


async def test_a_program_that_cannot_be_imported_fails_all_at_once(executor: Executor) -> None:
    outcome = await one(executor, "x = 1 / 0", units("unittest", FAILING))
    assert (outcome.verdict, outcome.fraction) == (Verdict.ERROR, 0)
    assert outcome.message == "ZeroDivisionError: division by zero"
    assert len(outcome.cases) == 6
    assert "ZeroDivisionError" in outcome.stderr


@pytest.mark.parametrize("isolation", ["proxy", "process"])
async def test_what_a_test_says_is_for_whoever_sees_everything(executor: Executor, isolation: str) -> None:
    outcome = await one(executor, "def double(x): return 5", units("unittest", FAILING, isolation=isolation))
    assert outcome.trust == ("isolated" if isolation == "proxy" else "cooperative")
    if isolation == "proxy":
        assert "5 != 6" in next(case.message for case in outcome.cases if case.id.endswith("test_wrong"))
        assert "6" not in outcome.message.replace("6 tests", "")
    else:  # nothing stands in for the name that is missing
        assert (outcome.verdict, outcome.message) == (Verdict.ERROR, "the tests cannot use the program")


async def test_in_one_process_everything_works_and_nothing_is_safe(executor: Executor) -> None:
    right = await one(executor, PROGRAM, units("pytest", PYTESTS, isolation="process"))
    assert (right.verdict, right.trust) == (Verdict.PASSED, "cooperative")
    cheat = (
        "import unittest\nunittest.TestCase.assertEqual = lambda *args: None\n"
        "def double(x): return 0\ndef missing(): pass\n"
    )
    assert (await one(executor, cheat, units("unittest", FAILING, isolation="process"))).is_passed
    assert (await one(executor, cheat, units("unittest", FAILING))).fraction == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("import unittest\nx = [", "SyntaxError"),
        ("import nowhere", "ModuleNotFoundError"),
        ("x = 1", ""),
        ("import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('x')\n    def test_it(self): pass", ""),
        ("import os\nos._exit(0)", ""),
        ("while True: pass", ""),
    ],
)
@pytest.mark.parametrize("framework", ["unittest", "pytest"])
async def test_tests_that_fail_by_themselves_are_nobodys_fault(
    executor: Executor, framework: str, tests: str, why: str
) -> None:
    grade = await graded(executor, "x = 1", units(framework, tests))
    (outcome,) = grade.outcomes
    assert outcome.verdict is Verdict.CHECKER_ERROR, outcome
    assert (grade.verdict, grade.score) == (GradeVerdict.ERROR, None)
    assert why in outcome.detail


@pytest.mark.parametrize(
    ("given", "why"),
    [("io.StringIO('x')", "objects of the type StringIO"), ("list(range(100_000))", "more than 1 MB, or 90,000 items")],
)
async def test_what_cannot_be_given_to_a_program_is_the_suites_fault(executor: Executor, given: str, why: str) -> None:
    tests = f"import io, unittest, solution\nclass T(unittest.TestCase):\n    def test_it(self): solution.f({given})"
    apart = await one(executor, "def f(x): pass", units("unittest", tests))
    assert (apart.verdict, apart.message) == (Verdict.CHECKER_ERROR, "the tests failed by themselves")
    assert why in apart.detail
    assert (await one(executor, "def f(x): pass", units("unittest", tests, isolation="process"))).is_passed


async def test_a_program_cannot_make_it_look_as_if_the_suite_were_wrong(executor: Executor) -> None:
    tests = (
        "import unittest, solution\nclass T(unittest.TestCase):\n"
        "    def test_it(self): solution.f(solution.f(lambda x: x))\n"
        "    def test_other(self): self.assertEqual(solution.f(1), 2)"
    )
    codes = [
        "async def f(x): return x",
        "def f(x): return x(x) if callable(x) else x(open)",
        "def f(x): return x(b'x' * (2 << 20)) if callable(x) else bytearray(2 << 20)",
        "def f(x): return {f: f}",
        "def f(x): return f",
    ]
    for code in codes:
        outcome = await one(executor, code, units("unittest", tests))
        assert outcome.verdict in (Verdict.WRONG_ANSWER, Verdict.ERROR), (code, outcome)
        assert outcome.fraction < 1


async def test_what_a_test_finds_wrong_in_a_function_of_its_own_is_not_the_programs_to_hide(executor: Executor) -> None:
    tests = (
        "import unittest, solution\nclass T(unittest.TestCase):\n    def test_it(self):\n"
        "        solution.f(lambda x: self.assertEqual(x, 'planted-answer'))"
    )
    code = (
        "import sys\ndef f(check):\n    try: check('x')\n"
        "    except BaseException as error: check(str(error).partition(' != ')[2].strip(\"'\") or 'y')\n"
    )
    outcome = await one(executor, code, units("unittest", tests))
    assert (outcome.verdict, outcome.fraction) == (Verdict.WRONG_ANSWER, 0)
    swallow = "def f(check):\n    try: check('x')\n    except BaseException: pass"
    assert (await one(executor, swallow, units("unittest", tests))).fraction == 0
    assert (await one(executor, "def f(check): check('planted-answer')", units("unittest", tests))).is_passed


@pytest.mark.parametrize(
    "lie",
    [
        {"hello": True, "failed": "x"},
        {"hello": True, "failed": {"types": {}, "message": 1}},
        {"answer": 1, "value": {"$array": {"dtype": "<U999999", "shape": [9], "values": ["x"] * 9}}},
        {"answer": 1, "value": {"$array": {"dtype": "int64", "shape": [9], "values": [1]}}},
        {"answer": 1, "value": {"$named": ["a b", ["c"], [1]]}},
        {"answer": 1, "value": {"$set": [[1]]}},
        {"answer": 1, "value": {"$handle": [0, 5, "x", []]}},
        {"answer": 1, "after": 7, "value": 1},
        {"answer": 1, "raised": "x"},
        {
            "answer": 1,
            "raised": {"handle": {"$handle": [0, [], "x\0", []]}, "parents": [["x\0", 1], ["Exception", None]]},
        },
        {"question": 1, "callback": "x"},
        [1],
        7,
    ],
    ids=str,
)
async def test_whatever_a_program_sends_is_its_own_failure(executor: Executor, lie: Any) -> None:
    code = (
        "import gc, json, os, sys\ndef lie(*_):\n    for each in gc.get_objects():\n"
        "        if type(each).__name__ == 'Server':\n            each.send(json.loads(LIE))\n            os._exit(0)\n"
        f"LIE = {json.dumps(json.dumps(lie))}\n"
    )
    code += "lie()" if isinstance(lie, dict) and "hello" in lie else "f = lie"
    tests = "import unittest, solution\nclass T(unittest.TestCase):\n    def test_it(self): solution.f(1)"
    outcome = await one(executor, code, units("unittest", tests))
    assert (outcome.verdict in (Verdict.WRONG_ANSWER, Verdict.ERROR), outcome.fraction) == (True, 0), outcome


async def test_tests_that_a_program_keeps_from_loading_are_failed(executor: Executor) -> None:
    tests = (
        "import unittest, solution\nN = solution.numbers()[3]\nclass T(unittest.TestCase):\n    def test_it(self): pass"
    )
    outcome = await one(executor, "def numbers(): return []", units("unittest", tests))
    assert (outcome.verdict, outcome.fraction) == (Verdict.ERROR, 0)
    assert "IndexError" in outcome.detail


async def test_files_of_the_tests_are_not_in_the_programs_sandbox(executor: Executor) -> None:
    tests = (
        "import os, unittest, solution\n"
        "class T(unittest.TestCase):\n"
        "    def test_files(self):\n"
        "        self.assertEqual(solution.seen(), ['data.txt', 'own.py', 'solution.py'])\n"
        "        self.assertIn('test_it.py', os.listdir('.'))\n"
        "        with open('data.txt') as file: self.assertEqual(file.read(), 'x')\n"
    )
    code = "import os\ndef seen(): return sorted(name for name in os.listdir('.') if name[0] not in '_m')"
    made = suite(units("unittest", tests), files=[{"path": "data.txt", "content": "x"}])
    submission = Submission(code, (File("own.py", b"y = 1"),), policy=False)
    (outcome,) = (await Grader(executor).grade(submission, made)).outcomes
    assert outcome.is_passed, [case.message for case in outcome.cases]


async def test_the_time_of_the_tests_is_not_the_programs(executor: Executor) -> None:
    tests = (
        "import time, unittest, solution\nclass T(unittest.TestCase):\n    def test_it(self):\n"
        "        solution.f(1)\n        time.sleep(2.5)\n        self.assertEqual(solution.f(2), 2)"
    )
    outcome = await one(executor, "def f(x): return x", units("unittest", tests, timeout=1))
    assert outcome.is_passed, outcome.cases
    assert outcome.time < 1000


async def test_a_program_that_reads_what_it_is_asked_and_says_nothing_is_not_waited_for(executor: Executor) -> None:
    code = (
        "import gc\ndef f(x):\n    for each in gc.get_objects():\n"
        "        if type(each).__name__ == 'Server':\n            while True: each.receive()"
    )
    tests = "import unittest, solution\nclass T(unittest.TestCase):\n    def test_it(self): solution.f(1)"
    began = time.monotonic()
    outcome = await one(executor, code, units("unittest", tests, timeout=25))
    assert (outcome.verdict, outcome.fraction) == (Verdict.WRONG_ANSWER, 0)
    assert time.monotonic() - began < 20


async def test_several_grades_at_once_each_have_their_own(executor: Executor) -> None:
    codes = [f"def double(x): return 2 * x if x < {most} else 0\nmissing = double" for most in (0, 3, 9, 9, 3, 0)]
    tests = FAILING.replace("        missing()", "        missing(1)")
    grades = await asyncio.gather(*(graded(executor, code, units("unittest", tests)) for code in codes))
    assert not any(outcome.verdict in OURS for grade in grades for outcome in grade.outcomes)
    found = [round(grade.outcomes[0].fraction * 6) for grade in grades]
    assert found == [2, 5, 6, 6, 5, 2]
