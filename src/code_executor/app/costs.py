"""What runs cost where each second is billed: arithmetic on the prices of `prices.toml`.

Billed is the time for which a job or an instance exists, times its size, whatever its programs do meanwhile.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from typing import Any, Self

from code_executor.core.errors import ConfigurationError

MONTH = 730 * 3600.0
"""Seconds of a month: a twelfth of a year."""


@dataclass(frozen=True)
class Amounts:
    """Seconds of vCPU and of GB, and requests: an amount of each, or the price of one, or what is paid for each."""

    vcpu_seconds: float = 0.0
    gb_seconds: float = 0.0
    requests: float = 0.0

    @property
    def sum(self) -> float:
        return self.vcpu_seconds + self.gb_seconds + self.requests

    def times(self, factor: Amounts | float) -> Amounts:
        by = Amounts(factor, factor, factor) if isinstance(factor, float | int) else factor
        return Amounts(
            self.vcpu_seconds * by.vcpu_seconds, self.gb_seconds * by.gb_seconds, self.requests * by.requests
        )

    def beyond(self, free: Amounts) -> Amounts:
        return Amounts(
            max(0.0, self.vcpu_seconds - free.vcpu_seconds),
            max(0.0, self.gb_seconds - free.gb_seconds),
            max(0.0, self.requests - free.requests),
        )


@dataclass(frozen=True)
class Size:
    """What a job or an instance has."""

    vcpu: float
    gb: float

    def for_seconds(self, seconds: float, requests: float = 0.0) -> Amounts:
        return Amounts(self.vcpu * seconds, self.gb * seconds, requests)


@dataclass(frozen=True)
class Planned:
    """The first estimate: a price for ``run``, for so many ``runs``, and how many runs are free in a month."""

    vcpu_second: float
    seconds: float
    run: float
    free_runs: int
    runs: Mapping[int, float]


@dataclass(frozen=True)
class Prices:
    """``each``: the prices; ``free``: amounts in a month; ``start``: seconds that a job takes to start."""

    name: str
    date: date
    sources: tuple[str, ...]
    each: Amounts
    free: Amounts
    job: Size
    start: float
    planned: Planned

    @classmethod
    def load(cls, path: str = "") -> Self:
        """Read a file of the form of `prices.toml`, or that one; raise ``ConfigurationError`` if it has another."""
        try:
            if path:
                with open(path, encoding="utf-8") as file:
                    text = file.read()
            else:
                text = resources.files(__package__).joinpath("prices.toml").read_text("utf-8")
            return cls._of(tomllib.loads(text))
        except KeyError as missing:
            raise ConfigurationError(f"{path}: {missing} is missing") from None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{path}: {error}") from None

    @classmethod
    def _of(cls, table: Mapping[str, Any]) -> Self:
        prices, free, job, planned = (table[name] for name in ("prices", "free", "job", "planned"))
        each = ("vcpu_second", "gb_second", "request")
        return cls(
            name=str(prices["name"]),
            date=prices["date"],
            sources=tuple(map(str, prices["sources"])),
            each=Amounts(*(float(prices[name]) for name in each)),
            free=Amounts(*(float(free[f"{name}s"]) for name in each)),
            job=Size(float(job["vcpu"]), float(job["gb"])),
            start=float(job["start"]),
            planned=Planned(
                float(planned["vcpu_second"]),
                float(planned["seconds"]),
                float(planned["run"]),
                int(planned["free_runs"]),
                {int(count): float(price) for count, price in planned["runs"].items()},
            ),
        )

    def cost(self, amounts: Amounts) -> float:
        """Return the price of the amounts, as if nothing were free."""
        return amounts.times(self.each).sum

    def month(self, amounts: Amounts) -> float:
        """Return what is to be paid for the amounts of one month."""
        return self.cost(amounts.beyond(self.free))

    def free_runs(self, run: Amounts) -> int:
        """Return how many such runs a month has for nothing: as many as whatever is used up first allows."""
        pairs = (
            (self.free.vcpu_seconds, run.vcpu_seconds),
            (self.free.gb_seconds, run.gb_seconds),
            (self.free.requests, run.requests),
        )
        return min((int(free / used) for free, used in pairs if used), default=0)


@dataclass(frozen=True)
class Usage:
    """What was used in so many ``seconds``: ``run_seconds`` and ``cpu_seconds`` are sums over all runs.

    ``gb_seconds`` is an upper bound: as if each run had had its peak all the time. ``requests``: runs, and what was
    refused.
    """

    seconds: float
    runs: float
    run_seconds: float
    requests: float
    cpu_seconds: float | None = None
    gb_seconds: float | None = None

    @property
    def in_a_month(self) -> float:
        """The factor by which a month is more."""
        return MONTH / self.seconds

    def as_jobs(self, size: Size, start: float) -> Amounts:
        """Return what a month of it amounts to, with a job for each run."""
        return size.for_seconds((self.run_seconds + self.runs * start) * self.in_a_month)

    def as_app(self, size: Size, instances: int, hours: float) -> Amounts:
        """Return what a month amounts to with an app, of which so many instances exist for so many hours."""
        return size.for_seconds(instances * hours * 3600, self.requests * self.in_a_month)
