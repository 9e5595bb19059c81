"""A session, in the supervisor: passes cells on to the child, which runs them one after another, until it ends.

The clock and the budgets are a cell's. While no cell is under way nothing is bounded here and nothing is passed on:
what threads write meanwhile waits in its pipe for the next cell, and how long a session may idle is the host's affair.

A cell is over when the child says so, by its second byte in a pipe. A cell whose time is over is interrupted first, so
that the session keeps its state; if it goes on, the session is stopped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import (
    CELL_GRACE_MS,
    INTERACTIVE,
    MAX_REPORT,
    PATIENT,
    Cause,
    Command,
    CommandHeader,
    EventType,
    Outcome,
    event,
)
from sandbox_agent.supervisor import reset
from sandbox_agent.supervisor.clock import Clock
from sandbox_agent.supervisor.judge import Judge
from sandbox_agent.supervisor.relay import Inbound, Outbound, ReadyChild, Source, close, discard
from sandbox_agent.supervisor.reset import Exit

_BEGUN, _OVER = 1, 2

Poll = Callable[[float | None, set[int]], bool]


class Cell:
    """The cell under way."""

    def __init__(self, header: CommandHeader, input_seconds: int) -> None:
        self.header = header
        self.clock = Clock(header.wall_ms, input_seconds)
        self.steps = 0
        self.reads = bool(header.flags & INTERACTIVE)
        self.waiting = False
        self.interrupted = False
        self.late: Cause | None = None
        self.grace: Clock | None = None

    def left(self) -> float:
        """Return the seconds until `expire`."""
        return (self.grace or self.clock).left()

    def wait(self) -> None:
        """It waits for stdin from now on."""
        self.waiting = True
        if self.header.flags & PATIENT:
            self.clock.wait()

    def go_on(self) -> None:
        """It has what it waits for."""
        self.waiting = False
        self.clock.go_on()

    def expire(self) -> None:
        """Its time is over; from now on it has its grace."""
        self.late = Cause.INPUT_TIME if self.clock.waiting else Cause.WALL_TIME
        self.grace = Clock(CELL_GRACE_MS, 0)


class CellRelay:
    """Passes the cells of one session to its child, one at a time."""

    def __init__(
        self, inbound: Inbound, outbound: Outbound, judge: Judge, *, run: int, child: ReadyChild, limits: Limits
    ) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._judge = judge
        self._run = run
        self._child = child
        self._limits = limits
        self._cell: Cell | None = None
        self._sources: list[Source] = outbound.sources  # here while no cell is under way
        outbound.sources = []
        self._begun = False

    def relay(self, poll: Poll) -> tuple[Cause | None, Exit | None]:
        """Pass cells on until the child dies or must be stopped; return what `Supervisor._relay` does."""
        more = False
        watched = {self._child.prompt, self._child.ready}
        while True:
            left = None
            if self._cell is not None and (left := self._cell.left()) <= 0:
                if self._cell.late is not None:
                    return self._cell.late, None
                self._cell.expire()
                self._signal()
                continue
            self._inbound.pump()
            host = poll(0 if more else left, watched if self._cell is not None else set())
            exit_, _, more = reset.reap(self._child.pid)
            if exit_ is not None:
                return None, exit_
            if self._cell is not None and (cause := self._follow(self._cell)) is not None:
                return cause, None
            header = self._inbound.read_header() if host and not self._inbound.busy else None
            if header is not None and (cause := self._obey(header)) is not None:
                return cause, None

    def ended(self) -> Cell | None:
        """Let go of what is only a session's; return the cell that was under way."""
        if not self._begun:
            self._outbound.sources = self._sources  # the child's report of why it did not begin
        elif self._cell is None:
            for source in self._sources:
                close(source.fd)
        close(self._child.payload)
        close(self._child.stdin)
        return self._cell

    # ---- the child's side

    def _follow(self, cell: Cell) -> Cause | None:
        """Pass on what the cell wrote and see how far it is; return a cause to stop for."""
        self._outbound.pump()
        asks = discard(self._child.prompt) and cell.reads and not cell.waiting and cell.late is None
        if asks and not available(self._child.stdin):
            cell.wait()
            self._outbound.flush()  # what it asked comes before the news that it waits
            self._outbound.send(event(EventType.WAITING, self._run))
        before, cell.steps = cell.steps, cell.steps + discard(self._child.ready)
        if before < _BEGUN <= cell.steps < _OVER and (cell.interrupted or cell.late is not None):
            self._signal()
        if cell.steps >= _OVER:
            self._outbound.flush()
        if self._outbound.truncated:
            return Cause.OUTPUT_LIMIT
        if cell.steps >= _OVER:
            self._finish(cell)
        return None

    def _finish(self, cell: Cell) -> None:
        self._inbound.discard()  # input that it did not take
        outcome = Outcome(
            cell.late or (Cause.CANCELLED if cell.interrupted else Cause.REPORTED),
            wall_us=cell.clock.ran_us(),
            cpu_us=self._judge.used(self._child.pid),
        )
        self._outbound.send(event(EventType.CELL_DONE, self._run, outcome.pack()))
        self._cell = None
        self._sources, self._outbound.sources = self._outbound.sources, []

    def _signal(self) -> None:
        """Interrupt the cell, or do so when it begins: before, a signal would be lost."""
        if self._cell is not None and _BEGUN <= self._cell.steps < _OVER:
            os.kill(self._child.pid, signal.SIGINT)

    # ---- the host's side

    def _obey(self, header: CommandHeader) -> Cause | None:
        ours = header.run == self._run
        cell = self._cell
        if ours and header.type == Command.CANCEL:
            return Cause.CANCELLED
        if ours and header.type == Command.CELL and cell is None:
            self._begin(header)
            return None
        if ours and header.type == Command.STDIN and cell is not None and cell.reads:
            cell.go_on()
            self._inbound.forward(header.length, self._child.stdin, last=False)
            return None
        if ours and header.type == Command.EOF and cell is not None and cell.reads:
            cell.go_on()
            cell.reads = False
            self._inbound.forward(header.length, self._child.payload, last=False)
            return None
        if ours and header.type == Command.INTERRUPT and cell is not None:
            cell.interrupted = True
            cell.go_on()
            self._signal()
        self._inbound.forward(header.length, None, last=False)
        return None

    def _begin(self, header: CommandHeader) -> None:
        """Let the child have the cell; what it may write is counted anew."""
        self._begun = True
        discard(self._child.ready)
        budgets = {EventType.REPORT: MAX_REPORT, EventType.DISPLAY: self._limits.attachments}
        for source in self._sources:
            source.budget.left = budgets.get(source.type, header.output_bytes)  # stdout and stderr share theirs
        self._outbound.begin(self._run, self._sources)
        self._sources = []
        self._judge.begin(self._child.pid)
        self._cell = Cell(header, int(self._limits.input_time))
        stale = available(self._child.stdin)  # what earlier cells were sent and did not read
        if stale and not available(self._child.payload):  # so that this never waits for a child that reads nothing
            os.write(self._child.payload, b"%d\n" % stale)
        self._inbound.forward(header.length, self._child.payload, last=False)
