"""``code-executor keys webhook-secret``: show the secret that signs the webhooks of a key, or give it a new one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from code_executor.accounts.keys import Key
from code_executor.accounts.secret import ServerSecret
from code_executor.app.settings import Settings
from code_executor.core.errors import ConfigurationError
from code_executor.jobs.signing import Generation, webhook_secret


def add_parser(parts: Any, duration: Any) -> None:
    """Add the command to those of keys."""
    secret = parts.add_parser("webhook-secret", help="show the secret that signs the webhooks of a key")
    secret.add_argument("key", metavar="NAME|ID")
    secret.add_argument("--rotate", action="store_true", help="give it a new one first; for a while, both sign")
    secret.add_argument("--grace", type=duration, default="1d", help="for how long: 0m, 12h, 7d (default: 1d)")


async def show(options: dict[str, Any], settings: Settings, keys: Sequence[Key]) -> int:
    """`keys webhook-secret`, of one of these keys."""
    name = options["key"]
    key = next((key for key in keys if name in (key.id, key.name) and key.revoked is None), None)
    if key is None:
        raise ConfigurationError(f"there is no key {name} (`code-executor keys list`)")
    secret = ServerSecret.read(settings.secret_path())
    if secret is None or key.server not in ("", secret.fingerprint):
        raise ConfigurationError(
            f"the key {key.name} was made with another server secret than {settings.secret_path()}"
        )
    now = time.time()
    generation = await _generation(settings, key.id, now + options["grace"] if options["rotate"] else None)
    for number in generation.valid(now):
        print(webhook_secret(secret, key.id, number))
    until = generation.previous_until
    if until is not None and until > now:
        print(f"The first is the new one. Both sign until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC.")
    return 0


async def _generation(settings: Settings, key_id: str, until: float | None) -> Generation:
    """Return which secrets of a key are valid; with ``until``, after a new one was made."""
    from code_executor.storage import schema  # noqa: PLC0415  # brings SQLAlchemy along
    from code_executor.storage.database import Database  # noqa: PLC0415
    from code_executor.storage.webhooks import SqlWebhookStore  # noqa: PLC0415

    if until is None and not settings.database_exists():
        return Generation()
    async with Database.open(settings.database_url()) as database:
        await schema.require(database)
        store = SqlWebhookStore(database)
        return await store.generation(key_id) if until is None else await store.rotate(key_id, until)
