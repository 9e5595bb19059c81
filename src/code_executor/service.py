"""What the HTTP layer is given: run, limit, measure, say whether all is well; here or in another process."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from code_executor.executor import Runner
from code_executor.metrics import Metrics
from code_executor.models import (
    Cell,
    Event,
    Execution,
    File,
    Input,
    Interrupt,
    Limits,
    SessionInfo,
    Stdin,
)
from code_executor.ratelimit import RateLimiter, Verdict
from code_executor.sandbox.pool import Pool
from code_executor.sessions import Sessions

RUNS, CHECKS = "runs", "checks"
"""What a client may ask for so often: each has a limit of its own."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """``why``: what is wrong; empty while the service is ready."""

    ready: bool
    engine: str
    why: str = ""


class Service(Protocol):
    """One view of the pool, the rate limit and the metrics, for every process that answers HTTP."""

    @property
    def limits(self) -> Limits: ...

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        """As ``Executor.stream``."""

    async def open_session(self, client: str, files: tuple[File, ...] = ()) -> SessionInfo:
        """Open a session of ``client``. This and the next raise ``SessionError`` for what cannot be."""

    async def session(self, name: str, client: str) -> SessionInfo:
        """Say how a session stands."""

    def stream_cell(self, name: str, client: str, cell: Cell) -> AsyncGenerator[Event, None]:
        """Run a cell, with the events of a run; closing this interrupts the cell."""

    async def send(self, name: str, client: str, item: Stdin | Interrupt) -> None:
        """Give the cell under way its input, or interrupt it."""

    async def end_session(self, name: str, client: str) -> None:
        """End a session."""

    async def hit(self, client: str, what: str = RUNS) -> Verdict | None:
        """Count a request against the client's limit of `RUNS` or `CHECKS`."""

    async def peek(self, client: str) -> Verdict | None:
        """Say how many runs a client has left, without counting."""

    async def metrics(self) -> bytes:
        """Return the Prometheus text."""

    async def readiness(self) -> Readiness:
        """Say whether runs can be served now."""


class LocalService:
    """The service whose pool is in this process."""

    def __init__(
        self,
        runner: Runner,
        sessions: Sessions,
        pools: Sequence[Pool],
        limiters: Mapping[str, RateLimiter],
        metrics: Metrics,
    ) -> None:
        self._runner = runner
        self._sessions = sessions
        self._pools = pools
        self._limiters = limiters
        self._metrics = metrics

    @property
    def limits(self) -> Limits:
        return self._runner.limits

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        return self._runner.stream(execution, inputs)

    async def open_session(self, client: str, files: tuple[File, ...] = ()) -> SessionInfo:
        return await self._sessions.open(client, files)

    async def session(self, name: str, client: str) -> SessionInfo:
        return self._sessions.info(name, client)

    def stream_cell(self, name: str, client: str, cell: Cell) -> AsyncGenerator[Event, None]:
        return self._sessions.stream(name, client, cell)

    async def send(self, name: str, client: str, item: Stdin | Interrupt) -> None:
        self._sessions.send(name, client, item)

    async def end_session(self, name: str, client: str) -> None:
        await self._sessions.end(name, client)

    async def hit(self, client: str, what: str = RUNS) -> Verdict | None:
        verdict = await self._limiters[what].hit(client)
        if verdict is not None and not verdict.allowed:
            self._metrics.refused.labels("rate_limit").inc()
        return verdict

    async def peek(self, client: str) -> Verdict | None:
        return await self._limiters[RUNS].peek(client)

    async def metrics(self) -> bytes:
        return self._metrics.render()

    async def readiness(self) -> Readiness:
        ready = any(pool.ready for pool in self._pools)  # each runs every program, if not as fast
        failures = [pool.failure for pool in self._pools if pool.failure]
        return Readiness(ready, self._pools[0].engine.name, "" if ready else "; ".join(failures) or "no sandbox yet")
