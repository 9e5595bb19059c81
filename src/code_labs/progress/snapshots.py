"""Programs that were handed in: each is kept once, for as long as an attempt has it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from code_labs.progress import tables


async def overwrite(connection: AsyncConnection) -> None:
    """Have SQLite overwrite what is deleted by this connection from now on."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("PRAGMA secure_delete=ON")


async def drop_unused(connection: AsyncConnection, *which: ColumnElement[bool]) -> None:
    """Forget those of these programs, or of all, that belong to no attempt."""
    table = tables.snapshots
    used = exists().where(tables.attempts.c.snapshot == table.c.id)
    await connection.execute(delete(table).where(*which, ~used))


async def delete_some(connection: AsyncConnection, table: Any, which: ColumnElement[bool], most: int) -> int:
    """Delete so many rows at most; return how many."""
    some = select(table.c.id).where(which).limit(most)
    done = await connection.execute(delete(table).where(table.c.id.in_(some)))
    return done.rowcount
