"""What a front is given, as four small interfaces. Behind them stands this process, or another one (`remote`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from code_executor.core.caller import Caller
from code_executor.core.environments import Environment
from code_executor.core.models import (
    Allowance,
    Cell,
    Event,
    File,
    FileAnswer,
    FileOrder,
    Interrupt,
    Readiness,
    Result,
    SessionInfo,
    Stdin,
)
from code_executor.core.runner import Runner

RUNS, CHECKS, REQUESTS = "runs", "checks", "requests"
"""What a caller may ask for so often: each has a limit of its own."""


class SessionDesk(Protocol):
    """Sessions of callers. Whatever cannot be raises ``SessionError``; a caller only sees its own."""

    async def open(
        self,
        caller: Caller,
        files: tuple[File, ...] = (),
        key: str = "",
        *,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> SessionInfo:
        """Open a session, or return the one that was opened with this key. ``interactive``: as of a `Cell`, for those
        that do not say it; ``environment``: as of an `Execution`; ``policy``: its ``policy_name``. Raises also what
        ``Runner.stream`` raises.
        """

    async def restart(self, name: str, caller: Caller) -> SessionInfo:
        """Give a session a new interpreter, and the files that it was opened with. Raises as `open` does."""

    async def list(self, caller: Caller) -> Sequence[SessionInfo]:
        """Say how all sessions of a caller stand."""

    async def info(self, name: str, caller: Caller) -> SessionInfo:
        """Say how a session stands."""

    async def result(self, name: str, caller: Caller, number: int) -> Result:
        """Return again what came of the last cell, which has this number."""

    def stream(self, name: str, caller: Caller, cell: Cell) -> AsyncGenerator[Event, None]:
        """Run a cell, with the events of a run; closing this interrupts the cell."""

    async def send(self, name: str, caller: Caller, item: Stdin | Interrupt) -> None:
        """Give the cell under way its input, or interrupt it."""

    async def order(self, name: str, caller: Caller, order: FileOrder) -> FileAnswer:
        """Do something with the files of a session, between its cells. Raises also ``FileError``."""

    async def end(self, name: str, caller: Caller) -> None:
        """End a session, and wait until it has ended."""


class RateLimits(Protocol):
    """How often a caller may ask. None: nothing is limited."""

    async def hit(self, caller: Caller, what: str = RUNS, times: int = 1) -> Allowance | None:
        """Count requests against the caller's limit of `RUNS`, `CHECKS` or, for all else, `REQUESTS`: all or none."""

    async def peek(self, caller: Caller) -> Allowance | None:
        """Say how many runs a caller has left, without counting."""


class EnvironmentDesk(Protocol):
    """The environments that requests may name."""

    async def list(self, caller: Caller) -> Sequence[Environment]:
        """Return those that a caller may use, the default first. Raises what ``Runner.stream`` raises."""


class Health(Protocol):
    """How the service is."""

    async def metrics(self, *, exemplars: bool = False) -> bytes:
        """Return the Prometheus text format, version 0.0.4, or with ``exemplars`` OpenMetrics, which has those."""

    async def readiness(self) -> Readiness:
        """Say whether programs can be run now."""

    async def note_replay(self) -> None:
        """Note that an answer was given again."""

    async def note_grade(self, verdict: str, seconds: float, tests: Mapping[str, int]) -> None:
        """Note a grade, how long it took, and of its tests how many there were of each kind and verdict."""

    async def note_debts(self, process: int, owed: int, aborted: Mapping[str, int]) -> None:
        """Note what one process owes to its clients (bytes), and how many connections it aborted since, by reason."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that a front is given."""

    runs: Runner
    sessions: SessionDesk
    rates: RateLimits
    health: Health
    environments: EnvironmentDesk
