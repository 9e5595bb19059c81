"""The service whose pools are in this process. Its runs are any `Runner`, its sessions are `service.sessions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from code_executor.core.caller import Caller
from code_executor.core.models import Allowance, Readiness
from code_executor.sandbox.pool import Pool
from code_executor.service.metrics import Metrics
from code_executor.service.ports import RUNS
from code_executor.service.ratelimit import RateLimiter


class LocalRates:
    """The rate limits of this process, whose refusals are counted."""

    def __init__(self, limiters: Mapping[str, RateLimiter], metrics: Metrics) -> None:
        self._limiters = limiters
        self._metrics = metrics

    async def hit(self, caller: Caller, what: str = RUNS, times: int = 1) -> Allowance | None:
        allowance = await self._limiters[what].hit(caller, times)
        if allowance is not None and not allowance.allowed:
            self._metrics.note_refusal(caller, "rate_limit")
        return allowance

    async def peek(self, caller: Caller) -> Allowance | None:
        return await self._limiters[RUNS].peek(caller)


class LocalHealth:
    """The state of the pools, the first of which runs every program, if not as fast as another."""

    def __init__(self, pools: Sequence[Pool], metrics: Metrics) -> None:
        self._pools = pools
        self._metrics = metrics

    async def metrics(self, *, exemplars: bool = False) -> bytes:
        return self._metrics.render(exemplars=exemplars)

    async def readiness(self) -> Readiness:
        ready = any(pool.ready for pool in self._pools)
        failures = [pool.failure for pool in self._pools if pool.failure]
        return Readiness(ready, self._pools[0].engine.name, "" if ready else "; ".join(failures) or "no sandbox yet")

    async def note_replay(self) -> None:
        self._metrics.replays.inc()

    async def note_grade(self, verdict: str, seconds: float, tests: Mapping[str, int]) -> None:
        self._metrics.note_grade(verdict, seconds, tests)

    async def note_debts(self, process: int, owed: int, aborted: Mapping[str, int]) -> None:
        self._metrics.note_debts(process, owed, aborted)
