"""After a reset no process of a run is left, whatever it does to stay."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sandbox_agent
from sandbox_agent.supervisor import reset
from sandbox_agent.supervisor.reset import ResetError

UID = 52_123
SRC = str(Path(sandbox_agent.__file__).parents[1])

InChild = Callable[[Callable[[], Any]], Any]


# ---- processes, in a PID namespace of their own


def in_namespace(command: list[str], program: str) -> str:
    """Run ``program`` as PID 1, with what a supervisor has; return what it prints."""
    prelude = f"""
        import os, signal, sys, time
        sys.path.insert(0, {SRC!r})
        from sandbox_agent.confinement import kernel
        from sandbox_agent.supervisor import reset
        wake, writer = os.pipe2(os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def start(work):
            pid = os.fork()
            if pid == 0:
                try:
                    work()
                finally:
                    os._exit(1)
            return pid

        def others():
            return [name for name in os.listdir("/proc") if name.isdigit() and name != "1"]
    """
    text = textwrap.dedent(prelude) + textwrap.dedent(program)
    command = [*command, sys.executable, "-I", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nobody_survives(pid_namespace: list[str]) -> None:
    """Forkers, daemons, the stopped, the deaf, and comets: processes that are a new one every time one looks."""
    program = """
        def comet():
            os.setsid()
            while True:
                if os.fork():
                    os._exit(0)

        def deaf():
            for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
                signal.signal(number, signal.SIG_IGN)
            os.write(ready, b"d")
            while True:
                time.sleep(1)

        def stopped():
            os.write(ready, b"s")
            os.kill(os.getpid(), signal.SIGSTOP)

        def forker():
            for _ in range(20):
                start(deaf)
            deaf()

        heard, ready = os.pipe()
        leader = start(lambda: os._exit(3))
        for _ in range(15):
            start(comet)
        for work in (forker, stopped, deaf):
            start(work)
        seen = 0
        while seen < 23:
            seen += len(os.read(heard, 64))
        assert len(others()) > 23
        exit_ = reset.kill_all(leader, wake)
        print(os.waitstatus_to_exitcode(exit_.status), others())
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            print("empty")
        reset.prove_empty(wake)
    """
    assert in_namespace(pid_namespace, program) == "3 []\nempty\n"


def test_who_cannot_be_killed_ends_the_sandbox(pid_namespace: list[str]) -> None:
    program = """
        def other():
            os.setresuid(52001, 52001, 52001)
            os.write(ready, b".")
            time.sleep(60)

        heard, ready = os.pipe()
        leader = start(other)
        os.read(heard, 1)
        kernel.keep_capabilities(1 << 6 | 1 << 7)  # no CAP_KILL
        reset.EMPTY_WITHIN = 0.02
        try:
            reset.kill_all(leader, wake)
        except reset.ResetError as error:
            print(error)
    """
    assert "still there" in in_namespace(pid_namespace, program)


def test_who_does_not_die_in_time_ends_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reset, "EMPTY_WITHIN", 0.02)
    monkeypatch.setattr(reset, "kill", lambda: None)
    reader, writer = os.pipe2(os.O_NONBLOCK)
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    try:
        with pytest.raises(ResetError, match="still there"):
            reset.kill_all(pid, reader)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def test_reaping_tells_how_the_leader_ended_and_whether_others_are_left(pid_namespace: list[str]) -> None:
    program = """
        def work():
            x = bytearray(40 << 20)
            end = time.process_time() + 0.02
            while time.process_time() < end:
                pass
            os._exit(7)

        started = time.monotonic()
        leader = start(work)
        other = start(lambda: time.sleep(60))
        while True:
            exit_, left, more = reset.reap(leader)
            if exit_:
                break
            time.sleep(0.001)
        print(os.waitstatus_to_exitcode(exit_.status), left, more)
        print(20_000 <= exit_.cpu_us <= (time.monotonic() - started) * 1e6, exit_.memory > 40 << 20)
        os.kill(other, signal.SIGKILL)
        os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
        print(reset.reap(leader))
        print(reset.reap(leader))
        many = [start(lambda: os._exit(0)) for _ in range(5)]
        for pid in many:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        print(reset.reap(many[-1], most=3)[1:])
    """
    assert in_namespace(pid_namespace, program).splitlines() == [
        "7 True False",
        "True True",
        "(None, False, False)",
        "(None, False, False)",
        "(True, True)",
    ]


def test_draining_empties_the_pipe_and_does_not_wait() -> None:
    reader, writer = os.pipe2(os.O_NONBLOCK)
    os.write(writer, bytes(5000))
    before = time.monotonic()
    reset.drain(reader)
    reset.drain(reader)
    assert time.monotonic() - before < 30
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    os.close(reader)
    os.close(writer)
