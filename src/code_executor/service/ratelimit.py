"""How many executions a caller may ask for: a moving window for each, by the `limits` library."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from code_executor.core.caller import Caller
from code_executor.core.errors import ConfigurationError
from code_executor.core.models import Allowance
from code_executor.service.budgets import Budgets

KEY, LEARNER = "key", "learner"
"""Names of limits, of callers that have several."""


@functools.lru_cache(maxsize=1024)
def parse_rate(text: str) -> RateLimitItem | None:
    """Read ``10/minute``, ``100 per hour`` or ``off`` (None); raise ``ConfigurationError`` on anything else."""
    if text.strip().lower() == "off":
        return None
    try:
        rates = parse_many(text)
    except ValueError:
        rates = []
    if len(rates) != 1 or rates[0].amount < 1:
        raise ConfigurationError(f"not a rate: {text!r} (as 10/minute, 100/hour, or off)")
    return rates[0]


@dataclass(frozen=True, slots=True)
class _Window:
    """A limit, and whose requests it counts together."""

    item: RateLimitItem
    who: str
    name: str = ""


class RateLimiter:
    """Counts in this process's memory. ``rate`` as `parse_rate` reads it; "off" counts nothing.

    Whoever has no key has this rate. With a key, each of its learners has it, or the one that its terms have for
    learners, and all together have that of its terms. Those are of runs alone: with ``budgets``, which the terms limit
    too, this is the limiter of runs.
    """

    def __init__(self, rate: str, budgets: Budgets | None = None) -> None:
        self._item = parse_rate(rate)
        self._budgets = budgets
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, caller: Caller, times: int = 1) -> Allowance | None:
        """Count so many requests of ``caller``; return how it stands, None where nothing is limited.

        Of several limits that is the narrowest. What one of them refuses counts for none.
        """
        windows = self._windows(caller)
        if caller.terms is not None:
            standing = await self.peek(caller, times)
            if standing is None or not standing.allowed:
                return standing
        hits = [await self._limiter.hit(each.item, each.who, cost=times) for each in windows]
        counted = [await self._standing(each, allowed=hit) for each, hit in zip(windows, hits, strict=True)]
        return narrowest([*counted, *self._of_budget(caller)])

    async def peek(self, caller: Caller, times: int = 1) -> Allowance | None:
        """As `hit`, without counting."""
        windows = self._windows(caller)
        tests = [await self._limiter.test(each.item, each.who, cost=times) for each in windows]
        seen = [await self._standing(each, allowed=test) for each, test in zip(windows, tests, strict=True)]
        return narrowest([*seen, *self._of_budget(caller)])

    def _windows(self, caller: Caller) -> Sequence[_Window]:
        terms = caller.terms
        if terms is None:
            return [] if self._item is None else [_Window(self._item, caller.id)]
        windows = []
        of_runs = self._budgets is not None
        if caller.learner:
            item = parse_rate(terms.learner_rate) if of_runs and terms.learner_rate else self._item
            if item is not None:
                windows.append(_Window(item, f"{caller.id}/{caller.learner}", LEARNER))
        if of_runs and terms.rate and (item := parse_rate(terms.rate)) is not None:
            windows.append(_Window(item, caller.id, KEY))
        return windows

    def _of_budget(self, caller: Caller) -> Iterable[Allowance]:
        found = self._budgets.allowance(caller) if self._budgets is not None and caller.terms is not None else None
        return () if found is None else (found,)

    async def _standing(self, window: _Window, *, allowed: bool) -> Allowance:
        reset, remaining = await self._limiter.get_window_stats(window.item, window.who)
        seconds = max(0, math.ceil(reset - time.time()))
        item = window.item
        return Allowance(allowed, item.amount, max(0, remaining), seconds, item.get_expiry(), window.name)


def narrowest(allowances: Iterable[Allowance]) -> Allowance | None:
    """Return the one that refuses, for the longest; or the one that has the least left. None where there is none."""
    return min(allowances, key=lambda each: (each.allowed, each.remaining, -each.reset), default=None)
