"""The schema of a database: how it stands, and how it is brought up to date.

Versions are numbers of four digits, one for each file in `migrations/versions`. A migration runs whole or not at all:
in one transaction, behind a lock, so that several processes may start at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor._version import __version__
from code_executor.core.errors import SchemaError
from code_executor.storage.database import Database

NEWEST = "0005"
"""What this program knows; a test holds it to the newest migration."""

_LOCK = 7_267_451_002_936_114_001
"""Any number; of those who migrate a database of PostgreSQL's, one at a time has it."""

_MIGRATIONS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "migrations")


@dataclass(frozen=True)
class Standing:
    """``version``: of the schema that a database has; empty while it has none. ``name``: of the database."""

    version: str
    name: str

    @property
    def is_current(self) -> bool:
        return self.version == NEWEST

    @property
    def is_newer(self) -> bool:
        return self.version > NEWEST

    def __str__(self) -> str:
        if self.is_newer:
            return (
                f"the schema of {self.name} is {self.version}, which is newer than this program ({__version__}) knows "
                f"({NEWEST}): install the version of Code Executor that made it, or use another database"
            )
        if self.is_current:
            return f"the schema of {self.name} is up to date ({NEWEST})"
        return (
            f"the schema of {self.name} is {self.version or 'not made yet'}, and this program ({__version__}) needs "
            f"{NEWEST}: run `code-executor db upgrade`"
        )


async def check(database: Database) -> Standing:
    """Say how the schema stands; raise ``StorageError``."""
    async with database.reading() as connection:
        return Standing(await _version(connection), database.name)


async def require(database: Database) -> None:
    """Make sure that the schema is ours: bring SQLite's up to date, and refuse an older one of PostgreSQL's.

    Several servers may use one PostgreSQL: so its operator says when it changes. Raises ``SchemaError``, with the
    sentence that says what to do, and ``StorageError``.
    """
    standing = await check(database)
    if standing.is_current:
        return
    if standing.is_newer or not database.is_sqlite:
        raise SchemaError(str(standing))
    await upgrade(database)


async def upgrade(database: Database) -> Standing:
    """Bring the schema up to date; return how it stood before. Raises ``SchemaError`` for a newer one."""
    async with database.writing() as connection:
        if not database.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = Standing(await _version(connection), database.name)
        if before.is_newer:
            raise SchemaError(str(before))
        if not before.is_current:
            await connection.run_sync(_migrate)
    return before


async def _version(connection: AsyncConnection) -> str:
    if not await connection.run_sync(lambda sync: inspect(sync).has_table("alembic_version")):
        return ""
    found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    return found or ""


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415  # takes long to import, and is seldom needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS.replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
