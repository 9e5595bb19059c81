"""What learners do: drafts, attempts, hints and events, and in one row for each lab how they stand with it.

A learner is a pseudonym of an owner's. Everything that a learner does is one short transaction, in which the learner's
row of `tables.work` is locked: two windows of one learner wait for each other, and nobody else does.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.storage.database import Database
from code_labs.errors import StateError
from code_labs.progress import tables
from code_labs.progress.models import (
    NAME,
    PAUSE,
    Attempt,
    Course,
    Draft,
    DraftChangedError,
    Happening,
    Placed,
    Version,
    Who,
    Work,
)
from code_labs.progress.sql import insert_missing, insert_or_set, pack, unpack

_LONGEST = 12 * 3600
"""Seconds of a video."""

_LATE = 86_400.0
"""Seconds after which a page may still tell what happened."""


@dataclass(frozen=True, slots=True)
class Summary:
    """How a learner stands with a course."""

    course: str
    title: str
    passed: int
    labs: int
    attempts: int
    seconds: float


class Journal:
    """See above. The schema of ``database`` must be up to date."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    # ---- how learners stand

    async def works(self, who: Who, course: Course) -> dict[int, Work]:
        """Return how a learner stands with the labs of a course, by the ids of those that were begun."""
        work, learner = tables.work, tables.learners
        wanted = (
            select(work)
            .join(learner, learner.c.id == work.c.learner)
            .where(learner.c.owner == who.owner, learner.c.pseudonym == who.pseudonym, work.c.course == course.id)
        )
        async with self._database.reading() as connection:
            return {row.lab: _work(row) for row in await connection.execute(wanted)}

    async def passed(self, who: Who) -> dict[int, int]:
        """Return how many labs that learners get now a learner has passed in each course, by the course's id."""
        work, learner, lab = tables.work, tables.learners, tables.labs
        wanted = (
            select(work.c.course)
            .join(learner, learner.c.id == work.c.learner)
            .join(lab, lab.c.id == work.c.lab)
            .where(learner.c.owner == who.owner, learner.c.pseudonym == who.pseudonym, work.c.first_at.is_not(None))
            .where(lab.c.published.is_not(None))
        )
        found: dict[int, int] = {}
        async with self._database.reading() as connection:
            for row in await connection.execute(wanted):
                found[row.course] = found.get(row.course, 0) + 1
        return found

    async def summaries(self, who: Who) -> list[Summary]:
        """Return how a learner stands with each course that it has begun."""
        work, learner, course, lab = tables.work, tables.learners, tables.courses, tables.labs
        wanted = (
            select(course.c.name, course.c.title, lab.c.published, work.c.course)
            .add_columns(work.c.first_at, work.c.submits, work.c.seconds)
            .join(learner, learner.c.id == work.c.learner)
            .join(course, course.c.id == work.c.course)
            .join(lab, lab.c.id == work.c.lab)
            .where(learner.c.owner == who.owner, learner.c.pseudonym == who.pseudonym)
            .order_by(course.c.name)
        )
        counted = select(lab.c.course).where(lab.c.published.is_not(None))
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
            courses = {row.course for row in rows}
            published = list(await connection.scalars(counted.where(lab.c.course.in_(list(courses))))) if rows else []
        found = []
        for each in dict.fromkeys((row.course, row.name, row.title) for row in rows):
            own = [row for row in rows if row.course == each[0]]
            passed = sum(row.first_at is not None and row.published is not None for row in own)
            attempts, seconds = sum(row.submits for row in own), sum(row.seconds for row in own)
            found.append(Summary(each[1], each[2], passed, published.count(each[0]), attempts, seconds))
        return found

    # ---- drafts

    async def draft(self, who: Who, placed: Placed) -> Draft | None:
        draft, learner = tables.drafts, tables.learners
        wanted = (
            select(draft)
            .join(learner, learner.c.id == draft.c.learner)
            .where(learner.c.owner == who.owner, learner.c.pseudonym == who.pseudonym, draft.c.lab == placed.id)
        )
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else _draft(row)

    async def put_draft(self, who: Who, course: Course, placed: Placed, code: str, revision: int | None) -> Draft:
        """Keep what a learner has written, in place of ``revision``; None: there must be no draft yet.

        Raises ``DraftChangedError``; then nothing was changed.
        """
        table, now = tables.drafts, self._now()
        async with self._database.writing() as connection:
            learner = await self._learner(connection, who)
            mine = (table.c.learner == learner, table.c.lab == placed.id)
            if revision is None:
                row = {"learner": learner, "lab": placed.id, "code": pack(code), "revision": 1, "saved": now}
                statement = insert_missing(connection, table).values(row)
            else:
                values = {"code": pack(code), "revision": revision + 1, "saved": now}
                statement = update(table).where(*mine, table.c.revision == revision).values(values)
            done = await connection.execute(statement.returning(table.c.revision))
            if done.one_or_none() is None:
                kept = (await connection.execute(select(table).where(*mine))).one_or_none()
                raise DraftChangedError(None if kept is None else _draft(kept))
            await self._work(connection, course, placed.id, learner, times=(now,))
        return Draft(code, (revision or 0) + 1, now)

    # ---- attempts and hints

    async def record(self, who: Who, course: Course, version: Version, attempt: Attempt) -> int:
        """Keep an attempt, and return its number."""
        now, lab = self._now(), version.placed.id
        files = {path: base64.b64encode(data).decode() for path, data in sorted(attempt.files.items())}
        snapshot = pack({"code": attempt.code, "files": files})
        key = hashlib.sha256(snapshot).digest()
        async with self._database.writing() as connection:
            learner = await self._learner(connection, who)
            change = functools.partial(_after, attempt, now) if attempt.counts else None
            await self._work(connection, course, lab, learner, times=(now,), change=change)
            kept = {"id": key, "code": snapshot, "used": now}
            await connection.execute(insert_or_set(connection, tables.snapshots, kept, "used"))
            made = insert(tables.attempts).values(
                learner=learner,
                lab=lab,
                version=version.number,
                at=now,
                snapshot=key,
                verdict=attempt.verdict,
                passed=attempt.passed,
                score=attempt.score,
                error=attempt.error[:100],
                test=next(iter(attempt.failed), "")[:100],
                failed=json.dumps(list(attempt.failed)),
                seconds=attempt.seconds,
            )
            number: int = (await connection.execute(made.returning(tables.attempts.c.id))).scalar_one()
        return number

    async def take_hint(self, who: Who, course: Course, placed: Placed, number: int) -> None:
        """Note that a learner takes a hint; raise ``StateError`` unless the one before it was taken."""
        now = self._now()

        def change(row: Row[Any], _: float) -> dict[str, Any]:
            if number > row.hints + 1:
                raise StateError(f"hint {row.hints + 1} must be taken before hint {number}")
            return {"hints": max(number, row.hints)}

        async with self._database.writing() as connection:
            learner = await self._learner(connection, who)
            before = await self._work(connection, course, placed.id, learner, times=(now,), change=change)
            if number > before.hints:
                values = {"course": course.id, "learner": learner, "lab": placed.id, "type": "hint", "at": now}
                await connection.execute(insert(tables.events).values(**values, data=json.dumps({"number": number})))

    # ---- events

    async def note(self, who: Who, course: Course, labs: Mapping[str, int], happenings: Sequence[Happening]) -> None:
        """Keep what a page tells. ``labs``: ids by name; what is told of another lab is dropped."""
        now = self._now()
        known = [each for each in happenings if each.lab is None or each.lab in labs]
        if not known:
            return
        rows: list[dict[str, Any]] = []
        async with self._database.writing() as connection:
            learner = await self._learner(connection, who)
            for name in sorted({each.lab for each in known if each.lab is not None}):
                own = [each for each in known if each.lab == name]
                times = sorted(_bounded(each.at, now) for each in own)
                runs = sum(each.type == "run" for each in own)
                change = functools.partial(_more_runs, runs) if runs else None
                await self._work(connection, course, labs[name], learner, times=times, change=change)
            if all(each.lab is None for each in known):
                await self._day(connection, course, learner, now)
            for each in known:
                said = {"course": course.id, "learner": learner, "lab": labs.get(each.lab or ""), "type": each.type}
                rows.append({**said, "at": _bounded(each.at, now), "data": json.dumps(each.data), **_clicked(each)})
            await connection.execute(insert(tables.events), rows)

    # ---- rows

    @staticmethod
    async def _day(connection: AsyncConnection, course: Course, learner: int, at: float) -> None:
        row = {"course": course.id, "day": _day_of(at), "learner": learner}
        await connection.execute(insert_missing(connection, tables.days).values(row))

    async def _learner(self, connection: AsyncConnection, who: Who) -> int:
        table = tables.learners
        mine = select(table.c.id).where(table.c.owner == who.owner, table.c.pseudonym == who.pseudonym)
        found: int | None = await connection.scalar(mine)
        if found is None:
            row = {"owner": who.owner, "pseudonym": who.pseudonym, "created": self._now()}
            await connection.execute(insert_missing(connection, table).values(row))
            found = (await connection.execute(mine)).scalar_one()
        return found

    async def _work(
        self,
        connection: AsyncConnection,
        course: Course,
        lab: int,
        learner: int,
        *,
        times: Sequence[float],
        change: Change | None = None,
    ) -> Row[Any]:
        """Note that a learner was at work on a lab at these times, in order, and what else changes with that.

        ``change`` is given the row as it was, and the seconds at work by now. Returns the row as it was, which is
        locked.
        """
        table = tables.work
        where = (table.c.lab == lab, table.c.learner == learner)
        mine = select(table).where(*where).with_for_update()
        found: Row[Any] | None = (await connection.execute(mine)).one_or_none()
        is_new = found is None
        if found is None:
            row = {"lab": lab, "learner": learner, "course": course.id, "began": times[0], "last": times[0]}
            await connection.execute(insert_missing(connection, table).values(row | _EMPTY))
            found = (await connection.execute(mine)).one()
        last, seconds = found.last, found.seconds
        for at in times:
            seconds += at - last if 0 < at - last < PAUSE else 0.0
            last = max(last, at)
        values = {
            "last": last,
            "seconds": seconds,
            "began": min(found.began, times[0]),
            **(change(found, seconds) if change else {}),
        }
        await connection.execute(update(table).where(*where).values(values))
        if is_new or _day_of(found.last) != _day_of(times[-1]):
            await self._day(connection, course, learner, times[-1])
        return found


