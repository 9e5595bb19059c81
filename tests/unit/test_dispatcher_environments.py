"""Several environments under one dispatcher: who gets which sandboxes, and how many there are at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from code_executor.core.caller import Caller, Terms
from code_executor.core.cells import CellTurn
from code_executor.core.errors import (
    EnvironmentRefusedError,
    EnvironmentUnknownError,
    PolicyRefusedError,
    PolicyUnknownError,
    PoolBusyError,
)
from code_executor.core.limits import Limits
from code_executor.core.models import Execution
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service.dispatcher import Dispatcher, _Loan
from code_executor.service.fairqueue import FIRST_ESTIMATE, Rules
from code_executor.service.kinds import Kinds
from code_executor.service.looks import Looks
from tests.census import until
from tests.workshop import Workshop

pytestmark = pytest.mark.anyio

A, B = Caller("a"), Caller("b")


class School:
    """A dispatcher on a default environment that keeps a sandbox warm, and two that keep none."""

    def __init__(self, dispatcher: Dispatcher, workshops: dict[str, Workshop]) -> None:
        self.dispatcher = dispatcher
        self.workshops = workshops

    def loan(self, environment: str = "", code: str = "", caller: Caller = A, **more: bool) -> _Loan:
        return _Loan(self.dispatcher, Execution(code, environment=environment, caller=caller, **more))  # type: ignore[arg-type]

    async def use(self, environment: str) -> Sandbox:
        async with self.loan(environment) as sandbox:
            return sandbox

    def total(self) -> int:
        return sum(pool.book.total for pool in self.dispatcher.pools)

    def of(self, environment: str) -> list[Pool]:
        return [pool for pool in self.dispatcher.pools if pool.environment == environment]


@asynccontextmanager
async def opened(most: int = 2, patience: float = 10, kinds: int = 1, **rules: float) -> AsyncIterator[School]:
    async with asyncio.timeout(30), AsyncExitStack() as stack:
        workshops = {name: Workshop() for name in ("default", "one", "two")}

        async def pools(name: str, least: int, spare: int) -> list[Pool]:
            size = PoolSize(least=least, most=most, spare=spare)
            made = [Pool(workshops[name], size, f"{number}", name) for number in range(kinds)]
            return [await stack.enter_async_context(pool) for pool in made]

        looks = Looks((("numpy",),) if kinds > 1 else ())
        default = await pools("default", 1, 1)
        others = [Kinds(await pools(name, 0, 0), looks, name=name, on_demand=True) for name in ("one", "two")]
        given = Rules(**{"reserve": 0, "share": 1.0, **rules})  # type: ignore[arg-type]
        dispatcher = Dispatcher(
            default, Limits(), most=most, looks=looks, others=others, rules=given, patience=patience
        )
        stack.callback(dispatcher.close)
        await until(lambda: all(pool.ready for pool in default))
        yield School(dispatcher, workshops)


# ---- each gets its own


async def test_a_program_of_one_environment_never_gets_a_sandbox_of_another() -> None:
    async with opened(most=3) as school:
        for name in ("one", "default", "two"):
            async with school.loan(name) as sandbox:
                assert sandbox in school.workshops[name].made
                assert all(sandbox not in school.workshops[other].made for other in school.workshops if other != name)


async def test_a_free_sandbox_of_another_serves_nobody_even_when_its_own_cannot_be_made() -> None:
    async with opened(patience=0.2) as school:
        school.workshops["one"].broken = "no image"
        with pytest.raises(PoolBusyError, match="no image"):
            await school.loan("one").__aenter__()
        assert school.dispatcher.pool.book.idle


async def test_the_default_has_its_name_too() -> None:
    async with opened() as school:
        for name in ("", "default"):
            loan = school.loan(name)
            async with loan:
                assert loan.kind == ("0", True, "default")
        assert school.dispatcher.environments == ("default", "one", "two")


async def test_an_unknown_one_and_one_that_the_key_may_not_use_are_refused_and_wait_for_nothing() -> None:
    async with opened() as school:
        with pytest.raises(EnvironmentUnknownError, match="'three' here, but default, one, two"):
            await school.loan("three").__aenter__()
        key = Caller("ce_k", terms=Terms(environments=("two",)))
        with pytest.raises(EnvironmentRefusedError):
            await school.loan("one", caller=key).__aenter__()
        async with school.loan(caller=key) as sandbox:
            assert sandbox in school.workshops["two"].made
        assert school.dispatcher.queue.waiting == 0


async def test_a_policy_that_cannot_be_chosen_is_refused_and_waits_for_nothing() -> None:
    async with opened() as school:
        dispatcher = school.dispatcher
        dispatcher._policies = ("strict", "off")

        def loan(name: str, caller: Caller = A) -> _Loan:
            return _Loan(dispatcher, Execution("", policy_name=name, caller=caller))

        async with loan("off"):
            pass
        with pytest.raises(PolicyUnknownError, match="'third' here; a request may choose strict, off"):
            await loan("third").__aenter__()
        key = Caller("ce_k", terms=Terms(policies=("strict",)))
        with pytest.raises(PolicyRefusedError):
            await loan("off", key).__aenter__()
        async with loan("", key), loan("strict", key):
            with pytest.raises(PolicyUnknownError):  # also where it would have to wait
                await loan("third").__aenter__()
        assert dispatcher.queue.waiting == 0


# ---- on demand


async def test_there_is_no_sandbox_until_somebody_asks_who_waits_in_the_queue_for_it() -> None:
    async with opened() as school:
        assert not school.workshops["one"].attempts
        school.workshops["one"].open.clear()
        waiting = asyncio.create_task(school.use("one"))
        await until(lambda: school.dispatcher.queue.waiting == 1)
        await until(lambda: school.workshops["one"].making == 1)
        school.workshops["one"].open.set()
        assert await waiting in school.workshops["one"].made
        assert [len(each.made) for each in school.workshops.values()] == [1, 1, 0]


async def test_a_kind_on_demand_is_made_for_a_program_that_names_what_it_has() -> None:
    async with opened(kinds=2) as school:
        loan = school.loan("one", "import numpy")
        async with loan:
            assert loan.kind == ("1", True, "one")
        assert [pool.book.made for pool in school.of("one")] == [0, 1]


async def test_if_a_kind_cannot_be_made_a_plain_sandbox_serves() -> None:
    async with opened(kinds=2) as school:
        plain, loaded = school.of("one")
        loaded.failure = "no such module"
        loan = school.loan("one", "import numpy")
        async with loan:
            assert loan.kind == ("0", True, "one")
        assert plain.book.made == 1


async def test_a_larger_kind_serves_its_own_environment_alone() -> None:
    async with opened(kinds=2, most=3) as school:
        async with school.loan("one", "import numpy"):
            pass
        await until(lambda: len(school.of("one")[1].book.idle) == 1)
        loan = school.loan("one")
        async with loan:
            assert loan.kind == ("1", False, "one")
        async with school.loan("two") as sandbox:
            assert sandbox in school.workshops["two"].made


# ---- one bound


async def test_all_environments_together_run_no_more_than_may() -> None:
    async with opened(most=2) as school, AsyncExitStack() as stack:
        await stack.enter_async_context(school.loan("one"))
        held = school.loan()
        await held.__aenter__()
        third = asyncio.create_task(school.use("two"))
        await until(lambda: len(school.of("two")[0].book.idle) == 1)
        assert not third.done()
        await held.__aexit__(None, None, None)
        assert await third in school.workshops["two"].made


async def test_there_are_no_more_sandboxes_than_may_run_and_those_that_each_keeps() -> None:
    """Four may run, the default keeps one, and one of each that is made on demand: seven, whatever is asked for."""
    async with opened(most=4) as school:
        most = 0

        async def use(name: str) -> None:
            nonlocal most
            async with school.loan(name):
                most = max(most, school.total())
                await asyncio.sleep(0.002)

        await asyncio.gather(*(use(name) for name in ("", "one", "two") for _ in range(30)))
        assert 4 < most <= 7


async def test_a_session_that_rests_takes_no_room_from_others() -> None:
    async with opened(most=2) as school:
        session = school.loan("one", session=True)
        await session.__aenter__()
        before = school.dispatcher._room()
        session.follow(CellTurn())
        assert school.dispatcher._room() == before + 1
        await session.__aexit__(None, None, None)
        assert school.dispatcher._resting == 0


async def test_what_lingers_in_one_environment_makes_room_for_another() -> None:
    async with opened(most=4) as school:
        loans = [school.loan("one") for _ in range(4)]
        for loan in loans:
            await loan.__aenter__()
        for loan in loans:
            await loan.__aexit__(None, None, None)
        (one,), (two,) = school.of("one"), school.of("two")
        await until(lambda: len(one.book.idle) == 4)
        loans = [school.loan("two") for _ in range(4)]
        await asyncio.gather(*(loan.__aenter__() for loan in loans))
        seen = len(two.book.busy), one.book.total, school.total()
        for loan in loans:
            await loan.__aexit__(None, None, None)
        assert seen[0] == 4
        assert seen[1] <= 2
        assert seen[2] <= 7


async def test_what_was_made_on_demand_is_given_up_when_nobody_asked_for_a_while() -> None:
    async with opened() as school:
        async with school.loan("one"):
            pass
        (one,) = school.of("one")
        await until(lambda: len(one.book.idle) == 1)
        since = next(iter(one.book.idle_since.values()))
        assert one.book.superfluous(since + 59) == []
        assert len(one.book.superfluous(since + 61)) == 1
        assert (one.book.total, one.book.wanted()) == (0, 0)


# ---- one queue


async def test_who_floods_one_environment_does_not_keep_others_from_another() -> None:
    async with opened(most=1) as school:
        order = ""

        async def use(name: str, caller: Caller) -> None:
            nonlocal order
            async with school.loan(name, caller=caller):
                order += caller.id
                await asyncio.sleep(0)

        async with school.loan("two"):
            tasks = [asyncio.create_task(use("", A)) for _ in range(20)]
            await until(lambda: school.dispatcher.queue.waiting == 20)
            tasks += [asyncio.create_task(use("one", B)) for _ in range(3)]
            await until(lambda: school.dispatcher.queue.waiting == 23)
            await until(lambda: len(school.of("one")[0].book.idle) == 1)
            await asyncio.sleep(2 * FIRST_ESTIMATE)  # what A uses here is more than what it is taken for
        await asyncio.gather(*tasks)
        assert order.rindex("b") < 10
