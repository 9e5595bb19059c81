"""How a caller's rate limit is told: headers, and a refusal."""

from __future__ import annotations

from code_executor.api.problems import Refusal
from code_executor.core.models import Allowance
from code_executor.service.ports import RUNS


def headers(allowance: Allowance) -> dict[str, str]:
    """Return ``RateLimit-*`` headers (draft-ietf-httpapi-ratelimit-headers-07), and ``Retry-After`` if refused."""
    found = {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset),
        "RateLimit-Policy": f"{allowance.limit};w={allowance.window}",
    }
    if not allowance.allowed:
        found["Retry-After"] = str(max(1, allowance.reset))
    return found


def refusal(allowance: Allowance, what: str = RUNS) -> Refusal:
    """Return the answer to a caller that asked too often; ``what``: the limit of the service that it met."""
    seconds = max(1, allowance.reset)
    detail = f"Rate limit exceeded: {allowance.limit} {what} in {allowance.window} seconds. Try again in {seconds} s."
    return Refusal(429, detail, headers(allowance))
