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

from sqlalchemy import BigInteger, ColumnElement, Row, and_, case, cast, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.core.apart import apart
from code_executor.storage.database import Database
from code_labs.progress import tables
from code_labs.progress.models import Course
from code_labs.progress.privacy import iso
from code_labs.progress.sql import unpack

_DAY = 86_400

FEW = 5
"""Learners below whom shares would say something of each."""

FAILURES, IN_A_ROW = 5, 4
QUIET = 7.0 * _DAY
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
        work, learner, lab = tables.work, tables.learners, tables.labs
        stuck = (
            select(learner.c.pseudonym, lab.c.name, *(work.c[name] for name in _OF_STUCK))
            .join(learner, learner.c.id == work.c.learner)
            .join(lab, lab.c.id == work.c.lab)
            .where(work.c.course == course.id, work.c.first_at.is_(None), lab.c.published.is_not(None))
            .where(or_(work.c.streak >= IN_A_ROW, work.c.failed >= FAILURES))
            .order_by(work.c.streak_at, work.c.began)
            .limit(_ROWS)
        )
        each = (
            select(
                work.c.learner,
                func.max(work.c.last).label("last"),
                func.min(work.c.began).label("began"),
                func.count(work.c.first_at).label("passed"),
            )
            .where(work.c.course == course.id)
            .group_by(work.c.learner)
            .subquery()
        )
        everybody = select(learner.c.pseudonym, each.c.last, each.c.began, each.c.passed).join(
            each, each.c.learner == learner.c.id
        )
        async with self._database.reading() as connection:
            found = [line for row in await connection.execute(stuck) for line in _stuck(row)]
            learners: Sequence[Any] = (await connection.execute(everybody)).all()
            published = await _published(connection, course)
        found += _behind(learners, published, self._now())
        return [line for _, line in sorted(found, key=lambda each: (each[0], each[1]["since"]))][:_ROWS]

    async def labs(self, course: Course) -> Rows:
        """Return how far learners come with each lab, those that lose most learners first.

        ``attempts`` and ``minutes``: medians up to the first success. ``lastHint``: of all who opened it, the share
        that took all hints. ``left``: the share that was gone within a minute.
        """
        work = tables.work
        own = work.c.course == course.id
        gone = and_(work.c.seconds < _GONE, work.c.submits == 0, work.c.last <= self._now() - _GONE)
        counts = (
            select(
                work.c.lab,
                func.count().label("opened"),
                _number(or_(work.c.runs > 0, work.c.submits > 0)).label("ran"),
                _number(work.c.submits > 0).label("submitted"),
                func.count(work.c.first_at).label("passed"),
                _number(gone).label("left"),
            )
            .where(own)
            .group_by(work.c.lab)
        )
        hints = select(work.c.lab, work.c.hints, func.count()).where(own, work.c.hints > 0)
        async with self._database.reading() as connection:
            known = await _known(connection, course)
            counted = {row.lab: row for row in await connection.execute(counts)}
            taken: dict[int, dict[int, int]] = defaultdict(dict)
            for lab, number, learners in await connection.execute(hints.group_by(work.c.lab, work.c.hints)):
                taken[lab][number] = learners
            firsts = await _firsts(connection, course)
        medians = await apart(lambda: _medians(firsts), 30 * len(firsts))
        found = []
        for lab, name, title, most in known:
            last = sum(learners for number, learners in taken[lab].items() if number >= most) if most else 0
            found.append({"lab": name, "title": title, **_of_lab(counted.get(lab), last, medians.get(lab))})
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
        number = cast(work.c.first_at, BigInteger) // _DAY
        passes = select(number, func.count()).where(work.c.course == course.id, work.c.first_at.is_not(None))
        active = select(day.c.day, func.count()).where(day.c.course == course.id).group_by(day.c.day)
        async with self._database.reading() as connection:
            passed = {iso(row[0] * _DAY)[:10]: row[1] for row in await connection.execute(passes.group_by(number))}
            counts = {row[0]: row[1] for row in await connection.execute(active)}
        days = sorted({*passed, *counts})
        return [{"day": each, "passed": passed.get(each, 0), "active": counts.get(each, 0)} for each in days]


