"""Sessions: an interpreter that lives on between requests, and runs one cell after another.

A `Session` is one long run on the data path (`executor`), with a task that owns it: cells go in, and what each of them
says comes out to whoever asked for it. Its sandbox is destroyed when it ends.

`Sessions` keeps those of a service: it says who may open one, finds them by their id, which is a secret of the client
that opened it, and ends what idles or grows old. Its decisions are plain code on plain state (`Register`), so that a
test can step through them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from code_executor.errors import (
    CodeExecutorError,
    SessionBusyError,
    SessionsFullError,
    SessionsOffError,
    SessionUnknownError,
)
from code_executor.executor import Runner, result_of
from code_executor.models import (
    Cancel,
    Cell,
    CellDone,
    Event,
    Execution,
    File,
    Input,
    Interrupt,
    Reason,
    Result,
    SessionInfo,
    SessionLimits,
    SessionState,
    Started,
    Stdin,
    Waiting,
)

log = structlog.get_logger()

_MOST_INPUTS = 1000
"""Inputs that may wait for a cell to take them."""

_ENDS_WITHIN = 10.0
"""Seconds that a cell under way gets to give its result when its session is ended."""


class Session:
    """A living interpreter. Use it as an async context manager, or `open` and `close` it.

    ``client``: who asked, for the log. ``files`` are put into its working directory. ``most_input``: bytes that may be
    sent to one cell.
    """

    def __init__(
        self, runner: Runner, *, client: str = "", files: tuple[File, ...] = (), most_input: int = 1 << 20
    ) -> None:
        self.client = client
        self.cells = 0
        self.began = self.used = time.monotonic()
        self.why = ""
        """Why it is over: what whoever closed it said, or the reason that it ended with."""
        self._runner = runner
        self._execution = Execution("", files=files, session=True, client=client)
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._cell: Cell | None = None
        self._events: asyncio.Queue[Event] = asyncio.Queue()  # of the cell
        self._waiting = False
        self._most_input = self._input_left = most_input
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
        if self._cell is None:
            return SessionState.IDLE
        return SessionState.WAITING if self._waiting else SessionState.RUNNING

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
        if self._cell is not None:
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
        events = self._begin(cell)
        ended = False
        try:
            yield Started(cell.id, 0.0)
            while not ended:
                event = await events.get()
                ended = isinstance(event, CellDone)
                yield event.result if isinstance(event, CellDone) else event
        finally:
            if not ended and self._cell is cell:
                self._inputs.put_nowait(Interrupt())

    def send(self, item: Stdin | Interrupt) -> None:
        """Give the cell under way a piece of its stdin, or interrupt it; raise ``SessionBusyError`` if there is none.

        Also where the cell was sent so much that no more is taken.
        """
        self._require_life()
        if self._cell is None:
            raise SessionBusyError("no cell is running")
        waiting = self._inputs.qsize()
        if isinstance(item, Stdin):
            self._input_left -= len((item.data or "").encode("utf-8", "replace"))
            too_much = self._input_left < 0 or waiting >= _MOST_INPUTS
        else:  # is let through where input is not any more
            too_much = waiting >= 2 * _MOST_INPUTS
        if too_much:
            raise SessionBusyError("the cell was sent more than it takes")
        self.used = time.monotonic()
        self._waiting = False
        self._inputs.put_nowait(item)

    def left(self, now: float, idle: float, age: float) -> float:
        """Return the seconds that it may still live: ``idle`` without a cell, ``age`` in all."""
        rest = self.began + age - now
        return rest if self._cell is not None else min(rest, self.used + idle - now)

    def _begin(self, cell: Cell) -> asyncio.Queue[Event]:
        self._require_life()
        if self._cell is not None:
            raise SessionBusyError("a cell is running; one at a time")
        self._cell = cell
        self._waiting = False
        self._input_left = self._most_input
        self._events = asyncio.Queue()
        self.cells += 1
        self._inputs.put_nowait(cell)
        return self._events

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
            if self._cell is not None:
                self._take(CellDone(Result(self._cell.id, Reason.CANCELLED, error="The session has ended.")))

    def _take(self, event: Event) -> None:
        if self._cell is None:
            return
        self._waiting = isinstance(event, Waiting)
        self._events.put_nowait(event)
        if isinstance(event, CellDone):
            self._cell = None
            self.used = time.monotonic()

    async def _items(self) -> AsyncIterator[Input]:
        while True:
            yield await self._inputs.get()


# ---- those of a service


@dataclass
class Register:
    """Which sessions there are, whose they are, and who may have another. No I/O in here."""

    limits: SessionLimits
    sessions: dict[str, Session] = field(default_factory=dict)
    opened: int = 0

    def admit(self, client: str, session: Session) -> str:
        """Enter a session that is about to be opened and return its id, or raise why it may not be."""
        if self.limits.most < 1:
            raise SessionsOffError("this service has no sessions")
        own = sum(each.client == client for each in self.sessions.values())
        if own >= self.limits.per_client:
            raise SessionsFullError(f"you have {own} open already, which is as many as you may", own=True)
        if len(self.sessions) >= self.limits.most:
            raise SessionsFullError("all the sessions that there are here are taken", own=False)
        name = secrets.token_urlsafe(24)
        self.sessions[name] = session
        self.opened += 1
        return name

    def find(self, name: str, client: str) -> Session:
        """Return a session; a client that does not own it learns nothing of it."""
        if self.limits.most < 1:
            raise SessionsOffError("this service has no sessions")
        session = self.sessions.get(name)
        if session is None or session.client != client or session.state is SessionState.OVER:
            raise SessionUnknownError("there is no such session, or it has ended")
        return session

    def forget(self, name: str) -> None:
        self.sessions.pop(name, None)


class Sessions:
    """The sessions of a service. Use it as an async context manager, inside that of the pools."""

    def __init__(self, runner: Runner, limits: SessionLimits, now: Callable[[], float] = time.monotonic) -> None:
        self.register = Register(limits)
        self._runner = runner
        self._now = now
        self._keepers: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self, client: str, files: tuple[File, ...] = ()) -> SessionInfo:
        """Open one for ``client``; raise ``SessionError`` or what `Session.open` raises."""
        session = Session(self._runner, client=client, files=files, most_input=self.register.limits.input)
        name = self.register.admit(client, session)
        try:
            await session.open()
        except BaseException:
            self.register.forget(name)
            raise
        self._keepers[name] = asyncio.create_task(self._keep(name, session))
        return self.info(name, client)

    def info(self, name: str, client: str) -> SessionInfo:
        session = self.register.find(name, client)
        limits = self.register.limits
        left = max(0.0, session.began + limits.age - self._now())
        return SessionInfo(name, session.state, session.cells, limits.idle, left)

    def stream(self, name: str, client: str, cell: Cell) -> AsyncGenerator[Event, None]:
        """As `Session.stream`; raises ``SessionError`` at once."""
        return self.register.find(name, client).stream(cell)

    def send(self, name: str, client: str, item: Stdin | Interrupt) -> None:
        """As `Session.send`."""
        self.register.find(name, client).send(item)

    async def end(self, name: str, client: str) -> None:
        """End one, and wait until it has ended."""
        self.register.find(name, client)
        await self._end(name, "closed")

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self._end(name, "stopping") for name in tuple(self.register.sessions)))

    async def _end(self, name: str, why: str) -> None:
        session, keeper = self.register.sessions.get(name), self._keepers.get(name)
        if session is not None:
            await session.close(why)
        if keeper is not None:
            await asyncio.wait([keeper])

    async def _keep(self, name: str, session: Session) -> None:
        """End it when its time is over, and write down that it ended."""
        limits = self.register.limits
        while (left := session.left(self._now(), limits.idle, limits.age)) > 0:
            if await session.over(min(left, limits.idle)):
                break
        await session.close("age" if session.began + limits.age <= self._now() else "idle")
        self.register.forget(name)
        self._keepers.pop(name, None)
        log.info(
            "session_ended",
            client=session.client,
            why=session.why,
            cells=session.cells,
            seconds=round(self._now() - session.began, 3),
        )
