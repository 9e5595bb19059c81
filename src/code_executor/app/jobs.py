"""Jobs, put together: where a process asks for them, and what runs them in the process that has the pools."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from code_executor.accounts.accounts import Accounts
from code_executor.app import hooks, telemetry
from code_executor.app.kept import Kept, open_accounts
from code_executor.app.settings import Settings
from code_executor.core.runner import Runner
from code_executor.grading.issuer import Issuer
from code_executor.grading.signing import RingFile
from code_executor.grading.store import Suites
from code_executor.jobs.desk import JobDesk
from code_executor.jobs.idempotency import Answers
from code_executor.jobs.metrics import JobMetrics
from code_executor.jobs.runner import JobRunner
from code_executor.service.metrics import Metrics

if TYPE_CHECKING:
    from code_executor.service.telemetry import Telemetry

_PER_SANDBOX, _BESIDE = 8, 16
"""Jobs that a runner takes at once, if nothing else is said: those that run, that wait, and that are being stored."""


@dataclass(frozen=True)
class Desk:
    """What a process that answers HTTP has beside a service: what is kept, who may ask, jobs, answers, suites, what is
    told to OpenTelemetry, if it is configured, and the keys of receipts.

    ``kept`` is the only way of a process to its database.
    """

    kept: Kept
    accounts: Accounts
    jobs: JobDesk
    answers: Answers
    suites: Suites
    observer: Telemetry | None
    receipt_keys: RingFile | None = None


@contextlib.asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """Open it, and the keys. A database is opened when there is one, or a job, an answer or a suite to keep.

    Raises as `kept.open_accounts` does.
    """
    async with (
        Kept(settings) as kept,
        open_accounts(settings, kept) as accounts,
        JobDesk(kept.jobs if settings.jobs else None, hooks=hooks.desk_of(settings, kept.webhooks, accounts)) as jobs,
        Answers(kept.answers) as answers,
    ):
        suites, keys = Suites(kept.suites), RingFile(settings.receipt_keys_path())
        yield Desk(kept, accounts, jobs, answers, suites, telemetry.from_environment(), keys)


@contextlib.asynccontextmanager
async def run_jobs(
    settings: Settings, desk: Desk, runs: Runner, metrics: Metrics, issuer: Issuer
) -> AsyncIterator[None]:
    """Run the jobs in the database of ``desk``, and send their webhooks, if this service has jobs.

    ``issuer``: of the receipts of grades.
    """
    if not settings.jobs:
        yield
        return
    window = settings.jobs_at_once or _PER_SANDBOX * settings.pool_size + _BESIDE
    observer = JobMetrics(metrics)
    board = desk.jobs.board
    async with (
        hooks.sending(settings, desk.kept.webhooks, desk.accounts, metrics, board=board, telemetry=desk.observer),
        JobRunner(runs, desk.kept.jobs, board, window, observer, issuer=issuer),
    ):
        yield
