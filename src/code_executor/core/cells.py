"""Which cell of a session runs: none, or one at a time, which may be waiting for input. No I/O in here."""

from __future__ import annotations

import time
from collections.abc import Callable

from code_executor.core.errors import SessionBusyError
from code_executor.core.limits import Limits
from code_executor.core.models import Cell, SessionState


class CellTurn:
    """The one state machine of a session's cells: who asks for a cell and who runs it keep one each.

    ``cell``: the one that runs, or ran last. ``count``: cells so far. ``limits``: those of the cell. ``on_end``: is
    called when a cell is over.
    """

    def __init__(self) -> None:
        self.cell: Cell | None = None
        self.count = 0
        self.limits = Limits()
        self.began = 0.0
        self.running = False
        self.on_end: Callable[[], None] | None = None
        self._waiting = False

    @property
    def state(self) -> SessionState:
        if not self.running:
            return SessionState.IDLE
        return SessionState.WAITING if self._waiting else SessionState.RUNNING

    def begin(self, cell: Cell, limits: Limits | None = None) -> None:
        """A cell begins; raise ``SessionBusyError`` while another one runs."""
        if self.running:
            raise SessionBusyError("a cell is running; one at a time")
        self.cell, self.limits, self.began = cell, limits or Limits(), time.monotonic()
        self.count += 1
        self.running, self._waiting = True, False

    def wait(self, *, waiting: bool) -> None:
        """The cell waits for input, or goes on."""
        self._waiting = waiting

    def end(self) -> None:
        """The cell is over."""
        self.running = False
        if self.on_end is not None:
            self.on_end()
