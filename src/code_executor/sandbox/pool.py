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
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import structlog

from code_executor.core.errors import CodeExecutorError, PoolBusyError, PoolClosedError, SandboxError
from code_executor.sandbox.book import IDLE_SECONDS, Book, PoolSize
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.sandbox import Sandbox

log = structlog.get_logger()

LONGEST_PATIENCE = 5.0
"""Seconds after which one more is made for who waits, however long that takes."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_CREATE_AT_ONCE = 2
_ANSWER_FIRST = 0.005
"""Seconds in which the answer of a run has left, before the removal and the making of a sandbox take the processor."""


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
        """Called when a sandbox is free, when one will not come back or has no room, and when the pool closes."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._destroying: set[asyncio.Task[None]] = set()
        self._takes = 0.0
        """Seconds that the last sandbox took to make."""
        self._pressing: asyncio.TimerHandle | None = None
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
        """Learn how many wait for a sandbox. One more is made once somebody has waited for as long as that takes.

        Most of those who wait have a sandbox before another is made, and to make one slows all that run. Where there is
        none, nobody waits for that.
        """
        self.book.asked = count
        if not count:
            self._calm()
        elif not self.book.total or not self._takes:
            self._press()
        elif self._pressing is None and not self.book.due:
            self._pressing = asyncio.get_running_loop().call_later(min(self._takes, LONGEST_PATIENCE), self._press)
        else:
            self._refill()

    def _press(self) -> None:
        self._calm()
        self.book.due = 1
        self._refill()
        if self.book.lacking:
            self.on_free()

    def _calm(self) -> None:
        """Nobody waits any more, or what was made for them is there."""
        self.book.due = 0
        if self._pressing is not None:
            self._pressing.cancel()
            self._pressing = None

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
                began = time.monotonic()
                sandbox = await self.engine.create()
                self._takes = time.monotonic() - began
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
        self._calm()
        self._free(sandbox)
        self.ask(self.book.asked)

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
        self._calm()
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
