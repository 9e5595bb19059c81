"""Checkers and interactors: code of a suite, in sandboxes of its own, that decides whether a program is right."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.caller import Caller
from code_executor.core.models import Execution
from code_executor.core.runner import run
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import Grade, GradeVerdict, Outcome, Submission, Verdict
from tests.unit.grading.made import io, suite

pytestmark = pytest.mark.anyio


async def graded(executor: Executor, code: str, *tests: dict[str, Any], **more: Any) -> Grade:
    return await Grader(executor).grade(Submission(code, policy=False, **more), suite(*tests))


async def one(executor: Executor, code: str, test: dict[str, Any], **more: Any) -> Outcome:
    (outcome,) = (await graded(executor, code, test, **more)).outcomes
    return outcome


# ---- checkers


def checked(code: str, **more: Any) -> dict[str, Any]:
    return io("7", stdin="3 4\n", checker={"type": "program", "code": code}, **more)


SUM = """
def check(input, output, answer):
    return sum(map(int, output.split())) == int(answer) and input == "3 4\\n"
"""
SCRIPT = """
import sys
texts = [open(name).read() for name in sys.argv[1:]]
if texts[1] == "{output}\\n" and texts[::2] == ["3 4\\n", "7"]:
    print({said!r}, file=sys.stderr)
    sys.exit({status})
sys.exit(1)
"""


@pytest.mark.parametrize(
    ("checker", "verdict", "fraction", "message"),
    [
        (SUM, "passed", 1.0, ""),
        ("def check(i, o, a): return False", "wrong_answer", 0.0, "the checker says that it is not right"),
        ("def check(i, o, a): return 0.25", "wrong_answer", 0.25, "the checker says that it is not right"),
        ("def check(i, o, a): return 0.5, 'half of it'", "wrong_answer", 0.5, "half of it"),
        ("def check(i, o, a): return True, 'well done'", "passed", 1.0, "well done"),
        ("def check(i, o, a): return 1", "passed", 1.0, ""),
        (SCRIPT.format(output="7", said="ok", status=0), "passed", 1.0, "ok"),
        (SCRIPT.format(output="7", said="no", status=1), "wrong_answer", 0.0, "no"),
        (SCRIPT.format(output="7", said="", status=2), "wrong_answer", 0.0, "presentation error"),
        (SCRIPT.format(output="7", said="points 0.75", status=7), "wrong_answer", 0.75, "points 0.75"),
        (SCRIPT.format(output="7", said="", status=8), "wrong_answer", 0.0, "the output ends too early"),
    ],
)
async def test_a_checker_decides(executor: Executor, checker: str, verdict: str, fraction: float, message: str) -> None:
    outcome = await one(executor, "print(sum(map(int, input().split())))", checked(checker))
    assert (outcome.verdict.value, outcome.fraction, outcome.message) == (verdict, fraction, message), outcome.detail


@pytest.mark.parametrize(
    ("checker", "why"),
    [
        ("def check(i, o, a): return None", "returned None"),
        ("def check(i, o, a): return 2", "returned 2"),
        ("def check(i, o, a): return float('nan')", "returned nan"),
        ("def check(i, o, a): return 'yes'", "returned 'yes'"),
        ("def check(i, o, a): return 1 / 0", "ZeroDivisionError"),
        ("def check(a): return True", "TypeError"),
        ("def chek(i, o, a): return True", "has no function check"),
        ("x = ", "SyntaxError"),
        ("import sys; sys.exit(3)", ""),
        ("import sys; sys.exit(99)", "exited with 99"),
        ("import sys; sys.exit(7)", "did not write how many"),
        ("import os\ndef check(i, o, a): os._exit(0)", ""),
        ("def check(i, o, a):\n    while True: pass", "processor time"),
        ("def check(i, o, a): return bytearray(4 << 30)", "MemoryError"),
    ],
)
async def test_a_checker_that_fails_is_nobodys_fault_and_passes_nothing(
    small: Executor, checker: str, why: str
) -> None:
    grade = await graded(small, "print(7)", checked(checker))
    (outcome,) = grade.outcomes
    assert (outcome.verdict, outcome.fraction) == (Verdict.CHECKER_ERROR, 0.0)
    assert (grade.verdict, grade.score) == (GradeVerdict.ERROR, None)
    assert outcome.message == "the checker failed"
    assert why in outcome.detail


@pytest.mark.parametrize(
    ("code", "verdict"),
    [("print(7); raise SystemExit(3)", "error"), ("while True: print(7)", "output_limit"), ("x = [", "error")],
)
async def test_the_reason_comes_before_the_checker(executor: Executor, code: str, verdict: str) -> None:
    outcome = await one(executor, code, checked("def check(i, o, a): return True"))
    assert (outcome.verdict.value, outcome.fraction) == (verdict, 0.0)


async def test_a_checker_has_the_files_of_the_suite(executor: Executor) -> None:
    code = "def check(i, o, a):\n    with open('words.txt') as file: return o.strip() in file.read().split()"
    files = [{"path": "words.txt", "content": "one two"}]
    assert (await one(executor, "print('two')", checked(code, files=files))).is_passed
    assert not (await one(executor, "print('six')", checked(code, files=files))).is_passed


async def test_output_that_is_run_by_a_careless_checker_does_not_outlive_it(executor: Executor) -> None:
    careless = "def check(i, o, a):\n    exec(o)\n    return False"
    attack = 'print(\'import sys, os, builtins; builtins.sum = None; open("/tmp/left", "w").write("x")\')'
    assert (await one(executor, attack, checked(careless))).verdict is Verdict.WRONG_ANSWER
    clean = "import os\ndef check(i, o, a): return sum([1]) == 1 and not os.path.exists('/tmp/left')"
    assert (await one(executor, "print(7)", checked(clean))).is_passed


# ---- interactors

GUESS = """
def interact(secret):
    for tries in range(8):
        guess = int(input())
        if guess == int(secret):
            print("right")
            return True, f"{tries + 1} guesses"
        print("less" if guess > int(secret) else "more")
    return 0.25, "more than eight guesses"
