"""What a sandbox claims as JSON, digits or text, checked in one place before anybody uses it.

A program can write some of it itself: the report of a cell, the line of a failure, what it shows. A sandbox that has
been taken over writes all of it. So nothing here believes a type, a range or a size, and what passes can always be
encoded again: no ``bool`` is a number, no number is beyond what JSON readers keep exactly, and text has no half
characters.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

LARGEST = 1 << 53
"""Numbers are below this: JavaScript, and others, round what is larger."""

LAST_LINE = (1 << 31) - 1

MOST_ITEMS = 100
"""Entries of a list are no more than these, but in listings of files."""

_LONGEST_NUMBER = 32  # characters
_MOST_DIGITS = 9
_LONGEST_TEXT = 1000


class ClaimError(ValueError):
    """It is nothing that can be used; the argument says why."""


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object that ``body`` is; raise `ClaimError` where it is none.

    A number that is too long, or none of JSON's (NaN), is an error as well.
    """
    try:
        found = _DECODER.decode(body.decode())
    except (ValueError, RecursionError) as error:
        raise ClaimError(str(error)[:_LONGEST_TEXT]) from None
    if not isinstance(found, dict):
        raise ClaimError(f"it is a {type(found).__name__}")
    return found


def text(value: object, most: int = _LONGEST_TEXT) -> str | None:
    """Return the first ``most`` characters of a text, halves of characters replaced; None for anything else."""
    return value[:most].encode("utf-8", "replace").decode() if isinstance(value, str) else None


def natural(value: object, least: int = 0, most: int = LARGEST - 1) -> int | None:
    """Return a whole number in this range; None for anything else."""
    return value if type(value) is int and least <= value <= most else None


def listed(value: object, most: int = MOST_ITEMS) -> list[Any]:
    """Return the first ``most`` entries of a list; none of anything else."""
    return value[:most] if isinstance(value, list) else []


def digits(body: bytes) -> int | None:
    """Return the number that is written in a body; None if there is none, or one of more than nine digits."""
    return int(body) if body.isdigit() and len(body) <= _MOST_DIGITS else None


def relative(value: object, most: int) -> str | None:
    """Return a path below a directory, as text; None for anything else, and for one that leads elsewhere."""
    if not isinstance(value, str) or len(value) > most or {"", ".", ".."}.intersection(value.split("/")):
        return None
    return value if text(value, most) == value and "\0" not in value else None


def introduction(body: bytes) -> dict[str, Any]:
    """Read what a supervisor says of its sandbox; raise `ClaimError`. Of what is not known or no use, nothing stays."""
    claimed = parsed(body)
    found: dict[str, Any] = {name: natural(claimed.get(name)) for name in ("protocol", "landlock", "preloaded")}
    found |= {name: text(claimed.get(name)) for name in ("python", "kernel", "machine", "no_new_privs", "seccomp")}
    found |= {name: _texts(claimed.get(name)) for name in ("interfaces", "not_preloaded", "shared")}
    found["cgroup"] = _amounts(claimed.get("cgroup"))
    found["capabilities"] = _hexadecimal(claimed.get("capabilities"))
    found["read_only_root"] = True if claimed.get("read_only_root") is True else None
    return {name: value for name, value in found.items() if value is not None}


def _texts(value: object) -> list[str] | None:
    return [text(each) or "" for each in value[:MOST_ITEMS]] if isinstance(value, list) else None


def _amounts(value: object) -> dict[str, float | None] | None:
    if not isinstance(value, dict):
        return None
    return {name: _amount(value.get(name)) for name in ("memory", "cpus", "processes")}


def _amount(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if 0 <= value < LARGEST else None


def _hexadecimal(value: object) -> str | None:
    try:
        return f"{int(value, 16):016x}" if isinstance(value, str) and len(value) <= _LONGEST_NUMBER else None
    except ValueError:
        return None


def _number(digits_: str) -> int:
    if len(digits_) > _LONGEST_NUMBER:
        raise ClaimError("a number is too long")
    return int(digits_)


def _fraction(digits_: str) -> float:
    found = float(digits_)
    if not math.isfinite(found):
        raise ClaimError("a number is too large")
    return found


def _none_of_json(name: str) -> NoReturn:
    raise ClaimError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_int=_number, parse_float=_fraction, parse_constant=_none_of_json)
