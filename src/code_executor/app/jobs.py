"""Jobs, put together: where a process asks for them, and what runs them in the process that has the pools."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from code_executor.app.kept import Kept
from code_executor.app.settings import Settings
from code_executor.core.runner import Runner
from code_executor.jobs.desk import JobDesk
from code_executor.jobs.idempotency import Answers
from code_executor.jobs.metrics import JobMetrics
from code_executor.jobs.runner import JobRunner
from code_executor.service.metrics import Metrics

_PER_SANDBOX, _BESIDE = 8, 16
"""Jobs that a runner takes at once, if nothing else is said: those that run, that wait, and that are being stored."""


@dataclass(frozen=True)
class Desk:
    """What a process that answers HTTP has of jobs, and the database that it shares with what runs them here."""

    kept: Kept
    jobs: JobDesk
    answers: Answers


@contextlib.asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Open it; a database is opened when there is a job, or an answer to keep."""
    async with (
        Kept(settings) as kept,
        JobDesk(kept.jobs if settings.jobs else None) as jobs,
        Answers(kept.answers) as answers,
    ):
        yield Desk(kept, jobs, answers)


@contextlib.asynccontextmanager
async def run_jobs(settings: Settings, desk: Desk | None, runs: Runner, metrics: Metrics) -> AsyncIterator[None]:
    """Run the jobs in the database of ``desk`` for the length of the block, if this service has jobs."""
    if desk is None or not settings.jobs:
        yield
        return
    window = settings.jobs_at_once or _PER_SANDBOX * settings.pool_size + _BESIDE
    observer = JobMetrics(metrics.registry)
    async with JobRunner(runs, desk.kept.jobs, desk.jobs.board, window, observer):
        yield
