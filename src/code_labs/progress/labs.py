"""The learning loop as a plain class: courses, how learners stand, and where labs belong. Over HTTP: `code_labs.api`.

    labs = Labs(database)
    await labs.catalog.put_course("", "python", "Python", "en")
    course = await labs.catalog.course("", "python")

Three rooms of one database: the `Catalog` is what teachers make, the `Journal` what learners do, and `Privacy` what
learners may have and have erased. `analytics` reads what the journal wrote.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from code_executor.core.errors import CodeExecutorError
from code_executor.storage.database import Database
from code_labs.errors import UnknownError
from code_labs.progress.analytics import Analytics
from code_labs.progress.catalog import Catalog
from code_labs.progress.fetches import Fetches
from code_labs.progress.journal import Journal
from code_labs.progress.models import Course, Moment, Version, Who, Work
from code_labs.progress.places import Matcher, Places
from code_labs.progress.privacy import Privacy

DAY = 86_400.0
YEAR = 365 * DAY

log = structlog.get_logger()


class Entry(NamedTuple):
    """A lab that learners get, and how one of them stands with it."""

    version: Version
    work: Work | None
    moments: tuple[Moment, ...]


class Labs:
    """See above. ``retention``: seconds after which programs and events are forgotten."""

    def __init__(self, database: Database, *, retention: float = YEAR, now: Callable[[], float] = time.time) -> None:
        self.catalog = Catalog(database, now)
        self.journal = Journal(database, now)
        self.privacy = Privacy(database, now)
        self.analytics = Analytics(database, now)
        self.fetches = Fetches(database, now)
        self.matcher = Matcher(self.catalog)
        self._retention = retention
        self._now = now
        self._swept = float("-inf")
        self._sweeping: asyncio.Task[None] | None = None

    async def entries(self, who: Who, course: Course) -> tuple[Places, list[Entry]]:
        """Return the labs that learners get, in their order, and how a learner stands with each."""
        places = await self.matcher.places(course)
        versions = await self.catalog.current(await self.catalog.labs(course))
        works = await self.journal.works(who, course)
        return places, [
            Entry(each, works.get(each.placed.id), tuple(places.moments.get(each.placed.name, ()))) for each in versions
        ]

    async def published(self, course: Course, name: str, number: int | None = None) -> Version:
        """Return the version of a lab that learners get, or one that they got before; raise ``UnknownError``."""
        placed = await self.catalog.lab(course, name)
        if placed.published is None:
            raise UnknownError(f"the course {course.name} has no lab {name!r}")
        return await self.catalog.version(placed, number or placed.published, published=True)

    async def moment(self, course: Course, name: str) -> Moment | None:
        """Return the best moment of a lab."""
        return next(iter((await self.matcher.places(course)).moments.get(name, ())), None)

    def sweep(self) -> None:
        """Forget what is too old, behind the back of whoever asks, once a day."""
        if self._now() - self._swept >= DAY:
            self._swept = self._now()
            self._sweeping = asyncio.create_task(self._sweep())

    async def _sweep(self) -> None:
        try:
            await self.privacy.forget(self._now() - self._retention)
        except CodeExecutorError as error:
            log.warning("labs_not_swept", why=str(error))
