"""Keys in a TOML file, for those who deploy by git: with hashes, so that the file gives nothing away.

    [keys.moodle]
    id = "k3x9q2pa"
    hash = "9f86d081…"
    server = "1f0c…"
    scopes = ["run", "check", "learner:any"]
    rate = "600/minute"

`code-executor keys add --toml` writes such a table. Times are those of TOML: ``expires = 2027-07-31``.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from typing import Any

from code_executor.accounts import credentials
from code_executor.accounts.keys import NAME, USUAL, Key, KeyLimits, parse_scopes
from code_executor.core.errors import ConfigurationError

_HASH = re.compile(r"[0-9a-f]{64}")
_SERVER = re.compile(r"[0-9a-f]{16}|")


class KeyFile:
    """A source of keys. It is read again when it has changed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: list[Key] = []

    async def keys(self) -> Sequence[Key]:
        """Return its keys; raise ``ConfigurationError`` for a file that is none of ours."""
        try:
            found = os.stat(self.path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                self._keys = read_keys(_load(self.path))
                self._seen = seen
        except (OSError, ValueError, ConfigurationError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(f"CODE_EXECUTOR_KEYS: {self.path}: {why}") from None
        return self._keys


def _load(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        return tomllib.load(file)


def read_keys(document: dict[str, Any]) -> list[Key]:
    """Read a whole document; raise ``ConfigurationError`` that names the key."""
    tables = document.pop("keys", {})
    if document or not isinstance(tables, dict):
        raise ConfigurationError(f"has {next(iter(document), 'keys')!r}, and must have tables [keys.NAME] alone")
    keys = []
    for name, table in tables.items():
        try:
            keys.append(_key(name, dict(table)))
        except (ConfigurationError, TypeError, ValueError) as error:
            raise ConfigurationError(f"keys.{name}: {error}") from None
    if len({key.id for key in keys}) < len(keys):
        raise ConfigurationError("two keys have the same id")
    return keys


def _key(name: str, table: dict[str, Any]) -> Key:
    if not NAME.fullmatch(name):
        raise ConfigurationError("a name has up to 64 letters, digits, dots, dashes and underscores")
    key = Key(
        id=_matching("id", table, credentials.ID, "8 lower-case letters and digits"),
        name=name,
        hash=bytes.fromhex(_matching("hash", table, _HASH, "a SHA-256 as 64 hexadecimal digits")),
        server=_matching("server", table, _SERVER, "16 hexadecimal digits") if "server" in table else "",
        scopes=parse_scopes(table.pop("scopes")) if "scopes" in table else USUAL,
        generation=int(table.pop("generation", 1)),
        expires=_time(table.pop("expires", None)),
        revoked=0.0 if table.pop("revoked", False) else None,
    )
    if "previous" in table:
        previous = bytes.fromhex(_matching("previous", table, _HASH, "a SHA-256 as 64 hexadecimal digits"))
        key = replace(key, previous=previous, previous_until=_time(table.pop("previous_until", None)))
    return replace(key, limits=KeyLimits.read(table))


def _matching(field: str, table: dict[str, Any], pattern: re.Pattern[str], what: str) -> str:
    value = table.pop(field, None)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ConfigurationError(f"{field} must be {what}")
    return value


def _time(value: object) -> float | None:
    """Return a date or time of TOML as seconds since 1970; without a zone it is UTC, a date is its first moment."""
    if value is None:
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ConfigurationError("a time must be written as 2027-07-31 or 2027-07-31T12:00:00Z")
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def written(key: Key) -> str:
    """Return a key as a table of such a file."""
    lines = [f"[keys.{key.name if NAME.fullmatch(key.name) and '.' not in key.name else _quoted(key.name)}]"]
    values: dict[str, object] = {
        "id": key.id,
        "hash": key.hash.hex(),
        "server": key.server,
        "scopes": sorted(key.scopes),
        **key.limits.model_dump(exclude_defaults=True),
    }
    lines += [f"{name} = {_toml(value)}" for name, value in values.items()]
    if key.expires is not None:
        lines.append(f"expires = {datetime.fromtimestamp(key.expires, UTC):%Y-%m-%dT%H:%M:%SZ}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
