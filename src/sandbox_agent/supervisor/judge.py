"""Says why a run ended: by the kernel's word and the supervisor's own, never by what the run wrote."""

from __future__ import annotations

import os
import signal
import time

from sandbox_agent.child import pipes
from sandbox_agent.confinement import trap
from sandbox_agent.contract.protocol import NO_SYSCALL, Cause, Outcome
from sandbox_agent.supervisor import counters
from sandbox_agent.supervisor.reset import Exit

KILLED = frozenset({Cause.MEMORY_LIMIT, Cause.DISK_LIMIT, Cause.PROCESS_LIMIT})
"""Causes of a stop that a program can also end of by itself; the signal tells that it did not."""


class Judge:
    """Judges one run after the other. It remembers what the counters were when a run began."""

    def __init__(self) -> None:
        self._oom_kills = counters.oom_kills()
        self._refused_forks = counters.refused_forks()
        self._before = (0, 0, 0)

    def begin(self, pid: int) -> None:
        """What happens from now on is a run's, in the child ``pid``: not the processor time it used to get ready."""
        self._before = (self._oom_kills.read(), self._refused_forks.read(), _cpu_us(pid))

    def used(self, pid: int) -> int:
        """Return the microseconds of processor time since `begin` of the child ``pid``, which lives."""
        return max(0, _cpu_us(pid) - self._before[2])

    def stopped(self, cause: Cause, exit_: Exit, wall_us: int, *, truncated: bool) -> Outcome:
        """Return the outcome of a run that the supervisor stopped after ``wall_us``.

        A program that waits in vain for a helper which died for want of memory is told of the memory, not of the time.
        """
        number = int(signal.SIGKILL) if cause in KILLED else 0
        if cause is Cause.WALL_TIME and self._oom_kills.read() > self._before[0]:
            cause, number, truncated = Cause.MEMORY_LIMIT, int(signal.SIGKILL), False
        used = self._used(exit_)
        return Outcome(cause, signal=number, truncated=truncated, wall_us=wall_us, cpu_us=used, memory=exit_.memory)

    def ended(
        self,
        exit_: Exit,
        wall_us: int,
        *,
        cpu_ms: int,
        interrupted: bool,
        reported: bool,
        hint: int,
        beyond: Cause | None = None,
        held: bool = False,
    ) -> Outcome:
        """Return the outcome of a run that ended by itself after ``wall_us``.

        ``cpu_ms``: its limit. ``reported``: it was not started, and says why. ``hint``: of what kind its exception
        was, and which call it should not have made. ``beyond``: which limit of its own it went beyond. ``held``: its
        processes were held by a limit whose refusals the control group does not count.
        """
        kind, call = trap.read(hint)
        code, number = _decode(exit_.status)
        cpu_us = self._used(exit_)
        if (code or number) and self._oom_kills.read() > self._before[0]:
            cause = Cause.MEMORY_LIMIT
        elif interrupted and (code or number):
            cause = Cause.CANCELLED
        elif number:
            cause = _signal_cause(number, cpu_us, cpu_ms)
        elif reported:
            cause = Cause.REPORTED
        else:
            cause = beyond or self._exit_cause(code, kind, held=held)
        told = call if cause is Cause.VIOLATION and call is not None else NO_SYSCALL
        return Outcome(cause, code, number, False, told, wall_us, cpu_us, exit_.memory)

    def _used(self, exit_: Exit) -> int:
        return max(0, exit_.cpu_us - self._before[2])

    def _exit_cause(self, code: int, hint: int, *, held: bool) -> Cause:
        """Tell apart how a program exits with a code of its own."""
        if code == 0:
            return Cause.COMPLETED
        if hint == pipes.HINT_MEMORY:
            return Cause.MEMORY_LIMIT
        if hint == pipes.HINT_DISK:
            return Cause.DISK_LIMIT
        refused = held or not self._refused_forks.available or self._refused_forks.read() > self._before[1]
        if hint == pipes.HINT_PROCESSES and refused:
            return Cause.PROCESS_LIMIT
        return Cause.EXCEPTION if hint else Cause.EXIT


def _decode(status: int) -> tuple[int, int]:
    """Split a wait status into exit code and signal number; the other one is 0."""
    if os.WIFSIGNALED(status):
        return 0, os.WTERMSIG(status)
    return os.WEXITSTATUS(status), 0


def _signal_cause(number: int, cpu_us: int, cpu_ms: int) -> Cause:
    if number == signal.SIGSYS:
        return Cause.VIOLATION
    used_up = cpu_ms > 0 and cpu_us >= cpu_ms * 1000
    if number == signal.SIGXCPU or (number == signal.SIGKILL and used_up):
        return Cause.CPU_TIME
    return Cause.SIGNAL


def _cpu_us(pid: int) -> int:
    """CPU time of a process so far, in microseconds; its clock's id is made from its pid (clock_getcpuclockid(3))."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2) // 1000
    except OSError:
        return 0
