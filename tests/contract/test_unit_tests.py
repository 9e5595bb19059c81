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
from tests.contract.programs_of_unit_tests import PROGRAM, PYTESTS, TESTS
from tests.unit.grading.made import suite, units

pytestmark = pytest.mark.anyio


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
        ("while True: pass", "processor time"),
    ],
)
@pytest.mark.parametrize("framework", ["unittest", "pytest"])
async def test_tests_that_fail_by_themselves_are_nobodys_fault(
    small: Executor, framework: str, tests: str, why: str
) -> None:
    grade = await graded(small, "x = 1", units(framework, tests))
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
    failing = "import pytest, solution\ndef test_it(): solution.f(lambda x: pytest.fail('planted-answer'))"
    told = 'import sys\ndef f(check):\n    try: check("x")\n    except BaseException as e: print(e, file=sys.stderr)'
    outcome = await one(executor, told, units("pytest", failing))
    assert (outcome.fraction, "planted" in outcome.stderr) == (0, False)


@pytest.mark.parametrize("framework", ["unittest", "pytest"])
async def test_no_way_to_compare_gives_the_program_what_is_expected(executor: Executor, framework: str) -> None:
    """Its object writes down whatever it is asked with."""
    operators = (
        "sub truediv floordiv mod xor and or add mul pow lt le gt ge eq ne contains divmod round format index float"
    )
    code = (
        "import sys\nclass Spy:\n    def __hash__(self): return 0\n    def __iter__(self): return iter(())\n"
        "def note(name):\n    def asked(self, *args):\n        print('asked', name, args, file=sys.stderr)\n"
        "        return 0.0\n    return asked\n"
        f"for each in {operators.split()!r}:\n    for sign in ('', 'r'):\n"
        "        setattr(Spy, f'__{sign}{each}__', note(sign + each))\n"
        "def f(x): return Spy()\n"
    )
    expected = 7919.125
    tests = f"""
import math, unittest
import pytest
import solution

class T(unittest.TestCase):
    def test_1(self): self.assertAlmostEqual(solution.f(1), {expected})
    def test_2(self): self.assertAlmostEqual({expected}, solution.f(1), delta=0.5)
    def test_3(self): self.assertEqual(solution.f(1), {expected})
    def test_4(self): self.assertIn(solution.f(1), [{expected}])
    def test_5(self): self.assertIn({expected}, solution.f(1))
    def test_6(self): self.assertLess(solution.f(1), {expected})
    def test_7(self): self.assertGreaterEqual({expected}, solution.f(1))
    def test_8(self): self.assertTrue(math.isclose(solution.f(1), {expected}))
    def test_9(self): self.assertEqual({{"a": [{expected}]}}, {{"a": [solution.f(1)]}})
    def test_10(self): self.assertEqual(solution.f(1), pytest.approx({expected}))
    def test_11(self): self.assertEqual(pytest.approx({expected}), solution.f(1))
    def test_12(self): self.assertCountEqual(solution.f(1), [{expected}])
    def test_13(self): self.assertSetEqual({{{expected}}}, solution.f(1))
    def test_14(self): self.assertNotIn({expected}, {{{expected}: 1}} if solution.f(1) == {expected} else [{expected}])
"""
    outcome = await one(executor, code, units(framework, tests))
    assert (len(outcome.cases), outcome.fraction) == (14, 0), outcome
    assert str(expected) not in outcome.stderr


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
        "        solution.f(1)\n        time.sleep(4)\n        self.assertEqual(solution.f(2), 2)"
    )
    outcome = await one(executor, "def f(x): return x", units("unittest", tests, timeout=2))
    assert outcome.is_passed, outcome.cases
    assert outcome.time < 2000


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
