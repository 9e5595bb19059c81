"""The store of jobs as callers see it: a `JobStore` of `jobs`. What runners do with it is in `leases`."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, insert, select, text, true, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.core.caller import Caller
from code_executor.jobs.models import (
    Batch,
    Job,
    JobRules,
    JobsFullError,
    Kind,
    NewBatch,
    NewJob,
    State,
    Submitted,
    Wanted,
    new_id,
)
from code_executor.storage.database import Database
from code_executor.storage.tables import batches, job_labels, job_requests, job_results, jobs

Deliveries = Callable[[AsyncConnection, Job], Awaitable[None]]
"""Called in the transaction in which a job that has a callback ends, with its result."""

_LOCK = 7_267_451_002_936_114_002
"""Any number; of those who add jobs to a database of PostgreSQL's, one at a time has it: they count first."""

_SIZE_HOLDS = 5.0
"""Seconds for which what is kept is taken for as large as it was."""

OPEN = (State.QUEUED.value, State.RUNNING.value)
_JOB = [each for each in jobs.c if each.name not in ("lease", "generation", "due", "retain", "size")]
_APART = 1e-6
"""Seconds between the jobs of a batch: so all have an order."""


class SqlJobStore:
    """Jobs in a database, whose schema must be up to date."""

    def __init__(self, database: Database, rules: JobRules, deliveries: Deliveries | None = None) -> None:
        self._database = database
        self._rules = rules
        self._deliveries = deliveries
        self._size = 0
        self._sized_at = 0.0

    async def add(self, caller: Caller, jobs: Sequence[NewJob], batch: NewBatch | None = None) -> Submitted:
        now = time.time()
        ids = [new_id() for _ in jobs]
        async with self._database.writing() as connection:
            if not self._database.is_sqlite:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            before = await self._admit(connection, caller, jobs)
            if batch is not None:
                values = {"id": batch.id, "created": now, "total": len(jobs), "stop_after": batch.stop_after}
                await connection.execute(insert(batches), {**values, "caller": caller.id, "learner": caller.learner})
            await self._insert(connection, caller, list(zip(ids, jobs, strict=True)), batch, now)
        self._size += sum(len(each.request) for each in jobs)
        return Submitted(ids, before)

    async def _admit(self, connection: AsyncConnection, caller: Caller, new: Sequence[NewJob]) -> int:
        own = func.count().filter(jobs.c.caller == caller.id)
        found = await connection.execute(select(func.count(), own).where(jobs.c.state == State.QUEUED.value))
        waiting, mine = found.one()
        if mine + len(new) > self._rules.queued_per_caller:
            raise JobsFullError(
                f"you have {mine} jobs waiting, and may have {self._rules.queued_per_caller}: {len(new)} more do not "
                "fit; wait for some to end",
                own=True,
            )
        if waiting + len(new) > self._rules.queued:
            raise JobsFullError("too many jobs are waiting; try again later", own=False)
        if time.monotonic() - self._sized_at > _SIZE_HOLDS:
            self._size = (await connection.execute(select(func.coalesce(func.sum(jobs.c.size), 0)))).scalar_one()
            self._sized_at = time.monotonic()
        if self._size + sum(len(each.request) for each in new) > self._rules.size:
            raise JobsFullError("no more jobs can be kept; try again later", own=False)
        return int(waiting)

    async def _insert(
        self,
        connection: AsyncConnection,
        caller: Caller,
        new: Sequence[tuple[str, NewJob]],
        batch: NewBatch | None,
        now: float,
    ) -> None:
        who = {"caller": caller.id, "learner": caller.learner, "batch": batch.id if batch else None}
        most = self._rules.results
        rows = [
            {
                **who,
                **_BEGINNING,
                "id": job,
                "kind": each.kind.value,
                "priority": each.priority,
                "labels": json.dumps(each.labels),
                "callback": each.callback,
                "trace": each.trace,
                "created": now + number * _APART,
                "expires": None if each.expires_in is None else now + each.expires_in,
                "due": None if each.expires_in is None else now + each.expires_in,
                "retain": min(each.retain or most, most),
                "number": number,
                "size": len(each.request),
            }
            for number, (job, each) in enumerate(new)
        ]
        await connection.execute(insert(jobs), rows)
        await connection.execute(insert(job_requests), [{"job": job, "data": each.request} for job, each in new])
        labels = [
            {"caller": caller.id, "label": label, "created": row["created"], "job": job}
            for (job, each), row in zip(new, rows, strict=True)
            for label in set(each.labels)
        ]
        if labels:
            await connection.execute(insert(job_labels), labels)

    async def find(self, caller: Caller, job: str) -> Job | None:
        async with self._database.reading() as connection:
            rows = await connection.execute(_with_result().where(jobs.c.id == job, _is_own(caller, jobs)))
            row = rows.one_or_none()
        return None if row is None else job_of(row, row.result)

    async def list(self, caller: Caller, wanted: Wanted) -> Sequence[Job]:
        query = select(*_JOB).where(_is_own(caller, jobs)).limit(wanted.limit)
        if wanted.batch:
            query = query.where(jobs.c.batch == wanted.batch).order_by(jobs.c.number)
            if wanted.after is not None:
                query = query.where(jobs.c.number > wanted.after[0])
        else:
            created, name = jobs.c.created, jobs.c.id
            if wanted.label:
                created, name = job_labels.c.created, job_labels.c.job
                query = query.join(job_labels, job_labels.c.job == jobs.c.id).where(
                    job_labels.c.caller == caller.id, job_labels.c.label == wanted.label
                )
            query = query.order_by(created.desc(), name.desc())
            if wanted.after is not None:
                query = query.where(tuple_(created, name) < tuple_(*wanted.after))
        if wanted.state is not None:
            query = query.where(jobs.c.state == wanted.state.value)
        async with self._database.reading() as connection:
            return [job_of(row) for row in await connection.execute(query)]

    async def over(self, batch: str) -> tuple[Sequence[str], int]:
        query = select(jobs.c.id, jobs.c.finished).where(jobs.c.batch == batch)
        async with self._database.reading() as connection:
            found = (await connection.execute(query.order_by(jobs.c.finished, jobs.c.number))).all()
        names = [name for name, finished in found if finished is not None]
        return names, len(found) - len(names)

    async def results(self, names: Sequence[str]) -> Sequence[Job]:
        async with self._database.reading() as connection:
            rows = await connection.execute(_with_result().where(jobs.c.id.in_(names)))
            return [job_of(row, row.result) for row in rows]

    async def cancel(self, caller: Caller, job: str) -> bool:
        async with self._database.writing() as connection:
            return bool(await self.cancel_all(connection, and_(jobs.c.id == job, _is_own(caller, jobs)), OPEN))

    async def find_batch(self, caller: Caller, batch: str) -> Batch | None:
        failed = func.count().filter(jobs.c.failed == true())
        counting = select(jobs.c.state, func.count(), failed).where(jobs.c.batch == batch).group_by(jobs.c.state)
        async with self._database.reading() as connection:
            rows = await connection.execute(select(batches).where(batches.c.id == batch, _is_own(caller, batches)))
            row = rows.one_or_none()
            if row is None:
                return None
            found = (await connection.execute(counting)).all()
        counts = {State(state): count for state, count, _ in found}
        return Batch(row.id, row.created, row.total, counts, sum(failed for *_, failed in found), row.stop_after)

    async def cancel_batch(self, caller: Caller, batch: str) -> Sequence[str]:
        async with self._database.writing() as connection:
            return await self.cancel_all(connection, and_(jobs.c.batch == batch, _is_own(caller, jobs)), OPEN)

    async def versions(self, names: Sequence[str]) -> Mapping[str, int]:
        versions = func.sum(jobs.c.version)
        async with self._database.reading() as connection:
            single = await connection.execute(select(jobs.c.id, jobs.c.version).where(jobs.c.id.in_(names)))
            whole = await connection.execute(
                select(jobs.c.batch, versions).where(jobs.c.batch.in_(names)).group_by(jobs.c.batch)
            )
            return {name: int(version) for name, version in (*single, *whole)}

    # ---- what callers and runners do alike

    async def cancel_all(
        self, connection: AsyncConnection, which: ColumnElement[bool], states: Sequence[str]
    ) -> Sequence[str]:
        """Cancel the jobs in these states; return their names."""
        found = select(jobs.c.id).where(which, jobs.c.state.in_(states)).with_for_update()
        names = (await connection.execute(found)).scalars().all()
        await self.end(connection, names, State.CANCELLED)
        return names

    async def end(
        self, connection: AsyncConnection, names: Sequence[str], state: State, *, failed: bool = False
    ) -> None:
        """Note that jobs, which are locked, are over; their leases with them."""
        if not names:
            return
        now = time.time()
        soon = min(self._rules.requests, self._rules.results)
        change = {
            "state": state.value,
            "failed": failed,
            "finished": now,
            "lease": None,
            "version": jobs.c.version + 1,
            "due": now + func.min(jobs.c.retain, soon) if self._database.is_sqlite else _least(now, soon),
        }
        await connection.execute(update(jobs).where(jobs.c.id.in_(names)).values(change))
        if self._deliveries is not None:
            told = _with_result().where(jobs.c.id.in_(names), jobs.c.callback != "")
            for row in (await connection.execute(told)).all():
                await self._deliveries(connection, job_of(row, row.result))


