"""The sessions of a service: who may open one, whose they are, and when they end.

Its decisions are plain code on plain state (`SessionBook`), so that a test can step through them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import structlog

from code_executor.core.caller import Caller
from code_executor.core.errors import (
    SessionBusyError,
    SessionKeyError,
    SessionRefusedError,
    SessionsFullError,
    SessionsOffError,
    SessionUnknownError,
)
from code_executor.core.limits import SessionLimits, held_to
from code_executor.core.models import (
    Cell,
    Event,
    File,
    FileAnswer,
    FileOrder,
    Interrupt,
    Result,
    SessionInfo,
    SessionState,
    Stdin,
)
from code_executor.core.runner import Runner
from code_executor.execution.session import Session

log = structlog.get_logger()


@dataclass
class SessionBook:
    """Which sessions there are, whose they are, and who may have another. No I/O in here.

    ``keys``: the session that a caller opened with a key. ``busy``: names of those that are being opened or restarted.
    ``ended``: how many have ended, by cause.
    """

    limits: SessionLimits
    sessions: dict[str, Session] = field(default_factory=dict)
    opened: int = 0
    keys: dict[tuple[Caller, str], str] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)

    def admit(self, caller: Caller, session: Session, key: str = "") -> str:
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
        if key:
            self.keys[caller, key] = name
        self.opened += 1
        return name

    def lost(self, caller: Caller) -> tuple[str, Session] | None:
        """Return a session to give up where there is no room for another of this caller: one that it did nothing in.

        Whoever never heard that it was opened asks for another, and could not end it.
        """
        own = [(name, each) for name, each in self.sessions.items() if each.caller == caller]
        if len(own) < self.limits.open_per_caller and len(self.sessions) < self.limits.open:
            return None
        return next(((name, each) for name, each in own if not each.known and name not in self.busy), None)

    def find(self, name: str, caller: Caller) -> Session:
        """Return a session; a caller that does not own it learns nothing of it."""
        if self.limits.open < 1:
            raise SessionsOffError("this service has no sessions")
        session = self.sessions.get(name)
        if session is not None and session.caller == caller and name in self.busy:
            raise SessionBusyError("the session is being opened; try again")
        if session is None or session.caller != caller or session.state is SessionState.OVER:
            raise SessionUnknownError("there is no such session, or it has ended")
        return session

    def opened_with(
        self,
        key: str,
        caller: Caller,
        files: tuple[File, ...] = (),
        *,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> str | None:
        """Return the session that the caller opened with this key before; None where it has none, or none any more.

        Raises ``SessionKeyError`` if another was asked for then, and ``SessionBusyError`` while it is opened.
        """
        name = self.keys.get((caller, key))
        if name is None:
            return None
        before = self.sessions[name]
        then = (before.files, before.interactive, before.environment, before.policy)
        if then != (files, interactive, environment, policy):
            raise SessionKeyError(
                "the key was used to open a session with other `files`, or another `interactive`, `environment` or "
                "`policy`"
            )
        try:
            self.find(name, caller)
        except SessionUnknownError:
            return None
        return name

    def own(self, caller: Caller) -> list[str]:
        """Return the names of a caller's sessions, the oldest first."""
        if self.limits.open < 1 or not self.limits.listed:
            raise SessionsOffError("this service has no list of sessions")
        living = self.sessions.items()
        return [
            name
            for name, session in living
            if session.caller == caller and name not in self.busy and session.state is not SessionState.OVER
        ]

    def replace(self, name: str, session: Session) -> None:
        """Let another session have the name of one."""
        self.sessions[name] = session

    def forget(self, name: str, session: Session) -> None:
        """Take a session out, unless its name is another's by now."""
        if self.sessions.get(name) is session:
            del self.sessions[name]
            self.keys = {key: each for key, each in self.keys.items() if each != name}


