"""The store of suites: a `SuiteStore` of `grading`."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from code_executor.grading.store import Kept
from code_executor.grading.suite import SuitesFullError
from code_executor.storage.database import Database
from code_executor.storage.tables import suites as table

MOST_VERSIONS = 10_000
"""Versions of suites that are kept for one owner."""

MOST_BYTES = 256 << 20
"""Bytes of all of them."""


class SqlSuiteStore:
    """Suites in a database, whose schema must be up to date. ``most_versions`` and ``most_bytes``: of one owner."""

    def __init__(
        self,
        database: Database,
        *,
        most_versions: int = MOST_VERSIONS,
        most_bytes: int = MOST_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._most_versions = most_versions
        self._most_bytes = most_bytes
        self._now = now

    async def put(self, owner: str, kept: Kept) -> bool:
        if await self._touch(owner, kept):
            return False
        try:
            async with self._database.writing() as connection:
                sizes = select(func.count(), func.coalesce(func.sum(func.length(table.c.text)), 0))
                count, size = (await connection.execute(sizes.where(table.c.owner == owner))).one()
                if count >= self._most_versions or size + len(kept.text) > self._most_bytes:
                    raise SuitesFullError(
                        f"{self._most_versions} versions of suites with {self._most_bytes} bytes are kept at most"
                    )
                row = {"owner": owner, "id": kept.id, "version": kept.version, "text": kept.text, "stored": self._now()}
                await connection.execute(insert(table).values(row))
        except IntegrityError:  # another was faster with the same
            await self._touch(owner, kept)
            return False
        return True

    async def _touch(self, owner: str, kept: Kept) -> bool:
        """Make a version that is there the newest; return whether it is there."""
        async with self._database.writing() as connection:
            done = await connection.execute(
                update(table)
                .where(table.c.owner == owner, table.c.id == kept.id, table.c.version == kept.version)
                .values(stored=self._now())
            )
            return bool(done.rowcount)

    async def get(self, owner: str, name: str, version: str | None) -> Kept | None:
        wanted = select(table).where(table.c.owner == owner, table.c.id == name)
        if version is not None:
            wanted = wanted.where(table.c.version == version)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted.order_by(table.c.stored.desc()).limit(1))).one_or_none()
        return None if row is None else Kept(row.id, row.version, bytes(row.text))
