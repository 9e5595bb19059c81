"""The dispatcher around its queue and pools, whose sandboxes are made, break and come back when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import cast

import pytest

from code_executor.core.caller import Caller
from code_executor.core.cells import CellTurn
from code_executor.core.errors import CallerBusyError, PoolBusyError, PoolClosedError
from code_executor.core.limits import Limits
from code_executor.core.models import Cell, Execution
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service.dispatcher import Dispatcher, _Loan
from code_executor.service.fairqueue import Rules
from code_executor.service.looks import Looks
from tests.census import until
from tests.workshop import READY, Workshop

pytestmark = pytest.mark.anyio

A, B, C = Caller("a"), Caller("b"), Caller("c")


@pytest.fixture
def workshop() -> Workshop:
    return Workshop()


@asynccontextmanager
async def opened(workshop: Workshop, most: int = 1, patience: float = 10, **rules: float) -> AsyncIterator[Dispatcher]:
    """Open a dispatcher on one pool whose sandboxes are all there."""
    async with asyncio.timeout(30), Pool(workshop, PoolSize(least=most, most=most)) as pool:
        dispatcher = Dispatcher([pool], Limits(), rules=Rules(**rules), patience=patience)  # type: ignore[arg-type]
        if not workshop.broken:
            await until(lambda: len(pool.book.idle) == most)
        yield dispatcher
        dispatcher.close()


def lent(dispatcher: Dispatcher, caller: Caller = A, **execution: bool) -> _Loan:
    return _Loan(dispatcher, Execution("", caller=caller, **execution))  # type: ignore[arg-type]


async def use(dispatcher: Dispatcher, caller: Caller = A, done: Callable[[], None] = lambda: None) -> None:
    async with lent(dispatcher, caller):
        done()


async def waiting(dispatcher: Dispatcher, number: int) -> None:
    await until(lambda: dispatcher.queue.waiting == number)


# ---- turns


async def test_nobody_waits_while_one_is_free_and_nothing_is_made_for_it(workshop: Workshop) -> None:
    async with opened(workshop, most=2) as dispatcher:
        async with lent(dispatcher):
            assert (dispatcher.queue.waiting, len(dispatcher.queue.running)) == (0, 1)
        await until(lambda: not dispatcher.queue.running)
        assert workshop.attempts == 2


async def test_who_waits_is_served_in_turn_by_caller(workshop: Workshop) -> None:
    async with opened(workshop) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(lent(dispatcher, C))
        order = ""

        def note(name: str) -> Callable[[], None]:
            def done() -> None:
                nonlocal order
                order += name

            return done

        tasks = []
        for caller in (A, A, A, B):
            tasks.append(asyncio.create_task(use(dispatcher, caller, note(caller.id))))
            await waiting(dispatcher, len(tasks))
        assert dispatcher.pool.book.asked == 4
        await stack.aclose()
        await asyncio.gather(*tasks)
        assert order == "abaa"
        assert dispatcher.pool.book.asked == 0


async def test_a_sandbox_is_away_until_it_is_clean_again(workshop: Workshop) -> None:
    async with opened(workshop, most=2) as dispatcher:
        async with lent(dispatcher) as sandbox:
            sandbox._ready = False  # as if it had run something
        assert len(dispatcher.queue.running) == 1
        sandbox.feed(READY)
        await until(lambda: not dispatcher.queue.running)


async def test_a_sandbox_that_broke_is_given_up_at_once(workshop: Workshop) -> None:
    async with opened(workshop, most=2) as dispatcher:
        async with lent(dispatcher) as sandbox:
            sandbox.lost("it fell")
        assert not dispatcher.queue.running


async def test_one_caller_never_gets_the_last_one_and_another_gets_it_at_once(workshop: Workshop) -> None:
    async with opened(workshop, most=3) as dispatcher, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(lent(dispatcher))
        third = asyncio.create_task(use(dispatcher))
        await waiting(dispatcher, 1)
        assert dispatcher.pool.book.idle
        await use(dispatcher, B)
        assert not third.done()
        await stack.aclose()
        await third


async def test_the_last_one_that_is_ready_is_kept_while_more_are_made(workshop: Workshop) -> None:
    async with asyncio.timeout(30), Pool(workshop, PoolSize(least=2, most=4, spare=2)) as pool:
        dispatcher = Dispatcher([pool], Limits())
        await until(lambda: len(pool.book.idle) == 2)
        workshop.open.clear()
        async with lent(dispatcher):
            second = asyncio.create_task(use(dispatcher))
            await waiting(dispatcher, 1)
            await use(dispatcher, B)
            assert not second.done()
            workshop.open.set()
            await second
        dispatcher.close()


async def test_who_is_alone_in_its_process_gets_all(workshop: Workshop) -> None:
    async with opened(workshop, most=3) as dispatcher, AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(lent(dispatcher, Caller()))
        assert len(dispatcher.pool.book.busy) == 3


async def test_a_single_one_is_kept_for_nobody(workshop: Workshop) -> None:
    async with opened(workshop) as dispatcher:
        await use(dispatcher)


async def test_who_has_a_session_can_still_run_programs(workshop: Workshop) -> None:
    async with opened(workshop, most=2) as dispatcher, lent(dispatcher, session=True), lent(dispatcher):
        assert len(dispatcher.pool.book.busy) == 2


async def test_a_sandbox_of_trusted_code_serves_one_caller(workshop: Workshop) -> None:
    async with asyncio.timeout(30), Pool(workshop, PoolSize(least=0, most=1, spare=0)) as pool:
        dispatcher = Dispatcher([pool], Limits(), owned=True)
        served = []
        for caller in (A, A, B, A):
            async with lent(dispatcher, caller, trusted=True) as sandbox:
                assert sandbox.owner == caller.id
                served.append(sandbox)
            await until(lambda: not dispatcher.queue.running)
        assert served[0] is served[1]
        assert len({sandbox.name for sandbox in served}) == 3


async def test_without_sandboxes_for_it_nothing_trusted_runs(workshop: Workshop) -> None:
    async with opened(workshop) as dispatcher:
        with pytest.raises(PoolClosedError, match="no sandboxes for checkers"):
            dispatcher.stream(Execution("", trusted=True))


async def test_a_session_runs_while_a_cell_does_and_not_between_cells(workshop: Workshop) -> None:
    async with asyncio.timeout(30), Pool(workshop, PoolSize(least=4, most=4)) as pool, AsyncExitStack() as stack:
        dispatcher = Dispatcher([pool], Limits(), most=2, rules=Rules(reserve=0))
        await until(lambda: len(pool.book.idle) == 4)
        loans, turns = [lent(dispatcher, session=True) for _ in range(2)], [CellTurn(), CellTurn()]
        for loan, turn in zip(loans, turns, strict=True):
            await stack.enter_async_context(loan)
            loan.follow(turn)
        async with lent(dispatcher), lent(dispatcher):
            waiter = asyncio.create_task(use(dispatcher))
            await waiting(dispatcher, 1)
        await waiter
        for turn in turns:
            turn.begin(Cell(""))
        waiter = asyncio.create_task(use(dispatcher))
        await waiting(dispatcher, 1)
        turns[0].end()
        await waiter


async def test_a_session_that_is_over_rests_no_more(workshop: Workshop) -> None:
    async with opened(workshop, most=3, reserve=0) as dispatcher:
        loan, turn = lent(dispatcher, session=True), CellTurn()
        async with loan as sandbox:
            loan.follow(turn)
            sandbox.lost("it had a session")
            assert dispatcher._running == 0
        async with lent(dispatcher):
            assert dispatcher._running == 1
            turn.end()


async def test_the_time_of_waiting_for_input_costs_a_tenth(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    async with opened(workshop, most=2) as dispatcher:
        loan = lent(dispatcher)
        async with loan as sandbox:
            (ticket,) = dispatcher.queue.running
            loan.wait(waiting=True)
            now = 10.0
            loan.wait(waiting=True)
            now = 100.0
            loan.wait(waiting=False)
            sandbox.lost("it fell")
        assert ticket.caller.time == pytest.approx(10.0)


# ---- kinds


@asynccontextmanager
async def both_kinds(workshop: Workshop, other: Workshop) -> AsyncIterator[Dispatcher]:
    size = PoolSize(least=1, most=1)
    async with asyncio.timeout(30), Pool(workshop, size) as plain, Pool(other, size) as loaded:
        await until(lambda: plain.book.idle and loaded.book.idle)
        dispatcher = Dispatcher([plain, loaded], Limits(), looks=Looks((("numpy",),)), patience=10)
        yield dispatcher
        dispatcher.close()


def numpy(dispatcher: Dispatcher) -> _Loan:
    return _Loan(dispatcher, Execution("import numpy", caller=A))


async def test_who_wants_what_is_preloaded_does_not_hinder_those_that_need_nothing(workshop: Workshop) -> None:
    async with both_kinds(workshop, Workshop()) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(numpy(dispatcher))

        async def use_numpy() -> None:
            async with numpy(dispatcher):
                pass

        second = asyncio.create_task(use_numpy())
        await waiting(dispatcher, 1)
        assert [pool.book.asked for pool in dispatcher.pools] == [0, 1]
        await use(dispatcher)
        await use(dispatcher, B)
        assert not second.done()
        await stack.aclose()
        await second


async def test_who_needs_nothing_does_not_hinder_those_that_want_what_is_preloaded(workshop: Workshop) -> None:
    async with both_kinds(workshop, Workshop()) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(lent(dispatcher))
        await stack.enter_async_context(lent(dispatcher))  # either kind, rather than wait
        assert [len(pool.book.busy) for pool in dispatcher.pools] == [1, 1]
        waiters = [asyncio.create_task(use(dispatcher)) for _ in range(2)]
        await waiting(dispatcher, 2)
        assert [pool.book.asked for pool in dispatcher.pools] == [2, 0]
        await stack.aclose()
        await asyncio.gather(*waiters)


# ---- nobody waits in vain, or for ever


async def fill(dispatcher: Dispatcher, stack: AsyncExitStack, places: int) -> list[asyncio.Task[None]]:
    """Take the only sandbox for as long as ``stack`` is open, and let so many wait for it."""
    await stack.enter_async_context(lent(dispatcher))
    tasks = [asyncio.create_task(use(dispatcher)) for _ in range(places)]
    await waiting(dispatcher, places)
    return tasks


async def test_who_finds_the_queue_full_is_turned_away_and_told_when_to_come_again(workshop: Workshop) -> None:
    async with opened(workshop, waiting=2) as dispatcher, AsyncExitStack() as stack:
        tasks = await fill(dispatcher, stack, 2)
        with pytest.raises(PoolBusyError, match="too many executions are waiting") as caught:
            await use(dispatcher)
        assert caught.value.retry_after == 3  # for the two, one after the other, and itself
        await stack.aclose()
        await asyncio.gather(*tasks)


async def test_who_has_all_its_places_taken_is_told_so_and_others_come_in(workshop: Workshop) -> None:
    async with opened(workshop, places=2) as dispatcher, AsyncExitStack() as stack:
        tasks = await fill(dispatcher, stack, 2)
        with pytest.raises(CallerBusyError, match="too many of your executions are waiting") as caught:
            await use(dispatcher)
        assert caught.value.retry_after == 3
        tasks.append(asyncio.create_task(use(dispatcher, B)))
        await waiting(dispatcher, 3)
        await stack.aclose()
        await asyncio.gather(*tasks)


async def test_who_has_fewer_waiting_takes_the_place_of_the_newest_of_who_has_most(workshop: Workshop) -> None:
    async with opened(workshop, waiting=3) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(lent(dispatcher))
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(use(dispatcher)))
            await waiting(dispatcher, len(tasks))
        other = asyncio.create_task(use(dispatcher, B))
        with pytest.raises(PoolBusyError, match="too many executions are waiting"):
            await tasks[2]
        await stack.aclose()
        await asyncio.gather(other, *tasks[:2])


async def test_nobody_is_told_to_come_again_in_more_than_half_a_minute(workshop: Workshop) -> None:
    async with opened(workshop, waiting=40) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(lent(dispatcher))
        tasks = [asyncio.create_task(use(dispatcher)) for _ in range(40)]
        await waiting(dispatcher, 40)
        with pytest.raises(PoolBusyError) as caught:
            await use(dispatcher)
        assert caught.value.retry_after == 30
        await stack.aclose()
        await asyncio.gather(*tasks)


async def test_who_waits_in_vain_is_told_why(workshop: Workshop) -> None:
    async with opened(workshop, patience=0.01) as dispatcher, lent(dispatcher):
        with pytest.raises(PoolBusyError, match=r"every sandbox stayed busy for 0\.01 s"):
            await use(dispatcher)
        assert (dispatcher.queue.waiting, dispatcher.pool.book.asked) == (0, 0)
    broken = Workshop()
    broken.broken = "out of clay"
    async with opened(broken, patience=0.05) as dispatcher:
        with pytest.raises(PoolBusyError, match="out of clay"):
            await use(dispatcher)


async def test_who_stops_waiting_leaves_nothing(workshop: Workshop) -> None:
    async with opened(workshop) as dispatcher:
        async with lent(dispatcher):
            waiter = asyncio.create_task(use(dispatcher))
            await waiting(dispatcher, 1)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert (dispatcher.queue.waiting, dispatcher.pool.book.asked) == (0, 0)
        await until(lambda: dispatcher.pool.book.idle)


async def test_who_goes_away_as_a_sandbox_comes_passes_it_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(workshop) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(lent(dispatcher))
        first, second = (asyncio.create_task(use(dispatcher)) for _ in range(2))
        await waiting(dispatcher, 2)
        on_free = dispatcher.pool.on_free

        def lend_in_vain() -> None:
            on_free()
            first.cancel()  # it has been lent it, and has not seen that yet

        dispatcher.pool.on_free = lend_in_vain
        await stack.aclose()
        await second
        assert first.cancelled()
        await until(lambda: dispatcher.pool.book.idle and not dispatcher.queue.running)
        assert workshop.attempts == 1


async def test_closing_turns_away_who_waits_and_who_comes(workshop: Workshop) -> None:
    async with opened(workshop) as dispatcher, lent(dispatcher):
        waiter = asyncio.create_task(use(dispatcher))
        await waiting(dispatcher, 1)
        dispatcher.close()
        with pytest.raises(PoolClosedError, match="the service is stopping"):
            await waiter
        with pytest.raises(PoolClosedError, match="the service is stopping"):
            await use(dispatcher)


async def test_a_pool_that_closes_turns_away_who_waits(workshop: Workshop) -> None:
    async with opened(workshop) as dispatcher, AsyncExitStack() as stack:
        await stack.enter_async_context(lent(dispatcher))
        waiter = asyncio.create_task(use(dispatcher))
        await waiting(dispatcher, 1)
        closing = asyncio.create_task(dispatcher.pool.close())
        with pytest.raises(PoolClosedError, match="the service is stopping"):
            await waiter
        await stack.aclose()
        await closing


async def test_a_sandbox_that_is_lent_as_patience_ends_is_not_lost() -> None:
    """The event loop may give a waiter its sandbox and its timeout in the same turn."""
    pool = Pool(cast("Engine", None), PoolSize(least=0, most=1))
    dispatcher = Dispatcher([pool], Limits(), patience=0.01)
    pool.book.making = 1  # so that no more are wanted
    loop = asyncio.get_running_loop()
    one = Sandbox("one", Limits())
    borrowed = []

    async def borrow() -> None:
        with contextlib.suppress(PoolBusyError):
            async with lent(dispatcher) as sandbox:
                borrowed.append(sandbox)
                sandbox._ready = True  # nothing is run in it

    borrower = asyncio.create_task(borrow())
    await asyncio.sleep(0)
    assert dispatcher.queue.waiting

    def arrive() -> None:
        pool.book.making = 0
        pool._free(one)

    loop.call_soon(arrive)
    late = loop.time() + 0.02
    while loop.time() < late:
        pass  # now the timeout is due in the very turn in which the sandbox arrives
    await borrower
    await until(lambda: not dispatcher.queue.running)
    assert borrowed == [one] or list(pool.book.idle) == [one]
    assert one not in pool.book.busy
