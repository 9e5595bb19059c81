"""What a key's terms limit: rates of all its learners and of each, seconds of a day, sandboxes, places, run times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import pytest

from code_executor.api.allowance import headers, refusal
from code_executor.core.caller import Caller, Terms
from code_executor.core.codec import caller_object, caller_of_object, decode, encode
from code_executor.core.limits import Limits, RunLimits, held_to, limits_of
from code_executor.core.models import Allowance, Event, Execution, Input, Reason, Result, Started
from code_executor.service.budgets import Budgets, CountedRunner
from code_executor.service.fairqueue import FairQueue, Lane, Left, QueueFullError, Rules
from code_executor.service.flows import Manner
from code_executor.service.ratelimit import RateLimiter

pytestmark = pytest.mark.anyio

DAY = 1_800_000_000 // 86400 * 86400


class Clock:
    def __init__(self) -> None:
        self.now = float(DAY + 36_000)

    def __call__(self) -> float:
        return self.now


def caller(learner: str = "", **terms: object) -> Caller:
    return Caller("ce_k3x9q2pa", learner, terms=Terms(**terms))  # type: ignore[arg-type]


async def hits(limiter: RateLimiter, who: Caller, times: int) -> list[tuple[bool, str, int]]:
    found = [await limiter.hit(who) for _ in range(times)]
    return [(each.allowed, each.name, each.remaining) for each in found if each is not None]


# ---- rates


async def test_each_learner_has_the_servers_rate_and_all_have_that_of_the_key() -> None:
    limiter = RateLimiter("2/minute", Budgets())
    ada, bob, eve = (caller(name, rate="4/minute") for name in "abe")
    assert await hits(limiter, ada, 3) == [(True, "learner", 1), (True, "learner", 0), (False, "learner", 0)]
    assert [allowed for allowed, _, _ in await hits(limiter, bob, 3)] == [True, True, False]
    assert await hits(limiter, eve, 1) == [(False, "key", 0)]


async def test_a_learner_who_is_refused_uses_up_nothing_of_the_key() -> None:
    limiter = RateLimiter("1/minute", Budgets())
    flooder, other = caller("flooder", rate="3/minute"), caller("other", rate="3/minute")
    assert [allowed for allowed, _, _ in await hits(limiter, flooder, 50)] == [True] + [False] * 49
    assert await hits(limiter, other, 1) == [(True, "learner", 0)]
    assert await hits(limiter, caller("third", rate="3/minute"), 1) == [(True, "learner", 0)]
    assert await hits(limiter, caller("fourth", rate="3/minute"), 1) == [(False, "key", 0)]


async def test_a_key_that_is_used_up_uses_up_nothing_of_its_learners() -> None:
    limiter = RateLimiter("2/minute", Budgets())
    await hits(limiter, caller("a", rate="1/minute"), 1)
    await hits(limiter, caller("b", rate="1/minute"), 5)
    assert await hits(limiter, caller("b"), 1) == [(True, "learner", 1)]


async def test_without_a_learner_and_a_rate_a_key_has_none() -> None:
    limiter = RateLimiter("1/minute", Budgets())
    assert await hits(limiter, caller(), 5) == []
    assert len(await hits(limiter, Caller("192.0.2.1"), 2)) == 2


async def test_a_key_can_have_another_rate_for_its_learners_or_none() -> None:
    limiter = RateLimiter("1/minute", Budgets())
    assert await hits(limiter, caller("a", learner_rate="3/minute"), 1) == [(True, "learner", 2)]
    assert await hits(limiter, caller("b", learner_rate="off"), 5) == []


async def test_the_terms_are_of_runs_alone() -> None:
    checks = RateLimiter("1/minute")
    who = caller("a", rate="100/minute", learner_rate="100/minute", seconds=1)
    assert await hits(checks, who, 2) == [(True, "learner", 0), (False, "learner", 0)]
    assert await hits(checks, caller(rate="1/minute"), 2) == []


async def test_learners_of_two_keys_are_two() -> None:
    limiter = RateLimiter("1/minute", Budgets())
    assert await hits(limiter, caller("a"), 1) == [(True, "learner", 0)]
    assert await hits(limiter, replace(caller("a"), id="ce_00000000"), 1) == [(True, "learner", 0)]


def test_the_headers_name_the_narrowest_limit() -> None:
    allowance = Allowance(allowed=False, limit=600, remaining=0, reset=7, window=60, name="key")
    assert headers(allowance)["RateLimit-Policy"] == '600;w=60;name="key"'
    assert refusal(allowance).detail == "Rate limit exceeded: 600 runs in 60 seconds for this key. Try again in 7 s."
    spent = Allowance(allowed=False, limit=3600, remaining=0, reset=7, window=86400, name="seconds")
    assert refusal(spent).detail == (
        "This key has used its 3600 seconds of sandboxes for today (UTC). Try again in 7 s."
    )
    assert decode(encode(allowance)) == allowance
    assert "name" not in encode(replace(allowance, name=""))  # what has no name is told as before


# ---- seconds of a day


async def test_whoever_has_used_its_seconds_waits_for_midnight() -> None:
    clock = Clock()
    budgets = Budgets(clock, clock)
    limiter = RateLimiter("off", budgets)
    who = caller(seconds=10)
    budgets.begin("run", who)
    clock.now += 4
    assert await hits(limiter, who, 1) == [(True, "seconds", 6)]  # while it runs, too
    clock.now += 6
    budgets.end("run")
    allowance = await limiter.hit(who)
    assert allowance is not None
    assert (allowance.allowed, allowance.reset, allowance.window) == (False, 86400 - 36_010, 86400)
    clock.now += allowance.reset
    assert await hits(limiter, who, 1) == [(True, "seconds", 10)]


def test_what_other_servers_used_counts_once_it_is_known() -> None:
    clock = Clock()
    budgets = Budgets(clock, clock)
    who = caller(seconds=10)
    budgets.begin("run", who)
    clock.now += 3
    assert budgets.take() == {who.id: 3}
    assert budgets.used(who) == 3
    budgets.learn(budgets.today(), {who.id: 7.0})
    clock.now += 1
    assert budgets.used(who) == 8
    assert budgets.take() == {who.id: 1}
    budgets.put_back(budgets.today(), {who.id: 1})  # it could not be kept
    assert (budgets.used(who), budgets.take()) == (8, {who.id: 1})


def test_what_was_used_yesterday_is_not_kept_as_of_today() -> None:
    clock = Clock()
    budgets = Budgets(clock, clock)
    who = caller(seconds=10)
    budgets.begin("run", who)
    yesterday = budgets.today()
    clock.now += 86400
    budgets.learn(yesterday, {who.id: 5.0})
    budgets.put_back(yesterday, {who.id: 5.0})
    assert budgets.used(who) == 0
    clock.now += 2
    assert budgets.used(who) == 2


class Runs:
    """A runner whose runs last until they are told to end."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.go = asyncio.Event()

    async def stream(
        self,
        execution: Execution,
        inputs: AsyncIterator[Input] | None = None,  # noqa: ARG002  # of a runner
    ) -> AsyncGenerator[Event, None]:
        yield Started(execution.id, 0.0)
        await self.go.wait()
        yield Result(execution.id, Reason.COMPLETED)


