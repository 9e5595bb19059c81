"""Why a run ended is made of the wait status, the counters and the supervisor's own word."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from sandbox_agent.child import pipes
from sandbox_agent.confinement import trap
from sandbox_agent.contract.protocol import NO_SYSCALL, Cause
from sandbox_agent.supervisor import counters
from sandbox_agent.supervisor.clock import Clock
from sandbox_agent.supervisor.judge import Judge
from sandbox_agent.supervisor.reset import Exit

ME = os.getpid()
SIGNALS = {name: getattr(signal, name).value for name in ("SIGKILL", "SIGSEGV", "SIGSYS", "SIGXCPU", "SIGTERM")}


def exited(code: int) -> int:
    return code << 8


class Cgroup:
    """The counters of a sandbox: out-of-memory kills and refused forks."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.set(oom_kills=5, refused_forks=3)  # of earlier runs

    def set(self, *, oom_kills: int = 5, refused_forks: int = 3) -> None:
        (self._root / "memory.events").write_text(f"oom_kill {oom_kills}\n")
        (self._root / "pids.events").write_text(f"max {refused_forks}\n")


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cgroup:
    cgroup = Cgroup(tmp_path)
    oom_kills, refused_forks = counters.oom_kills(tmp_path), counters.refused_forks(tmp_path)
    monkeypatch.setattr(counters, "oom_kills", lambda: oom_kills)
    monkeypatch.setattr(counters, "refused_forks", lambda: refused_forks)
    return cgroup


@pytest.fixture
def judge(cgroup: Cgroup) -> Judge:
    judge = Judge()
    judge.begin(ME)
    return judge


def cause(
    judge: Judge,
    status: int,
    *,
    cpu_us: int = 0,
    cpu_ms: int = 0,
    interrupted: bool = False,
    reported: bool = False,
    hint: int = 0,
) -> Cause:
    exit_ = Exit(status, cpu_us, memory=1)
    return judge.ended(exit_, 0, cpu_ms=cpu_ms, interrupted=interrupted, reported=reported, hint=hint).cause


@pytest.mark.parametrize(
    ("status", "hint", "expected"),
    [
        (exited(0), 0, Cause.COMPLETED),
        (exited(0), pipes.HINT_EXCEPTION, Cause.COMPLETED),
        (exited(3), 0, Cause.EXIT),
        (exited(1), pipes.HINT_EXCEPTION, Cause.EXCEPTION),
        (exited(1), pipes.HINT_MEMORY, Cause.MEMORY_LIMIT),
        (exited(1), pipes.HINT_DISK, Cause.DISK_LIMIT),
        (exited(1), pipes.HINT_PROCESSES, Cause.EXCEPTION),  # no fork was refused: it is its own
        (exited(1), 7, Cause.EXCEPTION),
        (SIGNALS["SIGSYS"], 0, Cause.VIOLATION),
        (SIGNALS["SIGXCPU"], 0, Cause.CPU_TIME),
        (SIGNALS["SIGKILL"], 0, Cause.SIGNAL),
        (SIGNALS["SIGTERM"], 0, Cause.SIGNAL),
        (SIGNALS["SIGSEGV"] | 0x80, 0, Cause.SIGNAL),  # with a core
    ],
)
def test_how_a_run_ended_is_told(judge: Judge, status: int, hint: int, expected: Cause) -> None:
    assert cause(judge, status, hint=hint) is expected


def test_code_and_signal_are_told_apart(judge: Judge) -> None:
    told = judge.ended(Exit(exited(9), 0, 7), 0, cpu_ms=0, interrupted=False, reported=False, hint=0)
    assert (told.exit_code, told.signal, told.memory) == (9, 0, 7)
    told = judge.ended(Exit(SIGNALS["SIGKILL"], 0, 7), 0, cpu_ms=0, interrupted=False, reported=False, hint=0)
    assert (told.exit_code, told.signal) == (0, 9)


@pytest.mark.parametrize("status", [SIGNALS["SIGKILL"], exited(1), exited(137)])
def test_the_kernels_kill_for_memory_is_told_by_its_counter(judge: Judge, cgroup: Cgroup, status: int) -> None:
    cgroup.set(oom_kills=6)
    assert cause(judge, status) is Cause.MEMORY_LIMIT


def test_a_kill_alone_is_no_proof_of_memory(judge: Judge) -> None:
    assert cause(judge, SIGNALS["SIGKILL"]) is Cause.SIGNAL
    assert cause(judge, exited(137)) is Cause.EXIT


def test_a_program_that_survived_the_death_of_a_child_has_completed(judge: Judge, cgroup: Cgroup) -> None:
    cgroup.set(oom_kills=6)
    assert cause(judge, exited(0)) is Cause.COMPLETED


def test_a_program_that_waits_in_vain_for_a_child_that_died_is_told_of_the_memory(judge: Judge, cgroup: Cgroup) -> None:
    def stopped(why: Cause) -> Cause:
        return judge.stopped(why, Exit(SIGNALS["SIGKILL"], 0, 7), 0, truncated=False).cause

    assert stopped(Cause.WALL_TIME) is Cause.WALL_TIME
    cgroup.set(oom_kills=6)
    assert stopped(Cause.WALL_TIME) is Cause.MEMORY_LIMIT
    assert stopped(Cause.CANCELLED) is Cause.CANCELLED


def test_the_kills_of_an_earlier_run_are_not_this_ones(judge: Judge, cgroup: Cgroup) -> None:
    cgroup.set(oom_kills=6, refused_forks=4)
    judge.begin(ME)
    assert cause(judge, SIGNALS["SIGKILL"]) is Cause.SIGNAL
    assert cause(judge, exited(1), hint=pipes.HINT_PROCESSES) is Cause.EXCEPTION


