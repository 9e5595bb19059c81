"""Metrics and the log line of every execution: observers that wrap a runner. The data path counts nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_open_metrics

from code_executor.core.caller import Caller
from code_executor.core.errors import CallerBusyError, CodeExecutorError, PoolBusyError, PoolClosedError
from code_executor.core.limits import Limits
from code_executor.core.models import CellDone, Event, Execution, Input, Reason, Result, Started
from code_executor.core.runner import Runner
from code_executor.sandbox.pool import Pool
from code_executor.service.collectors import (
    DebtCollector,
    PoolCollector,
    QueueCollector,
    ServiceCollector,
    SessionCollector,
    Slowest,
)
from code_executor.service.fairqueue import FairQueue
from code_executor.service.sessions import SessionBook

log = structlog.get_logger()

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_WAITS = (0.01, 0.05, 0.25, 1, 5, 30)
"""There is a histogram of them for each key."""
_LAGS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200)


class LoanCounts(NamedTuple):
    """Counters of the loans of one kind of sandbox for one use."""

    own: Counter
    busy: Counter
    seconds: Counter
    cpu: Counter


class Metrics:
    """One registry per server: nothing global, so that two servers in one process do not meet.

    ``by_environment``: executions and sandboxes have the label ``environment``. ``exemplar``: returns the ids of
    the trace that what is measured now belongs to, if it does to any; None: there are no traces.
    """

    def __init__(
        self, *, by_environment: bool = False, exemplar: Callable[[], dict[str, str] | None] | None = None
    ) -> None:
        self.registry = CollectorRegistry()
        self._exemplar = exemplar
        self._by_environment = by_environment
        labels = ["status", "reason", *(["environment"] if by_environment else [])]
        self._executions = Counter(
            "code_executor_executions_total", "Executions by outcome.", labels, registry=self.registry
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
        self.replays = Counter(
            "code_executor_idempotent_replays_total", "Answers that were given again.", registry=self.registry
        )
        self.grades = Counter("code_executor_grades_total", "Grades, by verdict.", ["verdict"], registry=self.registry)
        self.grade_seconds = Histogram(
            "code_executor_grade_seconds",
            "Time from the beginning of a grade to its end.",
            buckets=_LAGS,
            registry=self.registry,
        )
        self.tests = Counter(
            "code_executor_tests_total",
            "Tests of grades, by what they test and what came of them.",
            ["kind", "verdict"],
            registry=self.registry,
        )
        self.checker_errors = Counter(
            "code_executor_checker_errors_total", "Tests whose checker failed.", registry=self.registry
        )
        self.lent = Counter(
            "code_executor_lent_total",
            "Sandboxes lent, by kind, by what for, and why of this kind.",
            ["kind", "use", "why"],
            registry=self.registry,
        )
        self.lent_seconds = Counter(
            "code_executor_lent_seconds_total",
            "Time for which sandboxes were lent, counted when they are back.",
            ["kind", "use"],
            registry=self.registry,
        )
        self.cpu_seconds = Counter(
            "code_executor_cpu_seconds_total", "Processor time of runs.", ["kind"], registry=self.registry
        )
        self.key_seconds = Counter(
            "code_executor_key_seconds_total",
            "Time for which sandboxes were lent to those with a key, counted when they are back.",
            ["key"],
            registry=self.registry,
        )
        self.key_waits = Histogram(
            "code_executor_flow_wait_seconds",
            "Time of waiting for a sandbox, of those with a key.",
            ["key"],
            buckets=_WAITS,
            registry=self.registry,
        )
        self.key_refused = Counter(
            "code_executor_key_refused_total",
            "Executions that never ran, of those with a key.",
            ["key", "why"],
            registry=self.registry,
        )
        self.webhooks = Counter(
            "code_executor_webhooks_total", "Attempts to deliver webhooks.", ["outcome"], registry=self.registry
        )
        self.webhook_lag = Histogram(
            "code_executor_webhook_lag_seconds",
            "From the end of a job to the delivery of its webhook.",
            buckets=_LAGS,
            registry=self.registry,
        )
        self._counts: dict[tuple[str, str], LoanCounts] = {}
        self.slowest = Slowest()
        self._debts = DebtCollector()
        self.registry.register(self.slowest)
        self.registry.register(self._debts)
        ProcessCollector(registry=self.registry)
        self._begin_at_nothing()

    def _begin_at_nothing(self) -> None:
        """Tell counters as 0 before the first: Prometheus sees no increase in one that begins with 1."""
        if not self._by_environment:
            self._begin_executions("")
        for refused in ("rate_limit", *(error.__name__ for error in (PoolBusyError, CallerBusyError, PoolClosedError))):
            self.refused.labels(refused)
        for aborted in ("stall", "rate", "client_budget", "budget"):
            self.aborted.labels(aborted)
        for verdict in ("passed", "partial", "failed", "error"):
            self.grades.labels(verdict)
        for kind in ("io", "call"):
            for verdict in ("passed", "wrong_answer", "checker_error", "internal"):
                self.tests.labels(kind, verdict)
        for outcome in ("delivered", "retried", "failed", "gone"):
            self.webhooks.labels(outcome)

    def executions(self, status: str, reason: str, environment: str = "") -> Counter:
        """Return what counts executions that ended so."""
        more = (environment,) if self._by_environment else ()
        return self._executions.labels(status, reason, *more)

    def _begin_executions(self, environment: str) -> None:
        for reason in Reason:
            self.executions(reason.status.value, reason.value, environment)

    def counts_of(self, kind: str, use: str) -> LoanCounts:
        """Return what is counted of sandboxes of this kind that are lent for this, so that a run looks up one thing."""
        counts = self._counts.get((kind, use))
        if counts is None:
            counts = self._counts[kind, use] = LoanCounts(
                self.lent.labels(kind, use, "own"),
                self.lent.labels(kind, use, "busy"),
                self.lent_seconds.labels(kind, use),
                self.cpu_seconds.labels(kind),
            )
        return counts

    def exemplar(self) -> dict[str, str] | None:
        """Return the ids of the current trace, for a histogram to tell as its exemplar; None where there is none."""
        return None if self._exemplar is None else self._exemplar()

    def note_refusal(self, caller: Caller, why: str) -> None:
        """Count an execution of this caller that never ran."""
        self.refused.labels(why).inc()
        if caller.terms is not None:
            self.key_refused.labels(caller.id, why).inc()

    def tell(self, version: str, engine: str, limits: Limits, most: int) -> None:
        """Report what serves: ``most`` runs at once, each within ``limits``."""
        self.registry.register(ServiceCollector(version, engine, limits, most))

    def note_debts(self, process: int, owed: int, aborted: Mapping[str, int]) -> None:
        """Note what one process owes to its clients, and how many connections it aborted since it last said so."""
        self._debts.note(process, owed)
        for why, count in aborted.items():
            self.aborted.labels(why).inc(count)

    def note_grade(self, verdict: str, seconds: float, tests: Mapping[str, int]) -> None:
        """Count a grade. ``tests``: how many there were, by kind and verdict, as in ``"io passed"``."""
        self.grades.labels(verdict).inc()
        self.grade_seconds.observe(seconds, self.exemplar())
        for each, count in tests.items():
            kind, verdict = each.split(" ")
            self.tests.labels(kind, verdict).inc(count)
            self.checker_errors.inc(count if verdict == "checker_error" else 0)

    def note_webhook(self, outcome: str, lag: float | None) -> None:
        """Count an attempt to deliver a webhook; ``lag``: seconds since its job ended, if it was delivered."""
        self.webhooks.labels(outcome).inc()
        if lag is not None:
            self.webhook_lag.observe(lag)

    def watch(self, *pools: Pool) -> None:
        """Report the state of each pool as it is when asked."""
        self.registry.register(PoolCollector(pools, by_environment=self._by_environment))
        for pool in pools:
            self.counts_of(pool.name, "run")
            self._begin_executions(pool.environment)

    def watch_queue(self, queue: FairQueue) -> None:
        """Report who waits."""
        self.registry.register(QueueCollector(queue))

    def watch_sessions(self, book: SessionBook) -> None:
        """Report how many sessions there are, and were, and why they ended."""
        self.registry.register(SessionCollector(book))

    def render(self, *, exemplars: bool = False) -> bytes:
        """Return the Prometheus text format, version 0.0.4, or with ``exemplars`` OpenMetrics, which has those."""
        if exemplars:
            text: bytes = generate_open_metrics(self.registry)  # type: ignore[no-untyped-call]  # the library's
            return text
        return generate_latest(self.registry)


class _Lent(NamedTuple):
    """A sandbox that a run has, of what kind, since when (``time.monotonic``), and what is counted of it."""

    kind: str
    since: float
    counts: LoanCounts
    environment: str


def _use(execution: Execution) -> str:
    return "session" if execution.session else "check" if execution.check_only else "run"


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
        lent: _Lent | None = None
        running = 0 if execution.session else 1  # it idles most of its time
        self._metrics.running.inc(running)
        try:
            async with aclosing(self._inner.stream(execution, inputs)) as events:
                async for event in events:
                    if isinstance(event, Started):
                        counts = self._metrics.counts_of(event.kind, _use(execution))
                        lent = _Lent(event.kind, time.monotonic(), counts, event.environment)
                        # when there is nothing to do but to wait for the program
                        loop.call_soon((lent.counts.own if event.own else lent.counts.busy).inc)
                    elif isinstance(event, CellDone):
                        result = event.result
                        log.info("cell", **self._count(execution, result, result.execution_time / 1000, lent))
                    elif isinstance(event, Result):
                        ended = True
                        if not execution.session:  # its cells are what ran
                            total = time.monotonic() - began
                            loop.call_soon(self._tell, execution, event, total, lent)  # once the answer is on its way
                    yield event
        except (GeneratorExit, asyncio.CancelledError):
            if not ended and not execution.session:  # nobody waits for it any more
                self._metrics.executions("error", "cancelled", lent.environment if lent else "").inc()
                log.info("execution", id=execution.id, client=execution.caller.id, status="error", reason="cancelled")
            raise
        except CodeExecutorError as error:
            self._metrics.note_refusal(execution.caller, type(error).__name__)
            log.warning("refused", id=execution.id, client=execution.caller.id, why=str(error))
            raise
        finally:
            self._metrics.running.dec(running)
            if lent is not None:
                seconds = time.monotonic() - lent.since
                lent.counts.seconds.inc(seconds)
                if execution.caller.terms is not None:
                    self._metrics.key_seconds.labels(execution.caller.id).inc(seconds)

    def _tell(self, execution: Execution, result: Result, total: float, lent: _Lent | None) -> None:
        log.info("execution", **self._count(execution, result, total, lent))

    def _count(self, execution: Execution, result: Result, total: float, lent: _Lent | None) -> dict[str, object]:
        """Count what ended; return the fields of its log line."""
        metrics = self._metrics
        metrics.executions(result.status.value, result.reason.value, lent.environment if lent else "").inc()
        if result.reason is Reason.VIOLATION:
            metrics.violations.labels(result.syscall or "unknown").inc()
        # the cells of a session are not of the request that opened it, which is the current one here
        exemplar = None if execution.session else metrics.exemplar()
        metrics.execution_seconds.observe(result.execution_time / 1000, exemplar)
        metrics.queue_seconds.observe(result.queue_time / 1000, exemplar)
        if execution.caller.terms is not None:
            metrics.key_waits.labels(execution.caller.id).observe(result.queue_time / 1000, exemplar)
        metrics.total_seconds.observe(total, exemplar)
        metrics.memory_bytes.observe(result.memory, exemplar)
        if lent is not None:
            lent.counts.cpu.inc(result.cpu_time / 1000)
            metrics.slowest.note(lent.kind, result.execution_time / 1000)
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
            "kind": lent.kind if lent else "",
            "truncated": result.truncated,
            **({"environment": execution.environment} if execution.environment else {}),
            **({"policy": execution.policy_name} if execution.policy_name else {}),
            **({"syscall": result.syscall} if result.syscall else {}),
        }


def _for_whom(caller: Caller) -> dict[str, str]:
    said = {"learner": caller.learner, "course": caller.course}
    return {name: value for name, value in said.items() if value}