"""
HALVES = """
low, high = 1, 100
while True:
    middle = (low + high) // 2
    print(middle)
    said = input()
    if said == "right":
        break
    low, high = (low, middle - 1) if said == "less" else (middle + 1, high)
"""


def talking(interactor: str = GUESS, **more: Any) -> dict[str, Any]:
    return {"kind": "interactive", "interactor": interactor, "input": "42", **more}


async def test_two_programs_talk(executor: Executor) -> None:
    outcome = await one(executor, HALVES, talking())
    assert (outcome.verdict, outcome.fraction, outcome.message) == (Verdict.PASSED, 1.0, "7 guesses"), outcome.detail
    assert outcome.stdout.splitlines()[0] == "50"


@pytest.mark.parametrize(
    ("code", "verdict", "fraction"),
    [
        ("for n in range(1, 200):\n    print(n)\n    if input() == 'right': break", "wrong_answer", 0.25),
        ("print(1)", "wrong_answer", 0.0),
        ("pass", "wrong_answer", 0.0),
        ("print(1)\nraise ValueError", "wrong_answer", 0.0),
        ("print(42)\ninput()\nraise ValueError", "error", 0.0),
        ("print(42)\nwhile True: pass", "timeout", 0.0),
        ("while True: pass", "timeout", 0.0),
        ("import time; time.sleep(60)", "timeout", 0.0),
        ("input()", "timeout", 0.0),
        ("x = bytearray(2 << 30)", "memory_limit", 0.0),
    ],
)
async def test_a_program_that_does_not_talk_well(executor: Executor, code: str, verdict: str, fraction: float) -> None:
    outcome = await one(executor, code, talking(timeout=3))
    assert (outcome.verdict.value, outcome.fraction) == (verdict, fraction), (outcome.message, outcome.detail)


@pytest.mark.parametrize(
    ("interactor", "why"),
    [
        ("def interact(secret): return 1 / 0", "ZeroDivisionError"),
        ("def interact(secret): return None", "returned None"),
        ("def interact(secret): return int(input())", "ValueError"),
        ("import os; os._exit(0)", ""),
        ("while True: pass", "processor time"),
    ],
)
async def test_an_interactor_that_fails_is_nobodys_fault(small: Executor, interactor: str, why: str) -> None:
    grade = await graded(small, "print('x')", talking(interactor))
    (outcome,) = grade.outcomes
    assert (outcome.verdict, grade.score, outcome.message) == (Verdict.CHECKER_ERROR, None, "the interactor failed")
    assert why in outcome.detail


async def test_an_interactor_can_be_a_script(executor: Executor) -> None:
    script = "import sys\nprint(open(sys.argv[1]).read())\nsys.exit(0 if input() == '84' else 1)"
    assert (await one(executor, "print(2 * int(input()))", talking(script))).is_passed
    assert (await one(executor, "print(input())", talking(script))).verdict is Verdict.WRONG_ANSWER


async def test_much_is_said(executor: Executor) -> None:
    interactor = (
        "def interact(count):\n"
        "    for number in range(300):\n"
        "        print(number, 'x' * 500)\n"
        "        if input() != str(number): return False\n"
        "    return True\n"
    )
    outcome = await one(executor, "while True:\n    print(input().split()[0])", talking(interactor))
    assert outcome.verdict is Verdict.ERROR  # it does not expect the end
    code = "try:\n    while True:\n        print(input().split()[0])\nexcept EOFError:\n    pass"
    assert (await one(executor, code, talking(interactor))).is_passed


# ---- whose sandboxes they are

WHERE = "import os\nprint(os.uname().nodename, os.getuid())"


async def sandbox_of(executor: Executor, caller: str, *, trusted: bool) -> str:
    result = await run(executor, Execution(WHERE, policy=False, caller=Caller(caller), trusted=trusted))
    assert result.exit_code == 0, result.error
    return result.output


async def test_trusted_code_never_shares_a_sandbox_with_learners_or_other_keys(executor: Executor) -> None:
    pools = executor._inner.all_pools
    trusted = [pool for pool in pools if pool.name == "trusted"]
    assert len(trusted) == 1
    for caller in ("a", "a", "b", "a"):
        before = {sandbox.name: sandbox.owner for sandbox in trusted[0].book.idle}
        await sandbox_of(executor, caller, trusted=True)
        await asyncio.sleep(0.2)
        after = {sandbox.name: sandbox.owner for sandbox in trusted[0].book.idle}
        assert set(after.values()) == {caller}
        assert all(owner == caller for name, owner in before.items() if name in after)
    plain = {sandbox.name for pool in pools if pool.name != "trusted" for sandbox in pool.book.idle}
    assert not plain & {sandbox.name for sandbox in trusted[0].book.idle}
    assert all(sandbox.owner is None for pool in pools if pool.name != "trusted" for sandbox in pool.book.idle)
