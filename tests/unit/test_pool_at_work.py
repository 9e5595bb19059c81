"""The pool around its book, with an engine whose sandboxes are made, break and come back when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from code_executor.core.errors import CodeExecutorError, EngineError, PoolBusyError, PoolClosedError
from code_executor.core.limits import Limits
from code_executor.sandbox import pool as module
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.pool import Pool, PoolSize, Reserved
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import EventType, event
from tests.census import until

pytestmark = pytest.mark.anyio

READY = event(EventType.READY, 0, json.dumps({"protocol": protocol.VERSION}).encode())


class Workshop:
    """An engine that makes sandboxes while it is ``open``, or fails to while it is ``broken``."""

    name = "workshop"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.broken = ""
        self.making = 0
        self.at_once: list[int] = []
        self.made: list[Sandbox] = []
        self.attempts = 0
        self.destroyed: list[Sandbox] = []
        self.closed = False

    async def start(self) -> None:
        """It needs nothing."""

    async def close(self) -> None:
        self.closed = True

    async def create(self, *, preload: bool = True) -> Sandbox:  # noqa: ARG002  # an engine's signature
        self.making += 1
        self.attempts += 1
        self.at_once.append(self.making)
        try:
            await asyncio.sleep(0.001)
            await self.open.wait()
        finally:
            self.making -= 1
        if self.broken:
            raise EngineError(self.broken)
        sandbox = Sandbox(str(len(self.made)), Limits())
        sandbox.attach(Shelf(self, sandbox))
        sandbox.feed(READY)
        await sandbox.boot()
        self.made.append(sandbox)
        return sandbox


class Shelf:
    """The link to one of them, which nothing is written to."""

    def __init__(self, workshop: Workshop, sandbox: Sandbox) -> None:
        self._workshop = workshop
        self._sandbox = sandbox

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def begin(self) -> None:
        """Nothing is run in it."""

    async def held(self) -> bool:
        return False

    async def out_of_memory(self) -> bool:
        return False

    async def destroy(self) -> None:
        self._workshop.destroyed.append(self._sandbox)


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once what failed."""
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.004)


@asynccontextmanager
async def opened(workshop: Workshop, **size: float) -> AsyncIterator[Pool]:
    async with (
        asyncio.timeout(30),
        Pool(workshop, PoolSize(**{"least": 1, "most": 1, "patience": 10, **size})) as pool,  # type: ignore[arg-type]
    ):
        yield pool


async def idle(pool: Pool, number: int) -> None:
    await until(lambda: len(pool.book.idle) == number and not pool.book.making)


# ---- making


async def test_the_first_is_made_alone_and_then_two_at_once(workshop: Workshop) -> None:
    workshop.open.clear()
    async with opened(workshop, least=4, most=5) as pool:
        await until(lambda: workshop.making == 1)
        assert (pool.book.making, pool.ready) == (4, False)
        workshop.open.set()
        await pool.wait_ready(10)
        assert pool.ready
        await idle(pool, 4)
        assert workshop.attempts == 4
        assert workshop.at_once[:3] == [1, 1, 2]
        assert max(workshop.at_once) == 2
        assert pool.introduction == {"protocol": protocol.VERSION}


async def test_why_none_is_made_is_told_and_it_is_tried_until_one_is(workshop: Workshop) -> None:
    workshop.broken = "out of clay"
    async with opened(workshop) as pool:
        with pytest.raises(CodeExecutorError, match="out of clay"):
            await pool.wait_ready(10)
        assert not pool.ready
        await until(lambda: workshop.attempts >= 5)
        assert pool.book.making <= 1
        workshop.broken = ""
        await idle(pool, 1)
        assert (pool.ready, pool.failure, pool._pause) == (True, "", 0.001)


