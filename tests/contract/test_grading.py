"""Grading in real sandboxes: what each kind of test says of programs that are right, wrong, slow, or broken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.errors import PoolBusyError, SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, File, Input, Reason, Result, Started
from code_executor.grading.grader import Grader, SubmissionError
from code_executor.grading.outcomes import Grade, GradeVerdict, Outcome, Submission, Verdict
from code_executor.grading.suite import Suite
from tests.unit.grading.made import call, io, suite

pytestmark = pytest.mark.anyio


async def verdicts(executor: Executor, code: str, made: Suite, **more: Any) -> list[str]:
    grade = await Grader(executor).grade(Submission(code, **more), made)
    return [outcome.verdict.value for outcome in grade.outcomes]


async def one(executor: Executor, code: str, test: dict[str, Any], **more: Any) -> Outcome:
    grade = await Grader(executor).grade(Submission(code), suite(test, **more))
    return grade.outcomes[0]


DOUBLE = "import sys\nprint(2 * int(input()), *sys.argv[1:])"


async def test_programs_that_read_and_print(executor: Executor) -> None:
    made = suite(
        io("42\n", stdin="21\n"),
        io("2 a b", stdin="1", args=["a", "b"]),
        io("3", stdin="1"),
        io("anything", stdin="one"),
    )
    grade = await Grader(executor).grade(Submission(DOUBLE), made)
    assert [outcome.verdict.value for outcome in grade.outcomes] == ["passed", "passed", "wrong_answer", "error"]
    assert (grade.verdict, grade.score, grade.max) == (GradeVerdict.PARTIAL, 2, 4)
    wrong, broken = grade.outcomes[2:]
    assert (wrong.reason, wrong.difference and wrong.difference.expected) == (Reason.COMPLETED, "3")
    assert (broken.reason, broken.line) == (Reason.EXCEPTION, 2)
    assert broken.message.startswith("ValueError")
    assert grade.usage.runs == 5  # and the check


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("while True: pass", "timeout"),
        ("import time; time.sleep(60)", "timeout"),
        ("x = bytearray(2 << 30)", "memory_limit"),
        ("while True: print('x' * 1000)", "output_limit"),
        ("print('x'); raise SystemExit(3)", "error"),
        ("print('x'); 1 / 0", "error"),
        ("print('x'); import os; os.kill(os.getpid(), 9)", "error"),
        ("print('x'", "error"),
        ("print('x'); import os; os._exit(1)", "error"),
    ],
)
async def test_the_reason_comes_first(executor: Executor, code: str, verdict: str) -> None:
    """All of them have printed what is right, or would have."""
    assert (await one(executor, code, io("x", timeout=2))).verdict.value == verdict


@pytest.mark.parametrize(
    ("code", "wanted", "verdict"),
    [
        ("print('x'); raise SystemExit(3)", 3, "passed"),
        ("print('x'); raise SystemExit(4)", 3, "error"),
        ("print('x')", 3, "error"),
        ("print('y'); raise SystemExit(3)", 3, "wrong_answer"),
        ("print('x')", 0, "passed"),
        ("print('x'); 1 / 0", 1, "passed"),
        ("print('x'); import os; os.kill(os.getpid(), 9)", 137, "error"),
        ("import time; time.sleep(9)", 1, "timeout"),
    ],
)
async def test_a_test_can_want_an_exit_code(executor: Executor, code: str, wanted: int, verdict: str) -> None:
    assert (await one(executor, code, io("x", exitCode=wanted, timeout=2))).verdict.value == verdict


FIB = "def fib(n):\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n"


async def test_functions(executor: Executor) -> None:
    code = FIB + (
        "def swap(pair, *, twice=False):\n    return pair if twice else (pair[1], pair[0])\n"
        "def sort(items):\n    print('sorting', len(items))\n    items.sort()\n"
        "def refuse(n):\n    raise KeyError(f'no {n}')\n"
        "class Stack:\n    def __init__(self):\n        self.items = []\n"
        "    def push(self, x):\n        self.items.append(x)\n        return self\n"
    )
    made = suite(
        call("fib", args=[10], expected=55),
        call("fib", args=[10], expected=55.0),
        call("swap", args=[{"$tuple": [1, "a"]}], expected={"$tuple": ["a", 1]}),
        call("swap", args=[[1, 2]], kwargs={"twice": True}, expected=[1, 2]),
        call("sort", args=[[3, 1, 2]], expected=None, arguments=[[1, 2, 3]], stdout="sorting 3\n"),
        call("sort", args=[[3, 1, 2]], expected=None, arguments=[[3, 2, 1]]),
        call("sort", args=[[3, 1, 2]], expected=None, stdout="sorting 4\n"),
        call("refuse", args=[7], raises={"type": "LookupError", "message": "'no 7'"}),
        call("refuse", args=[7], raises={"type": "ValueError"}),
        call("refuse", args=[7], expected=1),
        call("fib", args=[1], raises={"type": "ValueError"}),
        call("stack.push", args=[1], setup="stack = Stack()", expected=None),
        call("missing", expected=1),
        call("fib", args=["x"], expected=1),
    )
    assert await verdicts(executor, code, made) == [
        "passed",
        "wrong_answer",
        "passed",
        "passed",
        "passed",
        "wrong_answer",
        "wrong_answer",
        "passed",
        "wrong_answer",
        "error",
        "wrong_answer",
        "wrong_answer",
        "error",
        "error",
    ]


async def test_what_is_wrong_with_a_call_is_told(executor: Executor) -> None:
    outcome = await one(executor, "def f(x):\n    return [x, x + 1]\n", call(args=[1], expected=[1, 3]))
    assert (outcome.verdict, outcome.got) == (Verdict.WRONG_ANSWER, "[1, 2]")
    assert outcome.message == "the value[1] is not right"
    outcome = await one(executor, "def f():\n\n    return 1 / 0\n", call(expected=1))
    assert (outcome.verdict, outcome.line, outcome.message) == (Verdict.ERROR, 3, "ZeroDivisionError: division by zero")
    assert 'solution.py", line 3' in outcome.stderr
    assert "main.py" not in outcome.stderr
    outcome = await one(executor, "x = 1\n\nx.y\n", call(expected=1))
    assert (outcome.verdict, outcome.line) == (Verdict.ERROR, 3)
    outcome = await one(executor, "def f():\n    import os\n    os._exit(0)\n", call(expected=None))
    assert (outcome.verdict, outcome.message) == (
        Verdict.NO_ANSWER,
        "the program ended before the function returned",
    )
    outcome = await one(executor, "def f():\n    return list(range(10**6))\n", call(expected=None))
    assert outcome.verdict is Verdict.NO_ANSWER
    outcome = await one(executor, "def f():\n    while True: pass\n", call(expected=None, timeout=1))
    assert outcome.verdict is Verdict.TIMEOUT


async def test_a_call_finds_the_program_as_a_module_with_its_files(executor: Executor) -> None:
    code = "# coding: latin-1\nimport helper\ndef f():\n    return helper.x, open('data.txt').read(), __name__\n"
    made = suite(
        call(expected={"$tuple": [7, "suite", "answer"]}),
        call(expected={"$tuple": [7, "test", "answer"]}, files=[{"path": "data.txt", "content": "test"}]),
        module="answer",
        files=[{"path": "data.txt", "content": "suite"}],
    )
    files = (File("helper.py", b"x = 7"), File("data.txt", b"learner"))
    found = await verdicts(executor, code.replace("latin-1", "utf-8"), made, files=files)
    assert found == ["passed", "passed"]
    assert await verdicts(executor, code, made, files=files) == ["error", "error"]


FORGETFUL = """
import os
n = 0
def f():
    global n
    n += 1
    open("left", "a").write("x")
    return n, open("left").read()
