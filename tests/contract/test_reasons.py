"""Every reason of a result: what makes it, what it keeps of the output, and the sentence that a learner reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from code_executor import Execution, Executor, Reason, Status
from code_executor.sandbox import hardening
from tests.conftest import RUNTIME, control_groups_hold


@dataclass(frozen=True)
class Case:
    """``code`` is run after it has printed "before"; ``error`` ends with ``says``."""

    reason: Reason
    code: str
    says: str = ""
    exit_code: int | None = None
    signal: str | None = None
    timeout: float = 10.0


OOM = "Your program used more than the 96 MB of memory it may use."
PROCESSES = "Your program started more than the 19 processes and threads it may have at once."
DISK = "Your program filled the 4 MB of disk that it may use."
_WHAT = "did something that" if RUNTIME.startswith("runsc") else "called ptrace, which"
VIOLATION = f"Your program was stopped because it {_WHAT} no program may do here."
CPU = "Your program used more than the 1 seconds of processor time it may use."
SEGFAULT = "Your program crashed: it touched memory that it may not touch (segmentation fault)."
KILLED = "Your program was ended by a signal (SIGKILL)."

HELPERS = """import os, time
for _ in range(3):
    if os.fork() == 0:
        x = b"x" * (50 << 20)
        time.sleep(20)
