"""The arithmetic of the harness: percentiles, ratios, arrival times. Nothing here measures anything."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: one of the values, never a number between two (``share`` in 0..1)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Summary:
    """Latencies in a few numbers; of whatever unit the values were."""

    count: int
    least: float
    p50: float
    p90: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Raise ``ValueError`` where there are no values."""
        return cls(
            len(values),
            percentile(values, 0),
            percentile(values, 0.5),
            percentile(values, 0.9),
            percentile(values, 0.99),
            percentile(values, 1),
        )


@dataclass(frozen=True)
class Ratio:
    """A ratio round by round, so that a machine whose speed drifts cancels out: median, least and most."""

    median: float
    least: float
    most: float


def ratio(rounds: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]) -> Ratio | None:
    """Compare medians within each round; None where no round has both."""
    found = [
        statistics.median(ours) / statistics.median(theirs)
        for ours, theirs in zip(rounds, baseline, strict=False)
        if ours and theirs
    ]
    return Ratio(statistics.median(found), min(found), max(found)) if found else None


def arrivals(rate: float, seconds: float, *, seed: int | None = None) -> list[float]:
    """Return when to send: ``rate`` a second, evenly spaced, or (with a seed) as a Poisson process.

    Seconds from the start. The times do not depend on any answer: that is what makes a load open.
    """
    if seed is None:
        return [number / rate for number in range(int(rate * seconds))]
    source = random.Random(seed)
    times: list[float] = []
    now = source.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += source.expovariate(rate)
    return times


def queued(times: Sequence[float], service: float, servers: int) -> list[float]:
    """Return how long each who comes at ``times`` takes in an ideal queue, in the unit of ``times``.

    First come, first served, by ``servers`` that each take ``service`` for everyone: what no real service can be better
    than at its tail, whatever it does.
    """
    free = [0.0] * servers
    took = []
    for time in times:
        end = max(time, heapq.heappop(free)) + service
        heapq.heappush(free, end)
        took.append(end - time)
    return took


def displacements(finished: Sequence[int]) -> list[int]:
    """How far each, in the order they finished, ended from its place in the order they came (numbers 0, 1, 2, …)."""
    return [abs(place - arrival) for place, arrival in enumerate(finished)]
