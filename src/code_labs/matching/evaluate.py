"""How good the matching is on a course, by places that a teacher has named. Each pin is such a place."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from code_labs.matching.course import Course, Match, Query

NEAR = 10.0
"""Seconds: a window hits a place if its middle lies in it, or this near."""


@dataclass(frozen=True, slots=True)
class Label:
    """Where a lab belongs: a stretch of a video, in seconds."""

    lab: str
    lecture: str
    start: float
    end: float

    def is_hit_by(self, match: Match) -> bool:
        middle = (match.start + match.end) / 2
        return match.lecture == self.lecture and self.start - NEAR <= middle <= self.end + NEAR

    def distance(self, second: float) -> float:
        """Return how far a second of the video is from the stretch; 0 inside."""
        return max(self.start - second, second - self.end, 0.0)


@dataclass(frozen=True)
class Measures:
    """Shares of labs, 0 to 1. ``first`` (``third``, ``fifth``): one of the first (3, 5) windows is right.

    ``third_in_video``: the same as ``third``, if it is known which video it is. ``start_error``: median of the seconds
    between where watching would start and the right stretch, where the video is right. ``answered``: of all labs, those
    with a good match; ``right``: of these, those that are right.
    """

    labs: int
    first: float
    third: float
    fifth: float
    third_in_video: float
    start_error: float
    answered: float
    right: float


def evaluate(course: Course, queries: Iterable[Query], labels: Iterable[Label]) -> Measures:
    """Match each lab that has a label, without its pin, and compare. Without any, all shares are 0."""
    known: dict[str, list[Label]] = {}
    for label in labels:
        known.setdefault(label.lab, []).append(label)
    asked = [query for query in queries if query.id in known]
    blind = course.without_pins()
    ranks = [_rank(blind.rank(query), known[query.id]) for query in asked]
    in_video = [
        any(_rank(blind.rank(query, limit=3, lecture=label.lecture), [label]) for label in known[query.id])
        for query in asked
    ]
    best = [(blind.rank(query, limit=1), known[query.id]) for query in asked]
    errors = [
        min(label.distance(found[0].shown) for label in places if label.lecture == found[0].lecture)
        for found, places in best
        if found and any(label.lecture == found[0].lecture for label in places)
    ]
    good = [(found[0], places) for found, places in best if found and found[0].good]
    return Measures(
        labs=len(asked),
        first=_share([rank == 1 for rank in ranks]),
        third=_share([0 < rank <= 3 for rank in ranks]),
        fifth=_share([0 < rank <= 5 for rank in ranks]),
        third_in_video=_share(in_video),
        start_error=statistics.median(errors) if errors else 0.0,
        answered=len(good) / max(1, len(asked)),
        right=_share([any(label.is_hit_by(found) for label in places) for found, places in good]),
    )


def _rank(found: Sequence[Match], labels: Sequence[Label]) -> int:
    """Return the place of the first right one, from 1; 0 if there is none."""
    return next((n for n, match in enumerate(found, 1) if any(label.is_hit_by(match) for label in labels)), 0)


def _share(values: Sequence[bool]) -> float:
    return sum(values) / max(1, len(values))