"""

CASES = {
    "completed": Case(Reason.COMPLETED, "", exit_code=0),
    "exception": Case(Reason.EXCEPTION, "1/0", "\nZeroDivisionError: division by zero", exit_code=1),
    "exit": Case(Reason.EXIT, "import sys; sys.exit(3)", exit_code=3),
    "exit with a text": Case(Reason.EXIT, "import sys; sys.exit('no good')", "no good", exit_code=1),
    "os._exit": Case(Reason.EXIT, "import os; os._exit(4)", exit_code=4),
    "segfault": Case(Reason.SIGNAL, "import ctypes; ctypes.string_at(0)", SEGFAULT, signal="SIGSEGV"),
    "kills itself": Case(Reason.SIGNAL, "import os; os.kill(os.getpid(), 9)", KILLED, signal="SIGKILL"),
    "memory, seen by Python": Case(Reason.MEMORY_LIMIT, "x = bytearray(1 << 30)", f"\nMemoryError\n{OOM}", exit_code=1),
    "memory, seen by the kernel": Case(
        Reason.MEMORY_LIMIT,
        "import mmap\nm = mmap.mmap(-1, 200 << 20)\nwhile True: m.write(b'x' * 4096)",
        OOM,
        signal="SIGKILL",
    ),
    "memory of a stack": Case(
        Reason.MEMORY_LIMIT,
        "import threading as t\nt.stack_size(64 << 30)\nt.Thread(target=int).start()",
        f"\nRuntimeError: can't start new thread\n{OOM}",
        exit_code=1,
    ),
    "memory of many processes": Case(
        Reason.MEMORY_LIMIT,
        f"{HELPERS}if os.wait()[1]: raise SystemExit('a helper died')",
        f"a helper died\n{OOM}",
        exit_code=1,
    ),
    "memory of many processes, for which it waits in vain": Case(
        Reason.MEMORY_LIMIT, f"{HELPERS}time.sleep(20)", OOM, signal="SIGKILL", timeout=3
    ),
    "output": Case(
        Reason.OUTPUT_LIMIT,
        "while True: print('x' * 99)",
        "Your program wrote more than the 10 KB it may write; only the beginning is kept.",
    ),
    "threads": Case(
        Reason.PROCESS_LIMIT,
        "import threading as t, time\nfor _ in range(19): t.Thread(target=time.sleep, args=(20,), daemon=True).start()",
        f"\nRuntimeError: can't start new thread\n{PROCESSES}",
        exit_code=1,
    ),
    "processes": Case(
        Reason.PROCESS_LIMIT,
        "import os, time\nfor _ in range(19):\n    if os.fork() == 0: time.sleep(20)",
        f"\nBlockingIOError: [Errno 11] Resource temporarily unavailable\n{PROCESSES}",
        exit_code=1,
    ),
    "bytes on disk": Case(
        Reason.DISK_LIMIT,
        "f = open('f', 'wb', buffering=0)\nwhile True: f.write(bytes(1 << 16))",
        f"\nOSError: [Errno 28] No space left on device\n{DISK}",
        exit_code=1,
    ),
    "files on disk": Case(
        Reason.DISK_LIMIT,
        "for n in range(99): open(f'/tmp/{n}', 'w').close()",
        DISK,
        exit_code=1,
    ),
    "violation": Case(
        Reason.VIOLATION, "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", VIOLATION, signal="SIGSYS"
    ),
    "wall time": Case(
        Reason.WALL_TIME, "import time; time.sleep(20)", "Execution exceeded 0.5 second timeout", timeout=0.5
    ),
    "wall time, of whoever ignores signals": Case(
        Reason.WALL_TIME,
        "import signal\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: signal.pause()",
        "Execution exceeded 1 second timeout",
        timeout=1,
    ),
    "cpu time": Case(Reason.CPU_TIME, "while True: pass", CPU, signal="SIGXCPU"),
    "cpu time, of whoever ignores the signal": Case(
        Reason.CPU_TIME,
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        CPU,
        signal="SIGKILL",
    ),
}

MEMORY_OF_GVISOR = "gVisor does not count RLIMIT_DATA, and with --ignore-cgroups nothing else limits memory"
PROCESSES_OF_GVISOR = (
    "gVisor does not count RLIMIT_NPROC, and the control group counts the threads that it makes of a program's; with "
    "--ignore-cgroups nothing limits them"
)
FILES_OF_GVISOR = "a tmpfs of gVisor has a limit of bytes, and none of inodes"
NOT_UNDER_GVISOR = {
    "threads": PROCESSES_OF_GVISOR,
    "processes": PROCESSES_OF_GVISOR,
    "files on disk": FILES_OF_GVISOR,
}
"""Cases that end differently there, and why (docs/threat-model.md)."""

GVISOR = hardening.is_gvisor(RUNTIME)


@pytest.mark.anyio
@pytest.mark.parametrize("name", CASES)
async def test_a_run_ends_with_its_reason_and_what_it_wrote(small: Executor, name: str) -> None:
    if GVISOR and name in NOT_UNDER_GVISOR:
        pytest.skip(NOT_UNDER_GVISOR[name])
    case = CASES[name]
    if GVISOR and case.reason is Reason.MEMORY_LIMIT:
        if not control_groups_hold():
            pytest.skip(MEMORY_OF_GVISOR)
        case = replace(case, says=OOM, exit_code=None, signal="SIGKILL")  # it is ended whole
    code = f"import sys\nprint('before')\nprint('complaint', end='', file=sys.stderr)\n{case.code}"
    result = await small.run(Execution(code, timeout=case.timeout, policy=False))
    assert (result.reason, result.exit_code, result.signal) == (case.reason, case.exit_code, case.signal), result.error
    assert result.status is case.reason.status
    assert result.output.startswith("before\n")
    if case.reason is not Reason.OUTPUT_LIMIT:  # there the flood of the one stream may leave the other nothing
        assert result.error.startswith("complaint")
    assert result.error.endswith(case.says)
    assert result.truncated is (case.reason is Reason.OUTPUT_LIMIT)
    assert (await small.run("print('well')")).output == "well\n"


def test_every_reason_has_its_case() -> None:
    elsewhere = {Reason.SYNTAX, Reason.POLICY, Reason.CANCELLED, Reason.INTERNAL, Reason.INPUT_TIME}
    assert {case.reason for case in CASES.values()} == set(Reason) - elsewhere


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_the_status_of_its_kind(reason: Reason) -> None:
    timeouts = {Reason.WALL_TIME, Reason.CPU_TIME, Reason.INPUT_TIME}
    expected = Status.SUCCESS if reason is Reason.COMPLETED else Status.TIMEOUT if reason in timeouts else Status.ERROR
    assert reason.status is expected


@pytest.mark.anyio
async def test_a_syntax_error_is_told_as_python_tells_it(small: Executor) -> None:
    result = await small.run("print('before')\nx = = 1\n")
    assert (result.reason, result.status, result.exit_code) == (Reason.SYNTAX, Status.ERROR, 1)
    assert result.error == '  File "/work/main.py", line 2\n    x = = 1\n        ^\nSyntaxError: invalid syntax'
    assert (result.line, result.column) == (2, 5)
    assert result.output == ""


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1\0", "null character"),
        ("x = '\ud800'", "not valid Unicode"),
        ("(" * 5000, "too many nested parentheses"),
        ("-" * 60000 + "1", "too large or too deeply nested"),
        ("return 1", "'return' outside function"),
        ("x = 1\n  y = 2", "unexpected indent"),
        ("def f():\nx = 1", "expected an indented block"),
        ("# -*- coding: klingon -*-\nprint(1)", ""),
    ],
)
async def test_what_python_cannot_compile_is_a_syntax_error(small: Executor, code: str, says: str) -> None:
    result = await small.run(code)
    if not says:  # the source is text already: its cookie says nothing
        assert result.output == "1\n"
        return
    assert (result.reason, result.exit_code, result.output) == (Reason.SYNTAX, 1, "")
    assert says in result.error
    assert result.line is not None
    assert result.column is not None


@pytest.mark.anyio
async def test_the_policy_tells_everything_it_refuses_at_once(small: Executor) -> None:
    result = await small.run("print('before')\nimport os\nx = eval('1')\n")
    assert (result.reason, result.status, result.exit_code, result.output) == (Reason.POLICY, Status.ERROR, 1, "")
    first, second = result.problems
    assert (first.line, second.line) == (2, 3)
    assert (first.line, first.column) == (result.line, result.column)
    assert second.column == 5
    assert result.error.splitlines() == [f"Line {p.line}, column {p.column}: {p.message}" for p in result.problems]
    assert "`import os` is not allowed here" in result.error


@pytest.mark.anyio
async def test_a_check_does_not_run_the_program(small: Executor) -> None:
    fine = await small.run("print('ran')", check_only=True)
    refused = await small.run("import os", check_only=True)
    wrong = await small.run("x =", check_only=True)
    assert [(r.reason, r.output) for r in (fine, refused, wrong)] == [
        (Reason.COMPLETED, ""),
        (Reason.POLICY, ""),
        (Reason.SYNTAX, ""),
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_the_first_bytes_up_to_the_limit_are_kept(small: Executor, stream: str) -> None:
    code = f"import sys\nfor n in range(10000): print(n, file=sys.{stream})"
    result = await small.run(code)
    everything = "".join(f"{n}\n" for n in range(10000))
    kept = result.output if stream == "stdout" else result.error.rpartition("\n")[0]
    assert result.reason is Reason.OUTPUT_LIMIT
    assert kept == everything[: 10 << 10].removesuffix("\n" if stream == "stderr" else "")


@pytest.mark.anyio
async def test_exactly_the_limit_is_not_too_much(small: Executor) -> None:
    result = await small.run(f"print('x' * {(10 << 10) - 1})")
    assert (result.reason, len(result.output), result.truncated) == (Reason.COMPLETED, 10 << 10, False)


@pytest.mark.anyio
@pytest.mark.skipif(GVISOR, reason=MEMORY_OF_GVISOR)
async def test_a_limit_that_a_program_survives_is_not_its_end(small: Executor) -> None:
    code = """