Change = Callable[[Row[Any], float], dict[str, Any]]
_EMPTY: dict[str, Any] = {
    "error": "",
    **dict.fromkeys(("seconds", "runs", "submits", "failed", "hints", "streak", "streak_at"), 0),
}


def _more_runs(runs: int, row: Row[Any], _seconds: float) -> dict[str, Any]:
    return {"runs": row.runs + runs}


def _after(attempt: Attempt, now: float, row: Row[Any], seconds: float) -> dict[str, Any]:
    """Return what of a learner's row changes with an attempt."""
    values: dict[str, Any] = {"submits": row.submits + 1}
    if not attempt.passed:
        same = row.error == attempt.error[:100] and row.streak > 0
        values |= {"error": attempt.error[:100], "streak": row.streak + 1 if same else 1}
        values |= {} if same else {"streak_at": now}
        return values | ({"failed": row.failed + 1} if row.first_at is None else {})
    values |= {"error": "", "streak": 0, "streak_at": 0.0}
    if row.first_at is None:
        values |= {"first_at": now, "first_submits": row.submits + 1}
        values |= {"first_seconds": seconds, "first_hints": row.hints}
    return values


def _day_of(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _bounded(at: float, now: float) -> float:
    """Return when something happened, by a clock that may be wrong."""
    return min(max(at, now - _LATE), now)


def _clicked(each: Happening) -> dict[str, Any]:
    """Return the columns of the segment that was clicked."""
    video, start = each.data.get("video"), each.data.get("start")
    is_video = each.type == "segment_click" and isinstance(video, str) and NAME.fullmatch(video)
    if is_video and isinstance(start, int | float) and 0 <= start <= _LONGEST:
        return {"video": video, "start": float(start)}
    return {"video": None, "start": None}


def _draft(row: Row[Any]) -> Draft:
    return Draft(unpack(row.code), row.revision, row.saved)


def _work(row: Row[Any]) -> Work:
    firsts = (row.first_at, row.first_submits, row.first_seconds, row.first_hints)
    return Work(row.seconds, row.submits, row.hints, *firsts)