_BEGINNING: dict[str, Any] = {
    "state": State.QUEUED.value,
    "generation": 0,
    "attempts": 0,
    "losses": 0,
    "failed": False,
    "version": 1,
}


def _least(now: float, soon: float) -> Any:
    return now + func.least(jobs.c.retain, soon)


def _is_own(caller: Caller, table: Any) -> ColumnElement[bool]:
    own: ColumnElement[bool] = table.c.caller == caller.id
    return and_(own, table.c.learner == caller.learner) if caller.learner else own


def _with_result() -> Select[Any]:
    joined = jobs.outerjoin(job_results, jobs.c.id == job_results.c.job)
    return select(*_JOB, job_results.c.data.label("result")).select_from(joined)


def job_of(row: Row[Any], result: bytes | None = None) -> Job:
    """Return the job of a row."""
    return Job(
        id=row.id,
        kind=Kind(row.kind),
        state=State(row.state),
        created=row.created,
        labels=tuple(json.loads(row.labels)),
        priority=row.priority,
        expires=row.expires,
        started=row.started,
        finished=row.finished,
        failed=bool(row.failed),
        runs=row.attempts + row.losses + (row.state in (State.RUNNING, State.DONE)),
        version=row.version,
        batch=row.batch,
        number=row.number,
        caller=row.caller,
        learner=row.learner,
        callback=row.callback,
        trace=row.trace,
        result=None if result is None else bytes(result),
    )
