"""What a running service says of itself over HTTP, at one moment: its ``/metrics`` and whether it is ready."""

from __future__ import annotations

import http.client
import itertools
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from code_executor.core.errors import CodeExecutorError

_WITHIN = 10.0
"""Seconds in which a service must answer."""

_MOST = 16 << 20
Key = tuple[str, frozenset[tuple[str, str]]]
Buckets = Sequence[tuple[float, float]]
"""Of a histogram: upper bounds, and how many are within each."""


@dataclass(frozen=True)
class Reading:
    """The values of metrics ``at`` some moment (of ``time.monotonic``), or how much they grew since another."""

    at: float
    values: Mapping[Key, float]

    @classmethod
    def of(cls, text: str, at: float) -> Reading:
        """Read the text format of Prometheus; raise ``ValueError`` for another."""
        families = text_string_to_metric_families(text)
        samples = (sample for family in families for sample in family.samples)
        return cls(at, {(each.name, frozenset(each.labels.items())): each.value for each in samples})

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all that have these labels; 0 if there is none."""
        wanted = labels.items()
        return sum(value for (each, has), value in self.values.items() if each == name and wanted <= has)

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return the sums by the values of a label, in the order in which they were told."""
        found: dict[str, float] = {}
        for (each, has), value in self.values.items():
            if each == name and labels.items() <= has:
                key = dict(has).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def buckets(self, name: str) -> Buckets:
        return sorted((float(bound), count) for bound, count in self.by("le", f"{name}_bucket").items())

    def label(self, name: str, label: str) -> str:
        """Return the value of a label, where a metric has one series; empty where there is none."""
        return next(iter(self.by(label, name)), "")

    def since(self, before: Reading) -> Reading:
        """Return how much counters have grown. Of a service that was started again meanwhile: since its start."""
        began = "process_start_time_seconds"
        if before.total(began) != self.total(began):
            return self
        return Reading(self.at, {key: value - before.values.get(key, 0.0) for key, value in self.values.items()})


def quantile(share: float, buckets: Buckets) -> float | None:
    """Return the value that so large a share is within, as Prometheus estimates it; None of nothing."""
    if not buckets or not buckets[-1][1]:
        return None
    rank = share * buckets[-1][1]
    for (below, fewer), (bound, count) in itertools.pairwise([(0.0, 0.0), *buckets]):
        if count >= rank:
            return below if math.isinf(bound) else below + (bound - below) * (rank - fewer) / (count - fewer)
    return None


@dataclass(frozen=True)
class Service:
    """A service at an address such as ``http://localhost:8000``."""

    url: str

    def read(self) -> Reading:
        """Raise ``CodeExecutorError`` where nothing answers, or something else."""
        status, body = self._get("/metrics")
        at = time.monotonic()
        if status != http.client.OK:
            raise CodeExecutorError(f"{self.url}/metrics answers with HTTP {status}: {_detail(body)}")
        try:
            reading = Reading.of(body.decode(), at)
        except ValueError:
            reading = Reading(at, {})
        if not reading.total("code_executor_info"):
            raise CodeExecutorError(f"what answers at {self.url} is no Code Executor, or an older one")
        return reading

    def readiness(self) -> str:
        """Return why it cannot run programs now; empty if it can. Raises as `read` does."""
        status, body = self._get("/readyz")
        return "" if status == http.client.OK else _detail(body) or f"HTTP {status}"

    def _get(self, path: str) -> tuple[int, bytes]:
        if not self.url.startswith(("http://", "https://")):
            raise CodeExecutorError(f"not an address: {self.url!r} (as http://localhost:8000)")
        try:
            try:
                with urllib.request.urlopen(self.url + path, timeout=_WITHIN) as answer:  # noqa: S310  # looked at above
                    return answer.status, answer.read(_MOST)
            except urllib.error.HTTPError as refusal:
                with refusal:
                    return refusal.code, refusal.read(_MOST)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = getattr(error, "reason", error)
            raise CodeExecutorError(
                f"nothing answers at {self.url}: {why}. Is the server running there? --url names another address."
            ) from None


def _detail(body: bytes) -> str:
    try:
        told: Any = json.loads(body)
    except ValueError:
        return ""
    return str(told.get("detail", "")) if isinstance(told, dict) else ""
