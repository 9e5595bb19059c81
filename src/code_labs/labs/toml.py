"""Values as TOML, for people and for git. The standard library reads TOML, and does not write it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def table(values: Mapping[str, Any]) -> str:
    """Return lines of ``key = value``."""
    return "".join(f"{_key(name)} = {_value(value)}\n" for name, value in values.items())


def can_say(value: Any) -> bool:
    """Whether TOML has a word for a JSON value: it has none for null."""
    if isinstance(value, list | tuple):
        return all(map(can_say, value))
    if isinstance(value, Mapping):
        return all(map(can_say, value.values()))
    return value is not None and not (isinstance(value, int) and not -(2**63) <= value < 2**63)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _quoted(name)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int() | float():
            return repr(value)
        case Mapping():
            return "{" + ", ".join(f"{_key(name)} = {_value(inner)}" for name, inner in value.items()) + "}"
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"TOML cannot say {value!r}")


def _text(text: str) -> str:
    if "\n" in text and "'''" not in text and not text.endswith("'") and not _CONTROLS.search(text):
        return f"'''\n{text}'''"
    return _quoted(text)


def _quoted(text: str) -> str:
    """Quote as JSON does, which TOML reads; but for characters beyond 16 bits and DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
