"""What teachers make: courses, videos with what is said in them, labs with their versions, and pins.

Courses belong to an owner, and everything else to a course. A version of a lab is never changed: another content is
another version.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from code_executor.storage.database import Database
from code_labs.errors import FullError, StateError, UnknownError
from code_labs.labs import Lab, lab_object, lab_of
from code_labs.matching import Pin
from code_labs.progress import tables
from code_labs.progress.models import Course, Placed, Said, Version, Video
from code_labs.progress.snapshots import drop_unused, overwrite
from code_labs.progress.sql import insert_missing, insert_or_set, pack, unpack

MOST_COURSES, MOST_VIDEOS, MOST_LABS, MOST_VERSIONS = 500, 500, 1000, 1000
"""Courses of one owner; videos and labs of a course; versions of a lab."""

_REMEMBERED = 64 << 20
"""Characters of labs whose values are kept in memory."""


class Listed(NamedTuple):
    """A course, and how much there is in it."""

    course: Course
    videos: int
    labs: int
    published: int
    learners: int


class Catalog:
    """See above. The schema of ``database`` must be up to date."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._read: OrderedDict[bytes, tuple[Lab, int]] = OrderedDict()
        self._size = 0

    # ---- courses

    async def courses(self, owner: str) -> list[Listed]:
        course, video, lab, work = tables.courses, tables.videos, tables.labs, tables.work
        counts = (
            select(func.count()).where(video.c.course == course.c.id).scalar_subquery(),
            select(func.count()).where(lab.c.course == course.c.id).scalar_subquery(),
            select(func.count()).where(lab.c.course == course.c.id, lab.c.status == "published").scalar_subquery(),
            select(func.count(work.c.learner.distinct())).where(work.c.course == course.c.id).scalar_subquery(),
        )
        wanted = select(course, *counts).where(course.c.owner == owner).order_by(course.c.name)
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted)).all()
        return [Listed(_course(row), *row[-4:]) for row in rows]

    async def course(self, owner: str, name: str) -> Course:
        """Return a course; raise ``UnknownError``."""
        wanted = select(tables.courses).where(tables.courses.c.owner == owner, tables.courses.c.name == name)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            raise UnknownError(f"there is no course {name!r}")
        return _course(row)

    async def put_course(self, owner: str, name: str, title: str, language: str) -> bool:
        """Make a course, or change what it is called; return whether it is new. Raises ``FullError``."""
        table = tables.courses
        mine = table.c.owner == owner
        async with self._database.writing() as connection:
            changed = await connection.execute(
                update(table).where(mine, table.c.name == name).values(title=title, language=language)
            )
            if changed.rowcount:
                return False
            await _require_room(connection, select(func.count()).where(mine), MOST_COURSES, "courses")
            row = {"owner": owner, "name": name, "title": title, "language": language}
            missing = insert_missing(connection, table)  # somebody else may make it meanwhile
            await connection.execute(missing.values(**row, created=self._now(), stamp=0))
        return True

    async def delete_course(self, course: Course) -> None:
        """Forget a course, and all that learners did in it."""
        async with self._database.writing() as connection:
            await overwrite(connection)
            await connection.execute(delete(tables.courses).where(tables.courses.c.id == course.id))
            await drop_unused(connection)

    # ---- videos

    async def videos(self, course: Course) -> list[Video]:
        table = tables.videos
        columns = [column for column in table.c if column.name != "cues"]
        async with self._database.reading() as connection:
            rows = await connection.execute(select(*columns).where(table.c.course == course.id).order_by(*_ORDER))
            return [_video(row) for row in rows]

    async def video(self, course: Course, name: str) -> Video:
        """Return a video; raise ``UnknownError``."""
        found = next((video for video in await self.videos(course) if video.name == name), None)
        if found is None:
            raise UnknownError(f"the course {course.name} has no video {name!r}")
        return found

    async def said(self, course: Course, *names: str) -> dict[str, Said]:
        """Return what is said in videos, or in all; raise ``UnknownError``."""
        table = tables.videos
        wanted = select(table.c.name, table.c.cues, table.c.format).where(table.c.course == course.id)
        if names:
            wanted = wanted.where(table.c.name.in_(names))
        async with self._database.reading() as connection:
            rows = (await connection.execute(wanted.order_by(*_ORDER))).all()
        found = {row.name: Said(tuple(map(tuple, unpack(row.cues))), row.format) for row in rows}
        for name in names:
            if name not in found:
                raise UnknownError(f"the course {course.name} has no video {name!r}")
        return found

    async def put_video(self, course: Course, video: Video, said: Said | None) -> bool:
        """Keep a video, or change it; return whether it is new. ``said`` None: as it is. Raises ``FullError``."""
        table = tables.videos
        values: dict[str, Any] = {"title": video.title, "youtube": video.youtube, "url": video.url}
        if said is not None:
            values |= {
                "language": video.language,
                "duration": video.duration,
                "chapters": json.dumps(video.chapters),
                "format": said.format,
                "cues": pack(said.cues),
            }
        own = table.c.course == course.id
        async with self._database.writing() as connection:
            await _touch(connection, course)
            changed = await connection.execute(update(table).where(own, table.c.name == video.name).values(values))
            if changed.rowcount:
                return False
            await _require_room(connection, select(func.count()).where(own), MOST_VIDEOS, "videos of a course")
            last = await connection.scalar(select(func.max(table.c.position)).where(own))
            empty = {"language": video.language, "duration": 0.0, "chapters": "[]", "format": "", "cues": pack([])}
            row = {"course": course.id, "name": video.name, "position": (last or 0) + 1, **empty, **values}
            await connection.execute(insert(table).values(row))
        return True

    async def delete_video(self, course: Course, name: str) -> None:
        """Forget a video, what is said in it, and its pins; raise ``UnknownError``."""
        table = tables.videos
        async with self._database.writing() as connection:
            await _touch(connection, course)
            gone = await connection.execute(delete(table).where(table.c.course == course.id, table.c.name == name))
            if not gone.rowcount:
                raise UnknownError(f"the course {course.name} has no video {name!r}")

    # ---- labs

    async def labs(self, course: Course) -> list[Placed]:
        """Return the labs of a course, in their order."""
        wanted = select(tables.labs).where(tables.labs.c.course == course.id)
        async with self._database.reading() as connection:
            rows = await connection.execute(wanted.order_by(tables.labs.c.position, tables.labs.c.id))
            return [_placed(row) for row in rows]

    async def lab(self, course: Course, name: str) -> Placed:
        """Return a lab; raise ``UnknownError``."""
        wanted = select(tables.labs).where(tables.labs.c.course == course.id, tables.labs.c.name == name)
        async with self._database.reading() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None:
            raise UnknownError(f"the course {course.name} has no lab {name!r}")
        return _placed(row)

    async def version(self, placed: Placed, number: int, *, published: bool = False) -> Version:
        """Return a version; ``published``: one that learners got. Raises ``UnknownError``."""
        found = [each for each in await self._versions([(placed, number)], published=published) if each]
        if not found:
            raise UnknownError(f"the lab {placed.name} has no version {number}")
        return found[0]

    async def current(self, placed: Sequence[Placed], *, published: bool = True) -> list[Version]:
        """Return the version of each lab that learners get, or if not ``published`` the newest, if there is none."""
        numbers = [
            (each, number)
            for each in placed
            if (number := each.published if published or each.published else each.newest) is not None
        ]
        return await self._versions(numbers)

    async def newest(self, placed: Sequence[Placed]) -> list[Version]:
        return await self._versions([(each, each.newest) for each in placed])

    async def _versions(self, wanted: Sequence[tuple[Placed, int]], *, published: bool = False) -> list[Version]:
        table = tables.versions
        by_lab = {placed.id: (placed, number) for placed, number in wanted}
        columns = (table.c.lab, table.c.version, table.c.hash, table.c.verified, table.c.report)
        async with self._database.reading() as connection:
            some = select(*columns).where(table.c.lab.in_(list(by_lab)))
            some = some.where(table.c.version.in_(sorted({number for _, number in by_lab.values()})))
            if published:
                some = some.where(table.c.published.is_not(None))
            every: Sequence[Any] = (await connection.execute(some)).all()
            rows = {row.lab: row for row in every if by_lab[row.lab][1] == row.version}
            known = {row.hash: self._read[row.hash][0] for row in rows.values() if row.hash in self._read}
            missing = [row.hash for row in rows.values() if row.hash not in known]
            if missing:
                those = select(table.c.hash, table.c.content).where(
                    table.c.lab.in_(list(by_lab)), table.c.hash.in_(missing)
                )
                for each in await connection.execute(those):
                    known[each.hash] = self._lab(each.hash, each.content)
        return [
            Version(placed, number, known[row.hash], bool(row.verified), row.report and json.loads(row.report))
            for placed, number in wanted
            if (row := rows.get(placed.id)) is not None
        ]

    def _lab(self, key: bytes, content: bytes) -> Lab:
        """Read a lab, and keep it in memory."""
        lab = lab_of(unpack(content))
        if key not in self._read:
            size = sum(len(each) for each in (lab.task, lab.starter, lab.solution, *(f.content for f in lab.files)))
            size += 1000 * (1 + len(lab.suite.tests) if lab.suite else 1)
            self._read[key] = lab, size
            self._size += size
        while self._size > _REMEMBERED:
            _, (_, size) = self._read.popitem(last=False)
            self._size -= size
        return lab

    async def put_lab(
        self, course: Course, lab: Lab, *, report: Mapping[str, Any] | None = None, verified: bool = False
    ) -> Version:
        """Keep a lab as the newest version of the one with its id, unless it is that already; raise ``FullError``."""
        content = pack(lab_object(lab.model_copy(update={"status": "draft"})))
        key = hashlib.sha256(content).digest()
        table, own = tables.labs, tables.labs.c.course == course.id
        async with self._database.writing() as connection:
            await _touch(connection, course)
            row = (await connection.execute(select(table).where(own, table.c.name == lab.id))).one_or_none()
            if row is None:
                await _require_room(connection, select(func.count()).where(own), MOST_LABS, "labs of a course")
                last = await connection.scalar(select(func.max(table.c.position)).where(own))
                values = {"name": lab.id, "status": "draft", "newest": 0, "position": (last or 0) + 1}
                made = insert(table).values(course=course.id, **values).returning(*table.c)
                row = (await connection.execute(made)).one()
            version = tables.versions
            newest = select(version.c.hash).where(version.c.lab == row.id, version.c.version == row.newest)
            number = row.newest
            if await connection.scalar(newest) != key:
                number += 1
                if number > MOST_VERSIONS:
                    raise FullError(f"{MOST_VERSIONS} versions of a lab are kept at most: give it another id")
                values = {"lab": row.id, "version": number, "content": content, "hash": key, "verified": False}
                await connection.execute(insert(version).values(**values, created=self._now()))
                await connection.execute(update(table).where(table.c.id == row.id).values(newest=number))
            if report is not None:
                await _tell(connection, row.id, number, report, verified=verified)
        return await self.version(Placed(row.id, row.name, row.status, row.published, number), number)

    async def put_report(self, version: Version, report: Mapping[str, Any], *, verified: bool) -> None:
        """Keep what verifying a version said."""
        async with self._database.writing() as connection:
            await _tell(connection, version.placed.id, version.number, report, verified=verified)

    async def publish(self, course: Course, placed: Placed) -> None:
        """Give learners the newest version; raise ``StateError`` unless it is verified."""
        table, own = tables.versions, tables.labs.c.id == placed.id
        async with self._database.writing() as connection:
            await _touch(connection, course)
            newest = await connection.scalar(select(tables.labs.c.newest).where(own))
            this = (table.c.lab == placed.id, table.c.version == newest)
            if not await connection.scalar(select(table.c.verified).where(*this)):
                raise StateError(f"version {newest} of the lab {placed.name} is not verified: verify it first")
            await connection.execute(update(tables.labs).where(own).values(status="published", published=newest))
            await connection.execute(
                update(table).where(*this, table.c.published.is_(None)).values(published=self._now())
            )

    async def retire(self, course: Course, placed: Placed) -> None:
        """Give learners no version any more."""
        async with self._database.writing() as connection:
            await _touch(connection, course)
            own = tables.labs.c.id == placed.id
            await connection.execute(update(tables.labs).where(own).values(status="retired", published=None))

    async def delete_lab(self, course: Course, placed: Placed) -> None:
        """Forget a lab, and all that learners did with it."""
        async with self._database.writing() as connection:
            await overwrite(connection)
            await _touch(connection, course)
            await connection.execute(delete(tables.labs).where(tables.labs.c.id == placed.id))
            await drop_unused(connection)

    # ---- pins

    async def pins(self, course: Course) -> list[Pin]:
        """Return where teachers say that labs belong."""
        lab, video, pin = tables.labs, tables.videos, tables.pins
        wanted = (
            select(lab.c.name, video.c.name, pin.c.start, pin.c.end)
            .join(lab, lab.c.id == pin.c.lab)
            .join(video, video.c.id == pin.c.video)
            .where(lab.c.course == course.id)
            .order_by(lab.c.name, video.c.position, video.c.id)
        )
        async with self._database.reading() as connection:
            return [Pin(*row) for row in await connection.execute(wanted)]

    async def put_pin(self, course: Course, placed: Placed, video: Video, start: float, end: float | None) -> None:
        """Say where in a video a lab belongs."""
        row = {"lab": placed.id, "video": video.id, "start": start, "end": end}
        async with self._database.writing() as connection:
            await _touch(connection, course)
            await connection.execute(insert_or_set(connection, tables.pins, row, "start", "end"))

    async def delete_pin(self, course: Course, placed: Placed, video: Video) -> None:
        """Take that back; raise ``UnknownError``."""
        table = tables.pins
        async with self._database.writing() as connection:
            await _touch(connection, course)
            gone = await connection.execute(delete(table).where(table.c.lab == placed.id, table.c.video == video.id))
            if not gone.rowcount:
                raise UnknownError(f"the lab {placed.name} has no pin in the video {video.name}")


