"""Transactions are whole or nothing, on both databases; what goes wrong on the database's side is one kind of error."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.api.problems import from_failure
from code_executor.core.errors import ConfigurationError, StorageError
from code_executor.storage import schema, urls
from code_executor.storage.database import Database
from code_executor.storage.tables import key_days
from tests.postgres import Cluster, cluster

pytestmark = pytest.mark.anyio


async def add(connection: AsyncConnection, key: str, seconds: float = 1.0) -> None:
    await connection.execute(insert(key_days).values(key=key, day="2026-11-29", seconds=seconds))


async def count(database: Database) -> int:
    async with database.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(key_days))).scalar_one()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for locks are short."""
    for module in (urls, sys.modules["code_executor.storage.database"]):
        monkeypatch.setattr(module, "BUSY", 0.2)


# ---- whole or nothing


async def test_what_a_transaction_wrote_is_there_after_it(database: Database) -> None:
    async with database.writing() as connection:
        await add(connection, "a")
        await add(connection, "b")
    assert await count(database) == 2


async def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.writing() as connection:
            await add(connection, "a")
            _ = 1 / 0
    assert await count(database) == 0


async def test_a_mistake_of_ours_is_no_storage_error_and_leaves_nothing(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.writing() as connection:
            await add(connection, "a")
            await add(connection, "a")
    assert await count(database) == 0


async def test_a_cancelled_transaction_leaves_nothing_and_its_connection_is_free_again(database: Database) -> None:
    began = asyncio.Event()

    async def write() -> None:
        async with database.writing() as connection:
            await add(connection, "a")
            began.set()
            await asyncio.Event().wait()

    for _ in range(8):  # more than the pool has connections
        task = asyncio.create_task(write())
        await began.wait()
        began.clear()
        task.cancel()
        await asyncio.wait([task])
    assert await count(database) == 0


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    async with database.writing() as connection:
        await add(connection, "a")
        assert await count(database) == 0
    assert await count(database) == 1


async def test_many_writers_all_come_through(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.writing() as connection:
            await add(connection, str(number))

    await asyncio.gather(*map(write, range(40)))
    assert await count(database) == 40


KILLED = """
import asyncio, os, signal, sys
from sqlalchemy import insert
from code_executor.storage.database import Database
from code_executor.storage.tables import key_days

async def main():
    async with Database.open(sys.argv[1]) as database:
        async with database.writing() as connection:
            await connection.execute(insert(key_days).values(key="whole", day="d", seconds=1))
        async with database.writing() as connection:
            await connection.execute(insert(key_days).values(key="half", day="d", seconds=1))
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_a_killed_process_leaves_whole_transactions_alone(database: Database, migrated_url: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, migrated_url)
    assert await process.wait() == -signal.SIGKILL
    async with database.reading() as connection:
        assert [row.key for row in await connection.execute(select(key_days.c.key))] == ["whole"]
    async with database.writing() as connection:
        await add(connection, "next")


# ---- what goes wrong


def sentence(error: StorageError) -> str:
    """Make sure that it is answered with 503; return what is wrong."""
    refusal = from_failure(error)
    assert (refusal.status, refusal.headers) == (503, {"Retry-After": "5"})
    assert refusal.detail.endswith("; nothing was changed, and it is safe to try again.")
    return refusal.detail.partition(";")[0]


@pytest.mark.usefixtures("impatient")
async def test_locked(database: Database, migrated_url: str) -> None:
    async with Database.open(migrated_url) as other, database.writing() as connection:
        await add(connection, "a")
        with pytest.raises(StorageError) as caught:
            async with other.writing() as second:
                await add(second, "a")
    assert sentence(caught.value) == "The database is locked by another transaction"
    assert await count(database) == 1


async def test_full(database: Database) -> None:
    with pytest.raises(StorageError) as caught:
        async with database.writing() as connection:
            await add(connection, "a")
            if database.is_sqlite:
                pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
                await connection.execute(text(f"PRAGMA max_page_count={pages}"))
                await connection.execute(text("CREATE TABLE large AS SELECT randomblob(1000000)"))
            else:  # what it says where a tablespace is on a full disk
                await connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$"))
    assert sentence(caught.value) == "The database has no room left"
    assert await count(database) == 0


async def test_no_more_connections_in_the_pool(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database._engine.sync_engine.pool, "_timeout", 0.1)
    async with asyncio.timeout(20):
        held = [database.reading() for _ in range(5)]
        for each in held:
            await each.__aenter__()
        with pytest.raises(StorageError) as caught:
            await count(database)
        for each in held:
            await each.__aexit__(None, None, None)
    assert sentence(caught.value) == "The database is busy"
    assert await count(database) == 0


async def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are notes" * 1000)
    async with Database.open(f"sqlite:///{path}") as database:
        with pytest.raises(StorageError) as caught:
            await count(database)
    assert sentence(caught.value) == "The database is damaged"
    assert path.read_text().startswith("these are notes")


@pytest.fixture
def own_cluster(postgres: Cluster) -> Any:
    """A PostgreSQL for one test alone, which may end it."""
    with cluster() as running:
        yield running


async def test_a_connection_that_is_lost(own_cluster: Cluster) -> None:
    async with Database.open(own_cluster.new_database()) as database:
        await schema.upgrade(database)
        with pytest.raises(StorageError) as caught:
            async with database.writing() as connection:
                await add(connection, "half")
                own_cluster.stop()
                await add(connection, "more")
        assert sentence(caught.value) == "The database is out of reach"
        with pytest.raises(StorageError) as caught:  # nobody listens
            await count(database)
        assert sentence(caught.value) == "The database is out of reach"
        own_cluster.start()
        assert await count(database) == 0


async def test_a_server_that_was_restarted_is_not_noticed(own_cluster: Cluster) -> None:
    async with Database.open(own_cluster.new_database()) as database:
        await schema.upgrade(database)
        own_cluster.stop("fast")
        own_cluster.start()
        assert await count(database) == 0


# ---- the file


async def test_a_file_is_made_for_this_user_alone(tmp_path: Path) -> None:
    async with Database.open(f"sqlite:///{tmp_path}/a/b/c.db") as database:
        await schema.upgrade(database)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a/b").iterdir()}
        assert modes == {0o600}
        assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o700


async def test_opening_it_once_more_ends_no_lock_of_this_process(tmp_path: Path) -> None:
    """Or another process that closes it takes itself for the last one, and deletes what this one goes on writing to."""
    path = tmp_path / "c.db"
    other = f"import sqlite3; c = sqlite3.connect({str(path)!r}); c.execute('CREATE TABLE other (a)'); c.close()"
    async with Database.open(f"sqlite:///{path}") as database:
        await schema.upgrade(database)
        async with Database.open(f"sqlite:///{path}"):
            pass
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", other], check=True, timeout=60)
        assert await asyncio.to_thread(Path(f"{path}-wal").exists)
        async with database.writing() as connection:
            await add(connection, "a")
        assert await count(database) == 1


async def test_a_file_that_may_not_be_written_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.db").mkdir()
    with pytest.raises(ConfigurationError, match="it is no file that this user may write"):
        async with Database.open(f"sqlite:///{tmp_path}/c.db"):
            pass


async def test_a_file_that_cannot_be_made_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"the database .*/file/c\.db cannot be opened: "):
        async with Database.open(f"sqlite:///{tmp_path}/file/c.db"):
            pass


# ---- URLs


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////var/lib/ce.db", "sqlite+aiosqlite"),
        ("postgresql://u:p@host/db", "postgresql+psycopg"),
        ("postgres://u:p@host/db", "postgresql+psycopg"),
        ("postgresql+asyncpg://u:p@host/db", "postgresql+psycopg"),
    ],
)
async def test_the_driver_is_ours_to_choose(url: str, driver: str) -> None:
    assert urls.parse_url(url).drivername == driver


@pytest.mark.parametrize(
    "url",
    ["mysql://u:secret@host/db", "secret", "postgresql://u:secret@host:port/db", "sqlite://", "sqlite:///:memory:"],
)
async def test_no_other_url_is_taken_and_no_password_is_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CODE_EXECUTOR_DATABASE") as caught:
        urls.parse_url(url)
    assert "secret" not in str(caught.value)


async def test_without_its_driver_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'code-executor\[postgres\]'"):
        urls.parse_url("postgresql://host/db")


async def test_a_password_is_in_no_name_and_no_repr() -> None:
    async with Database.open("postgresql://u:secret@host/db") as database:
        assert "secret" not in repr(database) + database.name
        assert "host" in database.name


async def test_what_is_refused_does_not_show_what_was_written(database: Database) -> None:
    with pytest.raises(IntegrityError) as caught:
        async with database.writing() as connection:
            await add(connection, "nobody!!")
            await add(connection, "nobody!!")
    if database.is_sqlite:  # PostgreSQL's own message names the row's key
        assert "nobody!!" not in str(caught.value)


# ---- cost


def test_neither_the_server_nor_the_command_line_loads_it() -> None:
    question = (
        "import sys, code_executor.app.cli, code_executor.app.serving, code_executor.app.webserver;"
        "print([name for name in ('sqlalchemy', 'alembic', 'aiosqlite', 'psycopg') if name in sys.modules])"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    printed = subprocess.run([sys.executable, "-c", question], env=clean, capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"
