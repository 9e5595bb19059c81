"""Calls beside known ones: numbers one off, shorter and longer texts and lists, and values that the program names.

They tell a mutant that is another program from one that only looks like one, and they find what a test should ask.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from code_labs.verify.answers import Ask

_LARGE = 10_000


def neighbours(source: str, asks: Sequence[Ask], most: int) -> list[Ask]:
    """Return at most so many calls, those that are given first. The same calls give the same."""
    found = {_key(ask): ask for ask in asks}
    numbers, texts = _constants(source)
    waiting = [_beside(ask, numbers, texts) for ask in asks]
    waiting.append(_mixed(asks))
    while waiting and len(found) < most:
        for one in list(waiting):
            ask = next(one, None)
            if ask is None:
                waiting.remove(one)
            else:
                found.setdefault(_key(ask), ask)
    return list(found.values())[:most]


def _key(ask: Ask) -> str:
    return json.dumps([ask.call, ask.args, dict(ask.kwargs), ask.setup], sort_keys=True)


def _constants(source: str) -> tuple[list[int], list[str]]:
    numbers: dict[int, None] = {}
    texts: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=bool()):
                continue
            case ast.Constant(value=int() as value) if value < _LARGE:
                numbers |= dict.fromkeys((value, value - 1, value + 1))
            case ast.Constant(value=str() as text) if 0 < len(text) <= 20:
                texts[text] = None
    return list(numbers)[:12], list(texts)[:6]


def _beside(ask: Ask, numbers: list[int], texts: list[str]) -> Iterator[Ask]:
    for at, value in enumerate(ask.args):
        for other in _others(value, numbers, texts):
            yield replace(ask, args=(*ask.args[:at], other, *ask.args[at + 1 :]))


def _mixed(asks: Sequence[Ask]) -> Iterator[Ask]:
    """Yield calls with the arguments of several."""
    for one in asks:
        for other in asks:
            if (one.call, len(one.args), one.setup) == (other.call, len(other.args), other.setup):
                for at in range(len(one.args)):
                    yield replace(one, args=(*one.args[:at], *other.args[at:]))


def _others(value: Any, numbers: list[int], texts: list[str]) -> Iterator[Any]:
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, *numbers, -value, 0, 2 * value, value + 10, value - 10, 3, 100)
        case float():
            yield from (value + 1, value - 1, value + 0.5, *map(float, numbers), -value)
        case str():
            yield from (value[:-1], value[1:], value + value[-1:], value[::-1], value.upper(), "", *texts)
            yield from (value + text for text in texts)
        case list():
            yield from (value[:-1], value[1:], [*value, *value[-1:]], value[::-1], [])
            yield from _of_items(value, numbers, texts)
        case {"$tuple": [*items]}:
            yield from ({"$tuple": each} for each in _of_items(items, numbers, texts))
        case dict() if not any(key.startswith("$") for key in value):
            yield {}
            yield from ({name: value[name] for name in value if name != left} for left in list(value)[:3])
            for name in list(value)[:3]:
                yield from (value | {name: other} for other in list(_others(value[name], numbers, texts))[:4])


def _of_items(items: list[Any], numbers: list[int], texts: list[str]) -> Iterator[list[Any]]:
    for at in range(min(len(items), 3)):
        for other in list(_others(items[at], numbers, texts))[:6]:
            yield [*items[:at], other, *items[at + 1 :]]
