"""The database: SQLite in a file, or PostgreSQL. Transactions on it, and what their failures become.

    async with Database.open(url) as database:
        async with database.reading() as connection:
            rows = await connection.execute(select(keys))

SQLite is in WAL mode: readers do not wait for the one that writes. A transaction that writes takes its lock when it
begins, so that it never has to be undone because another was faster. A transaction is committed when its block ends,
and undone if the block raises. What goes wrong on the database's side (disk full, locked, connection lost) is a
``StorageError``; the transaction is undone then, so nothing is half-written.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from code_executor.storage.faults import translated
from code_executor.storage.urls import BUSY, connect_arguments, is_sqlite, parse_url, prepare_file

_POOLED = 5
"""Connections of one process; PostgreSQL's default is a hundred for all."""

_WRITES = "code_executor_writes"


class Database:
    """See above. Make one with `open`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # of this process, one after the other: who waits for SQLite's own lock sleeps longer and longer
        self._turn: contextlib.AbstractAsyncContextManager[object] = (
            asyncio.Lock() if is_sqlite(engine.url) else contextlib.nullcontext()
        )

    def __repr__(self) -> str:
        return f"<Database {self._engine.url!r}>"  # which hides a password

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Database]:
        """Open it for the length of the block; raise ``ConfigurationError`` for a URL or a file that is none of ours.

        No connection is made before the first transaction. An SQLite file is made if it does not exist.
        """
        parsed = parse_url(url)
        if is_sqlite(parsed):
            prepare_file(parsed)
        engine = _engine(parsed)
        try:
            yield cls(engine)
        finally:
            await engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        return is_sqlite(self._engine.url)

    @property
    def name(self) -> str:
        """What people call it: its file, or its URL without a password."""
        url = self._engine.url
        return os.path.abspath(url.database or "") if self.is_sqlite else url.render_as_string(hide_password=True)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection whose transaction only reads; raise ``StorageError``."""
        async with self._transaction({}) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Yield a connection whose transaction is committed at the end of the block; raise ``StorageError``.

        SQLite has one such transaction at a time; others wait for it, up to `urls.BUSY` seconds.
        """
        async with self._turn, self._transaction({_WRITES: True}) as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def _transaction(self, options: dict[str, Any]) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(**options)
                async with connection.begin():
                    yield connection
        except (SQLAlchemyError, OSError) as error:
            raise translated(error) from error


def _engine(url: URL) -> AsyncEngine:
    sqlite = is_sqlite(url)
    engine = create_async_engine(
        url,
        connect_args=connect_arguments(url),
        pool_size=_POOLED,
        max_overflow=0,
        pool_timeout=2 * BUSY,
        pool_pre_ping=not sqlite,  # a server that was restarted is not noticed
        hide_parameters=True,  # of statements, in errors and logs
    )
    if sqlite:
        event.listen(engine.sync_engine, "connect", _prepare)
        event.listen(engine.sync_engine, "begin", _begin)
    else:
        event.listen(engine.sync_engine, "begin", _hurry)
    return engine


def _prepare(connection: Any, _: object) -> None:
    """Set up a new connection to SQLite; transactions are begun by `_begin`, and not by the driver."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _hurry(connection: Any) -> None:
    """Let a transaction of PostgreSQL's wait as long for the locks of others as one of SQLite's does."""
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(BUSY * 1000)}")
