"""Reading JSON that a program has written: how much there may be of it is known before it is parsed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

LARGEST = 1 << 20
"""Bytes of what is read."""

DEEPEST = 100
"""Lists and objects in each other."""

MOST_ITEMS = 100_000
"""Values in all."""

LONGEST_NUMBER = 4000
"""Characters of a number, which take more than their length to be read."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_SHAPE = re.compile(rb"[\[\]{},]")


def parse_json(text: bytes, *, number: Callable[[str], Any] | None = None) -> Any:
    """Return what a text says; raise ``ValueError`` for what is no JSON, is too much, or has a key twice.

    ``number``: makes all numbers of their texts; None: they are int and float, as they are written.
    """
    if len(text) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    _require_shape(text)
    try:
        return json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_limited(number or int),
            parse_float=_limited(number or float),
        )
    except RecursionError:  # cannot be, within DEEPEST; whoever calls wants one exception
        raise ValueError("too deep") from None


def _require_shape(text: bytes) -> None:
    """Raise ``ValueError`` if there are too many values, or too deep ones: seen without making any of them."""
    bare = _STRING.sub(b"", text)
    if bare.count(b",") + bare.count(b"[") + bare.count(b"{") > MOST_ITEMS:
        raise ValueError(f"more than {MOST_ITEMS} values")
    depth = 0
    for sign in _SHAPE.findall(bare):
        if sign in b"[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"more than {DEEPEST} lists or objects in each other")
        elif sign in b"]}":
            depth -= 1


def _limited(make: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if len(text) > LONGEST_NUMBER:
            raise ValueError(f"a number has more than {LONGEST_NUMBER} characters")
        try:
            return make(text)
        except ArithmeticError:  # of a Decimal, whose exponent has no room
            raise ValueError("a number is too large") from None

    return read


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object has a key twice")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
