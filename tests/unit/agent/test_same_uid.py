"""A program that has its supervisor's uid, as under the native engine without root.

It can open both ends of its own pipes and read, fill and flood them while the supervisor moves their bytes. That may
cost the program its output and nothing else: its run ends as it ended, and within its time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from textwrap import dedent

import pytest

from sandbox_agent.child import pipes
from sandbox_agent.contract.config import Mount
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import INTERACTIVE, Cause, EventType, Outcome
from tests.unit.agent.supervised import BOX, CONFIG, SHARED, Supervise, Supervisor

SAME_UID = replace(
    CONFIG,
    uid=None,
    mounts=tuple(Mount(path, "size=16m,nr_inodes=1024,mode=0700") for path in (BOX, SHARED)),
    limits=Limits(input_time=1),
)


@pytest.fixture(scope="module")
def shared_alike(supervise: Supervise) -> Iterator[Supervisor]:
    with supervise(SAME_UID) as supervisor:
        supervisor.ready()
        yield supervisor


@pytest.fixture
def alike(shared_alike: Supervisor) -> Iterator[Supervisor]:
    """A supervisor whose programs have its uid, and no capability. It must be of use after the test."""
    yield shared_alike
    shared_alike.ready()
    assert shared_alike.run("print('next')").stdout == b"next\n"
    shared_alike.ready()


THIEF = """
import os, sys, time
def steal(descriptor):
    fd = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_NONBLOCK)
    while True:
        try:
            os.read(fd, 1 << 16)
        except BlockingIOError:
            pass
"""


@pytest.mark.parametrize("descriptor", [pipes.STDOUT, pipes.STDERR])
def test_a_program_that_steals_its_own_output_ends_as_it_ends(alike: Supervisor, descriptor: int) -> None:
    code = f"""
for thief in range(2):
    if os.fork() == 0:
        steal({descriptor})
end = time.monotonic() + 0.5
while time.monotonic() < end:
    os.write({descriptor}, b"x" * 3000)
os._exit(3)
"""
    run = alike.run(THIEF + code, output_bytes=1 << 30)
    assert (run.outcome.cause, run.outcome.exit_code) == (Cause.EXIT, 3)


def test_a_program_that_steals_what_it_tells_its_supervisor_ends_as_it_ends(alike: Supervisor) -> None:
    code = f"""
for thief in range(2):
    if os.fork() == 0:
        steal({pipes.PROMPT})
end = time.monotonic() + 0.5
while time.monotonic() < end:
    os.write({pipes.PROMPT}, b"x")
print("done")
"""
    run = alike.run(THIEF + code, stdin=b"", flags=INTERACTIVE)
    assert run.outcome.cause is Cause.COMPLETED
    assert run.stdout == b"done\n"


@pytest.mark.parametrize("descriptor", range(11))
def test_a_program_that_fills_its_own_pipes_is_ended_by_the_clock(alike: Supervisor, descriptor: int) -> None:
    code = f"""
    import os
    try:
        os.fchmod({descriptor}, 0o600)
        fd = os.open("/proc/self/fd/{descriptor}", os.O_RDWR | os.O_NONBLOCK)
    except OSError:  # it is closed
        fd = os.open("/dev/null", os.O_RDWR)
    while True:
        try:
            os.write(fd, bytes(4096))
            os.read(fd, 1)
        except BlockingIOError:
            pass
    """
    run = alike.run(dedent(code), stdin=b"", flags=INTERACTIVE, wall_ms=300, output_bytes=(1 << 32) - 1)
    assert run.outcome.cause is (Cause.INPUT_TIME if descriptor == pipes.PROMPT else Cause.WALL_TIME)


def test_a_cell_that_fills_and_empties_its_pipes_stops_nobody(supervise: Supervise) -> None:
    flood = f"""
    import contextlib, os, threading
    def flood(descriptor):
        os.fchmod(descriptor, 0o600)  # the supervisor made stdin 0444
        fd = os.open(f"/proc/self/fd/{{descriptor}}", os.O_RDWR | os.O_NONBLOCK)
        while True:
            try:
                os.write(fd, b" " * 65536)
            except BlockingIOError:
                with contextlib.suppress(BlockingIOError):  # the supervisor may have been quicker
                    os.read(fd, 65536)
    for descriptor in ({pipes.STDIN}, {pipes.PAYLOAD}):
        threading.Thread(target=flood, args=(descriptor,), daemon=True).start()
    """
    with supervise(SAME_UID) as supervisor:
        supervisor.ready()
        supervisor.open_session()
        supervisor.cell(1, dedent(flood))
        events = list(iter(supervisor.of_a_cell, None))
        assert [event for event in events if event.type is EventType.STDERR] == []
        for number in range(2, 5):  # if the interpreter understands none of them, they are ended by the clock
            supervisor.cell(number, "pass", wall_ms=300)
            while (event := supervisor.next()) is not None and event.type not in (
                EventType.CELL_DONE,
                EventType.RESULT,
            ):
                pass
            assert event is not None, "the supervisor ended"
            if event.type is EventType.RESULT:
                assert Outcome.unpack(event.body).cause in (Cause.WALL_TIME, Cause.EXIT, Cause.EXCEPTION)
                break


def test_a_program_cannot_end_its_supervisor_with_a_signal(alike: Supervisor) -> None:
    code = """
    import os
    for number in range(1, 65):
        try:
            os.kill(1, number)
        except OSError:
            pass
    print("alive")
    """
    for number in (signal.SIGINT, signal.SIGCHLD):  # those that it handles; older kernels let them through
        os.kill(alike.pid(), number)
    assert alike.run(dedent(code)).stdout == b"alive\n"


def test_a_program_finds_no_descriptor_of_its_supervisor(alike: Supervisor) -> None:
    code = """
    import os
    found = []
    for path in ("/proc/1/fd", "/proc/1/mem", "/proc/1/environ", "/proc/1/task/1/fd/0"):
        try:
            os.open(path, os.O_RDONLY)
            found.append(path)
        except OSError:
            pass
    print(found)
    """
    assert alike.run(dedent(code)).stdout == b"[]\n"
