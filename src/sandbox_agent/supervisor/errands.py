"""The errands of a session: one clerk after another is sent into the box, and what it says is passed on.

The supervisor reads nothing of it, neither what a clerk says nor its notes, of which it only keeps the descriptor.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from sandbox_agent.confinement.confine import Confinement
from sandbox_agent.contract.policy import Policy
from sandbox_agent.contract.protocol import Cause, EventType
from sandbox_agent.supervisor import clerk
from sandbox_agent.supervisor.clock import Clock
from sandbox_agent.supervisor.relay import Budget, Outbound, Source, close


class Errands:
    """Sends clerks. ``given``: the pipe with notes of the files that the session was opened with."""

    def __init__(self, state: Confinement, policies: Mapping[str, Policy], given: int) -> None:
        self._state = state
        self._policies = policies
        self._given = given
        self._notes = os.memfd_create("notes", os.MFD_CLOEXEC)
        self._sent = False

    def begin(self, *, within_ms: int, most: int) -> Errand:
        """Send a clerk, with so much time and room for its answer.

        Raises ``OSError`` where there can be no process more: those of the session are too many.
        """
        order, order_writer = os.pipe2(os.O_CLOEXEC)
        answer, answer_writer = os.pipe2(os.O_CLOEXEC)
        supervisor = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            for fd in (order_writer, answer):
                os.close(fd)
            raise
        else:
            if pid == 0:
                clerk.main(self._state, self._policies, [order, answer_writer, self._notes, self._given], supervisor)
        finally:
            for fd in (order, answer_writer):
                os.close(fd)
        self._sent = True
        return Errand(pid, order_writer, Source(answer, EventType.FILE, Budget(most)), within_ms)

    def forget(self) -> None:
        """There is no file left that could be noted."""
        os.ftruncate(self._notes, 0)

    def end(self) -> int:
        """Return a descriptor to read the notes from, which is the caller's to close."""
        if not self._sent:
            close(self._notes)
            return self._given
        close(self._given)
        os.lseek(self._notes, 0, os.SEEK_SET)
        return self._notes


class Errand:
    """A clerk at work. ``order``: where its order is written to; it begins when that is closed."""

    def __init__(self, pid: int, order: int, answer: Source, within_ms: int) -> None:
        self.order = order
        self._pid = pid
        self._answer = answer
        self._clock = Clock(within_ms, 0)

    def left(self) -> float:
        """Return the seconds until its time is over, but not less than none."""
        return max(0.0, self._clock.left())

    def begin(self, outbound: Outbound) -> None:
        """Have what it says passed on, instead of what the session's interpreter does."""
        outbound.begin(outbound.run, [self._answer])

    def follow(self, outbound: Outbound) -> Cause | None:
        """Pass on what it says; return how it ended, once it has. All that it said is with the host then."""
        outbound.pump()
        cause = None
        if not outbound.sources:
            cause = Cause.REPORTED
        elif outbound.truncated or not self.left():
            cause = Cause.OUTPUT_LIMIT if outbound.truncated else Cause.WALL_TIME
            self._stop()
            for fd in outbound.drain():
                close(fd)
        if cause is not None:
            outbound.begin(outbound.run, [])
        return cause

    def _stop(self) -> None:
        try:
            if os.waitpid(self._pid, os.WNOHANG)[0] == 0:
                os.kill(self._pid, signal.SIGKILL)
        except ChildProcessError:
            pass  # it has been collected, and its number may be another's
