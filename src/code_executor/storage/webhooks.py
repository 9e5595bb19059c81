"""The store of webhooks: a `WebhookStore` of `jobs`, and what is done to it in transactions of others.

A delivery that is being sent is one whose time comes when its lease ends. So nothing has to look for processes that
died, and nobody waits for a row that another has: it is passed over (PostgreSQL), or the transaction that takes rows is
the only one that writes (SQLite).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from sqlalchemy import Row, delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.jobs.signing import Generation
from code_executor.jobs.webhooks import Delivery, Due, Leased, Standing, State, Verdict
from code_executor.storage.database import Database
from code_executor.storage.tables import webhook_secrets
from code_executor.storage.tables import webhooks as table

_LOOKED_AT = 256
"""Rows that are chosen from at once."""

_DELETED = 500
"""Jobs of one statement; databases bound the parameters of one."""

_PENDING = text("state = 'pending'")  # as the index has it, so that it is used

_ROTATE = text(
    "INSERT INTO webhook_secrets (key, generation, previous_until) VALUES (:key, 2, :until) ON CONFLICT (key) "
    "DO UPDATE SET generation = webhook_secrets.generation + 1, previous_until = excluded.previous_until"
)


async def queue(connection: AsyncConnection, delivery: Delivery) -> None:
    """Write down what is to be sent, in the transaction of a connection: that which says that its job has ended."""
    row = {
        "id": delivery.id,
        "job": delivery.job,
        "key": delivery.key,
        "url": delivery.url,
        "host": delivery.host,
        "body": delivery.body,
        "trace": delivery.trace,
        "state": State.PENDING.value,
        "attempts": 0,
        "next_at": delivery.created,
        "error": "",
        "created": delivery.created,
    }
    await connection.execute(insert(table).values(row))


async def forget(connection: AsyncConnection, jobs: Sequence[str]) -> None:
    """Forget the webhooks of jobs, in the transaction of a connection: that which forgets the jobs."""
    for begin in range(0, len(jobs), _DELETED):
        await connection.execute(delete(table).where(table.c.job.in_(jobs[begin : begin + _DELETED])))


class SqlWebhookStore:
    """Webhooks in a database, whose schema must be up to date."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def next_due(self) -> float | None:
        async with self._database.reading() as connection:
            moment: float | None = await connection.scalar(select(func.min(table.c.next_at)).where(_PENDING))
            return moment

    async def lease(
        self,
        now: float,
        until: float,
        choose: Callable[[Sequence[Due]], Sequence[Due]],
        hosts: Sequence[str] = (),
        keys: Sequence[str] = (),
    ) -> Sequence[Leased]:
        due = (
            select(table.c.id, table.c.host, table.c.key, func.length(table.c.body).label("size"))
            .where(_PENDING, table.c.next_at <= now, table.c.host.not_in(hosts), table.c.key.not_in(keys))
            .order_by(table.c.next_at)
            .limit(_LOOKED_AT)
            .with_for_update(skip_locked=True)  # which SQLite neither has nor needs
        )
        lease = secrets.token_hex(8)
        async with self._database.writing() as connection:
            rows = await connection.execute(due)
            chosen = [each.id for each in choose([Due(row.id, row.host, row.key, row.size) for row in rows])]
            if not chosen:
                return []
            taken = table.c.id.in_(chosen)
            await connection.execute(update(table).where(taken).values(lease=lease, next_at=until))
            found = await connection.execute(select(table).where(taken).order_by(table.c.created))
            return [Leased(_delivery(row), lease, row.attempts) for row in found]

    async def settle(self, leased: Leased, verdict: Verdict) -> bool:
        values = {
            "state": verdict.state.value,
            "attempts": leased.attempts + 1,
            "next_at": verdict.next_at,
            "lease": None,
            "status": verdict.answer.status,
            "error": verdict.answer.error,
        }
        ours = (table.c.id == leased.delivery.id) & (table.c.lease == leased.lease)
        async with self._database.writing() as connection:
            done = await connection.execute(update(table).where(ours).values(values))
            return done.rowcount == 1

    async def release(self, leases: Sequence[Leased], now: float) -> None:
        async with self._database.writing() as connection:
            for each in sorted(leases, key=lambda leased: leased.delivery.id):  # in one order, for all servers
                ours = (table.c.id == each.delivery.id) & (table.c.lease == each.lease)
                await connection.execute(update(table).where(ours).values(lease=None, next_at=now))

    async def standing(self, job: str) -> Standing | None:
        columns = [column for column in table.c if column.name != "body"]
        async with self._database.reading() as connection:
            row = (await connection.execute(select(*columns).where(table.c.job == job))).one_or_none()
        if row is None:
            return None
        sending = row.lease is not None
        state = State(row.state)
        return Standing(row.id, row.url, state, sending, row.attempts, row.next_at, row.status, row.error)

    async def again(self, job: str, now: float) -> bool:
        idle = (table.c.job == job) & table.c.lease.is_(None)
        values = {"state": State.PENDING.value, "attempts": 0, "next_at": now}
        async with self._database.writing() as connection:
            done = await connection.execute(update(table).where(idle).values(values))
            if done.rowcount:
                return True
            return await connection.scalar(select(table.c.id).where(table.c.job == job)) is not None

    async def generation(self, key: str) -> Generation:
        async with self._database.reading() as connection:
            return await _generation(connection, key)

    async def rotate(self, key: str, until: float) -> Generation:
        async with self._database.writing() as connection:
            await connection.execute(_ROTATE, {"key": key, "until": until})
            return await _generation(connection, key)


async def _generation(connection: AsyncConnection, key: str) -> Generation:
    row = (await connection.execute(select(webhook_secrets).where(webhook_secrets.c.key == key))).one_or_none()
    return Generation() if row is None else Generation(row.generation, row.previous_until)


def _delivery(row: Row[tuple[object, ...]]) -> Delivery:
    return Delivery(
        id=row.id,
        job=row.job,
        key=row.key,
        url=row.url,
        host=row.host,
        body=bytes(row.body),
        created=row.created,
        trace=row.trace,
    )
