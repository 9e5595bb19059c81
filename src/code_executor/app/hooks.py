"""The settings of webhooks, apart from those in `settings`, which has them too; and what sends them, put together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from code_executor.app import preloads

if TYPE_CHECKING:
    from code_executor.accounts.accounts import Accounts
    from code_executor.jobs.webhooks import WebhookDesk
    from code_executor.service.metrics import Metrics
    from code_executor.service.telemetry import Telemetry
    from code_executor.storage.database import Database


def _checked_allowed(values: tuple[str, ...]) -> tuple[str, ...]:
    from code_executor.jobs.addresses import Allowed  # noqa: PLC0415  # of no use without a value

    if values:
        Allowed(values)
    return values


_Wait = Annotated[float, Field(ge=0, le=604_800, allow_inf_nan=False)]


class HookSettings(BaseSettings):
    """See each field's description."""

    model_config = SettingsConfigDict(env_prefix="CODE_EXECUTOR_", frozen=True, extra="forbid", env_ignore_empty=True)

    webhook_allow: Annotated[
        tuple[str, ...], NoDecode, BeforeValidator(preloads.parse_list), AfterValidator(_checked_allowed)
    ] = Field(
        (),
        description="Hosts (`hooks.example.org`, `*.example.org`), addresses or networks (`10.0.0.0/8`) that webhooks "
        "are sent to although they are not on the public internet, or not by https.",
    )
    webhook_timeout: float = Field(
        10.0, gt=0, le=60, description="Longest time in seconds that the receiver of a webhook has to answer."
    )
    webhook_retries: Annotated[
        tuple[_Wait, ...], NoDecode, BeforeValidator(preloads.parse_list), Field(max_length=20)
    ] = Field(
        (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0),
        description="Seconds from each failed attempt to deliver a webhook to the next one, 20 % more or less.",
    )
    webhooks_at_once: int = Field(
        32,
        ge=1,
        le=1000,
        description="Maximum number of webhooks that the server sends at once; 4 to one host, half of them for one "
        "key.",
    )


@contextlib.asynccontextmanager
async def open_webhooks(
    settings: HookSettings,
    database: Database,
    accounts: Accounts,
    metrics: Metrics,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[WebhookDesk]:
    """Send the webhooks of a database, whose schema must be up to date, for the length of the block."""
    from code_executor.jobs.addresses import Allowed  # noqa: PLC0415  # a server without jobs does not wait for it
    from code_executor.jobs.guard import Guard  # noqa: PLC0415
    from code_executor.jobs.post import Poster  # noqa: PLC0415
    from code_executor.jobs.sender import Post, Sender, Slots  # noqa: PLC0415
    from code_executor.jobs.webhooks import WebhookDesk  # noqa: PLC0415
    from code_executor.storage.webhooks import SqlWebhookStore  # noqa: PLC0415

    store = SqlWebhookStore(database)
    guard = Guard(Allowed(settings.webhook_allow))
    post: Post = Poster(guard, timeout=settings.webhook_timeout)
    if telemetry is not None:
        from code_executor.jobs.tracing import TracedPost  # noqa: PLC0415  # not without the extra

        post = TracedPost(post, telemetry)
    slots = Slots(settings.webhooks_at_once)
    schedule: Sequence[float] = settings.webhook_retries
    async with Sender(store, post, accounts, metrics.note_webhook, slots=slots, schedule=schedule) as sender:
        yield WebhookDesk(store, guard, accounts, sender.wake, time.time)