_OF_STUCK = ("began", "failed", "error", "streak", "streak_at")


def _stuck(row: Row[Any]) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield what is to be said of a learner and one lab; the number is how urgent it is."""
    if row.streak >= IN_A_ROW:
        why = f"{row.error} {row.streak} times in a row"
        yield 0, _line(row.pseudonym, row.name, why, row.streak_at)
    if row.failed >= FAILURES:
        yield 1, _line(row.pseudonym, row.name, f"{row.failed} submits without success", row.began)


def _behind(learners: Sequence[Any], published: int, now: float) -> Iterable[tuple[int, dict[str, Any]]]:
    """Yield what is to be said of learners and the whole course."""
    median = statistics.median(row.passed for row in learners) if len(learners) >= FEW else 0.0
    for row in learners:
        if now - row.last >= QUIET and row.passed < published:
            why = f"nothing for {int((now - row.last) // _DAY)} days, with labs open"
            yield 2, _line(row.pseudonym, None, why, row.last)
        elif row.passed < SLOW * median:
            why = f"passed {row.passed} labs, less than half of the course's median ({median:g})"
            yield 3, _line(row.pseudonym, None, why, row.began)


def _line(learner: str, lab: str | None, why: str, since: float) -> dict[str, Any]:
    return {"learner": learner, "lab": lab, "why": why, "since": iso(since)}


def _of_lab(row: Row[Any] | None, last: int, medians: tuple[float, float] | None) -> dict[str, Any]:
    """Return what is told of a lab. ``last``: learners who took all hints; ``medians``: of attempts and of seconds."""
    names = ("opened", "ran", "submitted", "passed")
    counts = {name: int(getattr(row, name)) if row is not None else 0 for name in names}
    opened, left = counts["opened"], int(row.left) if row is not None else 0
    attempts, seconds = medians if medians is not None and counts["passed"] >= FEW else (None, None)
    return {
        **counts,
        "attempts": attempts,
        "minutes": None if seconds is None else round(seconds / 60, 1),
        "lastHint": None if opened < FEW else round(last / opened, 3),
        "left": None if opened < FEW else round(left / opened, 3),
    }


def _number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """Return in how many rows a condition holds."""
    return func.sum(case((condition, 1), else_=0))


async def _firsts(connection: AsyncConnection, course: Course) -> Sequence[Any]:
    """Return lab, submits and seconds of each first success."""
    work = tables.work
    wanted = select(work.c.lab, work.c.first_submits, work.c.first_seconds)
    return (await connection.execute(wanted.where(work.c.course == course.id, work.c.first_at.is_not(None)))).all()


def _medians(firsts: Sequence[Any]) -> dict[int, tuple[float, float]]:
    """Return the medians of submits and of seconds, for each lab."""
    by_lab: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for lab, submits, seconds in firsts:
        by_lab[lab].append((submits, seconds))
    return {
        lab: (statistics.median(each[0] for each in own), statistics.median(each[1] for each in own))
        for lab, own in by_lab.items()
    }


async def _published(connection: AsyncConnection, course: Course) -> int:
    lab = tables.labs
    wanted = select(func.count()).where(lab.c.course == course.id, lab.c.published.is_not(None))
    return int(await connection.scalar(wanted) or 0)


async def _known(connection: AsyncConnection, course: Course) -> list[tuple[int, str, str, int]]:
    """Return id, name and title of each lab, and how many hints it has: as learners get it, or else the newest."""
    lab, version = tables.labs, tables.versions
    which = func.coalesce(lab.c.published, lab.c.newest)
    wanted = (
        select(lab.c.id, lab.c.name, version.c.content)
        .join(version, and_(version.c.lab == lab.c.id, version.c.version == which))
        .where(lab.c.course == course.id)
        .order_by(lab.c.position, lab.c.id)
    )
    rows = [(row.id, row.name, unpack(row.content)) for row in await connection.execute(wanted)]
    return [(number, name, said["title"], len(said.get("hints", ()))) for number, name, said in rows]


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