async def test_failures_are_farther_and_farther_apart(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    async def failing() -> Sandbox:
        pauses.append(pool._pause)
        raise EngineError("out of clay")

    monkeypatch.setattr(workshop, "create", failing)
    async with opened(workshop) as pool:
        await until(lambda: len(pauses) >= 5)
    assert pauses[:5] == [0.001, 0.002, 0.004, 0.004, 0.004]


async def test_none_in_time_is_told_as_that(workshop: Workshop) -> None:
    workshop.open.clear()
    async with opened(workshop) as pool:
        with pytest.raises(CodeExecutorError, match=r"no sandbox was ready within 0\.01 s"):
            await pool.wait_ready(0.01)


async def test_one_that_broke_when_it_was_made_is_destroyed_and_another_made(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = workshop.create

    async def breaking() -> Sandbox:
        sandbox = await create()
        if len(workshop.made) == 1:
            sandbox.lost("it fell")
        return sandbox

    monkeypatch.setattr(workshop, "create", breaking)
    async with opened(workshop) as pool:
        await idle(pool, 1)
        assert list(pool.book.idle) == workshop.made[1:]
        assert workshop.destroyed == workshop.made[:1]


# ---- lending


async def test_a_pool_is_ready_while_there_is_any_sandbox_whatever_it_does(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        async with pool.lease() as sandbox:
            assert (pool.book.busy, pool.ready) == ({sandbox}, True)
            sandbox._ready = False  # as if it had run something
        assert (pool.book.settling, pool.ready) == ({sandbox}, True)
        sandbox.feed(READY)
        await idle(pool, 1)
        assert (pool.book.settling, workshop.destroyed, workshop.attempts) == (set(), [], 1)


async def test_who_finds_the_queue_full_is_turned_away_and_told_when_to_come_again(workshop: Workshop) -> None:
    async with opened(workshop, queue=2) as pool, AsyncExitStack() as stack:
        await idle(pool, 1)
        await stack.enter_async_context(pool.lease())
        waiting = [asyncio.create_task(take(pool)) for _ in range(2)]
        await until(lambda: len(pool.book.queued) == 2)
        with pytest.raises(PoolBusyError, match="too many executions are waiting") as caught:
            await take(pool)
        assert caught.value.retry_after == 3  # for the two, one after the other, and itself
        await stack.aclose()
        await asyncio.gather(*waiting)


async def test_nobody_is_told_to_come_again_in_more_than_half_a_minute(workshop: Workshop) -> None:
    async with opened(workshop, queue=40) as pool, AsyncExitStack() as stack:
        await idle(pool, 1)
        await stack.enter_async_context(pool.lease())
        waiting = [asyncio.create_task(take(pool)) for _ in range(40)]
        await until(lambda: len(pool.book.queued) == 40)
        with pytest.raises(PoolBusyError) as caught:
            await take(pool)
        assert caught.value.retry_after == 30
        await stack.aclose()
        await asyncio.gather(*waiting)


async def test_who_waits_in_vain_is_told_why(workshop: Workshop) -> None:
    async with opened(workshop, patience=0.01) as pool:
        await idle(pool, 1)
        async with pool.lease():
            with pytest.raises(PoolBusyError, match=r"every sandbox stayed busy for 0\.01 s"):
                await take(pool)
            assert not pool.book.queued
    broken = Workshop()
    broken.broken = "out of clay"
    async with opened(broken, patience=0.05) as pool:
        with pytest.raises(PoolBusyError, match="out of clay"):
            await take(pool)


async def test_who_stops_waiting_leaves_nothing(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        async with pool.lease():
            waiter = asyncio.create_task(take(pool))
            await until(lambda: pool.book.queued)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert not pool.book.queued
        await idle(pool, 1)


async def test_who_goes_away_as_a_sandbox_comes_passes_it_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(workshop) as pool, AsyncExitStack() as stack:
        await idle(pool, 1)
        await stack.enter_async_context(pool.lease())
        first, second = (asyncio.create_task(take(pool)) for _ in range(2))
        await until(lambda: len(pool.book.queued) == 2)
        lend = pool.book.arrived

        def lend_in_vain(sandbox: Sandbox, now: float) -> None:
            lend(sandbox, now)
            first.cancel()  # it has been lent it, and has not seen that yet

        monkeypatch.setattr(pool.book, "arrived", lend_in_vain)
        await stack.aclose()
        await second
        assert first.cancelled()
        await idle(pool, 1)
        assert workshop.attempts == 1


async def take(pool: Pool) -> None:
    async with pool.lease():
        pass


# ---- losing


async def test_an_idle_one_that_breaks_is_destroyed_and_replaced(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        (sandbox,) = workshop.made
        sandbox.lost("it fell")
        await until(lambda: len(workshop.made) == 2 and list(pool.book.idle) == workshop.made[1:])
        assert workshop.destroyed == [sandbox]


async def test_a_busy_one_that_breaks_is_replaced_when_it_is_given_back(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        async with pool.lease() as sandbox:
            sandbox.lost("it fell")
            await asyncio.sleep(0)
            assert (pool.book.busy, workshop.destroyed, workshop.attempts) == ({sandbox}, [], 1)
        await until(lambda: list(pool.book.idle) == workshop.made[1:] != [])
        assert workshop.destroyed == [sandbox]


async def test_one_that_does_not_settle_is_destroyed_and_replaced(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        async with pool.lease() as sandbox:
            sandbox._ready = False
        sandbox.feed(event(EventType.FATAL, 0, b"something stayed"))
        await until(lambda: list(pool.book.idle) == workshop.made[1:] != [])
        assert (workshop.destroyed, pool.book.settling) == ([sandbox], set())


async def test_one_that_is_worn_is_destroyed_and_replaced(workshop: Workshop) -> None:
    async with opened(workshop, reuse=2) as pool:
        await idle(pool, 1)
        async with pool.lease() as sandbox:
            sandbox.runs = 2
        await until(lambda: list(pool.book.idle) == workshop.made[1:] != [])
        assert workshop.destroyed == [sandbox]


# ---- the end


async def test_closing_waits_for_whoever_has_a_sandbox_and_turns_everybody_else_away(workshop: Workshop) -> None:
    async with opened(workshop) as pool, AsyncExitStack() as stack:
        await idle(pool, 1)
        sandbox = await stack.enter_async_context(pool.lease())
        waiter = asyncio.create_task(take(pool))
        await until(lambda: pool.book.queued)
        closing = asyncio.create_task(pool.close())
        with pytest.raises(PoolClosedError, match="the service is stopping"):
            await waiter
        with pytest.raises(PoolClosedError, match="the service is stopping"):
            await take(pool)
        assert (pool.ready, closing.done(), workshop.closed) == (False, False, False)
        await stack.aclose()
        await closing
        assert (workshop.destroyed, workshop.closed, workshop.attempts) == ([sandbox], True, 1)


async def test_closing_stops_the_making_and_destroys_what_there_is(workshop: Workshop) -> None:
    async with opened(workshop, least=2, most=2) as pool:
        await idle(pool, 2)
        async with pool.lease() as sandbox:
            sandbox._ready = False
        assert pool.book.settling == {sandbox}  # it will never be ready
        workshop.open.clear()
        next(iter(pool.book.idle)).lost("it fell")
        await until(lambda: workshop.making == 1)
    assert sorted(workshop.destroyed, key=str) == sorted(workshop.made, key=str)
    assert (workshop.closed, workshop.making, pool.book.making) == (True, 0, 0)


async def test_a_reserved_one_is_lent_on_to_one_after_another_once_it_is_clean(workshop: Workshop) -> None:
    async with opened(workshop, least=2, most=2) as pool:
        await idle(pool, 2)
        async with pool.lease() as sandbox:
            reserved = Reserved(pool, sandbox)
            await take(reserved)
            sandbox._ready = False  # as if it had run something
            second = asyncio.create_task(take(reserved))
            await asyncio.sleep(0.01)
            assert not second.done()
            sandbox.feed(READY)
            await second
            assert pool.book.busy == {sandbox}


async def test_who_uses_a_sandbox_up_is_answered_before_it_is_replaced(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ANSWER_FIRST", 0.2)
    async with opened(workshop, reuse=1) as pool:
        await idle(pool, 1)
        async with pool.lease() as sandbox:
            sandbox.runs = 1
        for _ in range(10):  # the turns of the event loop that an answer needs
            await asyncio.sleep(0)
            assert (workshop.destroyed, workshop.attempts) == ([], 1)
        await until(lambda: list(pool.book.idle) == workshop.made[1:] != [] and workshop.destroyed == [sandbox])
        async with pool.lease() as last:
            last.runs = 1
    assert workshop.destroyed == [sandbox, last]  # also where the pool closes meanwhile


# ---- the moment in which patience ends


async def test_a_sandbox_that_is_lent_as_patience_ends_is_not_lost() -> None:
    """The event loop may give a waiter its sandbox and its timeout in the same turn."""
    pool = Pool(cast("Engine", None), PoolSize(least=0, most=1, patience=0.01))
    pool.book.making = 1  # so that no more are wanted
    loop = asyncio.get_running_loop()
    one = Sandbox("one", Limits())
    borrowed = []

    async def borrow() -> None:
        with contextlib.suppress(PoolBusyError):
            async with pool.lease() as lent:
                borrowed.append(lent)

    borrower = asyncio.create_task(borrow())
    await asyncio.sleep(0)
    assert pool.book.queued
    pool.book.making = 0
    loop.call_soon(pool.book.arrived, one, 0.0)
    late = loop.time() + 0.02
    while loop.time() < late:
        pass  # now the timeout is due in the very turn in which the sandbox arrives
    await borrower
    assert borrowed == [one] or list(pool.book.idle) == [one]
    assert one not in pool.book.busy
