"""The other direction: a second of a video → labs to try now, and the places of a video where to stop and try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from code_labs.matching.course import Course, Match, Query

APART = 90.0
"""Seconds between two places of a video where labs are offered."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Where a video may stop for a lab: ``at`` seconds, when what the lab is about has been explained."""

    at: float
    match: Match


def offers(course: Course, lecture: str, queries: Sequence[Query]) -> list[Offer]:
    """Return where to stop and try in one video: at the ends of matched stretches, in order, `APART` from each other.

    Of two that are nearer, the teacher's stays, then the surer. Only good matches are offered.
    """
    matches = [match for query in queries if (match := course.match(query)) and match.lecture == lecture]
    kept: list[Offer] = []
    for match in sorted(matches, key=lambda match: (not match.pinned, -match.confidence, match.end)):
        if all(abs(match.end - other.at) >= APART for other in kept):
            kept.append(Offer(match.end, match))
    return sorted(kept, key=lambda offer: offer.at)


def labs_at(course: Course, lecture: str, second: float, queries: Sequence[Query], *, limit: int = 3) -> list[Match]:
    """Return the labs that fit what is explained at a second of a video, the best first: "try it now".

    A lab counts if its own best place is the window of this second, or the one before, which has just been heard.
    """
    now = course.place_of(lecture, second)
    heard = {now} | ({now - 1} if now and course.windows[now - 1][0] == lecture else set())
    found = [
        match
        for query in queries
        if (match := course.match(query))
        and match.lecture == lecture
        and course.place_of(lecture, match.start) in heard
    ]
    return sorted(found, key=lambda match: (not match.pinned, -match.confidence))[:limit]