def test_a_process_limit_needs_a_fork_that_was_refused(judge: Judge, cgroup: Cgroup) -> None:
    cgroup.set(refused_forks=4)
    assert cause(judge, exited(1), hint=pipes.HINT_PROCESSES) is Cause.PROCESS_LIMIT
    assert cause(judge, exited(1), hint=pipes.HINT_EXCEPTION) is Cause.EXCEPTION


def test_without_a_counter_the_hint_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = counters.oom_kills(tmp_path)
    monkeypatch.setattr(counters, "oom_kills", lambda: nothing)
    monkeypatch.setattr(counters, "refused_forks", lambda: nothing)
    judge = Judge()
    judge.begin(ME)
    assert cause(judge, exited(1), hint=pipes.HINT_PROCESSES) is Cause.PROCESS_LIMIT


def test_a_kill_after_its_processor_time_is_the_limits(judge: Judge) -> None:
    used = time.process_time_ns() // 1000  # what this process used before the run began does not count
    assert cause(judge, SIGNALS["SIGKILL"], cpu_us=used + 3_000_000, cpu_ms=2000) is Cause.CPU_TIME
    assert cause(judge, SIGNALS["SIGKILL"], cpu_us=used + 1_000_000, cpu_ms=2000) is Cause.SIGNAL
    assert cause(judge, SIGNALS["SIGKILL"], cpu_us=used + 3_000_000, cpu_ms=0) is Cause.SIGNAL
    assert cause(judge, SIGNALS["SIGTERM"], cpu_us=used + 3_000_000, cpu_ms=2000) is Cause.SIGNAL


def test_an_interrupt_explains_an_end_but_not_a_good_one(judge: Judge) -> None:
    assert cause(judge, exited(1), interrupted=True, hint=pipes.HINT_EXCEPTION) is Cause.CANCELLED
    assert cause(judge, SIGNALS["SIGTERM"], interrupted=True) is Cause.CANCELLED
    assert cause(judge, exited(0), interrupted=True) is Cause.COMPLETED


def test_a_report_explains_an_end_that_was_no_signal(judge: Judge) -> None:
    assert cause(judge, exited(1), reported=True) is Cause.REPORTED
    assert cause(judge, exited(0), reported=True) is Cause.REPORTED
    assert cause(judge, SIGNALS["SIGSYS"], reported=True) is Cause.VIOLATION


def test_a_violation_has_the_number_that_was_told_and_nothing_else_has(judge: Judge) -> None:
    def told(status: int, hint: int) -> int:
        return judge.ended(Exit(status, 0, 7), 0, cpu_ms=0, interrupted=False, reported=False, hint=hint).syscall

    ptrace = trap.UNIT * (101 + 1)
    assert told(SIGNALS["SIGSYS"], ptrace) == 101
    assert told(SIGNALS["SIGSYS"], ptrace + pipes.HINT_EXCEPTION) == 101  # an exception before, and then an atexit
    assert told(SIGNALS["SIGSYS"], pipes.HINT_MEMORY) == NO_SYSCALL
    assert told(SIGNALS["SIGSYS"], 0) == NO_SYSCALL
    assert told(SIGNALS["SIGKILL"], ptrace) == NO_SYSCALL
    assert told(exited(1), ptrace) == NO_SYSCALL
    assert cause(judge, exited(1), hint=ptrace + pipes.HINT_MEMORY) is Cause.MEMORY_LIMIT
    assert cause(judge, exited(1), hint=ptrace) is Cause.EXIT


def test_what_the_supervisor_stopped_is_told_as_it_says(judge: Judge) -> None:
    told = judge.stopped(Cause.OUTPUT_LIMIT, Exit(SIGNALS["SIGKILL"], 1 << 60, 7), 0, truncated=True)
    assert (told.cause, told.truncated, told.signal, told.memory) == (Cause.OUTPUT_LIMIT, True, 0, 7)
    assert told.cpu_us < 1 << 60


def test_less_processor_time_than_before_is_none(judge: Judge) -> None:
    assert judge.stopped(Cause.CANCELLED, Exit(0, 0, 0), 0, truncated=False).cpu_us == 0


# ---- the time of a run


class Time:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> int:
        return round(self.seconds * 1e9)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Time:
    now = Time()
    monkeypatch.setattr(time, "monotonic_ns", now)
    return now


def test_a_run_has_its_time(now: Time) -> None:
    clock = Clock(5_000, input_seconds=60)
    assert clock.left() == 5.0
    now.seconds += 2
    assert clock.left() == 3.0
    now.seconds += 4
    assert clock.left() == -1.0
    assert clock.ran_us() == 6_000_000


def test_waiting_for_input_does_not_count_and_has_a_limit_of_its_own(now: Time) -> None:
    clock = Clock(5_000, input_seconds=60)
    now.seconds += 1
    clock.wait()
    assert clock.waiting
    now.seconds += 20
    assert clock.left() == 40.0
    clock.go_on()
    assert not clock.waiting
    assert clock.left() == 4.0
    clock.wait()
    now.seconds += 30
    assert clock.left() == 10.0  # of all its waiting together
    now.seconds += 11
    assert clock.left() == -1.0
    assert clock.ran_us() == 1_000_000


def test_going_on_without_having_waited_changes_nothing(now: Time) -> None:
    clock = Clock(5_000, input_seconds=60)
    now.seconds += 1
    clock.go_on()
    clock.go_on()
    assert clock.left() == 4.0
