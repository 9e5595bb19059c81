"""How many executions a client may ask for: a moving window per client, by the `limits` library."""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass

from limits import RateLimitItem, parse_many
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from code_executor.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Verdict:
    """``limit`` and ``remaining`` are requests per window; ``reset`` the whole seconds until another one is free."""

    allowed: bool
    limit: int
    remaining: int
    reset: int
    window: int

    def headers(self) -> dict[str, str]:
        """Return ``RateLimit-*`` headers (draft-ietf-httpapi-ratelimit-headers-07), and ``Retry-After`` if refused."""
        headers = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
            "RateLimit-Policy": f"{self.limit};w={self.window}",
        }
        if not self.allowed:
            headers["Retry-After"] = str(max(1, self.reset))
        return headers


def refusal(verdict: Verdict) -> str:
    """Return a sentence for a client that asked too often."""
    allowance = f"{verdict.limit} runs in {verdict.window} seconds"
    return f"Rate limit exceeded: {allowance}. Try again in {max(1, verdict.reset)} s."


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


def client_key(host: str) -> str:
    """Return what is counted as one client: an IPv4 address, or the /64 that an IPv6 address is one of many in."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class RateLimiter:
    """Counts in this process's memory. ``rate`` as `parse_rate` reads it; "off" counts nothing."""

    def __init__(self, rate: str) -> None:
        self._item = parse_rate(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def hit(self, client: str) -> Verdict | None:
        """Count a request of ``client`` and judge it; None where nothing is limited."""
        if self._item is None:
            return None
        allowed = await self._limiter.hit(self._item, client)
        reset, remaining = await self._limiter.get_window_stats(self._item, client)
        seconds = max(0, math.ceil(reset - time.time()))
        return Verdict(allowed, self._item.amount, max(0, remaining), seconds, self._item.get_expiry())

    async def peek(self, client: str) -> Verdict | None:
        """As `hit`, without counting."""
        if self._item is None:
            return None
        allowed = await self._limiter.test(self._item, client)
        reset, remaining = await self._limiter.get_window_stats(self._item, client)
        seconds = max(0, math.ceil(reset - time.time()))
        return Verdict(allowed, self._item.amount, max(0, remaining), seconds, self._item.get_expiry())
