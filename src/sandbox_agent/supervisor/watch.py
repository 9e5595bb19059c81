"""Looks, now and then, whether a run keeps to limits of its own that are below those of its sandbox.

The kernel holds a sandbox to its limits, and each process of a run to some of the run's own (`child.holding`). What is
left is what no limit of one process can hold: memory that is shared or that many processes have together, the sum of
many files, processor time to the millisecond. So while such a run goes on, this looks every `EVERY` seconds; and when
it is over, whether it went beyond in between. Nobody looks at a run that asks for nothing.

Everything here is a number of the kernel's: of the control group, of the file systems, of /proc. A program that is
quick can go beyond its own limits for so long, and never beyond those of its sandbox.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from sandbox_agent.contract.protocol import Cause, Hold
from sandbox_agent.supervisor import counters
from sandbox_agent.supervisor.judge import Judge
from sandbox_agent.supervisor.reset import Box, Exit

EVERY = 0.05
"""Seconds between two looks."""


class Watch:
    """Of one run, in the child ``pid``, which has not begun. ``cpu_ms``: its limit of processor time."""

    def __init__(self, hold: Hold, pid: int, cpu_ms: int, judge: Judge, box: Box) -> None:
        self._hold = hold
        self._pid = pid
        self._cpu_us = cpu_ms * 1000 if hold.cpu else 0
        self._judge = judge
        self._box = box
        self._memory = counters.memory_in_use() if hold.memory else None
        self._memory_before = self._memory.read() if self._memory is not None else 0
        self._peak_before = _of_process(pid).get("VmHWM", 0) if hold.memory else 0
        self._own_before = _anonymous(pid) if hold.memory else 0
        self._next = time.monotonic() + EVERY

    def rest(self) -> float:
        """Return the seconds until the next look."""
        return max(0.0, self._next - time.monotonic())

    def look(self) -> Cause | None:
        """Return why the run must be stopped now, if it must; looks only when it is time to."""
        if self.rest() > 0:
            return None
        self._next = time.monotonic() + EVERY
        if self._cpu_us and self._judge.used(self._pid) >= self._cpu_us:
            return Cause.CPU_TIME
        if self._hold.memory and self._used_memory() > self._hold.memory:
            return Cause.MEMORY_LIMIT
        if self._hold.disk and self._box.used() > self._hold.disk:
            return Cause.DISK_LIMIT
        if self._hold.tasks and _tasks() > self._hold.tasks:
            return Cause.PROCESS_LIMIT
        return None

    def afterwards(self, exit_: Exit) -> Cause | None:
        """Return which limit a run went beyond that has ended, though nobody stopped it."""
        if self._hold.memory and self._peak_before and exit_.memory - self._peak_before > self._hold.memory:
            return Cause.MEMORY_LIMIT
        if self._hold.disk and self._box.used() > self._hold.disk:
            return Cause.DISK_LIMIT
        return None

    def _used_memory(self) -> int:
        """Return the bytes that the run has beyond what there was before it.

        Where no control group counts, those of its largest process: what processes share cannot be told from outside.
        """
        if self._memory is not None and self._memory.available:
            return self._memory.read() - self._memory_before
        return max((_anonymous(pid) for pid in _processes()), default=0) - self._own_before


def _processes() -> Iterator[int]:
    """Yield the processes of this namespace but this one."""
    ours = os.getpid()
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != ours)


def _tasks() -> int:
    """Return how many processes and threads there are, but this one and the holder of the leader's memory."""
    return sum(_of_process(pid).get("Threads", 0) for pid in _processes()) - 1


def _anonymous(pid: int) -> int:
    """Return the bytes of memory that a process has and no file has."""
    found = _of_process(pid)
    return found.get("RssAnon", 0) + found.get("RssShmem", 0)


def _of_process(pid: int) -> dict[str, int]:
    """Return what is known of a process: sizes in bytes, and its ``Threads``; nothing of one that is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            lines = file.read().decode("ascii", "replace").splitlines()
    except OSError:
        return {}
    found = (line.partition(":") for line in lines)
    values = {name: value.split() for name, _, value in found if name in _WANTED}
    return {name: int(value[0]) << (10 if value[1:] == ["kB"] else 0) for name, value in values.items() if value}


_WANTED = frozenset({"VmHWM", "RssAnon", "RssShmem", "Threads"})
