"""A whole course at once: its labs come in the order of its videos, so a match must not go back."""

from __future__ import annotations

from collections.abc import Sequence

from code_labs.matching.course import Course, Match, Query

LEAST = 0.4
"""The least confidence here. It is lower than that of a lab alone, because the order is known as well."""


def align(course: Course, queries: Sequence[Query], *, least: float = LEAST) -> list[Match | None]:
    """Match labs that are in the order of the course; None where there is no good match.

    Of all ways to place the labs so that none goes back, the one with the largest sum of confidences above ``least`` is
    taken. A lab that reaches it nowhere is left out, and holds up no other. Pins stay where they are.
    """
    count = len(course.windows)
    best = [0.0] * count  # the best sum of the labs so far, if the last of them stands at this window or before
    steps: list[list[int | None]] = []
    for query in queries:
        gains = _gains(course, query, least)
        step: list[int | None] = [None] * count
        reached: list[float] = []
        top, at = float("-inf"), None
        for window in range(count):
            if best[window] + gains[window] > top:
                top, at = best[window] + gains[window], window
            skipped = best[window]
            placed = top > skipped
            step[window] = at if placed else None
            reached.append(max(top, skipped))
        steps.append(step)
        best = reached
    return _walk_back(course, queries, steps)


def _gains(course: Course, query: Query, least: float) -> list[float]:
    """Return what a lab adds at each window: how much surer it is than the least."""
    if pin := course.pins.get(query.id):
        number = course.place_of(pin.lecture, pin.start)
        return [float(len(course.windows)) if n == number else -1.0 for n in range(len(course.windows))]
    return [confidence - least for confidence in course.confidences(query)]


def _walk_back(course: Course, queries: Sequence[Query], steps: list[list[int | None]]) -> list[Match | None]:
    found: list[Match | None] = []
    window = len(course.windows) - 1
    for query, step in zip(reversed(queries), reversed(steps), strict=True):
        at = step[window] if window >= 0 else None
        found.append(None if at is None else course.at(query, at))
        window = window if at is None else at
    return found[::-1]
