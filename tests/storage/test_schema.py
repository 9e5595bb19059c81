"""The schema is brought up to date whole or not at all, and what is newer than the program is left alone."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text

from code_executor.core.errors import SchemaError
from code_executor.storage import schema
from code_executor.storage.database import Database
from code_executor.storage.tables import METADATA
from code_labs.progress import tables as of_labs

pytestmark = pytest.mark.anyio

VERSIONS = Path(schema._MIGRATIONS) / "versions"


async def tables(database: Database) -> set[str]:
    async with database.reading() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def set_version(database: Database, version: str) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


def test_the_newest_version_is_the_newest_migration() -> None:
    numbers = sorted(re.findall(r"r(\d{4})_\w+\.py", " ".join(path.name for path in VERSIONS.iterdir())))
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert numbers[-1] == schema.NEWEST


async def test_the_migrations_make_the_tables_as_they_are_written(database: Database) -> None:
    whole = MetaData()
    for table in (*METADATA.sorted_tables, *of_labs.METADATA.sorted_tables):
        table.to_metadata(whole)

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), whole))

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_an_empty_database_is_made_at_start_or_refused(empty: Database) -> None:
    if empty.is_sqlite:
        await schema.require(empty)
        assert (await schema.check(empty)).is_current
    else:
        with pytest.raises(SchemaError, match=r"not made yet.*: run `code-executor db upgrade`$"):
            await schema.require(empty)
        assert await tables(empty) == set()


async def test_an_older_schema_is_upgraded_at_start_or_refused(database: Database) -> None:
    await set_version(database, "0000")
    standing = await schema.check(database)
    assert not standing.is_current
    assert not standing.is_newer
    if not database.is_sqlite:
        with pytest.raises(SchemaError, match=r"is 0000, and this program \(.*\) needs \d+: run `code-executor db upg"):
            await schema.require(database)


async def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    await set_version(database, "9999")
    before = await tables(database)
    for refused in (schema.require, schema.upgrade):
        with pytest.raises(SchemaError, match=r"is 9999, which is newer than .* install the version of Code Executor"):
            await refused(database)
    assert (await tables(database), (await schema.check(database)).version) == (before, "9999")


async def test_upgrading_again_changes_nothing(database: Database) -> None:
    assert (await schema.upgrade(database)).is_current


async def test_of_several_that_start_at_once_one_upgrades(url: str) -> None:
    async def start() -> str:
        async with Database.open(url) as database:
            return (await schema.upgrade(database)).version

    assert sorted(await asyncio.gather(*(start() for _ in range(4)))) == ["", *[schema.NEWEST] * 3]


async def test_a_migration_that_fails_leaves_nothing(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(schema._MIGRATIONS, tmp_path / "migrations")
    broken = f"from alembic import op\nrevision = '9998'\ndown_revision = '{schema.NEWEST}'\n"
    broken += "def upgrade():\n    op.execute('CREATE TABLE half (a int)')\n    1 / 0\n"
    (tmp_path / "migrations/versions/r9998_broken.py").write_text(broken)
    monkeypatch.setattr(schema, "_MIGRATIONS", str(tmp_path / "migrations"))
    with pytest.raises(ZeroDivisionError):
        await schema.upgrade(empty)
    assert await tables(empty) == set()


# ---- the command


def command(url: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "code_executor", "db", *arguments],
        env={"PATH": "/usr/bin:/bin", "CODE_EXECUTOR_DATABASE": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_command_checks_and_upgrades(url: str) -> None:
    status, said = command(url, "check")
    assert (status, "there is no database yet" in said or "run `code-executor db upgrade`" in said) == (1, True)
    assert command(url, "upgrade")[0] == 0
    status, said = command(url, "check")
    assert (status, said.endswith(f"is up to date ({schema.NEWEST})\n")) == (0, True)
    assert command(url, "upgrade") == (0, said)


def test_the_command_says_in_one_line_what_it_cannot_do(tmp_path: Path) -> None:
    said = command(f"postgresql://nobody:secret@/none?host={tmp_path}", "upgrade")
    assert said == (
        70,
        "code-executor: the database is out of reach; nothing was changed, and it is safe to try again\n",
    )