class Sessions:
    """The sessions of this process: a `SessionDesk`. Use it as an async context manager, inside that of the pools."""

    def __init__(self, runner: Runner, limits: SessionLimits, now: Callable[[], float] = time.monotonic) -> None:
        self.book = SessionBook(limits)
        self._runner = runner
        self._now = now
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._endings: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(
        self,
        caller: Caller,
        files: tuple[File, ...] = (),
        key: str = "",
        *,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> SessionInfo:
        """Open one for ``caller``; raise ``SessionError`` or what `Session.open` raises.

        With a ``key`` that it opened one with before, and that lives, that is the one.
        """
        how: dict[str, Any] = {"interactive": interactive, "environment": environment, "policy": policy}
        name = self.book.opened_with(key, caller, files, **how) if key else None
        if name is None:
            session = self._new(caller, files, **how)
            lost = self.book.lost(caller)
            if lost is not None:
                self.book.forget(*lost)
            name = self.book.admit(caller, session, key)
            await self._begin(name, session, instead_of=lost)
        return await self.info(name, caller)

    async def restart(self, name: str, caller: Caller) -> SessionInfo:
        """Give a session a new interpreter in a new sandbox, with the files that it was opened with.

        Raises what `Session.open` raises; the session is over then.
        """
        old = self.book.find(name, caller)
        how: dict[str, Any] = {"interactive": old.interactive, "environment": old.environment, "policy": old.policy}
        session = self._new(caller, old.files, **how)
        session.known = True
        self.book.replace(name, session)
        await self._begin(name, session, instead_of=(name, old))
        return await self.info(name, caller)

    def _new(self, caller: Caller, files: tuple[File, ...], **how: Any) -> Session:
        if held_to(caller, None) is not None:
            raise SessionRefusedError(
                "this key is held to limits of memory, processes or disk, which only single runs can be held to"
            )
        return Session(self._runner, caller=caller, files=files, limits=self.book.limits, **how)

    async def _begin(self, name: str, session: Session, instead_of: tuple[str, Session] | None = None) -> None:
        self.book.busy.add(name)
        try:
            if instead_of is not None:
                ending = asyncio.create_task(self._end_another(*instead_of, "restarted" if session.known else "lost"))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)
                await asyncio.shield(ending)  # whoever asks may go away; the other session ends all the same
            await session.open()
        except BaseException:
            self.book.forget(name, session)
            raise
        finally:
            self.book.busy.discard(name)
        self._keepers[name] = asyncio.create_task(self._keep(name, session))

    async def _end_another(self, name: str, session: Session, why: str) -> None:
        keeper = self._keepers.pop(name)
        await session.close(why)
        await asyncio.wait([keeper])

    async def list(self, caller: Caller) -> Sequence[SessionInfo]:
        return [await self.info(name, caller) for name in self.book.own(caller)]

    async def info(self, name: str, caller: Caller) -> SessionInfo:
        session = self.book.find(name, caller)
        limits = self.book.limits
        age = self._now() - session.began
        left, age = max(0.0, limits.age - age), max(0.0, age)
        chosen = (session.environment, session.policy)
        return SessionInfo(name, session.state, session.cells, limits.idle, left, age, *chosen)

    async def result(self, name: str, caller: Caller, number: int) -> Result:
        """As `Session.result`."""
        return self.book.find(name, caller).result(number)

    def stream(self, name: str, caller: Caller, cell: Cell) -> AsyncGenerator[Event, None]:
        """As `Session.stream`; raises ``SessionError`` at once."""
        return self.book.find(name, caller).stream(cell)

    async def send(self, name: str, caller: Caller, item: Stdin | Interrupt) -> None:
        """As `Session.send`."""
        self.book.find(name, caller).send(item)

    async def order(self, name: str, caller: Caller, order: FileOrder) -> FileAnswer:
        """As `Session.order`."""
        return await self.book.find(name, caller).order(order)

    async def end(self, name: str, caller: Caller) -> None:
        """End one, and wait until it has ended."""
        self.book.find(name, caller)
        await self._end(name, "closed")

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(self._end(name, "stopping") for name in tuple(self.book.sessions)), *self._endings)

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
        self.book.forget(name, session)
        if self._keepers.get(name) is asyncio.current_task():
            del self._keepers[name]
        self.book.ended[session.why] += 1
        log.info(
            "session_ended",
            client=session.caller.id,
            why=session.why,
            cells=session.cells,
            seconds=round(self._now() - session.began, 3),
        )
