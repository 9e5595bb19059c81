"""How a caller's rate limit is told: headers, and a refusal."""

from __future__ import annotations

from code_executor.api.problems import Refusal
from code_executor.core.models import Allowance
from code_executor.service.budgets import SECONDS
from code_executor.service.ports import RUNS

LATER = "code_executor.told_later"
"""In the scope of a request whose answer says itself how its caller stands, as more was counted than the request."""


def headers(allowance: Allowance) -> dict[str, str]:
    """Return ``RateLimit-*`` headers (draft-ietf-httpapi-ratelimit-headers-07), and ``Retry-After`` if refused."""
    found = {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset),
        "RateLimit-Policy": f"{allowance.limit};w={allowance.window}{_named(allowance)}",
    }
    if not allowance.allowed:
        found["Retry-After"] = str(max(1, allowance.reset))
    return found


def refusal(allowance: Allowance, what: str = RUNS) -> Refusal:
    """Return the answer to a caller that asked too often; ``what``: the limit of the service that it met."""
    again = f"Try again in {max(1, allowance.reset)} s."
    if allowance.name == SECONDS:
        detail = f"This key has used its {allowance.limit} seconds of sandboxes for today (UTC). {again}"
    else:
        whose = f" for this {allowance.name}" if allowance.name else ""
        detail = f"Rate limit exceeded: {allowance.limit} {what} in {allowance.window} seconds{whose}. {again}"
    return Refusal(429, detail, headers(allowance))


def _named(allowance: Allowance) -> str:
    return f';name="{allowance.name}"' if allowance.name else ""
