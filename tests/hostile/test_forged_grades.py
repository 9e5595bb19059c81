"""Forging a grade: no program gets a point that it has not earned; each twin wins where tests and program are one.

The programs are data (`forged_grades.toml`). Each is graded by functions and by output. The twin is what most graders
are: a test case in the process of the program, believed by its exit status, or by the report that it prints.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from code_executor import Executor
from code_executor.core.models import Execution, File
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import OURS, GradeVerdict, Submission
from code_executor.grading.suite import Suite
from tests.unit.grading.made import call, io, suite, units

pytestmark = pytest.mark.anyio

TWIN = """
import sys, unittest
import solution

class Tests(unittest.TestCase):
    def test_1(self):
        self.assertEqual(solution.f(3), 7919)

    def test_2(self):
        self.assertEqual(solution.f(4), 104729)

    def test_3(self):
        self.assertEqual(solution.f([3, 1]), [1, 3, 7919])

tests = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
result = unittest.TextTestRunner(stream=sys.stderr).run(tests)
print(f"passed {result.testsRun - len(result.failures) - len(result.errors)}/{result.testsRun}")
sys.exit(not result.wasSuccessful())
"""

BY_CALLS = suite(
    call(args=[3], expected=7919),
    call(args=[4], expected=104729),
    call(args=[[3, 1]], expected=[1, 3, 7919]),
    call(args=[5], raises={"type": "ZeroDivisionError"}),
    timeout=5,
)
BY_OUTPUT = suite(
    io("7919", stdin="3\n"),
    io("104729", stdin="4\n", checker={"type": "tokens"}),
    io("7919.0", stdin="3\n", checker={"type": "float"}),
    io('{"f": 7919}', stdin="3\n", checker={"type": "json"}),
    timeout=5,
)
UNITS = """
import unittest
import solution

class Tests(unittest.TestCase):
    def test_1(self):
        self.assertEqual(solution.f(3), 7919)

    def test_2(self):
        self.assertAlmostEqual(solution.f(4), 104729)

    def test_3(self):
        self.assertIn(7919, solution.f([3, 1]))

    def test_4(self):
        with self.assertRaises(ZeroDivisionError):
            solution.f(5)

    def test_5(self):
        self.assertListEqual(list(solution.f([3, 1])), [1, 3, 7919])

    def test_6(self):
        self.assertTrue(7918 < solution.f(3) < 7920)
"""
PYTESTS = """
import math
import pytest
from solution import f

def test_1():
    assert f(3) == 7919

def test_2():
    assert f(4) == pytest.approx(104729)

def test_3():
    assert 7919 in f([3, 1])

def test_4():
    with pytest.raises(ZeroDivisionError):
        f(5)

def test_5():
    assert math.isclose(f(3), 7919)

def test_6():
    assert f(3) in (7919, 7919.0)
"""
BY_UNITTEST = suite(units("unittest", UNITS), timeout=5)
BY_PYTEST = suite(units("pytest", PYTESTS), timeout=5)
RIGHT = """
def f(x):
    if x == 5:
        raise ZeroDivisionError
    return sorted(x) + [7919] if isinstance(x, list) else {3: 7919, 4: 104729}[x]
"""


@dataclass(frozen=True)
class Program:
    name: str
    code: str
    twin: str = ""
    files: dict[str, str] = field(default_factory=dict)

    @property
    def given(self) -> tuple[File, ...]:
        return tuple(File(path, text.encode()) for path, text in self.files.items())

    def __str__(self) -> str:
        return self.name


PROGRAMS = [
    Program(**table) for table in tomllib.loads(Path(__file__).with_name("forged_grades.toml").read_text())["program"]
]


def test_there_are_enough_of_them() -> None:
    assert len(PROGRAMS) >= 30
    assert sum(bool(program.twin) for program in PROGRAMS) >= 20
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
@pytest.mark.parametrize(
    "made", [BY_CALLS, BY_OUTPUT, BY_UNITTEST, BY_PYTEST], ids=["calls", "output", "unittest", "pytest"]
)
async def test_gets_no_points(executor: Executor, program: Program, made: Suite) -> None:
    grade = await Grader(executor).grade(Submission(program.code, program.given), made)
    assert (grade.verdict, grade.score) == (GradeVerdict.FAILED, 0)
    assert not any(outcome.is_passed or outcome.verdict in OURS for outcome in grade.outcomes)


@pytest.mark.parametrize("program", [each for each in PROGRAMS if each.twin], ids=str)
async def test_wins_where_tests_and_program_are_one(executor: Executor, program: Program) -> None:
    files = (*program.given, File("solution.py", program.code.encode()))
    result = await executor.run(Execution(TWIN, files=files, timeout=10))
    if program.twin == "exit":
        assert result.exit_code == 0, result.error
    else:
        assert result.output.splitlines()[-1:] == ["passed 3/3"], result.error


async def test_a_program_that_is_right_gets_all_of_them(executor: Executor) -> None:
    for made in (BY_CALLS, BY_UNITTEST, BY_PYTEST):
        grade = await Grader(executor).grade(Submission(RIGHT), made)
        assert grade.verdict is GradeVerdict.PASSED, grade
    result = await executor.run(Execution(TWIN, files=(File("solution.py", RIGHT.encode()),)))
    assert (result.exit_code, result.output) == (0, "passed 3/3\n")


async def test_nothing_that_is_expected_enters_a_sandbox(executor: Executor) -> None:
    """What a test of each kind has in memory, on disk, and in its arguments: the planted answers are not among it."""
    code = """
import gc, os, sys
def f(x):
    texts = [repr(sys.argv), repr(dict(os.environ)), sys.stdin.read()]
    for name in filter(os.path.isfile, os.listdir(".")):
        with open(name, errors="replace") as file:
            texts.append(file.read())
    for each in gc.get_objects():
        try: texts.append(repr(each))
        except BaseException: pass
    frame = sys._getframe()
    while frame:
        texts.append(repr(frame.f_locals) + repr(frame.f_code.co_consts))
        frame = frame.f_back
    words = ["plan" + "ted-" + word for word in ("answer", "name", "group")]
    return [word for word in words if word in "".join(texts)]
if __name__ == "__main__":
    print(f(1))
"""
    hidden = {"name": "planted-name", "group": "planted-group"}
    made = suite(
        call(args=[1], expected=["planted-answer"], stdout="planted-answer", **hidden),
        io("planted-answer", **hidden),
        io("planted-answer", checker={"type": "program", "code": "def check(*texts): return True  # planted-name"}),
        {"kind": "interactive", "input": "planted-answer", "interactor": LISTENING, **hidden},
        units("unittest", ASKING, **hidden),
    )
    grade = await Grader(executor).grade(Submission(code), made)
    assert grade.outcomes[0].got == "[]"
    assert [outcome.stdout for outcome in grade.outcomes[1:4]] == ["[]\n"] * 3
    assert all(outcome.is_passed for outcome in grade.outcomes[2:]), grade.outcomes[4].cases


LISTENING = "def interact(input): return True, 'planted-group'"
ASKING = """
import unittest, solution

class PlantedTests(unittest.TestCase):
    planted = "planted-answer"

    def test_it(self):
        self.assertEqual(solution.f(1), [], "planted-name")
"""
