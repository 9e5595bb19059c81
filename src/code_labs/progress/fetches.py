"""Captions that teachers have asked for, and what became of it: told by every process of the server."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import select, update

from code_executor.storage.database import Database
from code_labs.errors import StateError, UnknownError
from code_labs.progress import tables
from code_labs.progress.models import Course
from code_labs.progress.sql import insert_or_set

LONGEST = 180.0
"""Seconds after which nobody fetches any more: the process that did has ended."""

RUNNING, DONE, FAILED = "running", "done", "failed"


class Fetch(NamedTuple):
    id: str
    state: str
    why: str


class Fetches:
    """See above. The schema of ``database`` must be up to date."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def begin(self, course: Course, video: str) -> str:
        """Note that captions are being fetched, and return its id; raise ``StateError`` if they are already."""
        name, now = secrets.token_hex(8), self._now()
        row = {"course": course.id, "video": video, "id": name, "state": RUNNING, "why": "", "at": now}
        async with self._database.writing() as connection:
            table = tables.fetches
            mine = select(table.c.at).where(
                table.c.course == course.id, table.c.video == video, table.c.state == RUNNING
            )
            at = await connection.scalar(mine)
            if at is not None and now - at < LONGEST:
                raise StateError(f"the captions of {video} are being fetched")
            await connection.execute(insert_or_set(connection, table, row, "id", "state", "why", "at"))
        return name

    async def end(self, course: Course, name: str, state: str, why: str = "") -> None:
        """Note what became of it."""
        table = tables.fetches
        async with self._database.writing() as connection:
            where = update(table).where(table.c.course == course.id, table.c.id == name)
            await connection.execute(where.values(state=state, why=why))

    async def last(self, course: Course, video: str) -> Fetch:
        """Return what became of the last one; raise ``UnknownError``."""
        table = tables.fetches
        wanted = select(table).where(table.c.course == course.id, table.c.video == video)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            raise UnknownError(f"no captions of {video} were fetched")
        if row.state == RUNNING and self._now() - row.at >= LONGEST:
            return Fetch(row.id, FAILED, "The server was stopped meanwhile. Ask again.")
        return Fetch(row.id, row.state, row.why)
