"""The store of jobs as runners see it: a `LeaseStore` of `jobs`, beside what callers do with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, exists, func, insert, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.core.models import Reason, Result
from code_executor.jobs.models import (
    ATTEMPTS,
    LOSSES,
    Choose,
    Ended,
    Exchanged,
    Kind,
    Leased,
    State,
    Swept,
)
from code_executor.jobs.packing import pack
from code_executor.storage.jobs import SqlJobStore
from code_executor.storage.tables import batches, idempotency, job_labels, job_requests, job_results, jobs
from code_executor.storage.webhooks import forget

_MOST_SWEPT = 500
_LOST = "the server was lost while it ran, {losses} times"

_BACK: dict[str, Any] = {
    "state": State.QUEUED.value,
    "lease": None,
    "due": jobs.c.expires,
    "version": jobs.c.version + 1,
}
_RESULT = select(func.length(job_results.c.data)).where(job_results.c.job == jobs.c.id).scalar_subquery()
_GROW = update(jobs).values(size=jobs.c.size + _RESULT)
"""Of jobs that have their results."""

_LATER = update(jobs).where(jobs.c.id == bindparam("name")).values(due=bindparam("then"))
_QUEUED, _RUNNING = jobs.c.state == State.QUEUED.value, jobs.c.state == State.RUNNING.value


class SqlLeaseStore(SqlJobStore):
    """See above. A transaction that changes a job has locked its row first, and looks at it after that."""

    async def is_waiting(self) -> bool:
        async with self._database.reading() as connection:
            return bool((await connection.execute(select(exists().where(_QUEUED)))).scalar())

    async def exchange(
        self, lease: str, ended: Sequence[Ended], choose: Choose, until: float, *, suspects: int
    ) -> Exchanged:
        changed: list[str] = []
        async with self._database.writing() as connection:
            if ended:
                changed += await self._store(connection, lease, ended)
            leased = await self._lease(connection, lease, choose, until, suspects)
        changed += [each.id for each in leased]
        return Exchanged(leased, [*changed, *{each.batch for each in leased if each.batch}])

    # ---- what ended

    async def _store(self, connection: AsyncConnection, lease: str, ended: Sequence[Ended]) -> Sequence[str]:
        ours = select(jobs.c.id, jobs.c.generation, jobs.c.attempts, jobs.c.batch).where(
            jobs.c.id.in_([each.job for each in ended]), jobs.c.lease == lease, _RUNNING
        )
        rows = {row.id: row for row in await connection.execute(ours.with_for_update())}
        held = [each for each in ended if each.job in rows and rows[each.job].generation == each.generation]
        back = [each.job for each in held if each.result is None]
        again = [each.job for each in held if each.broken and rows[each.job].attempts + 1 < ATTEMPTS]
        over = [each for each in held if each.result is not None and each.job not in again]
        await _put_back(connection, back)
        await _put_back(connection, again, {"attempts": jobs.c.attempts + 1})
        await self._finish(connection, over)
        await self._stop_batches(connection, {rows[each.job].batch for each in over if each.failed} - {None})
        names = [each.job for each in held]
        return [*names, *{rows[name].batch for name in names if rows[name].batch}]

    async def _finish(self, connection: AsyncConnection, over: Sequence[Ended]) -> None:
        """Give jobs, which are locked, their results."""
        if not over:
            return
        await connection.execute(insert(job_results), [{"job": each.job, "data": each.result} for each in over])
        for failed in (False, True):
            await self.end(connection, [each.job for each in over if each.failed is failed], State.DONE, failed=failed)
        await connection.execute(_GROW.where(jobs.c.id.in_([each.job for each in over])))

    async def _stop_batches(self, connection: AsyncConnection, names: set[str | None]) -> None:
        """Cancel what has not begun of batches in which too much has failed."""
        if not names:
            return
        stopping = select(batches.c.id, batches.c.stop_after).where(
            batches.c.id.in_(names), batches.c.stop_after.is_not(None)
        )
        for batch, most in (await connection.execute(stopping)).all():
            counting = select(func.count()).where(jobs.c.batch == batch, jobs.c.failed == true())
            if (await connection.execute(counting)).scalar_one() >= most:
                await self.cancel_all(connection, jobs.c.batch == batch, (State.QUEUED.value,))

    # ---- what begins

    async def _lease(
        self, connection: AsyncConnection, lease: str, choose: Choose, until: float, suspects: int
    ) -> list[Leased]:
        waiting = select(jobs.c.caller, func.count()).where(_QUEUED, jobs.c.losses == 0).group_by(jobs.c.caller)
        chosen = choose(dict((await connection.execute(waiting)).all()))
        names: list[str] = []
        for caller, count in chosen.items():
            which = (jobs.c.losses == 0) & (jobs.c.caller == caller)
            names += await _next(connection, which, count)
        if suspects:
            names += await _next(connection, jobs.c.losses > 0, suspects)
        if not names:
            return []
        now = time.time()
        change = {
            "state": State.RUNNING.value,
            "lease": lease,
            "due": until,
            "generation": jobs.c.generation + 1,
            "version": jobs.c.version + 1,
            "started": func.coalesce(jobs.c.started, now),
        }
        await connection.execute(update(jobs).where(jobs.c.id.in_(names)).values(change))
        query = select(jobs, job_requests.c.data).join(job_requests, job_requests.c.job == jobs.c.id)
        rows = {row.id: row for row in await connection.execute(query.where(jobs.c.id.in_(names)))}
        return [_leased(rows[name], now) for name in names]

    async def held(self, lease: str, names: Sequence[str], until: float | None) -> Mapping[str, int]:
        query = select(jobs.c.id, jobs.c.generation).where(jobs.c.id.in_(names), jobs.c.lease == lease, _RUNNING)
        if until is None:
            async with self._database.reading() as connection:
                return dict((await connection.execute(query)).all())
        async with self._database.writing() as connection:
            held = dict((await connection.execute(query.with_for_update())).all())
            if held:
                await connection.execute(update(jobs).where(jobs.c.id.in_(held)).values(due=until))
            return held

    async def release(self, lease: str) -> None:
        async with self._database.writing() as connection:
            found = select(jobs.c.id).where(jobs.c.lease == lease, _RUNNING).with_for_update()
            await _put_back(connection, (await connection.execute(found)).scalars().all())

    # ---- what is late

    async def sweep(self) -> Swept:
        now = time.time()
        late = select(jobs).where(jobs.c.due < now).order_by(jobs.c.due).limit(_MOST_SWEPT)
        async with self._database.writing() as connection:
            rows = (await connection.execute(late.with_for_update(skip_locked=True))).all()
            changed = await self._end_late(connection, rows)
            over = [row for row in rows if row.finished is not None]
            gone = [row.id for row in over if row.finished + row.retain <= now]
            kept = [{"name": row.id, "then": row.finished + row.retain} for row in over if row.id not in gone]
            await _drop_requests(connection, kept)
            await _drop(connection, gone, {row.batch for row in over if row.id in gone} - {None})
            await connection.execute(delete(idempotency).where(idempotency.c.until < now))
        lost = sum(row.state == State.RUNNING for row in rows)
        return Swept([each for each in changed if each], lost, len(gone), len(rows) == _MOST_SWEPT)

    async def _end_late(self, connection: AsyncConnection, rows: Sequence[Row[Any]]) -> Sequence[str]:
        """End what expired, and what was lost too often; queue again what was lost."""
        running = [row for row in rows if row.state == State.RUNNING]
        doomed = [row for row in running if row.losses + 1 >= LOSSES]
        expired = [row for row in rows if row.state == State.QUEUED]
        await _put_back(connection, [row.id for row in running if row not in doomed], {"losses": jobs.c.losses + 1})
        for row in doomed:
            why = _LOST.format(losses=row.losses + 1)
            result = pack(Result(row.id, Reason.INTERNAL, error=why))
            await self._finish(connection, [Ended(row.id, row.generation, result, failed=True)])
        await self._stop_batches(connection, {row.batch for row in doomed} - {None})
        await self.end(connection, [row.id for row in expired], State.EXPIRED)
        late = [*running, *expired]
        return [*(row.id for row in late), *{row.batch for row in late}]

    async def counts(self) -> Mapping[State, int]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))
            return {State(state): count for state, count in rows}


async def _next(connection: AsyncConnection, which: ColumnElement[bool], count: int) -> Sequence[str]:
    """Lock the jobs that come next of those that nobody else is about to lease."""
    query = select(jobs.c.id).where(_QUEUED, which).order_by(jobs.c.priority.desc(), jobs.c.created).limit(count)
    return (await connection.execute(query.with_for_update(skip_locked=True))).scalars().all()


async def _put_back(connection: AsyncConnection, names: Sequence[str], more: Mapping[str, Any] | None = None) -> None:
    if names:
        await connection.execute(update(jobs).where(jobs.c.id.in_(names)).values({**_BACK, **(more or {})}))


async def _drop_requests(connection: AsyncConnection, kept: Sequence[Mapping[str, Any]]) -> None:
    """Forget the requests of jobs that are over, and whose results are kept."""
    if kept:
        names = [each["name"] for each in kept]
        await connection.execute(delete(job_requests).where(job_requests.c.job.in_(names)))
        await connection.execute(_LATER, kept)


async def _drop(connection: AsyncConnection, gone: Sequence[str], of_batches: set[str | None]) -> None:
    """Forget jobs, and the batches that have no other."""
    if not gone:
        return
    for table in (job_requests, job_results, job_labels):
        await connection.execute(delete(table).where(table.c.job.in_(gone)))
    await forget(connection, gone)
    await connection.execute(delete(jobs).where(jobs.c.id.in_(gone)))
    if of_batches:
        empty = batches.c.id.in_(of_batches) & ~exists().where(jobs.c.batch == batches.c.id)
        await connection.execute(delete(batches).where(empty))


def _leased(row: Row[Any], now: float) -> Leased:
    return Leased(
        id=row.id,
        caller=row.caller,
        kind=Kind(row.kind),
        generation=row.generation,
        waited=max(0.0, now - row.created),
        request=bytes(row.data),
        batch=row.batch,
        suspect=row.losses > 0,
    )
