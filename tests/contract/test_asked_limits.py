"""What a run asks to be held to holds, and without being asked for it does not: every limit, and its twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from code_executor import Execution, Executor, Reason, RunLimits
from code_executor.core.limits import LEAST_DISK, LEAST_MEMORY, LimitError
from code_executor.core.models import Status
from code_executor.sandbox import hardening
from tests.conftest import RUNTIME

pytestmark = pytest.mark.anyio

MB = 1 << 20


@dataclass(frozen=True)
class Case:
    reason: Reason
    code: str
    limits: RunLimits
    says: str
    needs_groups: bool = False


CASES = {
    "memory, seen by Python": Case(
        Reason.MEMORY_LIMIT,
        "x = bytearray(80 << 20)",
        RunLimits(memory=64 * MB),
        "MemoryError\nYour program used more than the 64 MB of memory it may use.",
    ),
    "memory that is shared": Case(
        Reason.MEMORY_LIMIT,
        "import mmap\nm = mmap.mmap(-1, 90 << 20)\nfor _ in range(90): m.write(bytes(1 << 20))",
        RunLimits(memory=64 * MB),
        "Your program used more than the 64 MB of memory it may use.",
    ),
    "memory of many processes": Case(
        Reason.MEMORY_LIMIT,
        "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        x = bytearray(30 << 20)\n"
        "        time.sleep(1)\n        os._exit(0)\ntime.sleep(2)",
        RunLimits(memory=64 * MB),
        "Your program used more than the 64 MB of memory it may use.",
        needs_groups=True,
    ),
    "memory of files": Case(
        Reason.MEMORY_LIMIT,
        "import time\nfor n in range(7):\n    open(f'/tmp/{n}', 'wb').write(bytes(2 << 20))\n"
        "for n in range(14):\n    open(f'{n}', 'wb').write(bytes(2 << 20))\nx = bytearray(25 << 20)\ntime.sleep(1)",
        RunLimits(memory=56 * MB),
        "Your program used more than the 56 MB of memory it may use.",
        needs_groups=True,
    ),
    "one file": Case(
        Reason.DISK_LIMIT,
        "open('f', 'wb', buffering=0).write(bytes(3 << 20)) == 3 << 20 or open('f', 'ab').write(bytes(3 << 20))",
        RunLimits(disk=2 * MB),
        "Your program filled the 2 MB of disk that it may use.",
    ),
    "many files": Case(
        Reason.DISK_LIMIT,
        "for n in range(30): open(f'/tmp/{n}', 'wb').write(bytes(100_000))",
        RunLimits(disk=2 * MB),
        "Your program filled the 2 MB of disk that it may use.",
    ),
    "processes": Case(
        Reason.PROCESS_LIMIT,
        "import os, time\nfor _ in range(12):\n    if os.fork() == 0: time.sleep(20)",
        RunLimits(processes=1),
        "Your program started more than the 10 processes and threads it may have at once.",
    ),
    "threads": Case(
        Reason.PROCESS_LIMIT,
        "import threading as t, time\nfor _ in range(12): t.Thread(target=time.sleep, args=(1,), daemon=True).start()",
        RunLimits(processes=1),
        "Your program started more than the 10 processes and threads it may have at once.",
    ),
    "processor time": Case(
        Reason.CPU_TIME,
        "import time\nwhile time.process_time() < 1.2: pass",
        RunLimits(cpu_time=0.4),
        "Your program used more than the 0.4 seconds of processor time it may use.",
    ),
    "time": Case(
        Reason.WALL_TIME,
        "import time\ntime.sleep(1)",
        RunLimits(wall_time=0.3),
        "Execution exceeded 0.3 second timeout",
    ),
    "output": Case(
        Reason.OUTPUT_LIMIT,
        "print('x' * 3000)",
        RunLimits(output=2048),
        "Your program wrote more than the 2 KB it may write; only the beginning is kept.",
    ),
}

GVISOR = hardening.is_gvisor(RUNTIME)


@pytest.mark.parametrize("name", CASES)
async def test_a_run_is_held_to_what_it_asks_for(executor: Executor, name: str) -> None:
    if GVISOR and name in ("processes", "threads"):
        pytest.skip("gVisor does not count RLIMIT_NPROC")
    case = CASES[name]
    if case.needs_groups and not executor.pool.introduction["cgroup"]["memory"]:
        pytest.skip("no control group counts what processes have together")
    result = await executor.run(Execution(case.code, limits=case.limits, policy=False, timeout=None))
    assert result.reason is case.reason, result.error
    assert result.error.endswith(case.says)
    assert result.limits == replace(
        RunLimits.of(executor.limits), **{k: v for k, v in _given(case.limits).items() if v is not None}
    )
    assert (await executor.run("print('well')")).output == "well\n"


@pytest.mark.parametrize("name", CASES)
async def test_a_run_that_does_not_ask_is_not_held(executor: Executor, name: str) -> None:
    result = await executor.run(Execution(CASES[name].code, policy=False))
    assert (result.status, result.limits) == (Status.SUCCESS, None), result.error


def _given(limits: RunLimits) -> dict[str, Any]:
    return {name: getattr(limits, name) for name in RunLimits.__dataclass_fields__}


async def test_the_least_limits_are_enough_for_a_small_program(executor: Executor) -> None:
    least = RunLimits(memory=LEAST_MEMORY, disk=LEAST_DISK, processes=1, output=100, cpu_time=1, wall_time=10)
    code = (
        "import json, random, collections\nprint(sum(range(1000)), json.dumps([1]))\nopen('f', 'w').write('x' * 9999)"
    )
    result = await executor.run(Execution(code, limits=least, policy=False))
    assert (result.reason, result.output) == (Reason.COMPLETED, "499500 [1]\n"), result.error
    assert result.limits == least


async def test_threads_have_room_for_their_stacks_within_less_memory(executor: Executor) -> None:
    code = (
        "import threading\ndone = []\nthreads = [threading.Thread(target=done.append, args=(n,)) for n in range(6)]\n"
        "for each in threads: each.start()\nfor each in threads: each.join()\nprint(len(done))\nbytearray(80 << 20)"
    )
    result = await executor.run(Execution(code, limits=RunLimits(memory=64 * MB), policy=False))
    assert (result.output, result.reason) == ("6\n", Reason.MEMORY_LIMIT)


async def test_a_limit_does_not_outlive_its_run(executor: Executor) -> None:
    for _ in range(3):
        held = await executor.run(Execution("x = bytearray(80 << 20)", limits=RunLimits(memory=64 * MB)))
        assert held.reason is Reason.MEMORY_LIMIT
        assert (await executor.run("x = bytearray(200 << 20)\nprint(1)")).output == "1\n"


async def test_a_limit_above_that_of_the_service_is_refused(executor: Executor) -> None:
    above = RunLimits(memory=executor.limits.memory + 1)
    with pytest.raises(LimitError, match=f"may be at most {executor.limits.memory} bytes here"):
        await executor.run("1", limits=above)
