"""Tests of a function, made by calling it: what it returns, prints, raises, and does to its arguments is expected."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from code_executor.core.runner import Runner
from code_labs.generate.inputs import asks_of
from code_labs.generate.material import Function, joined
from code_labs.generate.sources import Piece
from code_labs.verify.answers import Answer, Ask, answers
from code_labs.verify.mutants import Mutant, mutants
from code_labs.verify.neighbours import neighbours

MOST_TESTS = 12
_CALLS = 100
LEAST_TESTS = 3
_ENOUGH_TESTS = 5
_LONGEST = 400
"""Characters of a value, as JSON."""

_SECONDS = 5.0
_SHOWN = 2
"""How many tests learners see in full."""

Test = dict[str, Any]


class UselessError(Exception):
    """Nothing can be tested. The message says why."""


@dataclass(frozen=True)
class Made:
    """``tests``: as JSON objects. ``mistakes``: mutants of the function, with how many of the tests each fails."""

    tests: list[Test]
    mistakes: list[tuple[Mutant, int]]


async def tests_of(runner: Runner, function: Function, pieces: Sequence[Piece]) -> Made:
    """Return tests that the fewest mutants pass; raise ``UselessError``."""
    asks, own = asks_of(function, pieces)
    if not asks:
        raise UselessError("nothing calls it with plain values, and its parameters have no types")
    asks = neighbours(function.text, asks, _CALLS)
    came = await answers(runner, function.solution, asks, seconds=_SECONDS)
    kept = _usable(function, asks, own, came)
    if len(kept) < LEAST_TESTS:
        raise UselessError(f"only {len(kept)} of its calls have an answer that can be tested")
    right = list(kept.values())
    asked = [asks[at] for at in kept]
    tests = computed(asked, right)
    if len({json.dumps(_expected(test), sort_keys=True) for test in tests}) < 2:
        raise UselessError("it answers the same to all calls")
    found = await mistakes_of(runner, function, asked, right)
    failed = [mistake.failed for mistake in found]
    chosen = _chosen(failed, sum(at < own for at in kept), len(tests))
    mistakes = [(each.mutant, len(each.failed & set(chosen))) for each in found if each.alive]
    tests = [tests[at] for at in chosen]
    for number, test in enumerate(tests, 1):
        test["id"] = str(number)
        if number > _SHOWN:
            test["visibility"] = "result"
    return Made(tests, mistakes)


def computed(asks: Sequence[Ask], right: Sequence[Answer]) -> list[Test]:
    """Return tests that expect the answers that calls had: all look at what is printed, or changed, if one has that."""
    prints, changes = _looks(asks, right)
    tests = [_test(ask, answer) for ask, answer in zip(asks, right, strict=True)]
    for test, answer in zip(tests, right, strict=True):
        _complete(test, answer, prints=prints, changes=changes)
    return tests


@dataclass(frozen=True)
class Mistake:
    """A mutant of a function. ``failed``: which of the calls it answers in another way. ``alive``: it answers some."""

    mutant: Mutant
    failed: set[int]
    alive: bool


async def mistakes_of(
    runner: Runner, function: Function, asks: Sequence[Ask], right: Sequence[Answer]
) -> list[Mistake]:
    """Return the mutants of a function, and what they do with calls whose answers are known."""
    prints, changes = _looks(asks, right)
    made = mutants(function.text, main=False)
    found = await asyncio.gather(
        *(answers(runner, joined(function.context, each.source), asks, seconds=_SECONDS) for each in made)
    )
    wanted = [_seen(answer, prints, changes) for answer in right]
    return [
        Mistake(
            mutant,
            {at for at, answer in enumerate(several) if _seen(answer, prints, changes) != wanted[at]},
            any(answer is not None for answer in several),
        )
        for mutant, several in zip(made, found, strict=True)
    ]


def _looks(asks: Sequence[Ask], right: Sequence[Answer]) -> tuple[bool, bool]:
    """Whether any call prints something, and whether any changes an argument."""
    prints = any(answer.stdout for answer in right)
    return prints, any(list(answer.arguments) != list(ask.args) for ask, answer in zip(asks, right, strict=True))


def _usable(function: Function, asks: Sequence[Ask], own: int, answers: Sequence[Answer | None]) -> dict[int, Answer]:
    """Return answers that tests can expect. Of exceptions for values that we made, one is enough."""
    raises = any(isinstance(node, ast.Raise) for node in ast.walk(function.node))
    kept: dict[int, Answer] = {}
    failed: set[str] = set()
    for at, (ask, answer) in enumerate(zip(asks, answers, strict=True)):
        if answer is None or _is_long(ask, answer):
            continue
        if answer.raised is not None:
            if at >= own and (not raises or answer.raised[1] in failed):
                continue
            failed.add(answer.raised[1])
        kept[at] = answer
    return kept


def _chosen(failed: Sequence[set[int]], own: int, count: int) -> list[int]:
    """Choose tests: the first ones of the teacher's own, then those that fail the most mutants that none fails yet."""
    chosen = list(range(min(own, _SHOWN)))
    while len(chosen) < min(MOST_TESTS, count):
        left = [several for several in failed if several and not several & set(chosen)]
        others = [at for at in range(count) if at not in chosen]
        gain = {at: sum(at in several for several in left) for at in others}
        best = max(others, key=lambda at: (gain[at], -at))
        if not gain[best] and len(chosen) >= _ENOUGH_TESTS:
            break
        chosen.append(best)
    return chosen


def _is_long(ask: Ask, came: Answer) -> bool:
    said = json.dumps([ask.args, dict(ask.kwargs), came.returned, came.stdout, came.raised, came.arguments])
    return len(said) > _LONGEST


def _test(ask: Ask, came: Answer) -> Test:
    test: Test = {"kind": "call", "call": ask.call, "args": list(ask.args)}
    if ask.kwargs:
        test["kwargs"] = dict(ask.kwargs)
    if ask.setup:
        test["setup"] = ask.setup
    if came.raised is not None:
        test["raises"] = {"type": came.raised[0]}
    else:
        test["expected"] = came.returned
        if _has_float(came.returned):
            test["rel"] = 1e-9
    return test


def _complete(test: Test, came: Answer, *, prints: bool, changes: bool) -> None:
    """Have a test look at what is printed if anything is, and at arguments if any are changed."""
    if prints and came.raised is None:
        test["stdout"] = came.stdout
    if changes and came.raised is None:
        test["arguments"] = list(came.arguments)


def _seen(answer: Answer | None, prints: bool, changes: bool) -> object:
    return answer and answer.seen(prints=prints, changes=changes)


def _expected(test: Test) -> list[Any]:
    return [test.get(name) for name in ("expected", "raises", "stdout", "arguments")]


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_float, value.values()))
    return isinstance(value, float) or (isinstance(value, list) and any(map(_has_float, value)))
