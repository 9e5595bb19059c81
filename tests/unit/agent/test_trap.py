"""A forbidden call says which it was, and the process that made it dies of it: the handler, run by the kernel."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import platform
import resource
import select
import signal
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox_agent.child import pipes
from sandbox_agent.confinement import kernel, seccomp, trap
from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract import syscalls, verdict
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS
from tests.unit.agent.conftest import InChild, Killed

here = platform.machine()
mine = pytest.mark.skipif(here not in COLUMNS, reason=f"no filter for {here}")
FORBIDDEN = [name for group in syscalls.KILLED for name in group.names.split()]


def number(name: str, machine: str = here) -> int | None:
    return NUMBERS[name][COLUMNS[machine]]


def call(name: str) -> None:
    kernel.syscall(number(name) or 0, 0, 0, 0, 0, 0, 0)


@pytest.fixture
def hint() -> Iterator[tuple[int, int]]:
    """A pipe as a child has it, both its ends."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@pytest.fixture
def told(in_child: InChild, hint: tuple[int, int]) -> Callable[[Callable[[], Any]], str | None]:
    """Confine a process as a run's first is, have it do something, and return the call that its death was told of."""
    reader, writer = hint

    def confined_and(work: Callable[[], Any]) -> str | None:
        def confine_and_work() -> Any:
            os.setsid()
            signal.signal(signal.SIGSYS, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            trap.install(trap.prepare(writer))
            program, buffer = seccomp.sock_fprog(seccomp.program())
            kernel.load_seccomp(program)
            del buffer
            return work()

        with pytest.raises(Killed) as death:
            in_child(confine_and_work)
        assert death.value.signal == signal.SIGSYS
        kind, told_number = trap.read(available(reader))
        assert kind == 0
        return None if told_number is None else verdict.forbidden_call(here, told_number)

    return confined_and


@mine
@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_forbidden_call_is_named_and_ends_the_process(told: Any, name: str) -> None:
    if number(name) is None:
        pytest.skip(f"{here} has no {name}")
    assert told(lambda: call(name)) == name


@mine
def test_a_thread_is_the_program_too(told: Any) -> None:
    def in_thread() -> None:
        thread = threading.Thread(target=call, args=("bpf",))
        thread.start()
        thread.join()

    assert told(in_thread) == "bpf"


@mine
def test_what_a_child_did_is_not_what_the_first_process_ends_for(told: Any) -> None:
    def both() -> None:
        pid = os.fork()
        if pid == 0:
            call("bpf")
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGSYS
        call("ptrace")

    assert told(both) == "ptrace"


@mine
def test_a_signal_that_somebody_sent_names_nothing(told: Any, hint: tuple[int, int]) -> None:
    assert told(lambda: os.kill(os.getpid(), signal.SIGSYS)) is None
    assert available(hint[0]) == 0


@mine
def test_no_other_handler_can_take_its_place(told: Any) -> None:
    def try_to() -> None:
        for action in (signal.SIG_IGN, signal.SIG_DFL, lambda *_: None):
            try:
                signal.signal(signal.SIGSYS, action)
            except OSError:
                continue
            os._exit(1)
        call("mount")

    assert told(try_to) == "mount"


@mine
def test_a_blocked_signal_is_no_way_out(told: Any) -> None:
    def block() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        call("setns")
        os._exit(0)

    assert told(block) is None


@mine
def test_a_closed_pipe_costs_the_name_alone(told: Any, hint: tuple[int, int]) -> None:
    def close() -> None:
        os.close(hint[1])
        call("setns")
        os._exit(0)

    assert told(close) is None


@mine
@pytest.mark.parametrize("seals", [True, False], ids=["from Linux 6.10 on", "before"])
def test_the_page_is_read_only_and_nobody_elses(
    in_child: InChild, monkeypatch: pytest.MonkeyPatch, seals: bool
) -> None:
    """A program that makes it writable, where the kernel cannot seal it, changes its own copy."""
    if not seals:
        monkeypatch.setattr(kernel, "_MSEAL", 9999)
    page = trap.prepare(pipes.HINT)
    address, before = ctypes.addressof(page), bytes(page)

    def write() -> None:
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)  # without pytest's account of it
        ctypes.memset(address, 0, 8)

    with pytest.raises(Killed, match="SIGSEGV"):
        in_child(write)

    def rewrite() -> None:
        kernel.syscall(number("mprotect") or 0, address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.memset(address, 0, 8)

    with contextlib.suppress(PermissionError) if seals else contextlib.nullcontext():  # this kernel may be an older one
        in_child(rewrite)
    assert bytes(page) == before == trap.handler(pipes.HINT).ljust(mmap.PAGESIZE, b"\0")


@pytest.mark.parametrize("machine", COLUMNS)
def test_every_number_fits_into_one_write_of_one_page(machine: str) -> None:
    longest = max(number(name, machine) or 0 for name in FORBIDDEN)
    assert trap.UNIT * (longest + 1) <= min(select.PIPE_BUF, 4096)
    assert max(pipes.HINT_EXCEPTION, pipes.HINT_MEMORY, pipes.HINT_DISK, pipes.HINT_PROCESSES) < trap.UNIT


def test_the_calls_in_the_instructions_are_those_of_the_tables() -> None:
    made = ("getpid", "getsid", "write", "ptrace")
    wanted = {machine: [number(name, machine) for name in made] for machine in COLUMNS}
    code = trap.handler(pipes.HINT, "x86_64")
    moves = [at for at in range(len(code) - 4) if code[at] == 0xB8 and code[at + 5 : at + 7] == b"\x0f\x05"]
    assert [struct.unpack_from("<I", code, at + 1)[0] for at in moves] == wanted["x86_64"]  # mov eax, number; syscall
    words = struct.unpack("<21I", trap.handler(pipes.HINT, "aarch64"))
    assert [word >> 5 & 0xFFFF for word in words if word & 0xFFE0001F == 0xD2800008] == wanted["aarch64"]  # mov x8


@pytest.mark.parametrize("report", [pipes.HINT, 300])
def test_a_pipe_of_any_number_is_written_to(report: int) -> None:
    assert b"\xbf" + struct.pack("<I", report) in trap.handler(report, "x86_64")  # mov edi, report
    assert 0xD2800000 | report << 5 in struct.unpack("<21I", trap.handler(report, "aarch64"))  # mov x0, #report


@pytest.mark.parametrize(
    ("bytes_", "expected"),
    [(0, (0, None)), (3, (3, None)), (8, (0, 0)), (8 * 102, (0, 101)), (8 * 102 + 1, (1, 101))],
)
def test_a_pipe_holds_a_hint_of_either_kind(bytes_: int, expected: tuple[int, int | None]) -> None:
    assert trap.read(bytes_) == expected


@pytest.mark.parametrize(("machine", "code"), [("x86_64", 101), ("aarch64", 117)])
def test_a_name_is_given_for_what_ends_a_program_and_for_nothing_else(machine: str, code: int) -> None:
    assert verdict.forbidden_call(machine, code) == "ptrace"
    named = {verdict.forbidden_call(machine, each) for each in range(2000)} - {None}
    assert named == {name for name in FORBIDDEN if number(name, machine) is not None}
    assert verdict.forbidden_call(machine, 0xFFFFFFFF) is None
    assert verdict.forbidden_call("riscv64", code) is None