@pytest.mark.parametrize("ends", [True, False])
async def test_a_sandbox_counts_for_as_long_as_it_is_away_however_that_ends(ends: bool) -> None:
    clock, runs = Clock(), Runs()
    budgets = Budgets(clock, clock)
    runner = CountedRunner(runs, budgets)
    who = caller(seconds=10)
    stream = runner.stream(Execution("", caller=who))
    await anext(stream)
    clock.now += 2
    if ends:
        runs.go.set()
        async for _ in stream:
            pass
    await stream.aclose()
    clock.now += 100
    assert budgets.used(who) == 2


def test_whoever_has_no_key_is_not_counted() -> None:
    runs = Runs()
    stream = CountedRunner(runs, Budgets()).stream(Execution(""))
    assert getattr(stream, "__qualname__", "") == "Runs.stream"


# ---- the queue


def test_a_key_has_so_many_sandboxes_and_places_as_its_terms_say() -> None:
    queue = FairQueue(Rules(reserve=0), capacity=8)
    who = caller(running=2, places=1)
    for _ in range(2):
        assert queue.begin(who, "0", Manner.RUN, Lane.INTERACTIVE, 0.0, left=Left.MANY)
    assert queue.begin(who, "0", Manner.RUN, Lane.INTERACTIVE, 0.0, left=Left.MANY) is None
    queue.enter(who, "0", Manner.RUN, Lane.INTERACTIVE, 0.0)
    with pytest.raises(QueueFullError) as caught:
        queue.enter(who, "0", Manner.RUN, Lane.INTERACTIVE, 0.0)
    assert caught.value.own
    assert queue.next(("0",), 0.0, left=Left.MANY) is None


def test_changed_terms_count_at_once() -> None:
    queue = FairQueue(Rules(reserve=0), capacity=8)
    first = queue.begin(caller(running=1), "0", Manner.RUN, Lane.INTERACTIVE, 0.0, left=Left.MANY)
    assert first
    assert queue.begin(caller(running=1), "0", Manner.RUN, Lane.INTERACTIVE, 0.0, left=Left.MANY) is None
    assert queue.begin(caller(running=2), "0", Manner.RUN, Lane.INTERACTIVE, 0.0, left=Left.MANY)


# ---- the rest


def test_a_run_may_take_as_long_as_the_server_and_the_key_allow() -> None:
    limits = Limits()
    assert limits_of(Caller("192.0.2.1"), limits) is limits
    assert limits_of(caller(), limits) is limits
    narrow = limits_of(caller(wall_time=5, cpu_time=3600), limits)
    assert (narrow.wall_time, narrow.cpu_time) == (5, limits.cpu_time)
    narrow = limits_of(caller(memory=64 << 20, processes=1000), limits)
    assert (narrow.memory, narrow.processes, narrow.disk) == (64 << 20, limits.processes, limits.disk)


def test_a_sandbox_holds_a_run_to_the_lesser_of_what_it_asks_for_and_what_its_key_has() -> None:
    asked = RunLimits(memory=100 << 20, cpu_time=2)
    assert held_to(Caller("192.0.2.1"), None) is None
    assert held_to(caller(output=1000, wall_time=2), asked) is asked
    assert held_to(caller(memory=64 << 20), None) == RunLimits(memory=64 << 20)
    held = held_to(caller(memory=64 << 20, disk=1 << 20), asked)
    assert held == RunLimits(memory=64 << 20, cpu_time=2, disk=1 << 20)
    assert held_to(caller(memory=128 << 20), asked) == asked


def test_a_caller_goes_to_another_process_whole() -> None:
    for who in (Caller("192.0.2.1"), caller("a", rate="1/minute", seconds=2.5)):
        again = caller_of_object(caller_object(who))
        assert (again, again.weight, again.terms) == (who, who.weight, who.terms)


def test_a_session_stays_its_owners_when_the_terms_change() -> None:
    assert caller("a", running=1) == caller("a", running=2) != caller("b", running=1)