try:
    bytearray(1 << 30)
except MemoryError:
    print("caught")
"""
    result = await small.run(code)
    assert (result.reason, result.output) == (Reason.COMPLETED, "caught\n")


@pytest.mark.anyio
async def test_a_longer_timeout_than_allowed_is_cut_to_what_is_allowed(engine: str) -> None:
    async with Executor.open(engine=engine, pool_size=1, preload=(), max_timeout=1) as executor:
        given, default = [await executor.run("import time; time.sleep(20)", timeout=t) for t in (20.0, None)]
    assert given.error == default.error == "Execution exceeded 1 second timeout"
    assert 1000 <= given.execution_time < 5000


@pytest.mark.anyio
async def test_figures_of_a_run_are_plausible(executor: Executor) -> None:
    idle = await executor.run("import time; time.sleep(0.3)")
    busy = await executor.run("import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass")
    large = await executor.run("x = b'x' * (100 << 20)")
    assert 300 <= idle.execution_time < 5000
    assert idle.cpu_time < 190 <= busy.cpu_time <= busy.execution_time  # gVisor's clocks need not agree to the last bit
    assert 2 << 20 < idle.memory < 100 << 20 < large.memory < 250 << 20
    assert all(0 <= result.queue_time < 60_000 for result in (idle, busy, large))
    assert len({idle.id, busy.id, large.id}) == 3
