"""What imports and exports share: their reports, ids made of titles, and assertions that become tests."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from code_labs.labs.model import CallTest, Lab, Raises

LARGEST = 8 << 20
"""Bytes of a file that is imported."""


@dataclass(frozen=True)
class Imported:
    """What was read. ``dropped``: sentences on what could not be carried over, each with the place it was at."""

    labs: tuple[Lab, ...]
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exported:
    """What was written. ``dropped``: sentences on what the other format cannot hold."""

    text: str
    dropped: tuple[str, ...] = ()


def id_of(title: str, taken: set[str]) -> str:
    """Make an id of a title, and keep it: "Ways up the stairs!" becomes ``ways-up-the-stairs``."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:50].strip("-") or "lab"
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def literal(node: ast.expr) -> Any:
    """Return the JSON value that an expression is; raise ``ValueError`` if it is none.

    A tuple is none: JSON would make a list of it, and a test must not become a laxer or another one in silence.
    """
    value = ast.literal_eval(node)
    if json.loads(json.dumps(value, allow_nan=False)) != value or _has_tuple(value):
        raise ValueError("no JSON value")
    return value


def _has_tuple(value: Any) -> bool:
    if isinstance(value, dict):
        return any(not isinstance(key, str) or _has_tuple(inner) for key, inner in value.items())
    return isinstance(value, tuple | set | bytes | complex) or (isinstance(value, list) and any(map(_has_tuple, value)))


def call_of(node: ast.expr) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return function, arguments and keywords of a call with JSON values; raise ``ValueError`` if it is another."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if all(each.arg for each in keywords):
            return name, tuple(map(literal, args)), {str(each.arg): literal(each.value) for each in keywords}
    raise ValueError("no call with plain values")


def test_of(node: ast.expr, number: str, **more: Any) -> CallTest:
    """Make a test of what must be true: ``f(1) == 2``, ``f(1) is True``, ``f(1)``, ``not f(1)``.

    Raise ``ValueError`` if it says anything else.
    """
    match node:
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
            call, other = (left, right) if isinstance(left, ast.Call) else (right, left)
            expected = literal(other)
        case ast.UnaryOp(op=ast.Not(), operand=call):
            expected = False
        case ast.Call():
            call, expected = node, True
        case _:
            raise ValueError("no comparison of a call with a value")
    function, args, kwargs = call_of(call)
    return CallTest(id=number, call=function, args=args, kwargs=kwargs, expected=expected, **more)


def raising(node: ast.expr, error: str, number: str, **more: Any) -> CallTest:
    """Make a test of a call that must end with an exception; raise ``ValueError`` as above."""
    function, args, kwargs = call_of(node)
    return CallTest(id=number, call=function, args=args, kwargs=kwargs, raises=Raises(type=error), **more)
