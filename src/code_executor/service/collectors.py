"""What is told to Prometheus as it is when it asks: read from the plain state of pools, queue and sessions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from code_executor.core.limits import Limits
from code_executor.sandbox.book import Book
from code_executor.sandbox.pool import Pool
from code_executor.service.fairqueue import FairQueue, Lane
from code_executor.service.sessions import SessionBook

_SAID_HOLDS = 10.0
"""Seconds for which what a process said of its debts is believed."""

_CAUSES = ("closed", "idle", "age", "lost", "restarted", "stopping")
"""Why sessions end, besides the reasons of their last cells. They are told as 0 before the first."""

_A_WHILE = 60.0
"""Seconds for which the slowest run is told at least, and up to twice as long."""


class ServiceCollector(Collector):
    """What stands fast while a service lives: ``most`` runs at once, each within ``limits``."""

    def __init__(self, version: str, engine: str, limits: Limits, most: int) -> None:
        self._info = {"version": version, "engine": engine}
        self._limits = limits
        self._most = most

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("code_executor_info", "What serves.", labels=list(self._info))
        info.add_metric(list(self._info.values()), 1)
        yield info
        yield GaugeMetricFamily("code_executor_runs_limit", "Executions that may run at once.", value=self._most)
        yield GaugeMetricFamily(
            "code_executor_memory_limit_bytes", "Memory that a run may use.", value=self._limits.memory
        )
        yield GaugeMetricFamily(
            "code_executor_cpus_limit", "Processor cores that a run may use.", value=self._limits.cpus
        )


def _states(book: Book) -> Iterator[tuple[str, int]]:
    yield "idle", len(book.idle)
    yield "busy", len(book.busy)
    yield "settling", len(book.settling)
    yield "making", book.making


class PoolCollector(Collector):
    def __init__(self, pools: Sequence[Pool], *, by_environment: bool = False) -> None:
        self._pools = pools
        self._by_environment = by_environment

    def collect(self) -> Iterator[Metric]:
        kind = ["environment", "kind"] if self._by_environment else ["kind"]
        sandboxes = GaugeMetricFamily(
            "code_executor_sandboxes", "Sandboxes by kind and state.", labels=[*kind, "state"]
        )
        ready = GaugeMetricFamily("code_executor_ready", "Whether any sandbox of a kind serves.", labels=kind)
        waiting = GaugeMetricFamily(
            "code_executor_waiting_for_kind", "Executions that wait, by the kind that they need.", labels=kind
        )
        made = CounterMetricFamily("code_executor_sandboxes_made", "Sandboxes made.", labels=kind)
        for pool in self._pools:
            of_pool = [pool.environment, pool.name] if self._by_environment else [pool.name]
            for state, count in _states(pool.book):
                sandboxes.add_metric([*of_pool, state], count)
            ready.add_metric(of_pool, pool.ready or pool.can_start)
            waiting.add_metric(of_pool, pool.book.asked)
            made.add_metric(of_pool, pool.book.made)
        yield from (sandboxes, ready, waiting, made)


class QueueCollector(Collector):
    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        queue = self._queue
        yield GaugeMetricFamily("code_executor_waiting", "Executions that wait for a sandbox.", value=queue.waiting)
        yield GaugeMetricFamily("code_executor_waiting_limit", "Executions that may wait.", value=queue.rules.waiting)
        lanes = GaugeMetricFamily("code_executor_waiting_in_lane", "The same, by lane.", labels=["lane"])
        for lane in Lane:
            lanes.add_metric([lane.value], queue.waiting_in(lane))
        yield lanes
        flows = GaugeMetricFamily("code_executor_flows", "Clients, or their learners, by state.", labels=["state"])
        for state, count in queue.flows.items():
            flows.add_metric([state], count)
        yield flows


class SessionCollector(Collector):
    def __init__(self, book: SessionBook) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        book = self._book
        yield GaugeMetricFamily("code_executor_sessions", "Sessions that are open.", value=len(book.sessions))
        yield GaugeMetricFamily("code_executor_sessions_limit", "Sessions that may be open.", value=book.limits.open)
        yield CounterMetricFamily("code_executor_sessions_opened", "Sessions opened.", value=book.opened)
        ended = CounterMetricFamily("code_executor_sessions_ended", "Sessions ended, by cause.", labels=["why"])
        for why, count in {**dict.fromkeys(_CAUSES, 0), **book.ended}.items():
            ended.add_metric([why], count)
        yield ended


class DebtCollector(Collector):
    """Each process says once a second what it owes. One that is silent owes nothing, or is no more."""

    def __init__(self) -> None:
        self._said: dict[int, tuple[float, int]] = {}

    def note(self, process: int, owed: int) -> None:
        self._said[process] = time.monotonic(), owed

    def collect(self) -> Iterator[Metric]:
        now = time.monotonic()
        self._said = {process: said for process, said in self._said.items() if now - said[0] < _SAID_HOLDS}
        owed = sum(owed for _, owed in self._said.values())
        yield GaugeMetricFamily("code_executor_owed_bytes", "Bytes that clients have not read yet.", value=owed)


class Slowest(Collector):
    """The longest run of each kind of sandbox that ended within the last minute, or the one before."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._now: dict[str, float] = {}
        self._before: dict[str, float] = {}

    def note(self, kind: str, seconds: float) -> None:
        self._turn()
        self._now[kind] = max(self._now.get(kind, 0.0), seconds)

    def _turn(self) -> None:
        passed = self._clock() - self._since
        if passed >= _A_WHILE:
            self._before = self._now if passed < 2 * _A_WHILE else {}
            self._now = {}
            self._since += passed - passed % _A_WHILE

    def collect(self) -> Iterator[Metric]:
        self._turn()
        slowest = GaugeMetricFamily(
            "code_executor_slowest_seconds",
            "The longest run that ended within the last minute or two.",
            labels=["kind"],
        )
        for kind in sorted({*self._before, *self._now}):
            slowest.add_metric([kind], max(self._before.get(kind, 0.0), self._now.get(kind, 0.0)))
        yield slowest
