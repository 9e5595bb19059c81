"""Where in the videos the labs of a course belong: teachers' pins, and what the matcher finds for the others."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from code_labs.labs import Lab
from code_labs.matching import Course as Index
from code_labs.matching import Lecture, Match, Pin, Query
from code_labs.progress.catalog import Catalog
from code_labs.progress.models import Course, Moment, Said, Video
from code_labs.transcripts import Chapter, Cue, Format, Transcript

_COURSES = 16
_MINUTE = 60.0
_HEARD = 90.0
"""Seconds after a moment for which its lab is worth trying."""


@dataclass(frozen=True)
class Places:
    """``index``: of the videos in which something is said. ``moments``: of each lab, the best first, by its name.

    ``order``: the names of the labs.
    """

    index: Index
    labs: Mapping[str, Lab]
    moments: Mapping[str, Sequence[Moment]]

    def at(self, video: str, second: float, names: Sequence[str], most: int = 3) -> list[tuple[str, Moment]]:
        """Return labs of these names to try now, at a second of a video: a teacher's first, then what was said last."""
        found = [
            (name, moment)
            for name in names
            for moment in self.moments.get(name, ())
            if moment.video == video and moment.start <= second <= moment.end + _HEARD
        ]
        return sorted(found, key=lambda each: (each[1].by != "teacher", -each[1].start))[:most]


class Matcher:
    """Makes `Places`, and keeps them while nothing that they depend on changes."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: OrderedDict[tuple[int, float, int], Places] = OrderedDict()
        self._turn = asyncio.Lock()

    async def places(self, course: Course) -> Places:
        key = (course.id, course.created, course.stamp)
        async with self._turn:
            found = self._known.pop(key, None) or await self._make(course)
            self._known[key] = found
            while len(self._known) > _COURSES:
                self._known.popitem(last=False)
        return found

    async def _make(self, course: Course) -> Places:
        catalog = self._catalog
        videos, said, pins = await catalog.videos(course), await catalog.said(course), await catalog.pins(course)
        versions = await catalog.current(await catalog.labs(course), published=False)
        return await asyncio.to_thread(places_of, videos, said, pins, [version.lab for version in versions])


def places_of(videos: Sequence[Video], said: Mapping[str, Said], pins: Sequence[Pin], labs: Sequence[Lab]) -> Places:
    """Index the videos, and find the moments of each lab; this takes the processor for a while."""
    index = Index(
        Lecture(video.name, transcript_of(video, said[video.name]), video.title)
        for video in videos
        if video.name in said and said[video.name].cues
    )
    known = {video.name for video in videos}
    moments: dict[str, list[Moment]] = {}
    for lab in labs:
        own = [pin for pin in pins if pin.lab == lab.id]
        link = lab.video
        if link is not None and link.video in known and all(pin.lecture != link.video for pin in own):
            own.append(Pin(lab.id, link.video, link.start, link.end))
        match = None if own else index.match(lab.query)
        moments[lab.id] = [moment_of(match)] if match else [_pinned(pin) for pin in own]
    return Places(index, {lab.id: lab for lab in labs}, moments)


def transcript_of(video: Video, said: Said) -> Transcript:
    return Transcript(
        tuple(Cue(*cue) for cue in said.cues),
        Format(said.format),
        video.language,
        tuple(Chapter(*chapter) for chapter in video.chapters),
    )


def moment_of(match: Match) -> Moment:
    return Moment(match.lecture, match.shown, match.end, "auto", tuple(reason.word for reason in match.reasons))


def _pinned(pin: Pin) -> Moment:
    return Moment(pin.lecture, pin.start, pin.end if pin.end is not None else pin.start + _MINUTE, "teacher")


def query_of(text: str, solution: str) -> Query:
    """Return what is asked for a text that is no lab yet."""
    return Query("", text, "", solution)
