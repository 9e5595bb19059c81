"""What webhooks are signed with: Standard Webhooks (https://www.standardwebhooks.com), HMAC-SHA256.

The secret of a key is derived from the server secret and the key's id, and a number that counts its secrets. So nobody
keeps it, and it can be shown again. While a new one is introduced, both sign.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from code_executor.accounts.secret import ServerSecret

_PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Generation:
    """Which secret of a key is valid, and until when (seconds since 1970) the one before is too; None: it is not."""

    number: int = 1
    previous_until: float | None = None

    def valid(self, now: float) -> tuple[int, ...]:
        """Return the numbers of the secrets that sign, the newest first."""
        if self.previous_until is not None and now < self.previous_until:
            return self.number, self.number - 1
        return (self.number,)


def webhook_secret(secret: ServerSecret, key_id: str, number: int) -> str:
    """Return the secret of a key as receivers are given it: ``whsec_`` and 32 bytes in base64."""
    derived = secret.derive(b"webhook", key_id.encode(), str(number).encode())
    return _PREFIX + base64.b64encode(derived).decode()


def signed_headers(name: str, moment: int, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """Return the headers that say who sent a body. ``name``: of the message; ``moment``: now, in whole seconds."""
    text = f"{name}.{moment}.".encode() + body
    signatures = [hmac.digest(base64.b64decode(each.removeprefix(_PREFIX)), text, hashlib.sha256) for each in secrets]
    return {
        "webhook-id": name,
        "webhook-timestamp": str(moment),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in signatures),
    }
