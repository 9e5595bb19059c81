"""What a learner may have and may have erased, and what is forgotten by itself.

SQLite is told to overwrite what it deletes (`secure_delete`). What it has not yet taken over from its log into the file
goes with the next `VACUUM`, or when the server stops.
"""

from __future__ import annotations

import base64
import io
import json
import time
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.core.apart import apart
from code_executor.storage.database import Database
from code_labs.progress import tables
from code_labs.progress.models import Who
from code_labs.progress.snapshots import delete_some, drop_unused, overwrite
from code_labs.progress.sql import unpack

_AT_ONCE = 500


class Privacy:
    """See above. The schema of ``database`` must be up to date."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def export(self, who: Who) -> bytes:
        """Return what is kept of a learner as a zip: ``data.json``, and each program as a file.

        Which tests were not passed, and why, is left out: that would tell of hidden tests.
        """
        async with self._database.reading() as connection:
            data, programs = await self._collect(connection, who)
        size = sum(len(code) for _, code in programs)
        return await apart(lambda: _zipped(data, programs), size)

    async def _collect(self, connection: AsyncConnection, who: Who) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
        learner, lab, course = tables.learners, tables.labs, tables.courses
        data: dict[str, Any] = {"learner": who.pseudonym, "labs": [], "drafts": [], "attempts": [], "events": []}
        programs: list[tuple[str, bytes]] = []
        row = (
            await connection.execute(
                select(learner).where(learner.c.owner == who.owner, learner.c.pseudonym == who.pseudonym)
            )
        ).one_or_none()
        if row is None:
            return data, programs
        data["since"] = iso(row.created)
        names = {
            each.id: (each.course, each.name)
            for each in await connection.execute(
                select(lab.c.id, course.c.name.label("course"), lab.c.name)
                .join(course, course.c.id == lab.c.course)
                .where(course.c.owner == who.owner)
            )
        }

        async def rows(table: Any, *order: Any) -> list[dict[str, Any]]:
            found = await connection.execute(select(table).where(table.c.learner == row.id).order_by(*order))
            return [_told(each._mapping, names) for each in found]  # noqa: SLF001  # SQLAlchemy's way to the columns

        data["labs"] = await rows(tables.work, tables.work.c.began)
        for draft in await rows(tables.drafts, tables.drafts.c.lab):
            name = f"drafts/{draft['course']}/{draft['lab']}.py"
            programs.append((name, unpack(draft.pop("code")).encode("utf-8", "replace")))
            data["drafts"].append({**draft, "file": name})
        snapshots = {
            each.id: each.code
            for each in await connection.execute(
                select(tables.snapshots).where(
                    exists().where(
                        tables.attempts.c.snapshot == tables.snapshots.c.id, tables.attempts.c.learner == row.id
                    )
                )
            )
        }
        for attempt in await rows(tables.attempts, tables.attempts.c.id):
            kept = snapshots.get(attempt.pop("snapshot"))
            if kept is not None:
                name = f"attempts/{attempt['course']}/{attempt['lab']}/{attempt['id']}"
                programs += _files(name, unpack(kept))
                attempt["file"] = f"{name}/program.py"
            data["attempts"].append(attempt)
        data["events"] = await rows(tables.events, tables.events.c.at)
        return data, programs

    async def erase(self, who: Who) -> bool:
        """Forget a learner, and every program that nobody else has handed in too; return whether there was one."""
        learner, attempt = tables.learners, tables.attempts
        async with self._database.writing() as connection:
            await overwrite(connection)
            mine = select(learner.c.id).where(learner.c.owner == who.owner, learner.c.pseudonym == who.pseudonym)
            number = await connection.scalar(mine)
            if number is None:
                return False
            used = select(attempt.c.snapshot).where(attempt.c.learner == number, attempt.c.snapshot.is_not(None))
            snapshots = list(await connection.scalars(used.distinct()))
            await connection.execute(delete(learner).where(learner.c.id == number))  # and with it all that is its
            for at in range(0, len(snapshots), _AT_ONCE):
                await drop_unused(connection, tables.snapshots.c.id.in_(snapshots[at : at + _AT_ONCE]))
        return True

    async def forget(self, before: float) -> None:
        """Forget programs and events from before a time, some at once. How learners stand stays."""
        attempt, event = tables.attempts, tables.events
        while await self._forget_some(event.c.at < before):
            pass
        old = select(attempt.c.id).where(attempt.c.at < before, attempt.c.snapshot.is_not(None)).limit(_AT_ONCE)
        count = 1
        while count:
            async with self._database.writing() as connection:
                done = await connection.execute(update(attempt).where(attempt.c.id.in_(old)).values(snapshot=None))
                count = done.rowcount
        async with self._database.writing() as connection:
            await overwrite(connection)
            await drop_unused(connection, tables.snapshots.c.used < before)

    async def _forget_some(self, which: ColumnElement[bool]) -> int:
        async with self._database.writing() as connection:
            await overwrite(connection)
            return await delete_some(connection, tables.events, which, _AT_ONCE)


_TIMES = frozenset({"began", "last", "saved", "at", "first_at"})
_OWN = frozenset({"learner", "course"})
_OF_TESTS = frozenset({"error", "test", "failed", "streak", "streak_at"})
"""What says something of tests, also of hidden ones: a program could write what it is given into an error's name."""


def _told(row: Any, names: dict[int, tuple[str, str]]) -> dict[str, Any]:
    """Return a row with names instead of numbers, and times as people read them."""
    told: dict[str, Any] = {
        name: iso(value) if name in _TIMES and value else value
        for name, value in row.items()
        if name not in _OWN | _OF_TESTS
    }
    if "lab" in told:
        told["course"], told["lab"] = names.get(told["lab"]) or (None, None)
    if "data" in told:
        told["data"] = json.loads(told["data"])
    return told


def _files(name: str, snapshot: dict[str, Any]) -> Iterable[tuple[str, bytes]]:
    yield f"{name}/program.py", snapshot["code"].encode("utf-8", "replace")
    for path, data in snapshot["files"].items():
        yield f"{name}/files/{path}", base64.b64decode(data)


def _zipped(data: dict[str, Any], programs: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.json", json.dumps(data, ensure_ascii=False, indent=2))
        for name, code in programs:
            archive.writestr(name, code)
    return buffer.getvalue()


def iso(seconds: float) -> str:
    """Return a time as 2026-11-30T12:00:00.000Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
