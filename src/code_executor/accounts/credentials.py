"""What a key looks like: ``ce_<id>_<secret><check>``.

The id (8 characters) is public, and stands in logs. The secret is 256 random bits in base 62. The check is a CRC-32 of
all before it: a mistyped key is known as such without a look at any other, and so are keys in somebody's repository.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_IDS = string.digits + string.ascii_lowercase
_SECRET, _CHECK = 43, 6

PREFIX = "ce_"
PATTERN = re.compile(rf"ce_([0-9a-z]{{8}})_([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECK}}})")
ID = re.compile(r"[0-9a-z]{8}")


def new_id() -> str:
    return "".join(secrets.choice(_IDS) for _ in range(8))


def new_credential(key_id: str) -> str:
    """Return a new secret of a key, as whoever asks sends it."""
    begin = f"ce_{key_id}_{_base62(secrets.randbits(256), _SECRET)}"
    return begin + _check(begin)


def parse(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of what looks like a key, else None."""
    found = PATTERN.fullmatch(text)
    if found is None or _check(text[:-_CHECK]) != found[3]:
        return None
    return found[1], found[2]


def digest(secret: str) -> bytes:
    """Return what is kept of a secret. It has 256 random bits, so there is nothing to guess, and no need to be slow."""
    return hashlib.sha256(secret.encode()).digest()


def _check(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), _CHECK)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
