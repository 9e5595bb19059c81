"""An errand: a confined process that the supervisor sends into the box while a session lives, and what it says.

The supervisor reads nothing of it. It passes on what the process writes, until the process is gone or its time is over.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn, Protocol

from sandbox_agent.confinement.confine import Confinement
from sandbox_agent.contract.protocol import Cause, EventType
from sandbox_agent.supervisor.clock import Clock
from sandbox_agent.supervisor.relay import Budget, Outbound, Source


class Doing(Protocol):
    """What the process does: it confines itself, with the given descriptors as its 0, 1, … and never returns."""

    def __call__(self, state: Confinement, descriptors: list[int], supervisor: int) -> NoReturn: ...


class Errand:
    """One such process, which reads from the pipe that ``order`` is the other end of.

    Raises ``OSError`` where no process can be made: those of the session are too many.
    """

    def __init__(
        self, doing: Doing, state: Confinement, *, within_ms: int, most: int, more: tuple[int, ...] = ()
    ) -> None:
        order, self.order = os.pipe2(os.O_CLOEXEC)
        answer, theirs = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        try:
            self._pid = os.fork()
        except OSError:
            for fd in (order, self.order, answer, theirs):
                os.close(fd)
            raise
        if self._pid == 0:
            doing(state, [order, theirs, *more], supervisor)
        os.close(order)
        os.close(theirs)
        self._source = Source(answer, EventType.FILE, Budget(most))
        self._clock = Clock(within_ms, 0)

    def begin(self, outbound: Outbound, run: int) -> None:
        """Have what it writes passed on."""
        outbound.begin(run, [self._source])

    def left(self) -> float:
        """Return the seconds until its time is over."""
        return self._clock.left()

    def follow(self, outbound: Outbound) -> Cause | None:
        """Pass on what it wrote; return how it ended, once it has. All that it said is with the host then."""
        outbound.pump()
        if not outbound.sources:
            return Cause.REPORTED
        if outbound.truncated or self.left() <= 0:
            self._stop()
            outbound.drain()
            return Cause.OUTPUT_LIMIT if outbound.truncated else Cause.WALL_TIME
        return None

    def _stop(self) -> None:
        try:
            if os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                os.kill(self._pid, signal.SIGKILL)
        except ChildProcessError:
            pass  # it has been collected, and its number may be another's
