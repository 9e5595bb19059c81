"""The store of jobs, on both databases: who sees what, what fits, whose turn it is, and that there is one result."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.core.caller import Caller
from code_executor.core.errors import StorageError
from code_executor.core.models import Execution, Reason, Result
from code_executor.jobs import models
from code_executor.jobs.models import Ended, Job, JobRules, JobsFullError, Kind, Leased, NewBatch, NewJob, State, Wanted
from code_executor.jobs.packing import pack, unpack
from code_executor.storage.database import Database
from code_executor.storage.leases import SqlLeaseStore
from code_executor.storage.tables import job_requests, job_results, jobs

pytestmark = pytest.mark.anyio

ADA = Caller("ce_ada")
BOB = Caller("ce_bob")
PUPIL = replace(ADA, learner="pupil")
RESULT = pack(Result("r", Reason.COMPLETED, output="1\n"))
FAILED = pack(Result("r", Reason.EXCEPTION, error="no"))
BROKEN = pack(Result("r", Reason.INTERNAL, error="broke"))


@pytest.fixture
def store(database: Database) -> SqlLeaseStore:
    return SqlLeaseStore(database, JobRules(queued=50, queued_per_caller=40))


def new(code: str = "print(1)", **more: Any) -> NewJob:
    return NewJob(Kind.EXECUTE, pack(Execution(code)), **more)


def everything(waiting: Mapping[str, int]) -> Mapping[str, int]:
    return waiting


def nothing(_: Mapping[str, int]) -> Mapping[str, int]:
    return {}


async def add(store: SqlLeaseStore, *new_jobs: NewJob, caller: Caller = ADA) -> list[str]:
    return list((await store.add(caller, new_jobs or [new()])).ids)


async def lease(store: SqlLeaseStore, who: str = "one", *, within: float = 60, suspects: int = 0) -> Sequence[Leased]:
    exchanged = await store.exchange(who, [], everything, time.time() + within, suspects=suspects)
    return exchanged.leased


async def end(store: SqlLeaseStore, job: Leased, result: bytes | None = RESULT, who: str = "one", **more: Any) -> None:
    ended = Ended(job.id, job.generation, result, **more)
    await store.exchange(who, [ended], nothing, time.time() + 60, suspects=0)


async def found(store: SqlLeaseStore, name: str, caller: Caller = ADA) -> Job:
    job = await store.find(caller, name)
    assert job is not None
    return job


async def rows(database: Database, table: Any) -> int:
    async with database.reading() as connection:
        return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())


# ---- what is kept, and who sees it


async def test_a_job_comes_back_as_it_was_with_what_came_of_it(store: SqlLeaseStore) -> None:
    (name,) = await add(store, new("x = 1", labels=("a", "b"), priority=3, callback="https://a.example"))
    queued = await found(store, name)
    assert (queued.state, queued.labels, queued.priority, queued.version) == (State.QUEUED, ("a", "b"), 3, 1)
    (leased,) = await lease(store)
    assert unpack(leased.request).code == "x = 1"
    assert (await found(store, name)).state is State.RUNNING
    await end(store, leased)
    done = await found(store, name)
    assert (done.state, done.failed, done.runs, done.version) == (State.DONE, False, 1, 3)
    assert done.result == RESULT
    assert done.finished is not None
    assert done.started is not None
    assert done.created <= done.started <= done.finished


async def test_names_are_128_random_bits_that_may_stand_in_a_url(store: SqlLeaseStore) -> None:
    names = await add(store, *[new()] * 20)
    assert len(set(names)) == 20
    assert all(len(name) == 22 and name.replace("-", "").replace("_", "").isalnum() for name in names)


async def test_a_caller_sees_its_own_jobs_and_a_learner_its_own_of_these(store: SqlLeaseStore) -> None:
    (of_ada,), (of_pupil,) = await add(store), await add(store, caller=PUPIL)
    other = replace(ADA, learner="other")
    assert {caller: len(await store.list(caller, Wanted())) for caller in (ADA, PUPIL, other, BOB)} == {
        ADA: 2,
        PUPIL: 1,
        other: 0,
        BOB: 0,
    }
    for stranger in (BOB, other, PUPIL):
        assert await store.find(stranger, of_ada) is None
        assert not await store.cancel(stranger, of_ada)
    assert (await found(store, of_ada)).state is State.QUEUED
    assert (await found(store, of_pupil)).learner == "pupil"


async def test_a_list_goes_from_page_to_page_without_a_gap(store: SqlLeaseStore) -> None:
    names = await add(store, *(new(labels=("odd",) if number % 2 else ()) for number in range(25)))
    seen: list[str] = []
    after: tuple[float, str] | None = None
    while page := await store.list(ADA, Wanted(after=after, limit=10)):
        seen += [job.id for job in page]
        after = page[-1].created, page[-1].id
    assert seen == names[::-1]
    assert [job.id for job in await store.list(ADA, Wanted(label="odd", limit=50))] == names[1::2][::-1]
    assert await store.list(ADA, Wanted(state=State.DONE)) == []
    assert len(await store.list(ADA, Wanted(state=State.QUEUED, label="odd", limit=5))) == 5


# ---- what fits


async def test_all_of_a_batch_fits_or_nothing_is_kept(store: SqlLeaseStore, database: Database) -> None:
    await add(store, *[new()] * 30)
    with pytest.raises(JobsFullError, match=r"you have 30 jobs waiting, and may have 40: 11 more") as refused:
        await store.add(ADA, [new()] * 11, NewBatch("b"))
    assert refused.value.own
    with pytest.raises(JobsFullError, match="too many jobs are waiting") as refused:
        await store.add(BOB, [new()] * 21)
    assert not refused.value.own
    assert (await rows(database, jobs), await store.find_batch(ADA, "b")) == (30, None)
    await add(store, *[new()] * 10)


async def test_what_would_not_fit_into_what_is_kept_is_refused(database: Database) -> None:
    store = SqlLeaseStore(database, JobRules(size=1500))
    large = NewJob(Kind.EXECUTE, pack(Execution(os.urandom(600).hex())))
    assert 600 < len(large.request) < 1500 < 2 * len(large.request)
    await store.add(ADA, [large])
    with pytest.raises(JobsFullError, match="no more jobs can be kept"):
        await store.add(ADA, [large])


async def test_of_several_servers_none_takes_more_than_fits(migrated_url: str) -> None:
    async def post(database: Database) -> int:
        try:
            return len((await SqlLeaseStore(database, JobRules(queued=10)).add(ADA, [new()] * 3)).ids)
        except JobsFullError:
            return 0

    async with Database.open(migrated_url) as one, Database.open(migrated_url) as other:
        taken = await asyncio.gather(*(post(database) for database in (one, other) * 4))
    assert sum(taken) == 9


# ---- leases


async def test_the_highest_priority_comes_first_and_then_the_oldest(store: SqlLeaseStore) -> None:
    names = await add(store, new(), new(priority=1), new(), new(priority=1))
    assert [each.id for each in await lease(store)] == [names[1], names[3], names[0], names[2]]


async def test_no_job_is_two_runners(migrated_url: str) -> None:
    async with Database.open(migrated_url) as one, Database.open(migrated_url) as other:
        stores = [SqlLeaseStore(each, JobRules()) for each in (one, other)]
        names = await add(stores[0], *[new()] * 40)
        leased = await asyncio.gather(
            *(
                store.exchange(f"{number}{turn}", [], lambda _: {ADA.id: 5}, time.time() + 60, suspects=0)
                for number, store in enumerate(stores)
                for turn in range(6)
            )
        )
    taken = [each.id for exchanged in leased for each in exchanged.leased]
    assert len(taken) == len(set(taken))
    assert set(taken) <= set(names)


async def test_a_job_has_one_result_whoever_brings_a_second(store: SqlLeaseStore, database: Database) -> None:
    (name,) = await add(store)
    (first,) = await lease(store, "one", within=-1)
    assert (await store.sweep()).lost == 1
    (second,) = await lease(store, "two", suspects=1)
    assert second.suspect
    await end(store, first, FAILED, "one", failed=True)
    assert (await found(store, name)).state is State.RUNNING
    await end(store, second, RESULT, "two")
    await end(store, second, FAILED, "two", failed=True)
    await end(store, first, FAILED, "one", failed=True)
    done = await found(store, name)
    assert (done.state, done.result, done.runs) == (State.DONE, RESULT, 2)
    assert await rows(database, job_results) == 1


async def test_an_old_lease_of_the_same_runner_does_not_count(store: SqlLeaseStore) -> None:
    (name,) = await add(store)
    (first,) = await lease(store)
    await end(store, first, None)
    (second,) = await lease(store)
    await end(store, first, FAILED, failed=True)
    assert (await found(store, name)).state is State.RUNNING
    await end(store, second)
    assert (await found(store, name)).result == RESULT


async def test_what_is_given_back_costs_no_attempt(store: SqlLeaseStore) -> None:
    (name,) = await add(store)
    for _ in range(5):
        (leased,) = await lease(store)
        await end(store, leased, None)
    await lease(store)
    await store.release("one")
    assert ((await found(store, name)).state, (await found(store, name)).runs) == (State.QUEUED, 0)


async def test_a_job_that_breaks_its_sandbox_runs_again_once(store: SqlLeaseStore) -> None:
    (name,) = await add(store)
    for attempt in range(models.ATTEMPTS):
        assert (await found(store, name)).state is State.QUEUED, attempt
        (leased,) = await lease(store)
        await end(store, leased, BROKEN, failed=True, broken=True)
    done = await found(store, name)
    assert (done.state, done.failed, done.runs, done.result) == (State.DONE, True, models.ATTEMPTS, BROKEN)


async def test_a_job_whose_server_is_lost_again_and_again_ends_and_runs_apart_before(store: SqlLeaseStore) -> None:
    poison, *others = await add(store, *[new()] * 4)
    await lease(store, within=-1)
    assert (await store.sweep()).lost == 4
    assert await lease(store) == []  # suspects are not chosen with the others
    for _ in range(models.LOSSES - 1):
        (suspect,) = await lease(store, suspects=1, within=-1)
        assert suspect.id == poison
        await store.sweep()
    done = await found(store, poison)
    assert (done.state, done.failed, done.result is not None) == (State.DONE, True, True)
    assert unpack(done.result or b"").reason is Reason.INTERNAL
    assert "lost" in unpack(done.result or b"").error
    assert [(await found(store, name)).runs for name in others] == [1, 1, 1]


async def test_a_lease_that_is_renewed_lasts(store: SqlLeaseStore) -> None:
    (name,) = await add(store)
    (leased,) = await lease(store, within=-1)
    assert await store.held("one", [name], time.time() + 60) == {name: leased.generation}
    assert (await store.sweep()).lost == 0
    assert await store.held("two", [name], time.time() + 60) == {}
    assert await store.held("one", [name], None) == {name: leased.generation}
    await store.cancel(ADA, name)
    assert await store.held("one", [name], None) == {}


async def test_a_cancelled_job_gets_no_result(store: SqlLeaseStore) -> None:
    queued, running = await add(store, new(), new(priority=1))
    (leased,) = (await store.exchange("one", [], lambda _: {ADA.id: 1}, time.time() + 60, suspects=0)).leased
    assert leased.id == running
    assert [await store.cancel(ADA, name) for name in (queued, running)] == [True, True]
    await end(store, leased)
    for name in (queued, running):
        job = await found(store, name)
        assert (job.state, job.result) == (State.CANCELLED, None)
        assert not await store.cancel(ADA, name)
    assert await lease(store) == []


# ---- time


async def test_what_does_not_begin_in_time_expires(store: SqlLeaseStore) -> None:
    late, patient = await add(store, new(expires_in=-1), new(expires_in=60))
    swept = await store.sweep()
    assert (await found(store, late)).state is State.EXPIRED
    assert (await found(store, patient)).state is State.QUEUED
    assert late in swept.changed


async def test_the_request_goes_first_and_the_result_later(store: SqlLeaseStore, database: Database) -> None:
    (name,) = await add(store, new(labels=("a",)))
    (leased,) = await lease(store)
    await end(store, leased)
    await store.sweep()
    assert await rows(database, job_requests) == 1

    async def pass_time(seconds: float) -> None:
        async with database.writing() as connection:
            earlier = {"due": jobs.c.due - seconds, "finished": jobs.c.finished - seconds}
            await connection.execute(update(jobs).values(earlier))
        await store.sweep()

    await pass_time(3601)
    assert (await rows(database, job_requests), (await found(store, name)).result) == (0, RESULT)
    await pass_time(86_400)
    assert await store.find(ADA, name) is None
    assert (await rows(database, job_results), await rows(database, jobs)) == (0, 0)


async def test_a_result_is_kept_no_longer_than_was_asked(store: SqlLeaseStore) -> None:
    (name,) = await add(store, new(retain=0.001))
    (leased,) = await lease(store)
    await end(store, leased)
    await asyncio.sleep(0.01)
    await store.sweep()
    assert await store.find(ADA, name) is None


# ---- batches


async def batch_of(store: SqlLeaseStore, count: int, stop_after: int | None = None) -> list[str]:
    return list((await store.add(ADA, [new()] * count, NewBatch("b", stop_after))).ids)


async def test_a_batch_says_how_many_are_in_which_state(store: SqlLeaseStore) -> None:
    names = await batch_of(store, 4)
    first, second, *_ = (await store.exchange("one", [], lambda _: {ADA.id: 3}, time.time() + 60, suspects=0)).leased
    await end(store, first)
    await end(store, second, FAILED, failed=True)
    batch = await store.find_batch(ADA, "b")
    assert batch is not None
    assert (batch.total, batch.failed, batch.is_over) == (4, 1, False)
    assert batch.counts == {State.DONE: 2, State.RUNNING: 1, State.QUEUED: 1}
    assert await store.find_batch(BOB, "b") is None
    assert await store.over("b") == ([first.id, second.id], 2)
    assert {job.id: job.result for job in await store.results([first.id, second.id])} == {
        first.id: RESULT,
        second.id: FAILED,
    }
    assert [job.id for job in await store.list(ADA, Wanted(batch="b", after=(0, "")))] == names[1:]
    assert set(await store.cancel_batch(BOB, "b")) == set()
    assert set(await store.cancel_batch(ADA, "b")) == set(names[2:])


async def test_a_batch_stops_after_failures(store: SqlLeaseStore) -> None:
    await batch_of(store, 6, stop_after=2)
    leased = (await store.exchange("one", [], lambda _: {ADA.id: 3}, time.time() + 60, suspects=0)).leased
    await end(store, leased[0], FAILED, failed=True)
    assert (await store.counts())[State.QUEUED] == 3
    await end(store, leased[1], FAILED, failed=True)
    assert await store.counts() == {State.DONE: 2, State.RUNNING: 1, State.CANCELLED: 3}


async def test_versions_change_with_what_they_are_of(store: SqlLeaseStore) -> None:
    names = await batch_of(store, 2)
    before = await store.versions([names[0], "b", "nobody's"])
    assert set(before) == {names[0], "b"}
    await store.cancel(ADA, names[0])
    after = await store.versions([names[0], "b"])
    assert all(after[name] > before[name] for name in before)


# ---- the seam, and what goes wrong


async def test_the_end_of_a_job_is_told_in_the_transaction_that_stores_it(database: Database) -> None:
    told: list[tuple[str, State]] = []
    broken = False

    async def deliveries(connection: AsyncConnection, job: Job) -> None:
        assert (await connection.execute(select(jobs.c.state).where(jobs.c.id == job.id))).scalar_one() == job.state
        if broken:
            raise StorageError("no room")
        told.append((job.id, job.state))

    store = SqlLeaseStore(database, JobRules(), deliveries)
    done, quiet, cancelled = await add(
        store, new(callback="https://a.example"), new(), new(callback="https://b.example", priority=-1)
    )
    first, second = (await store.exchange("one", [], lambda _: {ADA.id: 2}, time.time() + 60, suspects=0)).leased
    broken = True
    with pytest.raises(StorageError):
        await end(store, first)
    assert (await found(store, done)).state is State.RUNNING
    broken = False
    await end(store, first)
    await end(store, second)
    await store.cancel(ADA, cancelled)
    assert told == [(done, State.DONE), (cancelled, State.CANCELLED)]
    assert (await found(store, quiet)).state is State.DONE


async def test_nothing_is_half_written_when_the_database_is_full(database: Database) -> None:
    if not database.is_sqlite:
        pytest.skip("a disk of PostgreSQL's cannot be filled here")
    store = SqlLeaseStore(database, JobRules())
    async with database.writing() as connection:
        pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")
    noise = os.urandom(200_000)
    with pytest.raises(StorageError, match="has no room left; nothing was changed"):
        for _ in range(20):
            await store.add(ADA, [new(), NewJob(Kind.EXECUTE, b"j" + noise)], NewBatch(models.new_id()))
    count = await rows(database, jobs)
    assert (count % 2, await rows(database, job_requests)) == (0, count)


def test_what_is_packed_comes_back_small_or_large() -> None:
    for value in (
        Execution("x"),
        Execution("x = 1\n" * 1000, caller=PUPIL),
        Result("r", Reason.COMPLETED, output="\ud800"),
    ):
        assert unpack(pack(value)) == value
    assert len(pack(Execution("x = 1\n" * 1000))) < 600
    with pytest.raises(ValueError):
        unpack(b"z123")
    with pytest.raises(ValueError):
        unpack(b'j{"type":"execution"}')
