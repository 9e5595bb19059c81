"""Webhooks, put together: what writes them down, where they are asked for, and what sends them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import structlog

from code_executor.accounts.accounts import Accounts
from code_executor.app.hooksettings import HookSettings
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RequestLimits
from code_executor.jobs.addresses import Allowed
from code_executor.jobs.board import Board
from code_executor.jobs.guard import Guard
from code_executor.jobs.models import Job
from code_executor.jobs.sender import Post, Sender, Slots
from code_executor.jobs.webhooks import KEYS, OpenStore, WebhookDesk, WebhookStore, new_delivery
from code_executor.service.metrics import Metrics

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from code_executor.service.telemetry import Telemetry
    from code_executor.storage.jobs import Deliveries

log = structlog.get_logger()

_LOOK_EVERY = 2.0
"""Seconds between two looks for a database, while there is none."""


def deliveries_of(bounds: RequestLimits) -> Deliveries:
    """Return what writes down a job's webhook in the transaction in which it ends, as clients see the job."""
    from code_executor.api.job_requests import whole_object  # noqa: PLC0415  # a server without jobs does not wait for it
    from code_executor.api.pieces import pieces  # noqa: PLC0415
    from code_executor.storage.webhooks import queue  # noqa: PLC0415

    async def deliver(connection: AsyncConnection, job: Job) -> None:
        content, _ = await whole_object(job, bounds, full=False)
        view = b"".join(pieces(content))
        key = job.caller.removeprefix(KEYS)
        now = job.finished or time.time()
        await queue(connection, new_delivery(job.id, key, job.callback, view, now, trace=job.trace))

    return deliver


def desk_of(settings: HookSettings, store: OpenStore, accounts: Accounts) -> WebhookDesk:
    """Return where a process that answers HTTP asks for webhooks."""
    return WebhookDesk(store, Guard(Allowed(settings.webhook_allow)), accounts)


@contextlib.asynccontextmanager
async def send_webhooks(
    settings: HookSettings,
    store: WebhookStore,
    accounts: Accounts,
    metrics: Metrics,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Sender]:
    """Send the webhooks that are kept, for the length of the block."""
    from code_executor.jobs.post import Poster  # noqa: PLC0415  # brings an HTTP client along

    post: Post = Poster(Guard(Allowed(settings.webhook_allow)), timeout=settings.webhook_timeout)
    if telemetry is not None:
        from code_executor.jobs.tracing import TracedPost  # noqa: PLC0415  # not without the extra

        post = TracedPost(post, telemetry)
    slots = Slots(settings.webhooks_at_once)
    schedule: Sequence[float] = settings.webhook_retries
    async with Sender(store, post, accounts, metrics.note_webhook, slots=slots, schedule=schedule) as sender:
        yield sender


@contextlib.asynccontextmanager
async def sending(
    settings: HookSettings,
    store: OpenStore,
    accounts: Accounts,
    metrics: Metrics,
    *,
    board: Board,
    telemetry: Telemetry | None,
) -> AsyncIterator[None]:
    """As `send_webhooks`, from when there is where they are kept; what changes on ``board`` has it look at once."""

    async def send() -> None:
        kept = await _found(store)
        while kept is None:
            await asyncio.sleep(_LOOK_EVERY)
            kept = await _found(store)
        async with send_webhooks(settings, kept, accounts, metrics, telemetry) as sender:
            board.on_changed = sender.wake
            await asyncio.Event().wait()

    async def send_or_say_why() -> None:
        try:
            await send()
        except Exception:
            log.exception("webhooks_failed")

    task = asyncio.create_task(send_or_say_why())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _found(store: OpenStore) -> WebhookStore | None:
    try:
        return await store()
    except CodeExecutorError:  # of which the runner of jobs says why
        return None
