"""The pool: keeps sandboxes warm, lends each to one execution at a time, and takes it back clean or not at all.

Nobody waits in here: what is free is lent, and whoever decides who gets it is told when something has become free
(``on_free``), and tells how many wait (`Book.asked`).

Decisions are plain code on plain state (`Book`), so that a test can step through them; the pool around it does the I/O
that they ask for, in tasks of its own, never in a caller's way. A sandbox is lent first-in-first-out: the one that has
rested longest has its CPU quota back.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import structlog

from code_executor.core.errors import CodeExecutorError, PoolBusyError, PoolClosedError, SandboxError
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.sandbox import Sandbox

log = structlog.get_logger()

IDLE_SECONDS = 60.0
"""A sandbox beyond the least number is given up after this long without work."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_CREATE_AT_ONCE = 2
_ANSWER_FIRST = 0.005
"""Seconds in which the answer of a run has left, before the removal and the making of a sandbox take the processor."""
_SPREAD = 0.25
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class PoolSize:
    """``least`` sandboxes are always kept, never more than ``most``; ``spare`` ones more than are asked for.

    ``reuse``: runs per sandbox; 0 and 1 both mean a fresh one for every run. ``lifetime``: seconds after which a
    sandbox is replaced.
    """

    least: int = 2
    most: int = 4
    spare: int = 1
    reuse: int = 200
    lifetime: float = 3600.0


@dataclass(frozen=True)
class Term:
    """When a sandbox came into the book (of ``time.monotonic``), and the ``share`` it gets of what it may be used."""

    born: float
    share: float

    @classmethod
    def of(cls, number: int, now: float) -> Term:
        """Return the term of the sandbox that comes as the ``number``-th, ``now``.

        Sandboxes are lent in turn and would all be worn at the same moment, so each gets up to a quarter less than
        all: by multiples of the golden ratio, which leave no two that follow each other close together.
        """
        return cls(now, 1 - _SPREAD * (number * _GOLDEN % 1))


@dataclass
class Book:
    """Who is idle, busy, settling or being made, and what should be done about it. No I/O in here.

    ``asked``: how many executions wait for a sandbox. ``room``: for how many more sandboxes there is room beside those
    of other pools, beyond those for which there is always (``kept``); None: for as many as are wanted.
    """

    size: PoolSize
    idle: deque[Sandbox] = field(default_factory=deque)
    busy: set[Sandbox] = field(default_factory=set)
    settling: set[Sandbox] = field(default_factory=set)
    making: int = 0
    asked: int = 0
    idle_since: dict[Sandbox, float] = field(default_factory=dict)
    terms: dict[Sandbox, Term] = field(default_factory=dict)
    made: int = 0
    room: Callable[[], int] | None = None

    @property
    def total(self) -> int:
        """Sandboxes that are there or on their way."""
        return len(self.idle) + len(self.busy) + len(self.settling) + self.making

    def wanted(self) -> int:
        """How many more should be made now: some beyond what is asked for, within the bounds."""
        wanted = self._wanted()
        if not wanted or self.room is None:
            return wanted
        return min(wanted, max(0, self.kept - self.total) + max(0, self.room()))

    @property
    def lacking(self) -> int:
        """How many more would be made if there were room."""
        return self._wanted() - self.wanted() if self.room is not None else 0

    def _wanted(self) -> int:
        asked = len(self.busy) + len(self.settling) + self.asked + self.size.spare
        return max(0, min(max(asked, self.size.least), self.size.most) - self.total)

    @property
    def kept(self) -> int:
        """For how many there is room at any time: those that are kept anyway, or one for whoever waits."""
        return max(self.size.least, self.size.spare, 1)

    def take(self, owner: str | None = None) -> Sandbox | None:
        """Lend the longest idle sandbox, and rather one that is ``owner``'s or nobody's; None where there is none."""
        if not self.idle:
            return None
        if owner is None:
            sandbox = self.idle.popleft()
        else:
            sandbox = min(self.idle, key=lambda each: (each.owner != owner, each.owner is not None))
            self.idle.remove(sandbox)
        self.idle_since.pop(sandbox, None)
        self.busy.add(sandbox)
        return sandbox

    def arrived(self, sandbox: Sandbox, now: float) -> None:
        """A sandbox is clean and ready."""
        if sandbox not in self.terms:
            self.terms[sandbox] = Term.of(self.made, now)
            self.made += 1
        self.settling.discard(sandbox)
        self.idle.append(sandbox)
        self.idle_since[sandbox] = now

    def returned(self, sandbox: Sandbox, now: float) -> bool:
        """A run is over. True if the sandbox may be used again once it has settled; False: destroy it."""
        self.busy.discard(sandbox)
        if self.worn(sandbox, now) or not sandbox.usable:
            self.forget(sandbox)
            return False
        self.settling.add(sandbox)
        return True

    def worn(self, sandbox: Sandbox, now: float) -> bool:
        """Whether it was used enough; while another is being made, that is as long as is allowed."""
        term, size = self.terms[sandbox], self.size
        share = 1 if self.making else term.share
        return sandbox.runs >= max(1, math.ceil(size.reuse * share)) or now - term.born > size.lifetime * share

    def forget(self, sandbox: Sandbox) -> None:
        """It is gone, or going."""
        with contextlib.suppress(ValueError):
            self.idle.remove(sandbox)
        self.busy.discard(sandbox)
        self.settling.discard(sandbox)
        self.idle_since.pop(sandbox, None)
        self.terms.pop(sandbox, None)

    @property
    def beyond(self) -> int:
        """How many sandboxes are there beyond those that are wanted now; what is idle of them may be given up."""
        asked = len(self.busy) + len(self.settling) + self.asked + self.size.spare  # as `wanted` has it
        return max(0, self.total - max(self.size.least, asked))

    def superfluous(self, now: float) -> list[Sandbox]:
        """Take out of the book what has been idle too long beyond the least, or lived too long, and return it."""
        old = [s for s in self.idle if self.worn(s, now)]
        bored = [s for s in self.idle if s not in old and now - self.idle_since[s] > IDLE_SECONDS]
        return self._taken([*old, *bored[: max(0, self.beyond - len(old))]])

    def surplus(self, most: int) -> list[Sandbox]:
        """Take out of the book up to ``most`` that are idle and not wanted now, the longest idle first."""
        return self._taken(list(self.idle)[: min(most, self.beyond)])

    def _taken(self, sandboxes: list[Sandbox]) -> list[Sandbox]:
        for sandbox in sandboxes:
            self.forget(sandbox)
        return sandboxes


