"""What a teacher asks, in this order: who needs me, which lab is the bottleneck, why, which explanation is missing.

Everything is read from the rows that say how learners stand (`tables.work`); only the errors are counted in attempts,
in an index of them. Nobody is judged: each line about a learner is a rule that can be read, with its reason. Where
fewer than `FEW` learners are behind a number, there are counts, and no shares and no medians.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Row, and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.storage.database import Database
from code_labs.progress import tables
from code_labs.progress.models import Course
from code_labs.progress.privacy import iso
from code_labs.progress.sql import unpack

FEW = 5
"""Learners below whom shares would say something of each."""

FAILURES, IN_A_ROW = 5, 4
QUIET = 7 * 86_400.0
SLOW = 0.5
SOON = 600.0
"""Rules: submits without success on one lab; the same error so often in a row; seconds without a sign; how much of the
course's median is slow; seconds after a click in which a lab is passed because of it, perhaps."""

_GONE = 60.0
_ROWS, _ERRORS, _PROGRAMS, _LONGEST = 500, 40, 3, 4000

Rows = list[dict[str, Any]]


class Analytics:
    """See above. The schema of ``database`` must be up to date. All return rows for JSON or CSV."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    async def attention(self, course: Course) -> Rows:
        """Return who needs a teacher now, which rule says so, and since when; the most urgent rule first."""
        async with self._database.reading() as connection:
            rows = await self._works(connection, course)
            published = await _published(connection, course)
        now = self._now()
        found = [each for row in rows for each in _stuck(row)]
        by_learner: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in rows:
            by_learner[row.pseudonym].append(row)
        passed = {learner: sum(row.first_at is not None for row in own) for learner, own in by_learner.items()}
        median = statistics.median(passed.values()) if len(passed) >= FEW else 0.0
        for learner, own in by_learner.items():
            last = max(row.last for row in own)
            is_done = passed[learner] >= published
            if now - last >= QUIET and not is_done:
                days = int((now - last) // 86_400)
                found.append((2, _line(learner, None, f"nothing for {days} days, with labs open", last)))
            elif passed[learner] < SLOW * median:
                why = f"passed {passed[learner]} labs, less than half of the course's median ({median:g})"
                found.append((3, _line(learner, None, why, min(row.began for row in own))))
        return [line for _, line in sorted(found, key=lambda each: (each[0], each[1]["since"]))][:_ROWS]

    async def labs(self, course: Course) -> Rows:
        """Return how far learners come with each lab, those that lose most learners first.

        ``attempts`` and ``minutes``: medians up to the first success. ``lastHint``: of all who opened it, the share
        that took all hints. ``left``: the share that was gone within a minute.
        """
        async with self._database.reading() as connection:
            rows = await self._works(connection, course)
            known = await _known(connection, course)
        by_lab: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in rows:
            by_lab[row.name].append(row)
        found = [
            {"lab": name, "title": title, **_of_lab(by_lab[name], hints, self._now())}
            for name, (title, hints) in known.items()
        ]
        return sorted(found, key=lambda row: row["passed"] - row["opened"])

    async def errors(self, course: Course) -> Rows:
        """Return why submits failed, the commonest first, with up to three programs that nobody is named with."""
        attempt, lab = tables.attempts, tables.labs
        count = func.count()
        own = select(lab.c.id).where(lab.c.course == course.id)
        wanted = (
            select(attempt.c.lab, attempt.c.error, attempt.c.test, count.label("times"))
            .where(attempt.c.lab.in_(own), attempt.c.error != "")
            .group_by(attempt.c.lab, attempt.c.error, attempt.c.test)
            .order_by(count.desc(), attempt.c.lab, attempt.c.error, attempt.c.test)
            .limit(_ERRORS)
        )
        async with self._database.reading() as connection:
            names = {row.id: row.name for row in await connection.execute(select(lab).where(lab.c.course == course.id))}
            rows = (await connection.execute(wanted)).all()
            return [
                {
                    "lab": names[row.lab],
                    "error": row.error,
                    "test": row.test,
                    "count": row.times,
                    "programs": await _programs(connection, row),
                }
                for row in rows
            ]

    async def segments(self, course: Course) -> Rows:
        """Return which stretches of videos are clicked most, and after how many clicks a lab was passed soon."""
        event, work, video = tables.events, tables.work, tables.videos
        passed = and_(work.c.first_at >= event.c.at, work.c.first_at <= event.c.at + SOON)
        clicks = func.count()
        wanted = (
            select(
                event.c.video,
                event.c.start,
                clicks.label("clicks"),
                func.count(event.c.learner.distinct()).label("learners"),
                func.sum(case((passed, 1), else_=0)).label("passed"),
            )
            .outerjoin(work, and_(work.c.lab == event.c.lab, work.c.learner == event.c.learner))
            .where(event.c.course == course.id, event.c.video.is_not(None))
            .group_by(event.c.video, event.c.start)
            .order_by(clicks.desc(), event.c.video, event.c.start)
            .limit(_ROWS)
        )
        cues = select(video.c.name, video.c.cues).where(video.c.course == course.id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
            said = {row.name: unpack(row.cues) for row in await connection.execute(cues)} if rows else {}
        return [
            {
                "video": row.video,
                "start": row.start,
                "end": _end(said.get(row.video, ()), row.start),
                "clicks": row.clicks,
                "passedAfter": int(row.passed) if row.learners >= FEW else None,
            }
            for row in rows
        ]

    async def pace(self, course: Course) -> Rows:
        """Return, day by day (UTC), how many labs were passed and how many learners were active."""
        work, day = tables.work, tables.days
        passes = select(work.c.first_at).where(work.c.course == course.id, work.c.first_at.is_not(None))
        active = select(day.c.day, func.count()).where(day.c.course == course.id).group_by(day.c.day)
        passed: dict[str, int] = defaultdict(int)
        async with self._database.reading() as connection:
            for at in await connection.scalars(passes):
                passed[iso(at)[:10]] += 1
            counts = {row[0]: row[1] for row in await connection.execute(active)}
        days = sorted({*passed, *counts})
        return [{"day": each, "passed": passed.get(each, 0), "active": counts.get(each, 0)} for each in days]

    @staticmethod
    async def _works(connection: AsyncConnection, course: Course) -> Sequence[Row[Any]]:
        work, learner, lab = tables.work, tables.learners, tables.labs
        columns = ("began", "last", "seconds", "runs", "submits", "failed", "hints", "error", "streak", "streak_at")
        firsts = ("first_at", "first_submits", "first_seconds")
        wanted = (
            select(learner.c.pseudonym, lab.c.name, *(work.c[name] for name in (*columns, *firsts)))
            .join(learner, learner.c.id == work.c.learner)
            .join(lab, lab.c.id == work.c.lab)
            .where(work.c.course == course.id)
        )
        return (await connection.execute(wanted)).all()


def _stuck(row: Row[Any]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield what is to be said of a learner and one lab; the number is how urgent it is."""
    if row.first_at is not None:
        return
    if row.streak >= IN_A_ROW:
        why = f"{row.error} {row.streak} times in a row"
        yield 0, _line(row.pseudonym, row.name, why, row.streak_at)
    if row.failed >= FAILURES:
        yield 1, _line(row.pseudonym, row.name, f"{row.failed} submits without success", row.began)


