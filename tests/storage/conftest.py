"""Every test that takes ``url`` or ``database`` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from code_executor.storage import schema
from code_executor.storage.database import Database
from tests.postgres import BINARIES, NO_POSTGRES, Cluster, cluster


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """Ask for PostgreSQL."""
    if BINARIES is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and {NO_POSTGRES}")
        pytest.skip(NO_POSTGRES)
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kept/test.db"
    running: Cluster = request.getfixturevalue("postgres")
    return running.new_database()


@pytest.fixture
async def empty(url: str) -> AsyncIterator[Database]:
    """A database without a schema."""
    async with Database.open(url) as opened:
        yield opened


async def _migrate(url: str) -> None:
    async with Database.open(url) as opened:
        await schema.upgrade(opened)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "test.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres: Cluster) -> str:
    url = postgres.new_database("template")
    asyncio.run(_migrate(url))
    return "template"


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """A database with the newest schema."""
    async with Database.open(migrated_url) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with the newest schema: a copy, since migrating takes a second."""
    if request.param == "sqlite":
        path = tmp_path / "test.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        return f"sqlite:///{path}"
    template: str = request.getfixturevalue("postgres_template")
    running: Cluster = request.getfixturevalue("postgres")
    return running.new_database(template=template)
