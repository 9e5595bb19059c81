"""The settings of webhooks, apart from those in `settings`, which has them too."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from code_executor.app import preloads


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