def _line(learner: str, lab: str | None, why: str, since: float) -> dict[str, Any]:
    return {"learner": learner, "lab": lab, "why": why, "since": iso(since)}


def _of_lab(rows: Sequence[Row[Any]], hints: int, now: float) -> dict[str, Any]:
    passed = [row for row in rows if row.first_at is not None]
    is_few, few_passed = len(rows) < FEW, len(passed) < FEW
    left = [row for row in rows if row.seconds < _GONE and not row.submits and now - row.last >= _GONE]
    last = [row for row in rows if hints and row.hints >= hints]
    return {
        "opened": len(rows),
        "ran": sum(row.runs > 0 or row.submits > 0 for row in rows),
        "submitted": sum(row.submits > 0 for row in rows),
        "passed": len(passed),
        "attempts": None if few_passed else statistics.median(row.first_submits for row in passed),
        "minutes": None if few_passed else round(statistics.median(row.first_seconds for row in passed) / 60, 1),
        "lastHint": None if is_few else round(len(last) / len(rows), 3),
        "left": None if is_few else round(len(left) / len(rows), 3),
    }


async def _published(connection: AsyncConnection, course: Course) -> int:
    lab = tables.labs
    wanted = select(func.count()).where(lab.c.course == course.id, lab.c.published.is_not(None))
    return int(await connection.scalar(wanted) or 0)


async def _known(connection: AsyncConnection, course: Course) -> dict[str, tuple[str, int]]:
    """Return the title of each lab, and how many hints it has: of the version that learners get, or else the newest."""
    lab, version = tables.labs, tables.versions
    which = func.coalesce(lab.c.published, lab.c.newest)
    wanted = (
        select(lab.c.name, version.c.content)
        .join(version, and_(version.c.lab == lab.c.id, version.c.version == which))
        .where(lab.c.course == course.id)
        .order_by(lab.c.position, lab.c.id)
    )
    said = {row.name: unpack(row.content) for row in await connection.execute(wanted)}
    return {name: (lab["title"], len(lab.get("hints", ()))) for name, lab in said.items()}


async def _programs(connection: AsyncConnection, row: Row[Any]) -> list[str]:
    """Return a few programs that failed so, of different learners."""
    attempt, snapshot = tables.attempts, tables.snapshots
    where = (attempt.c.lab == row.lab, attempt.c.error == row.error, attempt.c.test == row.test)
    kept = select(attempt.c.learner, func.max(attempt.c.id).label("id")).where(*where, attempt.c.snapshot.is_not(None))
    last = kept.group_by(attempt.c.learner).limit(_PROGRAMS).subquery()
    wanted = (
        select(snapshot.c.code)
        .join(attempt, attempt.c.snapshot == snapshot.c.id)
        .where(attempt.c.id.in_(select(last.c.id)))
    )
    return [unpack(code)["code"][:_LONGEST] for code in await connection.scalars(wanted)]


def _end(cues: Sequence[Sequence[Any]], start: float) -> float:
    """Return where a stretch of a minute ends that begins at a second."""
    return max((end for begin, end, _ in cues if start <= begin < start + 60), default=start)
