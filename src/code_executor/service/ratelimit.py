"""How many executions a caller may ask for: a moving window for each, by the `limits` library."""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from code_executor.core.caller import Caller
from code_executor.core.errors import ConfigurationError
from code_executor.core.models import Allowance


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


class RateLimiter:
    """Counts in this process's memory. ``rate`` as `parse_rate` reads it; "off" counts nothing."""

    def __init__(self, rate: str) -> None:
        self._item = parse_rate(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, caller: Caller) -> Allowance | None:
        """Count a request of ``caller``; return how it stands, None where nothing is limited."""
        if self._item is None:
            return None
        return await self._allowance(self._item, caller, allowed=await self._limiter.hit(self._item, caller.id))

    async def peek(self, caller: Caller) -> Allowance | None:
        """As `hit`, without counting."""
        if self._item is None:
            return None
        return await self._allowance(self._item, caller, allowed=await self._limiter.test(self._item, caller.id))

    async def _allowance(self, item: RateLimitItem, caller: Caller, *, allowed: bool) -> Allowance:
        reset, remaining = await self._limiter.get_window_stats(item, caller.id)
        seconds = max(0, math.ceil(reset - time.time()))
        return Allowance(allowed, item.amount, max(0, remaining), seconds, item.get_expiry())
