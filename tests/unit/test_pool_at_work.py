"""The pool around its book, with an engine whose sandboxes are made, break and come back when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from code_executor.core.errors import CodeExecutorError, EngineError, PoolBusyError, PoolClosedError
from code_executor.execution.executor import _Settled
from code_executor.sandbox import pool as module
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import EventType, event
from tests.census import until
from tests.workshop import READY, Workshop

pytestmark = pytest.mark.anyio


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
        Pool(workshop, PoolSize(**{"least": 1, "most": 1, **size})) as pool,  # type: ignore[arg-type]
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


async def take(pool: Pool) -> None:
    async with pool.lease():
        pass


async def test_who_finds_none_free_is_told_and_nobody_waits_in_a_pool(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        async with pool.lease():
            assert pool.take() is None
            with pytest.raises(PoolBusyError, match="no sandbox is free"):
                async with pool.lease():
                    pass
    broken = Workshop()
    broken.broken = "out of clay"
    async with opened(broken) as pool:
        await until(lambda: pool.failure)
        with pytest.raises(PoolBusyError, match="out of clay"):
            async with pool.lease():
                pass


async def test_one_more_is_made_for_who_waits(workshop: Workshop) -> None:
    async with opened(workshop, least=0, most=4) as pool:
        await idle(pool, 1)
        pool.ask(2)
        await idle(pool, 2)


async def test_none_is_made_for_who_does_not_wait_for_as_long_as_it_takes(workshop: Workshop) -> None:
    async with opened(workshop, least=1, most=4, spare=0) as pool:
        await idle(pool, 1)
        pool._takes = 1e9
        async with pool.lease():
            pool.ask(1)
            await asyncio.sleep(0)
            assert pool.book.wanted() == 0
            pool.ask(0)
            pool._takes = 0.001
            await asyncio.sleep(0.05)
            assert workshop.attempts == 1
            pool.ask(1)
            await until(lambda: len(workshop.made) == 2)


async def test_where_there_is_none_it_is_made_at_once(workshop: Workshop) -> None:
    async with opened(workshop, least=0, most=4, spare=0) as pool:
        pool._takes = 1e9
        pool.ask(3)
        await until(lambda: len(workshop.made) == 1)


async def test_whoever_lends_on_is_told_when_one_is_back(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        told = []
        pool.on_free = lambda: told.append(f"{len(pool.book.idle)} free")
        sandbox = pool.take()
        assert sandbox is not None
        sandbox._ready = False  # as if it had run something
        pool.give_back(sandbox, lambda: told.append("back"))
        assert told == []
        sandbox.feed(READY)
        await until(lambda: pool.book.idle)
        assert told == ["back", "1 free"]
        sandbox = pool.take()
        assert sandbox is not None
        sandbox.lost("it fell")
        pool.give_back(sandbox, lambda: told.append("gone"))
        assert told[2:] == ["gone", "0 free"]


async def test_one_that_is_taken_back_unused_is_free_at_once_unless_it_broke(workshop: Workshop) -> None:
    async with opened(workshop) as pool:
        await idle(pool, 1)
        sandbox = pool.take()
        assert sandbox is not None
        pool.take_back_unused(sandbox)
        assert pool.take() is sandbox
        sandbox.lost("it fell")
        pool.take_back_unused(sandbox)
        await until(lambda: list(pool.book.idle) == workshop.made[1:] != [])
        assert workshop.destroyed == [sandbox]


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
    async with opened(workshop) as pool:
        await idle(pool, 1)
        sandbox = pool.take()
        assert sandbox is not None
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        with pytest.raises(PoolClosedError, match="the service is stopping"):
            async with pool.lease():
                pass
        assert pool.take() is None
        assert (pool.ready, closing.done(), workshop.closed) == (False, False, False)
        pool.give_back(sandbox)
        await closing
        assert (workshop.destroyed, workshop.closed, workshop.attempts) == ([sandbox], True, 1)


async def test_a_reserved_one_is_lent_on_to_one_after_another_once_it_is_clean(workshop: Workshop) -> None:
    async with opened(workshop, least=2, most=2) as pool:
        await idle(pool, 2)
        async with pool.lease() as sandbox:

            async def use() -> None:
                async with _Settled(sandbox) as lent:
                    assert lent is sandbox

            await use()
            sandbox._ready = False  # as if it had run something
            second = asyncio.create_task(use())
            await asyncio.sleep(0.01)
            assert not second.done()
            sandbox.feed(READY)
            await second
            assert pool.book.busy == {sandbox}


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
