"""Runs jobs: leases them in groups, runs each, and stores what came of them, many in one transaction.

    the store ── lease ──► a run of the runner's (`core.runner`) ──► its result ── store ──► the store
                 └──────────────── one transaction, again and again ─────┘

There is one in the process that has the pools. No more than ``window`` jobs are its own at once. Each is an execution
like any other, in the lane of what nobody waits for. A lease is renewed while its job runs. Whatever is not the
runner's any more, because it was cancelled or came too late to renew, is stopped, and its result is not stored.

A job whose sandbox broke runs again. So does one whose server was lost, but apart from others of its kind: so if it
takes a server along, it takes no other job's last chance with it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Protocol, Self

import structlog

from code_executor.core.apart import apart
from code_executor.core.errors import (
    CallerBusyError,
    CodeExecutorError,
    EnvironmentRefusedError,
    EnvironmentUnknownError,
    PolicyRefusedError,
    PolicyUnknownError,
    PoolBusyError,
    PoolClosedError,
)
from code_executor.core.models import Execution, Reason, Result, Status
from code_executor.core.runner import Runner, run
from code_executor.grading import views
from code_executor.grading.issuer import Issuer
from code_executor.grading.outcomes import Grade, GradeVerdict
from code_executor.grading.receipts import Subject
from code_executor.grading.suite import SuiteError
from code_executor.jobs import grades, turns
from code_executor.jobs.board import Board
from code_executor.jobs.models import Ended, Kind, Leased, LeaseStore, State
from code_executor.jobs.packing import packed, unpack

log = structlog.get_logger()

LEASE = 10.0
"""Seconds that a lease lasts."""

_RENEW_EVERY, _LOOK_EVERY, _SWEEP_EVERY = 3.0, 1.0, 5.0
_POLL = 0.5
_REFUSED = (EnvironmentUnknownError, EnvironmentRefusedError, PolicyUnknownError, PolicyRefusedError)
_GATHER = 0.1
"""Seconds between two transactions while there is enough to do: so each has more in it."""

_REST = 1.0
"""Seconds for which no more jobs are leased of a caller whose executions the dispatcher did not take."""

_PAUSE = 1.0
_OTHER_VERSION = "the job was posted to another version of this service, which this one cannot read"


class Observer(Protocol):
    """Is told what happens, for metrics."""

    def began(self, job: Leased) -> None: ...

    def ended(self, job: Leased, result: Result) -> None: ...

    def graded(self, grade: Grade, seconds: float) -> None: ...

    def counted(self, counts: Mapping[State, int]) -> None: ...


class JobRunner:
    """See above. Use it as an async context manager, inside of what runs executions.

    ``store``: returns where jobs are kept, None while there is no such place. ``window``: jobs that are leased at once.
    ``issuer``: of the receipts of grades; None: they have none.
    """

    def __init__(
        self,
        runs: Runner,
        store: Callable[[], Awaitable[LeaseStore | None]],
        board: Board,
        window: int,
        observer: Observer,
        *,
        issuer: Issuer | None = None,
    ) -> None:
        self.lease = secrets.token_hex(8)
        self._runs = runs
        self._store = store
        self._board = board
        self._window = window
        self._observer = observer
        self._issuer = issuer
        self._running: dict[tuple[str, int], tuple[Leased, asyncio.Task[None]]] = {}  # by name and generation
        self._ended: list[Ended] = []
        self._resting: dict[str, float] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._round_at = self._renewed_at = 0.0
        self._failing = False

    async def __aenter__(self) -> Self:
        self._board.on_cancelled = self._stop
        self._loops = [asyncio.create_task(self._for_ever(each)) for each in (self._serve, self._renew, self._sweep)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.on_cancelled = lambda _: None
        tasks = [*self._loops, *(task for _, task in self._running.values())]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        try:
            store = await self._store()
            if store is not None:
                await self._exchange(store, lambda _: {}, suspects=0)
                await store.release(self.lease)
        except CodeExecutorError as failure:  # then the leases end by themselves
            log.warning("jobs_not_given_back", why=str(failure))

    # ---- the loops

    async def _for_ever(self, once: Callable[[LeaseStore], Awaitable[None]]) -> None:
        """Do it again and again; what the store cannot do now, it can do later."""
        while True:
            pause = _POLL
            try:
                store = await self._store()
                if store is not None:
                    pause = 0.0
                    await once(store)
            except CodeExecutorError as error:
                pause = _PAUSE
                if not self._failing:
                    log.error("jobs_store_failed", why=str(error))  # noqa: TRY400  # a sentence
                self._failing = True
            except Exception:
                pause = _PAUSE
                log.exception("jobs_failed")
            else:
                self._failing = self._failing and store is None
            if pause:
                await asyncio.sleep(pause)

    async def _serve(self, store: LeaseStore) -> None:
        """Wait until there is something to store or to lease, and do it."""
        if not self._ended and not self._board.work.is_set():
            try:
                async with asyncio.timeout(_POLL):
                    await self._board.work.wait()
            except TimeoutError:
                if not self._has_room or not await store.is_waiting():
                    return
        hurry = 2 * len(self._ended) >= self._window or not self._running
        if not hurry and (early := self._round_at + _GATHER - time.monotonic()) > 0:
            await asyncio.sleep(early)
        self._board.work.clear()
        if not self._ended and not self._has_room:
            return
        self._round_at = time.monotonic()
        await self._exchange(
            store, self._choose, suspects=int(not any(job.suspect for job, _ in self._running.values()))
        )

    async def _exchange(
        self, store: LeaseStore, choose: Callable[[Mapping[str, int]], Mapping[str, int]], *, suspects: int
    ) -> None:
        ended, self._ended = self._ended, []
        until = time.time() + LEASE
        try:
            exchanged = await store.exchange(self.lease, ended, choose, until, suspects=suspects)
        except BaseException:
            self._ended[:0] = ended  # to store it twice does no harm: the lease does not hold the second time
            raise
        for job in exchanged.leased:
            self._observer.began(job)
            task = asyncio.create_task(self._run(job))
            self._running[job.id, job.generation] = job, task
            task.add_done_callback(partial(self._over, job))
        self._board.changed(exchanged.changed)

    async def _renew(self, store: LeaseStore) -> None:
        """Renew the leases, and stop what is not ours any more: it was cancelled, or somebody else has it."""
        await asyncio.sleep(_LOOK_EVERY)
        if not self._running:
            return
        before = list(self._running)
        now = time.monotonic()
        renewing = now - self._renewed_at >= _RENEW_EVERY
        held = await store.held(self.lease, [name for name, _ in before], time.time() + LEASE if renewing else None)
        if renewing:
            self._renewed_at = now
        # what began or ended meanwhile is not looked at
        for name, generation in before:
            if held.get(name) != generation and (name, generation) in self._running:
                self._running[name, generation][1].cancel()

    async def _sweep(self, store: LeaseStore) -> None:
        swept = await store.sweep()
        if swept.lost:
            log.warning("jobs_lost", jobs=swept.lost)
        if swept.changed:
            self._board.changed(swept.changed)
            self._board.work.set()
        if not swept.more:
            self._observer.counted(await store.counts())
            await asyncio.sleep(_SWEEP_EVERY)

    # ---- one job

    async def _run(self, job: Leased) -> None:
        outcome = await self._outcome(job)
        self._ended.append(outcome)  # the list of now, and not the one that there was before

    def _over(self, job: Leased, _: asyncio.Task[None]) -> None:
        del self._running[job.id, job.generation]
        self._board.work.set()

    async def _outcome(self, job: Leased) -> Ended:
        result, grade, broken = Result(job.id, Reason.INTERNAL), None, False
        try:
            request = await apart(lambda: _request(job), len(job.request))
        except (ValueError, SuiteError):
            result = replace(result, error=_OTHER_VERSION)
            return Ended(job.id, job.generation, await packed(result), failed=True)
        try:
            if isinstance(request, Execution):
                result = await run(self._runs, replace(request, batch=True))
                broken = result.reason is Reason.INTERNAL
            else:
                began = time.monotonic()
                grade = await grades.grade(self._runs, request, self._issuer)
                self._observer.graded(grade, time.monotonic() - began)
                result = _summary(grade)
        except (PoolBusyError, CallerBusyError, PoolClosedError):
            self._resting[job.caller] = time.monotonic() + _REST
            return Ended(job.id, job.generation)
        except _REFUSED as error:  # it was another one when it was posted
            result = replace(result, error=str(error))
        except CodeExecutorError as error:
            result, broken = replace(result, error=str(error)), True
        except Exception:
            log.exception("job_failed", job=job.id)
            result, broken = replace(result, error="the service failed to run the program"), True
        self._observer.ended(job, result)
        failed = result.status is not Status.SUCCESS
        if grade is not None:
            failed = grade.verdict is not GradeVerdict.PASSED
            kept = await apart(lambda: grades.pack_grade(grade), sum(map(views.cost, grade.outcomes)))
        else:
            kept = await packed(result)
        return Ended(job.id, job.generation, kept, failed=failed, broken=broken)

    def _stop(self, names: Sequence[str]) -> None:
        for job, task in self._running.values():
            if job.id in names:
                task.cancel()

    # ---- how many

    @property
    def _has_room(self) -> bool:
        return len(self._running) + len(self._ended) < self._window

    def _choose(self, waiting: Mapping[str, int]) -> Mapping[str, int]:
        now = time.monotonic()
        self._resting = {caller: until for caller, until in self._resting.items() if until > now}
        leased = Counter(job.caller for job, _ in self._running.values())
        return turns.share(waiting, leased, self._window, self._resting)


def _request(job: Leased) -> Execution | Subject:
    """Return what a job is to do; raise ``ValueError`` or ``SuiteError`` for what another version wrote."""
    if job.kind is Kind.GRADE:
        return grades.unpack_subject(job.request)
    execution: Execution = unpack(job.request)
    return execution


def _summary(grade: Grade) -> Result:
    """Return what is counted and logged of a grade: whether there is one."""
    ended = Reason.INTERNAL if grade.verdict is GradeVerdict.ERROR else Reason.COMPLETED
    return Result(grade.id, ended, execution_time=grade.usage.time, cpu_time=grade.usage.cpu_time)
