"""What a job is, what is asked of the one who keeps jobs, and what cannot be. Times are seconds since 1970, in UTC.

    queued ──► running ──► done
      │  ▲        │ │
      │  └────────┘ └────► cancelled
      └──────────────────► cancelled, expired

A job runs under a *lease*: for a while, which is renewed, it is one runner's. If the lease ends unrenewed, the job is
queued again. So a job may run twice; it has one result, for only the lease that holds can store one.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError

MOST_LABELS, LONGEST_LABEL = 16, 64
MOST_IN_BATCH = 1000
HIGHEST_PRIORITY = 100

ATTEMPTS = 2
"""Runs of a job whose sandbox breaks."""

LOSSES = 3
"""Leases of a job that end without a word: its server may have died of it. After the first it runs apart."""


class Kind(StrEnum):
    """What it does; as the synchronous call of that name."""

    EXECUTE = "execute"
    CHECK = "check"
    GRADE = "grade"


class State(StrEnum):
    """``done``: there is a result. ``cancelled``, ``expired``: there is none, and there will be none."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_over(self) -> bool:
        return self not in (State.QUEUED, State.RUNNING)


class JobsOffError(CodeExecutorError):
    """This service has no jobs."""


class JobUnknownError(CodeExecutorError):
    """No job or batch of that name is the caller's, or it is not kept any more."""


class JobsFullError(CodeExecutorError):
    """No more jobs can be taken now. ``own``: because of the caller's own ones."""

    def __init__(self, message: str, *, own: bool) -> None:
        super().__init__(message)
        self.own = own


def new_id() -> str:
    """Return a name that nobody guesses: 128 random bits, of which all 22 characters may stand in a URL."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class JobRules:
    """How many jobs may wait, in all and of one caller, and what is kept.

    ``size``: bytes of requests and results together; ``results`` and ``requests``: seconds that each is kept after the
    end of its job, at most.
    """

    queued: int = 10_000
    queued_per_caller: int = 5_000
    size: int = 2 << 30
    results: float = 86_400.0
    requests: float = 3_600.0


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job that somebody asks for. ``request``: its execution, packed (`jobs.packing`).

    ``priority``: among the caller's own jobs; the highest first. ``expires_in``: seconds within which it must begin;
    ``retain``: seconds that its result is kept; 0: as long as anything is. ``callback``: where to tell its end;
    ``trace``: a ``traceparent`` to tell it with.
    """

    kind: Kind
    request: bytes
    labels: tuple[str, ...] = ()
    priority: int = 0
    expires_in: float | None = None
    retain: float = 0.0
    callback: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """How a job stands. ``result``: packed; None where there is none, or it was not asked for.

    ``version`` counts the changes of its state. ``failed``: it is done, and its program failed, or we did.
    ``runs``: how often it was begun. ``number``: its place in its batch, from 0.
    """

    id: str
    kind: Kind
    state: State
    created: float
    labels: tuple[str, ...] = ()
    priority: int = 0
    expires: float | None = None
    started: float | None = None
    finished: float | None = None
    failed: bool = False
    runs: int = 0
    version: int = 1
    batch: str | None = None
    number: int = 0
    caller: str = ""
    learner: str = ""
    callback: str = ""
    trace: str = ""
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that somebody asks for. ``stop_after``: failures after which the rest is cancelled; None: never."""

    id: str
    stop_after: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """How a batch stands: how many of its jobs are kept, by state, and how many of those failed."""

    id: str
    created: float
    total: int
    counts: Mapping[State, int]
    failed: int
    stop_after: int | None = None

    @property
    def is_over(self) -> bool:
        return not any(self.counts.get(state) for state in (State.QUEUED, State.RUNNING))


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of asking: the jobs' names, in order, and how many were waiting before them."""

    ids: Sequence[str]
    before: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs to list. ``after``: the `cursor` of the last one that was listed; ``batch``: in its order."""

    label: str = ""
    state: State | None = None
    batch: str = ""
    after: tuple[float, str] | None = None
    limit: int = 50


class JobStore(Protocol):
    """Keeps jobs. A caller sees its own; of a key's, a learner only those that were asked for it.

    Raises ``StorageError``; nothing is half-written then.
    """

    async def add(self, caller: Caller, jobs: Sequence[NewJob], batch: NewBatch | None = None) -> Submitted:
        """Keep all of them, or raise ``JobsFullError`` and keep none."""

    async def find(self, caller: Caller, job: str) -> Job | None:
        """Return a job with its result."""

    async def list(self, caller: Caller, wanted: Wanted) -> Sequence[Job]:
        """Return jobs without their results, the newest first."""

    async def over(self, batch: str) -> tuple[Sequence[str], int]:
        """Return which jobs of a batch are over, as they ended, and how many are not."""

    async def results(self, jobs: Sequence[str]) -> Sequence[Job]:
        """Return jobs with their results, in no order, whoever asked for them."""

    async def cancel(self, caller: Caller, job: str) -> bool:
        """Cancel a job that is not over; say whether it was not."""

    async def find_batch(self, caller: Caller, batch: str) -> Batch | None:
        """Return a batch."""

    async def cancel_batch(self, caller: Caller, batch: str) -> Sequence[str]:
        """Cancel what is not over of a batch; return which jobs that were."""

    async def versions(self, names: Sequence[str]) -> Mapping[str, int]:
        """Return a number for each of these jobs and batches that changes when they do."""


@dataclass(frozen=True, slots=True)
class Leased:
    """A job that is this runner's for a while. ``suspect``: its server may have died of it before."""

    id: str
    caller: str
    kind: Kind
    generation: int
    waited: float
    request: bytes
    batch: str | None = None
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a lease ended. ``result``: packed; None: the job is given back, and nothing is counted.

    ``broken``: the sandbox broke, so that it may run again.
    """

    job: str
    generation: int
    result: bytes | None = None
    failed: bool = False
    broken: bool = False


@dataclass(frozen=True, slots=True)
class Exchanged:
    """``leased``: what is ours now. ``changed``: names of jobs and batches whose state is another one."""

    leased: Sequence[Leased]
    changed: Sequence[str]


@dataclass(frozen=True, slots=True)
class Swept:
    """What a look found: names of jobs that changed, how many were found lost, and how many are gone."""

    changed: Sequence[str]
    lost: int
    gone: int
    more: bool


Choose = Callable[[Mapping[str, int]], Mapping[str, int]]
"""Given how many jobs each caller has waiting, says how many to lease of each."""


class LeaseStore(Protocol):
    """What a runner is given. ``lease``: its name. Raises ``StorageError``."""

    async def is_waiting(self) -> bool:
        """Whether any job is queued."""

    async def exchange(
        self, lease: str, ended: Sequence[Ended], choose: Choose, until: float, *, suspects: int
    ) -> Exchanged:
        """Store what ended, and lease what is chosen until then, in one transaction.

        What ended under a lease that does not hold any more is dropped. ``suspects``: how many of those to lease too.
        """

    async def held(self, lease: str, names: Sequence[str], until: float | None) -> Mapping[str, int]:
        """Return which of these jobs are this runner's, with their generations; renew them if ``until`` is given."""

    async def release(self, lease: str) -> None:
        """Give everything back, without a count."""

    async def sweep(self) -> Swept:
        """Queue again what was lost, end what expired, forget what is old; not everything at once."""

    async def counts(self) -> Mapping[State, int]:
        """Return how many jobs are kept, by state."""
