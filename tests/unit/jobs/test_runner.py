"""The runner of jobs on a real database, over a runner of executions that does what the test says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path

import pytest

from code_executor.core.caller import Caller, Terms
from code_executor.core.errors import PolicyUnknownError, PoolBusyError, StorageError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input, Reason, Result
from code_executor.grading.outcomes import Grade
from code_executor.jobs import runner as room
from code_executor.jobs.desk import JobDesk
from code_executor.jobs.models import JobRules, JobUnknownError, Kind, Leased, NewJob, State, Wanted
from code_executor.jobs.packing import pack, unpack
from code_executor.jobs.runner import JobRunner
from code_executor.storage import schema
from code_executor.storage.database import Database
from code_executor.storage.leases import SqlLeaseStore
from tests.census import until

pytestmark = pytest.mark.anyio

ADA = Caller("ce_ada", weight=2.0, terms=Terms(running=3, wall_time=7.0))


class Scripted:
    """A `Runner` whose programs are words: what they do."""

    limits = Limits()

    def __init__(self) -> None:
        self.ran: list[Execution] = []
        self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.stopped: list[str] = []
        self.broken: Counter[str] = Counter()

    async def stream(
        self, execution: Execution, _inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        self.ran.append(execution)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            yield await self._result(execution)
        except asyncio.CancelledError:
            self.stopped.append(execution.code)
            raise
        finally:
            self.at_once -= 1

    async def _result(self, execution: Execution) -> Result:
        match execution.code:
            case "wait":
                await self.gate.wait()
            case "busy" if not self.gate.is_set():
                raise PoolBusyError("every sandbox is busy", 1)
            case "break":
                return Result(execution.id, Reason.INTERNAL, error="it broke")
            case "break once":
                self.broken["once"] += 1
                if self.broken["once"] == 1:
                    return Result(execution.id, Reason.INTERNAL, error="it broke")
            case "bug":
                raise ZeroDivisionError
            case "policy":
                raise PolicyUnknownError("there is no policy 'course' here")
        return Result(execution.id, Reason.COMPLETED, output=execution.code)


class Silent:
    def began(self, job: Leased) -> None: ...

    def ended(self, job: Leased, result: Result) -> None: ...

    def graded(self, grade: Grade, seconds: float) -> None: ...

    def counted(self, counts: Mapping[State, int]) -> None: ...


class House:
    """A database, a desk, and runners."""

    def __init__(self, database: Database) -> None:
        self.store = SqlLeaseStore(database, JobRules())
        self.failing = False
        self.desk = JobDesk(self.find)
        self.runs = Scripted()

    async def find(self, _make: bool = False) -> SqlLeaseStore:
        if self.failing:
            raise StorageError("the database is out of reach")
        return self.store

    def runner(self, window: int = 8) -> JobRunner:
        return JobRunner(self.runs, self.find, self.desk.board, window, Silent())

    async def post(self, *codes: str) -> list[str]:
        return [
            (await self.desk.post(ADA, NewJob(Kind.EXECUTE, pack(Execution(code, caller=ADA))))).ids[0]
            for code in codes
        ]

    async def outcome(self, name: str) -> tuple[State, str]:
        job = await self.desk.find(ADA, name, 30)
        return job.state, "" if job.result is None else unpack(job.result).reason.value


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with Database.open(f"sqlite:///{tmp_path}/jobs.db") as database:
        await schema.upgrade(database)
        made = House(database)
        async with made.desk:
            yield made


async def test_every_job_is_run_once_as_its_caller_in_the_lane_that_waits(house: House) -> None:
    names = await house.post(*(str(number) for number in range(60)))
    async with house.runner():
        assert {await house.outcome(name) for name in names} == {(State.DONE, "completed")}
    assert Counter(each.code for each in house.runs.ran) == Counter(map(str, range(60)))
    execution = house.runs.ran[0]
    assert execution.batch
    assert (execution.caller, execution.caller.weight, execution.caller.terms) == (ADA, 2.0, ADA.terms)


async def test_a_long_job_is_stored_once_it_ends_whatever_was_stored_meanwhile(house: House) -> None:
    long, *others = await house.post("wait", *"abc")
    async with house.runner():
        for name in others:
            await house.outcome(name)
        house.runs.gate.set()
        assert await house.outcome(long) == (State.DONE, "completed")
    assert Counter(each.code for each in house.runs.ran)["wait"] == 1


async def test_no_more_than_the_window_is_leased(house: House) -> None:
    names = await house.post(*["wait"] * 20)
    async with house.runner(8):
        await until(lambda: house.runs.at_once >= 6)
        assert (await house.store.counts())[State.RUNNING] <= 8
        house.runs.gate.set()
        for name in names:
            await house.outcome(name)
    assert house.runs.most <= 8


async def test_a_sandbox_that_breaks_costs_only_its_own_job(house: House) -> None:
    breaks, once, bug, *others = await house.post("break", "break once", "bug", *"abcdef")
    async with house.runner():
        assert await house.outcome(breaks) == (State.DONE, "internal")
        assert await house.outcome(once) == (State.DONE, "completed")
        assert await house.outcome(bug) == (State.DONE, "internal")
        assert {await house.outcome(name) for name in others} == {(State.DONE, "completed")}
    assert Counter(each.code for each in house.runs.ran) == {"break": 2, "break once": 2, "bug": 2} | dict.fromkeys(
        "abcdef", 1
    )


async def test_a_job_whose_policy_is_not_offered_any_more_is_not_tried_again(house: House) -> None:
    (name,) = await house.post("policy")
    async with house.runner():
        assert await house.outcome(name) == (State.DONE, "internal")
    kept = (await house.desk.find(ADA, name)).result
    assert kept is not None
    assert unpack(kept).error == "there is no policy 'course' here"
    assert len(house.runs.ran) == 1


async def test_a_job_that_finds_no_sandbox_waits_in_its_place(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_REST", 0.05)
    (name,) = await house.post("busy")
    async with house.runner():
        await until(lambda: len(house.runs.ran) >= 3)
        house.runs.gate.set()
        assert await house.outcome(name) == (State.DONE, "completed")
    assert (await house.desk.find(ADA, name)).runs == 1


async def test_cancelling_stops_the_run_at_once(house: House) -> None:
    (name,) = await house.post("wait")
    async with house.runner():
        await until(lambda: house.runs.at_once)
        assert (await house.desk.cancel(ADA, name)).state is State.CANCELLED
        await until(lambda: house.runs.stopped)
    assert await house.outcome(name) == (State.CANCELLED, "")


async def test_what_another_process_cancels_is_stopped_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_LOOK_EVERY", 0.02)
    (name,) = await house.post("wait")
    async with house.runner():
        await until(lambda: house.runs.at_once)
        await house.store.cancel(ADA, name)
        await until(lambda: house.runs.stopped)


async def test_stopping_gives_back_what_runs_and_keeps_what_ended(house: House) -> None:
    done, running = await house.post("x", "wait")
    async with house.runner():
        await until(lambda: house.runs.at_once)
        await house.outcome(done)
    job = await house.desk.find(ADA, running)
    assert (job.state, job.runs) == (State.QUEUED, 0)
    house.runs.gate.set()
    async with house.runner():
        assert await house.outcome(running) == (State.DONE, "completed")


async def test_results_wait_for_a_database_that_is_out_of_reach(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_PAUSE", 0.05)
    names = await house.post(*["wait"] * 4)
    async with house.runner():
        await until(lambda: house.runs.at_once == 4)
        house.failing = True
        house.runs.gate.set()
        await until(lambda: not house.runs.at_once)
        await asyncio.sleep(0.2)
        house.failing = False
        assert {await house.outcome(name) for name in names} == {(State.DONE, "completed")}
    assert len(house.runs.ran) == 4


async def test_a_lost_lease_is_run_by_another_and_the_first_result_is_dropped(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEASE", 0.1)
    monkeypatch.setattr(room, "_RENEW_EVERY", 1000.0)
    monkeypatch.setattr(room, "_LOOK_EVERY", 1000.0)
    monkeypatch.setattr(room, "_SWEEP_EVERY", 0.05)
    (name,) = await house.post("wait")
    async with house.runner():
        await until(lambda: len(house.runs.ran) >= 2)  # the same runner leases it again, or another does
        house.runs.gate.set()
        await house.outcome(name)


async def test_what_another_version_posted_ends_as_ours(house: House) -> None:
    taken = await house.desk.post(ADA, NewJob(Kind.EXECUTE, b'j{"type": "execution"}'))
    async with house.runner():
        assert await house.outcome(taken.ids[0]) == (State.DONE, "internal")


# ---- who waits


async def test_waiting_ends_with_the_job_or_with_the_time(house: House) -> None:
    (name,) = await house.post("wait")
    assert (await house.desk.find(ADA, name, 0.05)).state is State.QUEUED
    async with house.runner():
        waiting = asyncio.create_task(house.desk.find(ADA, name, 30))
        await until(lambda: house.runs.at_once)
        house.runs.gate.set()
        assert (await waiting).state is State.DONE
    assert house.desk.board.names == ()


async def test_following_tells_each_state_once_and_then_ends(house: House) -> None:
    (name,) = await house.post("wait")
    seen: list[tuple[int, State]] = []

    async def follow() -> None:
        async for job in house.desk.follow(ADA, name):
            seen.append((job.version, job.state))
            if job.state is State.RUNNING:
                house.runs.gate.set()

    following = asyncio.create_task(follow())
    await until(lambda: seen)
    async with house.runner():
        await following
    assert seen == [(1, State.QUEUED), (2, State.RUNNING), (3, State.DONE)]
    assert [job.version async for job in house.desk.follow(ADA, name, after=2)] == [3]


async def test_a_change_by_another_process_is_seen(house: House) -> None:
    (name,) = await house.post("wait")
    waiting = asyncio.create_task(house.desk.find(ADA, name, 30))
    await asyncio.sleep(0)
    await house.store.cancel(ADA, name)  # and nobody says so on the board
    assert (await waiting).state is State.CANCELLED


async def test_results_of_a_batch_come_as_they_end(house: House) -> None:
    new = [NewJob(Kind.EXECUTE, pack(Execution(code, caller=ADA))) for code in ("wait", *map(str, range(40)))]
    batch, taken = await house.desk.post_batch(ADA, new)
    seen = []
    async with house.runner():
        async for job in house.desk.results(batch):
            seen.append(job.number)
            if len(seen) == 40:
                house.runs.gate.set()
    assert seen[-1] == 0
    assert sorted(seen) == list(range(41))
    assert len(taken.ids) == 41


async def test_who_waits_is_answered_when_the_process_stops(house: House) -> None:
    (name,) = await house.post("wait")
    waiting = asyncio.create_task(house.desk.find(ADA, name, 600))
    following = asyncio.create_task(anext(house.desk.follow(ADA, name, after=1), None))
    await until(lambda: house.desk.board.names)
    house.desk.board.close()
    assert (await waiting).state is State.QUEUED
    assert await following is None


async def test_there_is_nothing_where_nothing_was_kept() -> None:
    async def none(_make: bool) -> None:
        return None

    desk = JobDesk(none)
    assert await desk.list(ADA, Wanted()) == []
    with pytest.raises(JobUnknownError):
        await desk.find(ADA, "x")
