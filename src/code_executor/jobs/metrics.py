"""What is counted of jobs: an `Observer` of their runner."""

from __future__ import annotations

from collections.abc import Mapping

import structlog
from prometheus_client import Counter, Gauge, Histogram

from code_executor.core.models import Result
from code_executor.grading.outcomes import Grade
from code_executor.jobs.models import Leased, State
from code_executor.service.metrics import Metrics

log = structlog.get_logger()

_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600)


class JobMetrics:
    """Counts among the metrics of the service, and writes a line for each job that ran; never its code or output."""

    def __init__(self, metrics: Metrics) -> None:
        self._note_grade = metrics.note_grade
        registry = metrics.registry
        self._jobs = Gauge(
            "code_executor_jobs", "Jobs that are kept, as they stood some seconds ago.", ["state"], registry=registry
        )
        self._wait = Histogram(
            "code_executor_job_wait_seconds",
            "Time from the posting of a job to its beginning.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._runs = Counter("code_executor_job_runs_total", "Runs of jobs, by outcome.", ["status"], registry=registry)
        for status in ("success", "error", "timeout"):
            self._runs.labels(status)
        self.counted({})

    def began(self, job: Leased) -> None:
        self._wait.observe(job.waited)

    def ended(self, job: Leased, result: Result) -> None:
        self._runs.labels(result.status.value).inc()
        log.info(
            "job",
            job=job.id,
            id=result.id,
            client=job.caller,
            kind=job.kind.value,
            reason=result.reason.value,
            waited_ms=round(job.waited * 1000, 3),
        )

    def graded(self, grade: Grade, seconds: float) -> None:
        self._note_grade(grade.verdict.value, seconds, grade.tally)

    def counted(self, counts: Mapping[State, int]) -> None:
        for state in State:
            self._jobs.labels(state.value).set(counts.get(state, 0))