def _nothing() -> None:
    """Nobody wants to know."""


class Pool:
    """Use it as an async context manager; `lease` a sandbox inside, or `take` one and `give_back`.

    ``name``: of the kind of its sandboxes, and ``environment``, for those who watch.
    """

    def __init__(self, engine: Engine, size: PoolSize, name: str = "plain", environment: str = "default") -> None:
        self.engine = engine
        self.name = name
        self.environment = environment
        self.book = Book(size)
        self.on_demand = False
        """Whether it has no sandboxes until somebody asks, so that somebody may ask for what is not there."""
        self.failure: str = ""
        """Why the last attempt to make a sandbox failed; empty after one that did not."""
        self.introduction: dict[str, Any] = {}
        """What the newest sandbox said of itself."""
        self.on_free: Callable[[], None] = _nothing
        """Called when a sandbox has become free, when one will not come back, and when the pool closes."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._destroying: set[asyncio.Task[None]] = set()
        self._pause = _FIRST_PAUSE
        self._paused = False
        self._closing = False
        self._making = asyncio.Semaphore(1)
        self._made_any = False
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        book = self.book
        return f"<Pool {self.engine.name}: {len(book.idle)} idle, {len(book.busy)} busy, {book.asked} asked for>"

    async def __aenter__(self) -> Self:
        await self.engine.start()
        self._refill()
        self._spawn(self._tend())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def wait_ready(self, seconds: float) -> None:
        """Wait until a first sandbox is there; raise the reason (``CodeExecutorError``) where none comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.ready and not self.failure:
                    self._changed.clear()
                    await self._changed.wait()
        if not self.ready:
            raise CodeExecutorError(self.failure or f"no sandbox was ready within {seconds:g} s")

    @property
    def ready(self) -> bool:
        """Whether there is any sandbox that serves, or will when its run is over."""
        return not self._closing and bool(self.book.idle or self.book.busy or self.book.settling)

    @property
    def can_start(self) -> bool:
        """Whether a sandbox will be made when somebody asks, if there is none."""
        return self.on_demand and not (self.failure or self._closing)

    @property
    def closing(self) -> bool:
        """Whether it lends no more."""
        return self._closing

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncIterator[Sandbox]:
        """Lend a sandbox for the length of the block, past everybody who waits.

        Raises ``PoolBusyError`` when none is free, and ``PoolClosedError`` when the pool is closing.
        """
        if self._closing:
            raise PoolClosedError("the service is stopping")
        sandbox = self.take()
        if sandbox is None:
            raise PoolBusyError(self.failure or "no sandbox is free", 1)
        try:
            yield sandbox
        finally:
            self.give_back(sandbox)

    def take(self, owner: str | None = None) -> Sandbox | None:
        """Lend one, to be given back; None where none is free. ``owner``: as of `Book.take`."""
        sandbox = None if self._closing else self.book.take(owner)
        if sandbox is not None:
            self._refill()
        return sandbox

    def ask(self, count: int) -> None:
        """Learn how many wait for a sandbox; more are made if they are too few."""
        self.book.asked = count
        if count:
            self._refill()

    def refill(self) -> None:
        """Make what is wanted, since there is room for it now."""
        self._refill()

    def give_up(self, most: int) -> int:
        """Give up as many idle sandboxes that are not wanted now, at most; return how many it were."""
        surplus = self.book.surplus(most)
        for sandbox in surplus:
            self._discard(sandbox, _ANSWER_FIRST)
        return len(surplus)

    def give_back(self, sandbox: Sandbox, when_back: Callable[[], None] = _nothing) -> None:
        """Take back what was lent; ``when_back`` is called once it is clean again, or is no more."""
        if self.book.returned(sandbox, time.monotonic()) and not self._closing:
            self._spawn(self._settle(sandbox, when_back))
        else:
            self.book.forget(sandbox)
            self._discard(sandbox, _ANSWER_FIRST)
            asyncio.get_running_loop().call_later(_ANSWER_FIRST, self._refill)
            when_back()
            self.on_free()
        self._changed.set()

    def take_back_unused(self, sandbox: Sandbox) -> None:
        """Take back what was lent to somebody who had gone."""
        self.book.busy.discard(sandbox)
        if sandbox.usable and not self._closing:
            self._free(sandbox)
        else:
            self.book.forget(sandbox)
            self._discard(sandbox)
            self._refill()
        self._changed.set()

    # ---- off the callers' path

    def _free(self, sandbox: Sandbox) -> None:
        self.book.arrived(sandbox, time.monotonic())
        self._changed.set()
        self.on_free()

    async def _settle(self, sandbox: Sandbox, when_back: Callable[[], None]) -> None:
        try:
            await sandbox.settle()
        except SandboxError as error:
            log.warning("sandbox_destroyed", sandbox=sandbox.name, why=str(error))
            self.book.forget(sandbox)
            self._discard(sandbox)
            self._refill()
        finally:
            when_back()
        if sandbox in self.book.settling:
            self._free(sandbox)
        else:
            self.on_free()

    def _discard(self, sandbox: Sandbox, delay: float = 0) -> None:
        self._spawn(self._destroy(sandbox, delay), self._destroying)

    async def _destroy(self, sandbox: Sandbox, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await sandbox.destroy()
        except CodeExecutorError as error:
            log.warning("sandbox_not_destroyed", sandbox=sandbox.name, why=str(error))

    def _lost(self, sandbox: Sandbox) -> None:
        """A sandbox died. An idle one is replaced; one with a run is its caller's to learn of."""
        if sandbox in self.book.idle:
            log.warning("sandbox_lost", sandbox=repr(sandbox))
            self.book.forget(sandbox)
            self._discard(sandbox)
            self._refill()

    def _refill(self) -> None:
        if self._closing or self._paused:
            return
        for _ in range(self.book.wanted()):
            self.book.making += 1
            self._spawn(self._make())

    async def _make(self) -> None:
        try:
            async with self._making:
                sandbox = await self.engine.create()
        except CodeExecutorError as error:
            self.book.making -= 1
            self._failed(str(error))
            return
        except BaseException:
            self.book.making -= 1
            raise
        self.book.making -= 1
        if not self._made_any:  # the first has the machine for itself: somebody waits for the service to begin
            self._made_any = True
            for _ in range(_CREATE_AT_ONCE - 1):
                self._making.release()
        self.failure, self._pause = "", _FIRST_PAUSE
        self.introduction = sandbox.introduction
        sandbox.on_lost = self._lost
        if self._closing or not sandbox.usable:
            self._discard(sandbox)
            self._refill()
            return
        self._free(sandbox)

    def _failed(self, why: str) -> None:
        """Try again, later and later."""
        log.error("sandbox_not_made", why=why, again_in=self._pause)
        self.failure = why
        self._changed.set()
        if not self._paused and not self._closing:
            self._paused = True
            self._spawn(self._resume(self._pause))
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    async def _resume(self, pause: float) -> None:
        await asyncio.sleep(pause)
        self._paused = False
        self._refill()

    async def _tend(self) -> None:
        """Now and then, give up what is not needed and replace what is old."""
        while True:
            await asyncio.sleep(IDLE_SECONDS / 6)
            for sandbox in self.book.superfluous(time.monotonic()):
                self._discard(sandbox)
            self._refill()

    def _spawn(self, work: Coroutine[Any, Any, None], owner: set[asyncio.Task[None]] | None = None) -> None:
        """Start a task that the pool owns and that `close` cancels, or, of ``_destroying``, waits for."""
        owner = self._tasks if owner is None else owner
        task = asyncio.create_task(work)
        owner.add(task)
        task.add_done_callback(owner.discard)
        task.add_done_callback(_log_failure)

    async def close(self) -> None:
        """Take no more work, let runs under way end (their callers wait for them), and destroy everything."""
        self._closing = True
        self.on_free()
        while self.book.busy:
            self._changed.clear()
            await self._changed.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for sandbox in (*self.book.idle, *self.book.settling):
            self._discard(sandbox)
        while self._destroying:
            await asyncio.wait(self._destroying)
        await self.engine.close()


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("pool_task_failed", exc_info=error)
