"""The sessions of a service: who may open one, whose they are, and when they end.

Its decisions are plain code on plain state (`SessionBook`), so that a test can step through them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog

from code_executor.core.caller import Caller
from code_executor.core.errors import SessionsFullError, SessionsOffError, SessionUnknownError
from code_executor.core.limits import SessionLimits
from code_executor.core.models import Cell, Event, File, Interrupt, SessionInfo, SessionState, Stdin
from code_executor.core.runner import Runner
from code_executor.execution.session import Session

log = structlog.get_logger()


@dataclass
class SessionBook:
    """Which sessions there are, whose they are, and who may have another. No I/O in here."""

    limits: SessionLimits
    sessions: dict[str, Session] = field(default_factory=dict)
    opened: int = 0

    def admit(self, caller: Caller, session: Session) -> str:
        """Enter a session that is about to be opened and return its id, or raise why it may not be."""
        if self.limits.open < 1:
            raise SessionsOffError("this service has no sessions")
        own = sum(each.caller == caller for each in self.sessions.values())
        if own >= self.limits.open_per_caller:
            raise SessionsFullError(f"you already have {own} open session{'s' * (own > 1)}, the maximum", own=True)
        if len(self.sessions) >= self.limits.open:
            raise SessionsFullError("all sessions are in use; try again later", own=False)
        name = secrets.token_urlsafe(24)
        self.sessions[name] = session
        self.opened += 1
        return name

    def find(self, name: str, caller: Caller) -> Session:
        """Return a session; a caller that does not own it learns nothing of it."""
        if self.limits.open < 1:
            raise SessionsOffError("this service has no sessions")
        session = self.sessions.get(name)
        if session is None or session.caller != caller or session.state is SessionState.OVER:
            raise SessionUnknownError("there is no such session, or it has ended")
        return session

    def forget(self, name: str) -> None:
        self.sessions.pop(name, None)


class Sessions:
    """The sessions of this process: a `SessionDesk`. Use it as an async context manager, inside that of the pools."""

    def __init__(self, runner: Runner, limits: SessionLimits, now: Callable[[], float] = time.monotonic) -> None:
        self.book = SessionBook(limits)
        self._runner = runner
        self._now = now
        self._keepers: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(
        self, caller: Caller, files: tuple[File, ...] = (), *, interactive: bool | None = None
    ) -> SessionInfo:
        """Open one for ``caller``; raise ``SessionError`` or what `Session.open` raises."""
        session = Session(self._runner, caller=caller, files=files, limits=self.book.limits, interactive=interactive)
        name = self.book.admit(caller, session)
        try:
            await session.open()
        except BaseException:
            self.book.forget(name)
            raise
        self._keepers[name] = asyncio.create_task(self._keep(name, session))
        return await self.info(name, caller)

    async def info(self, name: str, caller: Caller) -> SessionInfo:
        session = self.book.find(name, caller)
        limits = self.book.limits
        left = max(0.0, session.began + limits.age - self._now())
        return SessionInfo(name, session.state, session.cells, limits.idle, left)

    def stream(self, name: str, caller: Caller, cell: Cell) -> AsyncGenerator[Event, None]:
        """As `Session.stream`; raises ``SessionError`` at once."""
        return self.book.find(name, caller).stream(cell)

    async def send(self, name: str, caller: Caller, item: Stdin | Interrupt) -> None:
        """As `Session.send`."""
        self.book.find(name, caller).send(item)

    async def end(self, name: str, caller: Caller) -> None:
        """End one, and wait until it has ended."""
        self.book.find(name, caller)
        await self._end(name, "closed")

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self._end(name, "stopping") for name in tuple(self.book.sessions)))

    async def _end(self, name: str, why: str) -> None:
        session, keeper = self.book.sessions.get(name), self._keepers.get(name)
        if session is not None:
            await session.close(why)
        if keeper is not None:
            await asyncio.wait([keeper])

    async def _keep(self, name: str, session: Session) -> None:
        """End it when its time is over, and write down that it ended."""
        limits = self.book.limits
        while (left := session.left(self._now())) > 0:
            if await session.over(min(left, limits.idle)):
                break
        await session.close("age" if session.began + limits.age <= self._now() else "idle")
        self.book.forget(name)
        self._keepers.pop(name, None)
        log.info(
            "session_ended",
            client=session.caller.id,
            why=session.why,
            cells=session.cells,
            seconds=round(self._now() - session.began, 3),
        )