"""


async def test_each_test_has_a_fresh_child(executor: Executor) -> None:
    first = call(expected={"$tuple": [1, "x"]})
    assert await verdicts(executor, FORGETFUL, suite(first, first, first)) == ["passed"] * 3


async def test_a_program_that_does_not_compile_is_not_run(executor: Executor) -> None:
    grade = await Grader(executor).grade(Submission("def f(:\n"), suite(io("x"), call(expected=1)))
    assert (grade.verdict, grade.score) == (GradeVerdict.FAILED, 0)
    assert [outcome.reason for outcome in grade.outcomes] == [Reason.SYNTAX] * 2
    assert grade.problems[0].line == 1
    assert grade.usage.runs == 1


async def test_tests_come_in_order_and_stop(executor: Executor) -> None:
    made = suite(
        io("1", group="a"),
        io("x", group="b"),
        io("1", group="b"),
        io("1"),
        groups=[{"id": "a", "dependsOn": ["b"]}, {"id": "b"}],
        stopOnFailure="group",
    )
    events = [event async for event in Grader(executor).events(Submission("print(1)"), made)]
    told = [(event.test.id, event.verdict.value) for event in events if isinstance(event, Outcome)]
    assert told == [("2", "wrong_answer"), ("3", "skipped"), ("4", "passed"), ("1", "skipped")]
    assert isinstance(events[-1], Grade)
    assert [outcome.test.id for outcome in events[-1].outcomes] == ["1", "2", "3", "4"]


async def test_files_that_do_not_go_with_the_suite_are_refused(executor: Executor) -> None:
    made = suite(io("x"), files=[{"path": "a/b", "content": ""}])
    with pytest.raises(SubmissionError):
        await Grader(executor).grade(Submission("", files=(File("a", b""),)), made)
    with pytest.raises(SubmissionError):
        await Grader(executor).grade(Submission("", files=(File("a", bytes(9 << 20)),)), suite(io("x")))


@pytest.fixture(scope="session")
async def strict(engine: str) -> AsyncIterator[Executor]:
    async with Executor.open(engine=engine, pool_size=1, pool_min=1, preload=()) as opened:
        yield opened


async def test_the_policy_holds_for_the_learner_alone(strict: Executor) -> None:
    """It refuses `open` in what the learner sends, and neither in the harness nor in what the suite brings."""
    grade = await Grader(strict).grade(Submission("def f():\n    return open('x')\n"), suite(call(expected=1)))
    assert [outcome.reason for outcome in grade.outcomes] == [Reason.POLICY]
    assert grade.problems[0].line == 2
    helper = {"path": "helper.py", "content": "def read():\n    with open('x') as file:\n        return file.read()\n"}
    made = suite(
        call(expected="given"),
        io("", files=[{"path": "y", "content": ""}]),
        files=[helper, {"path": "x", "content": "given"}],
    )
    code = "import helper\ndef f():\n    return helper.read()\n"
    assert await verdicts(strict, code, made) == ["passed", "passed"]
    smuggled = (File("other.py", b"import os\n"),)
    assert await verdicts(strict, code, made, files=smuggled) == ["error", "error"]
    replaced = (File("helper.py", b"import os\n"),)
    assert await verdicts(strict, code, made, files=replaced) == ["passed", "passed"]


class Failing:
    """A runner around a real one, some of whose runs come to what a broken sandbox makes of them."""

    def __init__(self, inner: Executor, failures: list[object], limits: Limits | None = None) -> None:
        self._inner = inner
        self._failures = failures
        self._limits = limits or inner.limits

    @property
    def limits(self) -> Limits:
        return self._limits

    async def stream(
        self, execution: Execution, inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        failure = self._failures.pop(0) if self._failures else None
        if isinstance(failure, Exception):
            raise failure
        if isinstance(failure, Reason):
            yield Started(execution.id, 0.0)
            yield Result(execution.id, failure, output="x")
            return
        async for event in self._inner.stream(execution, inputs):
            yield event


BROKEN = SandboxError("it broke")


@pytest.mark.parametrize(
    ("failures", "verdict"),
    [
        ([None, BROKEN], GradeVerdict.PASSED),
        ([None, Reason.INTERNAL], GradeVerdict.PASSED),
        ([Reason.INTERNAL, None], GradeVerdict.PASSED),
        ([None, BROKEN, Reason.INTERNAL], GradeVerdict.ERROR),
        ([None, Reason.CANCELLED, Reason.CANCELLED], GradeVerdict.ERROR),
        ([BROKEN, BROKEN], GradeVerdict.ERROR),
    ],
)
async def test_our_failure_is_tried_once_more_and_leaves_no_score(
    executor: Executor, failures: list[object], verdict: GradeVerdict
) -> None:
    grade = await Grader(Failing(executor, list(failures)), 1).grade(Submission("print('x')"), suite(io("x"), io("x")))
    assert grade.verdict is verdict
    assert grade.score == (2 if verdict is GradeVerdict.PASSED else None)


async def test_a_service_that_is_busy_gives_no_grade(executor: Executor) -> None:
    busy = Failing(executor, [None, None, PoolBusyError("busy", 3)])
    with pytest.raises(PoolBusyError):
        await Grader(busy).grade(Submission("print('x')"), suite(*[io("x")] * 5))


async def test_all_tests_together_have_a_time(executor: Executor) -> None:
    """They may take ten times as long as one may: here, half a second."""
    short = Failing(executor, [], replace(executor.limits, wall_time=0.05))
    code = "import time\ntime.sleep(0.4)\nprint('x')"
    grade = await Grader(short).grade(Submission(code), suite(*[io("x", timeout=2)] * 6))
    found = [outcome.verdict.value for outcome in grade.outcomes]
    assert (found[0], found[-1]) == ("passed", "timeout")
