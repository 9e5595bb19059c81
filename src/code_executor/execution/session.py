"""A session: an interpreter that lives on between requests, and runs one cell after another.

It is one long run on the data path (`execution.executor`), with a task that owns it: cells go in, and what each of them
says comes out to whoever asked for it. Its sandbox is destroyed when it ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Self

from code_executor.core.caller import LOCAL, Caller
from code_executor.core.cells import CellTurn
from code_executor.core.errors import CellUnknownError, CodeExecutorError, SessionBusyError, SessionUnknownError
from code_executor.core.files import failure
from code_executor.core.limits import SessionLimits
from code_executor.core.models import (
    Cancel,
    Cell,
    CellDone,
    Event,
    Execution,
    File,
    FileAction,
    FileAnswer,
    FileOrder,
    Input,
    Interrupt,
    Reason,
    Result,
    SessionState,
    Started,
    Stdin,
    Waiting,
)
from code_executor.core.runner import Runner, result_of

_MOST_INPUTS = 1000
"""Inputs that may wait for a cell to take them."""

_ENDS_WITHIN = 10.0
"""Seconds that a cell under way gets to give its result when its session is ended."""


class Session:
    """A living interpreter. Use it as an async context manager, or `open` and `close` it.

    ``caller``: who asked. ``files`` are put into its working directory. ``limits``: of its life, and of the input that
    one cell may be sent. ``interactive``: what it is for the cells that do not say it themselves (`Cell`).
    ``environment``: as of an `Execution`; ``policy``: its ``policy_name``, for all cells and files.
    """

    def __init__(
        self,
        runner: Runner,
        *,
        caller: Caller = LOCAL,
        files: tuple[File, ...] = (),
        limits: SessionLimits | None = None,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> None:
        self.caller = caller
        self.files = files
        self.environment = environment
        self.policy = policy
        self.interactive = interactive
        self.limits = limits or SessionLimits()
        self.began = self.used = time.monotonic()
        self.known = False
        """Whether its caller has done something in it. Else the answer to its opening may have been lost."""
        self.why = ""
        """Why it is over: what whoever closed it said, or the reason that it ended with."""
        self._runner = runner
        self._execution = Execution(
            "", files=files, session=True, environment=environment, policy_name=policy, caller=caller
        )
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._turn = CellTurn()
        self._events: asyncio.Queue[Event] = asyncio.Queue()  # of the cell
        self._input_left = self.limits.input
        self._orders = asyncio.Lock()  # about files, one at a time, and not while a cell begins
        self._answer: asyncio.Future[FileAnswer] | None = None
        self._result: Result | None = None  # of the cell that ran last
        self._reads = False  # whether the cell may be sent more
        self._opened: asyncio.Future[None] | None = None
        self._life: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Session {self.state}, {self.cells} cells>"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def state(self) -> SessionState:
        if self._life is None or self._life.done() or self.why:
            return SessionState.OVER
        return self._turn.state

    @property
    def cells(self) -> int:
        """How many cells were run, the one under way included."""
        return self._turn.count

    async def open(self) -> None:
        """Wait for a sandbox; raise ``PoolBusyError`` or ``PoolClosedError`` when none is to be had."""
        self._opened = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(self._opened))
        try:
            await self._opened
        except BaseException:
            await self.close()
            raise
        self.began = self.used = time.monotonic()

    async def close(self, why: str = "closed") -> None:
        """End it. A cell under way has its result, with what it wrote."""
        self.why = self.why or why
        if self._life is None:
            return
        if self._turn.running:
            self._inputs.put_nowait(Cancel())
            await asyncio.wait([self._life], timeout=_ENDS_WITHIN)
        self._life.cancel()
        await asyncio.wait([self._life])

    async def over(self, within: float) -> bool:
        """Wait, so many seconds at most, until it is over; return whether it is."""
        if self._life is None:
            return True
        await asyncio.wait([self._life], timeout=within)
        return self._life.done()

    async def run(self, code: str | Cell, **options: object) -> Result:
        """Run a cell and return its result; ``options`` are the other fields of `Cell`. Cancelling interrupts it."""
        cell = code if isinstance(code, Cell) else Cell(code, **options)  # type: ignore[arg-type]
        return await result_of(self.stream(cell))

    async def stream(self, cell: Cell) -> AsyncGenerator[Event, None]:
        """Run a cell, with the events of a run; closing this interrupts the cell.

        Raises ``SessionBusyError`` while another cell is under way, and ``SessionUnknownError`` after the end.
        """
        if not self._turn.running:
            async with self._orders:  # begins when what is being done with its files is done
                pass
        if cell.interactive is None:
            cell = replace(cell, interactive=self.interactive)
        events = self._begin(cell)
        ended = False
        try:
            yield Started(cell.id, 0.0)
            while not ended:
                event = await events.get()
                ended = isinstance(event, CellDone)
                yield event.result if isinstance(event, CellDone) else event
        finally:
            if not ended and self._turn.running and self._turn.cell is cell:
                self._inputs.put_nowait(Interrupt())

    def result(self, number: int) -> Result:
        """Return again what came of the last cell, for whoever lost its answer; ``number``: of the cell, from 1.

        Raises ``SessionBusyError`` while it runs, and ``CellUnknownError`` for any other cell.
        """
        self._require_life()
        if number != self.cells or not number:
            last = f"cell {self.cells}" if self.cells else "none yet"
            raise CellUnknownError(f"only the result of the last cell is kept, which is {last}")
        if self._turn.running or self._result is None:
            raise SessionBusyError(f"cell {number} is still running")
        return self._result

    async def order(self, order: FileOrder) -> FileAnswer:
        """Do something with its files and return what came of it; `list_files` and so on are easier to use.

        Raises ``FileError`` where it cannot be done, ``SessionBusyError`` while a cell is under way, and
        ``SessionUnknownError`` after the end.
        """
        doing = asyncio.create_task(self._do(order))
        doing.add_done_callback(lambda task: task.exception())  # of which nobody may be there to hear
        answer = await asyncio.shield(doing)  # what was begun comes to its end
        if answer.fault:
            raise failure(order.path, answer.fault, answer.why)
        return answer

    async def list_files(self) -> FileAnswer:
        """Return the files in its working directory, as ``entries``."""
        return await self.order(FileOrder(FileAction.LIST))

    async def read_file(self, path: str) -> bytes:
        """Return what is in a file."""
        return (await self.order(FileOrder(FileAction.GET, path))).data

    async def write_file(self, path: str, data: bytes, *, policy: bool = True) -> bool:
        """Put a file there, in place of what is at its path; return whether nothing was.

        ``policy``: whether what it says of a Python file holds.
        """
        return (await self.order(FileOrder(FileAction.PUT, path, data, policy))).made

    async def delete_file(self, path: str) -> None:
        await self.order(FileOrder(FileAction.DELETE, path))

    def send(self, item: Stdin | Interrupt) -> None:
        """Give the cell under way a piece of its stdin, or interrupt it; raise ``SessionBusyError`` if there is none.

        Also where the cell takes no input (any more), or was sent too much of it.
        """
        self._require_life()
        if not self._turn.running:
            raise SessionBusyError("no cell is running")
        waiting = self._inputs.qsize()
        if isinstance(item, Stdin):
            if not self._reads:
                raise SessionBusyError("the cell takes no more input: its stdin has ended")
            self._reads = item.data is not None
            self._input_left -= len((item.data or "").encode("utf-8", "replace"))
            too_much = self._input_left < 0 or waiting >= _MOST_INPUTS
        else:  # is let through where input is not any more
            too_much = waiting >= 2 * _MOST_INPUTS
        if too_much:
            raise SessionBusyError("the cell was sent more input than it may have")
        self.used = time.monotonic()
        self._turn.wait(waiting=False)
        self._inputs.put_nowait(item)

    def left(self, now: float) -> float:
        """Return the seconds that it may still live, if no other cell begins."""
        rest = self.began + self.limits.age - now
        idle = self.limits.idle if self.known else min(self.limits.idle, self.limits.unused)
        return rest if self._turn.running else min(rest, self.used + idle - now)

    def _begin(self, cell: Cell) -> asyncio.Queue[Event]:
        self._require_life()
        self._turn.begin(cell)
        self.known = True
        self._input_left = self.limits.input
        self._reads = cell.reads
        self._events = asyncio.Queue()
        self._inputs.put_nowait(cell)
        return self._events

    async def _do(self, order: FileOrder) -> FileAnswer:
        self._require_no_cell()
        async with self._orders:
            self._require_no_cell()
            self.known = True
            self.used = time.monotonic()
            self._answer = asyncio.get_running_loop().create_future()
            self._inputs.put_nowait(order)
            return await self._answer

    def _require_no_cell(self) -> None:
        self._require_life()
        if self._turn.running:
            raise SessionBusyError("a cell is running; files can be put, listed, read and deleted when it is over")

    def _require_life(self) -> None:
        if self.state is SessionState.OVER:
            raise SessionUnknownError("the session is over")

    async def _live(self, opened: asyncio.Future[None]) -> None:
        try:
            async with aclosing(self._runner.stream(self._execution, self._items())) as events:
                async for event in events:
                    if isinstance(event, Started):
                        opened.set_result(None)
                    elif isinstance(event, Result):
                        self.why = self.why or event.reason.value
                    else:
                        self._take(event)
        except CodeExecutorError as error:
            if not opened.done():
                opened.set_exception(error)
        finally:
            opened.cancel()
            if self._turn.running and self._turn.cell is not None:
                self._take(CellDone(Result(self._turn.cell.id, Reason.CANCELLED, error="The session has ended.")))
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(SessionUnknownError("the session is over"))

    def _take(self, event: Event) -> None:
        if isinstance(event, FileAnswer):
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(event)
            return
        if not self._turn.running:
            return
        self._turn.wait(waiting=isinstance(event, Waiting))
        self._events.put_nowait(event)
        if isinstance(event, CellDone):
            self._result = event.result
            self._turn.end()
            self.used = time.monotonic()

    async def _items(self) -> AsyncIterator[Input]:
        while True:
            yield await self._inputs.get()
