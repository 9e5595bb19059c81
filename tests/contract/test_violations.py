"""A program that is ended for a forbidden system call is told which, and no way round that is a way round the end."""

from __future__ import annotations

import asyncio
import platform

import pytest

from code_executor import Executor, Reason
from sandbox_agent.child.pipes import HINT
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS
from sandbox_agent.contract.syscalls import KILLED
from tests.conftest import RUNTIME

pytestmark = pytest.mark.anyio

COLUMN = COLUMNS[platform.machine()]
FORBIDDEN = {
    name: number for group in KILLED for name in group.names.split() if (number := NUMBERS[name][COLUMN]) is not None
}
NAMED = not RUNTIME.startswith("runsc")
"""gVisor ends a program without saying for what."""

UNNAMED = "Your program was stopped because it did something that no program may do here."

PRELUDE = f"""
import ctypes, os, signal, threading
libc = ctypes.CDLL(None, use_errno=True)
HINT, BPF, IO_SETUP = {HINT}, {FORBIDDEN["bpf"]}, {FORBIDDEN["io_setup"]}
def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        print("refused")
def end():
    libc.syscall(BPF, 0, 0, 0)
    print("BREACH")
"""


async def test_every_forbidden_call_is_named(executor: Executor) -> None:
    at_once = asyncio.Semaphore(2)  # each uses up a sandbox, and the pool makes them two at a time

    async def told(number: int) -> tuple[Reason, str | None, str | None, str]:
        async with at_once:
            result = await executor.run(f"import ctypes\nctypes.CDLL(None).syscall({number}, 0, 0, 0, 0, 0, 0)")
        return result.reason, result.signal, result.syscall, result.error

    answers = await asyncio.gather(*map(told, FORBIDDEN.values()))
    for name, answer in zip(FORBIDDEN, answers, strict=True):
        sentence = f"Your program was stopped because it called {name}, which no program may do here."
        expected = (name, sentence) if NAMED else (None, UNNAMED)
        assert answer == (Reason.VIOLATION, "SIGSYS", *expected), name


WAYS = {
    # what it does first: the name that its end has all the same, and what it prints
    "a thread makes the call": ("t = threading.Thread(target=end); t.start(); t.join()", "bpf", ""),
    "a child made another before": ("if os.fork() == 0: libc.ptrace(0, 0, 0, 0)\nos.wait()", "bpf", ""),
    "a handler of its own": ("attempt(signal.signal, signal.SIGSYS, lambda *_: None)", "bpf", "refused\n"),
    "the signal ignored": ("attempt(signal.signal, signal.SIGSYS, signal.SIG_IGN)", "bpf", "refused\n"),
    "the signal blocked": ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGSYS])", None, ""),
    "another program": ("attempt(os.execv, '/bin/true', ['true'])", "bpf", "refused\n"),
    "a program beside it": ("attempt(os.posix_spawn, '/bin/true', ['true'], {})", "bpf", "refused\n"),
    "a stack for signals that is none": (
        "stack = (ctypes.c_uint64 * 3)(1 << 40, 0, 1 << 20); assert libc.sigaltstack(stack, None) == 0",
        "bpf",
        "",
    ),
    "the pipe closed": ("os.close(HINT)", None, ""),
    "the pipe is another one": ("os.dup2(os.pipe()[1], HINT)", None, ""),
    "the pipe full": (
        "os.set_blocking(HINT, False)\ntry:\n  while True: os.write(HINT, bytes(4096))\nexcept OSError: pass",
        None,
        "",
    ),
    "a number that nothing has": ("os.write(HINT, bytes(8 * 2000))", None, ""),
    "no call at all": ("os.kill(os.getpid(), signal.SIGSYS)", None, ""),
    "no call at all, but the name of one": (
        "os.write(HINT, bytes(8 * (IO_SETUP + 1))); os.kill(0, 31)",
        "io_setup",
        "",
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_no_way_round_the_name_is_a_way_round_the_end(executor: Executor, way: str) -> None:
    if way == "a thread makes the call" and not NAMED:
        pytest.skip("gVisor ends the thread alone")
    code, name, output = WAYS[way]
    result = await executor.run(f"{PRELUDE}\n{code}\nend()")
    assert (result.reason, result.signal) == (Reason.VIOLATION, "SIGSYS"), result.error
    assert result.output == output
    if NAMED:
        assert result.syscall == name
        assert result.error.endswith(UNNAMED if name is None else f"it called {name}, which no program may do here.")


async def test_a_child_that_is_ended_for_a_call_does_not_end_the_run(executor: Executor) -> None:
    code = "pid = os.fork()\nif pid == 0: end()\nprint(signal.Signals(os.WTERMSIG(os.waitpid(pid, 0)[1])).name)\n1 / 0"
    result = await executor.run(PRELUDE + code)
    assert (result.reason, result.output, result.syscall) == (Reason.EXCEPTION, "SIGSYS\n", None)
