"""A session, in the supervisor: passes cells on to the child, which runs them one after another, until it ends.

The clock and the budgets are a cell's. While no cell is under way nothing is bounded here and nothing is passed on:
what threads write meanwhile waits in its pipe for the next cell, and how long a session may idle is the host's affair.

Between cells the host may have something done with the session's files, and after a cell those that it made or changed
are sent. Both are errands (`errands`). While one is under way, what the interpreter writes waits as well.

A cell is over when the child says so, by its second byte in a pipe. A cell whose time is over is interrupted first, so
that the session keeps its state; if it goes on, the session is stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import (
    CELL_GRACE_MS,
    COLLECT,
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
from sandbox_agent.supervisor.errands import Errand, Errands
from sandbox_agent.supervisor.judge import Judge
from sandbox_agent.supervisor.relay import Inbound, Outbound, ReadyChild, Source, close, discard
from sandbox_agent.supervisor.reset import Exit

COLLECTED_WITHIN = 3.0
"""Seconds that looking for what a cell made, and sending it, may take."""

COUNT_ROOM = 32
"""Bytes of the record that says how much was found."""

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
        self.outcome: Outcome | None = None  # once it is over

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
        self,
        inbound: Inbound,
        outbound: Outbound,
        judge: Judge,
        *,
        run: int,
        child: ReadyChild,
        limits: Limits,
        errands: Errands,
        has_files: Callable[[], bool],
    ) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._judge = judge
        self._run = run
        self._child = child
        self._limits = limits
        self._errands = errands
        self._has_files = has_files
        self._cell: Cell | None = None
        self._errand: Errand | None = None
        os.set_blocking(child.payload, False)
        self._sources: list[Source] = outbound.sources  # here while no cell is under way
        outbound.sources = []
        self._begun = False

    def relay(self, poll: Poll) -> tuple[Cause | None, Exit | None]:
        """Pass cells on until the child dies or must be stopped; return what `Supervisor._relay` does."""
        more = False
        watched = {self._child.prompt, self._child.ready}
        while True:
            left = None
            running = self._cell is not None and self._errand is None
            if self._errand is not None:
                left = self._errand.left()
            elif self._cell is not None and (left := self._cell.left()) <= 0:
                if self._cell.late is not None:
                    return self._cell.late, None
                self._cell.expire()
                self._signal()
                continue
            self._inbound.pump()
            host = poll(0 if more else left, watched if running else set())
            exit_, _, more = reset.reap(self._child.pid)
            if exit_ is not None:
                return None, exit_
            if self._errand is not None:
                self._attend(self._errand)
            elif self._cell is not None and (cause := self._follow(self._cell)) is not None:
                return cause, None
            header = self._inbound.read_header() if host and not self._inbound.busy else None
            if header is not None and (cause := self._obey(header)) is not None:
                return cause, None

    def ended(self) -> Cell | None:
        """Let go of what is only a session's; return the cell that was under way."""
        if not self._begun:
            self._outbound.sources += self._sources  # the child's report of why it did not begin
        else:
            for source in self._sources:
                close(source.fd)
        close(self._child.payload)
        close(self._child.stdin)
        if self._cell is not None and self._cell.outcome is not None:  # its files were being sent; that is over as well
            self._cell.header = self._cell.header._replace(flags=0)
        return self._cell

    # ---- the child's side

    def _follow(self, cell: Cell) -> Cause | None:
        """Pass on what the cell wrote and see how far it is; return a cause to stop for."""
        self._outbound.pump()
        asks = self._inbound.is_awaited(self._child.stdin, self._child.prompt)
        if asks and cell.reads and not cell.waiting and cell.late is None:
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
        cell.outcome = Outcome(
            cell.late or (Cause.CANCELLED if cell.interrupted else Cause.REPORTED),
            wall_us=cell.clock.ran_us(),
            cpu_us=self._judge.used(self._child.pid),
        )
        self._sources, self._outbound.sources = self._outbound.sources, []
        if not self._has_files():
            self._errands.forget()
        elif cell.header.flags & COLLECT:
            most = self._limits.attachments + COUNT_ROOM
            self._errand = self._begin_errand(int(COLLECTED_WITHIN * 1000), most)
        if self._errand is None:
            self._tell_cell_done(cell.outcome)
        else:
            close(self._errand.order)  # it has none

    def _tell_cell_done(self, outcome: Outcome) -> None:
        self._cell = None
        self._outbound.send(event(EventType.CELL_DONE, self._run, outcome.pack()))

    def _signal(self) -> None:
        """Interrupt the cell, or do so when it begins: before, a signal would be lost."""
        if self._cell is not None and _BEGUN <= self._cell.steps < _OVER:
            os.kill(self._child.pid, signal.SIGINT)

    def _attend(self, errand: Errand) -> None:
        """Pass on what the errand says, and say so when it is over."""
        cause = errand.follow(self._outbound)
        if cause is not None:
            self._errand = None
            if self._cell is not None and self._cell.outcome is not None:
                self._tell_cell_done(self._cell.outcome)
            else:
                self._inbound.discard()  # of its order, what it did not take
                self._outbound.send(event(EventType.FILES_DONE, self._run, Outcome(cause).pack()))

    # ---- the host's side

    def _obey(self, header: CommandHeader) -> Cause | None:
        ours = header.run == self._run
        cell = self._cell if self._errand is None else None
        idle = self._cell is None and self._errand is None
        if ours and header.type == Command.CANCEL:
            return Cause.CANCELLED
        if ours and header.type == Command.CELL and idle:
            self._begin(header)
            return None
        if ours and header.type == Command.FILES and idle:
            self._send_clerk(header)
            return None
        if ours and header.type == Command.STDIN and cell is not None and cell.reads:
            cell.go_on()
            self._outbound.hasten()
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
        if stale and not available(self._child.payload):
            with contextlib.suppress(BlockingIOError):  # the program has filled it meanwhile
                os.write(self._child.payload, b"%d\n" % stale)
        self._inbound.forward(header.length, self._child.payload, last=False)

    def _send_clerk(self, header: CommandHeader) -> None:
        """Let a clerk have an order."""
        self._errand = self._begin_errand(header.wall_ms, header.output_bytes)
        if self._errand is None:
            self._inbound.forward(header.length, None, last=False)
            self._outbound.send(event(EventType.FILES_DONE, self._run, Outcome(Cause.PROCESS_LIMIT).pack()))
        else:
            self._inbound.forward(header.length, self._errand.order, last=True)

    def _begin_errand(self, within_ms: int, most: int) -> Errand | None:
        """Send a clerk; None where the session's own processes leave it no room."""
        try:
            errand = self._errands.begin(within_ms=within_ms, most=most)
        except OSError:
            return None
        errand.begin(self._outbound)
        return errand
