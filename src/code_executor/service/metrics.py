"""Metrics and the log line of every execution: observers that wrap a runner. The data path counts nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import Limits
from code_executor.core.models import CellDone, Event, Execution, Input, Reason, Result
from code_executor.core.runner import Runner
from code_executor.sandbox.pool import Pool
from code_executor.service.fairqueue import FairQueue, Lane
from code_executor.service.sessions import SessionBook

log = structlog.get_logger()

_SAID_HOLDS = 10.0
"""Seconds for which what a process said of its debts is believed."""

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per server: nothing global, so that two servers in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.executions = Counter(
            "code_executor_executions_total", "Executions by outcome.", ["status", "reason"], registry=self.registry
        )
        self.violations = Counter(
            "code_executor_violations_total",
            "Executions that were ended for a forbidden system call.",
            ["syscall"],
            registry=self.registry,
        )
        self.refused = Counter(
            "code_executor_refused_total", "Executions that never ran.", ["why"], registry=self.registry
        )
        self.running = Gauge("code_executor_running", "Executions under way or queued.", registry=self.registry)
        self.execution_seconds = Histogram(
            "code_executor_execution_seconds", "Time of the run alone.", buckets=_SECONDS, registry=self.registry
        )
        self.queue_seconds = Histogram(
            "code_executor_queue_seconds", "Time of waiting for a sandbox.", buckets=_SECONDS, registry=self.registry
        )
        self.total_seconds = Histogram(
            "code_executor_total_seconds", "From the request to the result.", buckets=_SECONDS, registry=self.registry
        )
        self.memory_bytes = Histogram(
            "code_executor_memory_bytes",
            "Peak memory of a run.",
            buckets=[1 << n for n in range(23, 31)],
            registry=self.registry,
        )
        self.aborted = Counter(
            "code_executor_aborted",
            "Connections that were closed because their client did not read.",
            ["why"],
            registry=self.registry,
        )
        self._debts = _DebtCollector()
        self.registry.register(self._debts)

    def note_debts(self, process: int, owed: int, aborted: Mapping[str, int]) -> None:
        """Note what one process owes to its clients, and how many connections it aborted since it last said so."""
        self._debts.note(process, owed)
        for why, count in aborted.items():
            self.aborted.labels(why).inc(count)

    def watch(self, *pools: Pool) -> None:
        """Report the state of all the pools together as it is when asked."""
        self.registry.register(_PoolCollector(pools))

    def watch_queue(self, queue: FairQueue) -> None:
        """Report who waits."""
        self.registry.register(_QueueCollector(queue))

    def watch_sessions(self, book: SessionBook) -> None:
        """Report how many sessions there are, and were."""
        self.registry.register(_SessionCollector(book))

    def render(self) -> bytes:
        """Return the Prometheus text format, version 0.0.4."""
        return generate_latest(self.registry)


class _PoolCollector(Collector):
    def __init__(self, pools: tuple[Pool, ...]) -> None:
        self._pools = pools

    def collect(self) -> Iterator[GaugeMetricFamily]:
        books = [pool.book for pool in self._pools]
        sandboxes = GaugeMetricFamily("code_executor_sandboxes", "Sandboxes by state.", labels=["state"])
        for state, count in (
            ("idle", sum(len(book.idle) for book in books)),
            ("busy", sum(len(book.busy) for book in books)),
            ("settling", sum(len(book.settling) for book in books)),
            ("making", sum(book.making for book in books)),
        ):
            sandboxes.add_metric([state], count)
        yield sandboxes


class _QueueCollector(Collector):
    def __init__(self, queue: FairQueue) -> None:
        self._queue = queue

    def collect(self) -> Iterator[GaugeMetricFamily]:
        queue = self._queue
        yield GaugeMetricFamily("code_executor_waiting", "Executions that wait for a sandbox.", value=queue.waiting)
        lanes = GaugeMetricFamily("code_executor_waiting_in_lane", "The same, by lane.", labels=["lane"])
        for lane in Lane:
            lanes.add_metric([lane.value], queue.waiting_in(lane))
        yield lanes
        flows = GaugeMetricFamily("code_executor_flows", "Clients, or their learners, by state.", labels=["state"])
        for state, count in queue.flows.items():
            flows.add_metric([state], count)
        yield flows


class _SessionCollector(Collector):
    def __init__(self, book: SessionBook) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        alive = len(self._book.sessions)
        yield GaugeMetricFamily("code_executor_sessions", "Sessions that are open.", value=alive)
        yield CounterMetricFamily("code_executor_sessions_opened", "Sessions opened.", value=self._book.opened)


class _DebtCollector(Collector):
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


class ObservedRunner:
    """Runs what ``inner`` runs, and writes down how it went: one log line per execution, never its code or output."""

    def __init__(self, inner: Runner, metrics: Metrics) -> None:
        self._inner = inner
        self._metrics = metrics

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    async def stream(
        self, execution: Execution, inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        ended = False
        running = 0 if execution.session else 1  # it idles most of its time
        self._metrics.running.inc(running)
        try:
            async with aclosing(self._inner.stream(execution, inputs)) as events:
                async for event in events:
                    if isinstance(event, CellDone):
                        result = event.result
                        log.info("cell", **self._count(execution, result, result.execution_time / 1000))
                    elif isinstance(event, Result):
                        ended = True
                        if not execution.session:  # its cells are what ran
                            total = time.monotonic() - began
                            loop.call_soon(self._tell, execution, event, total)  # once the answer is on its way
                    yield event
        except (GeneratorExit, asyncio.CancelledError):
            if not ended and not execution.session:  # nobody waits for it any more
                self._metrics.executions.labels("error", "cancelled").inc()
                log.info("execution", id=execution.id, client=execution.caller.id, status="error", reason="cancelled")
            raise
        except CodeExecutorError as error:
            self._metrics.refused.labels(type(error).__name__).inc()
            log.warning("refused", id=execution.id, client=execution.caller.id, why=str(error))
            raise
        finally:
            self._metrics.running.dec(running)

    def _tell(self, execution: Execution, result: Result, total: float) -> None:
        log.info("execution", **self._count(execution, result, total))

    def _count(self, execution: Execution, result: Result, total: float) -> dict[str, object]:
        """Count what ended; return the fields of its log line."""
        metrics = self._metrics
        metrics.executions.labels(result.status.value, result.reason.value).inc()
        if result.reason is Reason.VIOLATION:
            metrics.violations.labels(result.syscall or "unknown").inc()
        metrics.execution_seconds.observe(result.execution_time / 1000)
        metrics.queue_seconds.observe(result.queue_time / 1000)
        metrics.total_seconds.observe(total)
        metrics.memory_bytes.observe(result.memory)
        return {
            "id": result.id,
            "client": execution.caller.id,
            **_for_whom(execution.caller),
            "status": result.status.value,
            "reason": result.reason.value,
            "execution_ms": round(result.execution_time, 3),
            "queue_ms": round(result.queue_time, 3),
            "cpu_ms": round(result.cpu_time, 3),
            "total_ms": round(total * 1000, 3),
            "memory": result.memory,
            "truncated": result.truncated,
            **({"syscall": result.syscall} if result.syscall else {}),
        }


def _for_whom(caller: Caller) -> dict[str, str]:
    said = {"learner": caller.learner, "course": caller.course}
    return {name: value for name, value in said.items() if value}