_ORDER = (tables.videos.c.position, tables.videos.c.id)


async def _touch(connection: AsyncConnection, course: Course) -> None:
    """Count a change of what matching depends on; of several at once, each waits here for the one before."""
    table = tables.courses
    done = await connection.execute(update(table).where(table.c.id == course.id).values(stamp=table.c.stamp + 1))
    if not done.rowcount:
        raise UnknownError(f"there is no course {course.name!r}")


async def _require_room(connection: AsyncConnection, count: Any, most: int, what: str) -> None:
    if (await connection.scalar(count) or 0) >= most:
        raise FullError(f"{most} {what} are kept at most")


async def _tell(
    connection: AsyncConnection, lab: int, number: int, report: Mapping[str, Any], *, verified: bool
) -> None:
    table = tables.versions
    values = {"verified": verified, "report": json.dumps(report)}
    await connection.execute(update(table).where(table.c.lab == lab, table.c.version == number).values(values))


def _course(row: Row[Any]) -> Course:
    return Course(row.id, row.name, row.title, row.language, row.created, row.stamp)


def _video(row: Row[Any]) -> Video:
    chapters = tuple((start, title) for start, title in json.loads(row.chapters))
    return Video(row.name, row.title, row.youtube, row.url, row.language, row.duration, chapters, row.id)


def _placed(row: Row[Any]) -> Placed:
    return Placed(row.id, row.name, row.status, row.published, row.newest)
