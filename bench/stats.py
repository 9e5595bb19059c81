"""The arithmetic of the harness: percentiles, ratios, arrival times. This module measures nothing."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile, which is always one of the values; ``share`` is in 0..1."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class Summary:
    """Latencies in a few numbers, in the unit of the values."""

    count: int
    least: float
    p50: float
    p90: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Raise ``ValueError`` if there are no values."""
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
    """A ratio of rounds: median, minimum and maximum. A drift of the machine's speed cancels out."""

    median: float
    least: float
    most: float


def ratio(rounds: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]) -> Ratio | None:
    """Compare medians within each round; None if no round has both."""
    found = [
        statistics.median(ours) / statistics.median(theirs)
        for ours, theirs in zip(rounds, baseline, strict=False)
        if ours and theirs
    ]
    return Ratio(statistics.median(found), min(found), max(found)) if found else None


def arrivals(rate: float, seconds: float, *, seed: int | None = None) -> list[float]:
    """Return when to send ``rate`` requests per second, in seconds from the start.

    They are evenly spaced, or with a seed a Poisson process. They do not depend on any answer, so the load is open.
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
    """Return how long each request that arrives at ``times`` takes in an ideal queue, in the unit of ``times``.

    Requests are served in order by ``servers`` servers, and each takes ``service``. No real service can have a better
    tail.
    """
    free = [0.0] * servers
    took = []
    for time in times:
        end = max(time, heapq.heappop(free)) + service
        heapq.heappush(free, end)
        took.append(end - time)
    return took


def displacements(finished: Sequence[int]) -> list[int]:
    """Return by how many places each number in ``finished`` is away from its order of arrival (0, 1, 2, …)."""
    return [abs(place - arrival) for place, arrival in enumerate(finished)]
