"""Webhooks: what is sent when a job has ended, when it is tried again, and what a client is told of it.

    await desk.admit(caller, url)                       # when the job is asked for
    delivery = new_delivery(job, key, url, view, now)   # when it has ended
    await storage.webhooks.queue(connection, delivery)  # in that transaction: both are written, or none
    desk.wake()                                         # after it, in the process that sends

From then on the row is the truth (`sender`). A webhook arrives at least once: a server that is killed between sending
and writing that down sends again, with the same id. The body is made once, and sent and signed as it is kept.
"""

from __future__ import annotations

import json
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol

from code_executor.accounts.accounts import Accounts
from code_executor.core.caller import Caller
from code_executor.core.errors import StorageError, WebhookRefusedError, WebhookUnknownError
from code_executor.jobs.guard import Guard, take_apart
from code_executor.jobs.signing import Generation

SCHEDULE = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)
"""Seconds from a failed attempt to the next one; after the last of them it is given up."""

JITTER = 0.2
"""The part by which each of these is longer or shorter, so that not all come back at once."""

_GONE = 410
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
KEYS = "ce_"
"""What the names of callers with a key begin with."""


class State(StrEnum):
    """``gone``: the receiver said (410) that it wants no more of it."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is to be sent. ``id``: of the message, the same however often it is sent. ``key``: the id of the key that
    signs. ``host``: what has a bound on how much is sent to it at once. ``created``: when the job ended, in seconds
    since 1970. ``trace``: a ``traceparent``, or empty.
    """

    id: str
    job: str
    key: str
    url: str
    host: str
    body: bytes
    created: float
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery whose time has come, before it is taken. ``size``: bytes of its body."""

    id: str
    host: str
    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery that this process is to send. ``lease``: what says so; ``attempts``: that came to an end before."""

    delivery: Delivery
    lease: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a POST. ``status``: of HTTP, None where there was none; ``error``: why, empty with a 2xx.

    ``final``: that another attempt could not help.
    """

    status: int | None
    error: str = ""
    final: bool = False

    @property
    def ok(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an attempt makes of a delivery. ``next_at``: when it is tried again, in seconds since 1970."""

    state: State
    next_at: float
    answer: Answer

    @property
    def outcome(self) -> str:
        """What is counted: ``delivered``, ``retried``, ``failed`` or ``gone``."""
        return "retried" if self.state is State.PENDING else self.state.value


@dataclass(frozen=True, slots=True)
class Standing:
    """How the webhook of a job stands. Times are seconds since 1970. ``sending``: it is on its way now.

    ``status`` and ``error``: what came of the last attempt, None and empty before the first.
    """

    id: str
    url: str
    state: State
    sending: bool
    attempts: int
    next_at: float
    status: int | None
    error: str

    def as_object(self) -> dict[str, Any]:
        """Return it as clients are shown it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "url": self.url,
            "state": self.state.value,
            "attempts": self.attempts,
            "status": self.status,
            "error": self.error or None,
        }
        if self.state is State.PENDING:
            shown["nextAttempt"] = None if self.sending else moment(self.next_at)
        return shown


class WebhookStore(Protocol):
    """Keeps deliveries, and which secret of a key is valid. Raises ``StorageError``."""

    async def next_due(self) -> float | None:
        """Return when the next delivery is due (or its lease ends), None while there is none."""

    async def lease(
        self,
        now: float,
        until: float,
        choose: Callable[[Sequence[Due]], Sequence[Due]],
        hosts: Sequence[str] = (),
        keys: Sequence[str] = (),
    ) -> Sequence[Leased]:
        """Take what ``choose`` chooses of what is due, but of these hosts and keys; nobody else has it before `until`.

        The longest due come first.
        """

    async def settle(self, leased: Leased, verdict: Verdict) -> bool:
        """Write down what came of an attempt; return False where the lease was somebody else's by then."""

    async def release(self, leases: Sequence[Leased], now: float) -> None:
        """Give back what was not sent, as if it had not been taken."""

    async def standing(self, job: str) -> Standing | None:
        """Say how the webhook of a job stands."""

    async def again(self, job: str, now: float) -> bool:
        """Make it due now, with all attempts before it; return False where there is none. What is under way stays."""

    async def generation(self, key: str) -> Generation:
        """Say which secret of a key is valid."""

    async def rotate(self, key: str, until: float) -> Generation:
        """Give a key a new secret; the one before signs as well until then. Return which is valid."""


def moment(seconds: float) -> str:
    """Return a time as people write it: ``2026-11-29T10:00:00.125Z``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_delivery(
    job: str, key: str, url: str, view: Mapping[str, Any] | bytes, now: float, *, trace: str = ""
) -> Delivery:
    """Make the webhook of a job that ended ``now``. ``view``: the job as clients see it, or that in JSON (UTF-8)."""
    data = view if isinstance(view, bytes) else json.dumps(view, allow_nan=False, separators=(",", ":")).encode()
    body = b'{"type":"job.done","timestamp":"%s","data":%s}' % (moment(now).encode(), data)
    try:
        host = take_apart(url).counted_as
    except WebhookRefusedError:  # it was admitted by a server that thought otherwise; the first attempt will say so
        host = ""
    trace = trace if _TRACE.fullmatch(trace) else ""
    return Delivery(f"msg_{secrets.token_urlsafe(16)}", job, key, url, host, body, now, trace)


def decide(
    attempts: int,
    answer: Answer,
    now: float,
    schedule: Sequence[float] = SCHEDULE,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Verdict:
    """Say what follows from the answer to the attempt with this number, the first of which is 1."""
    if answer.ok:
        return Verdict(State.DELIVERED, now, answer)
    if answer.status == _GONE:
        return Verdict(State.GONE, now, answer)
    if answer.final or attempts > len(schedule):
        return Verdict(State.FAILED, now, answer)
    return Verdict(State.PENDING, now + schedule[attempts - 1] * jitter(1 - JITTER, 1 + JITTER), answer)


OpenStore = Callable[[], Awaitable[WebhookStore | None]]
"""Returns where webhooks are kept, None while there is no such place."""


class WebhookDesk:
    """What fronts and jobs are given. ``wake``: has what is due sent at once, where the sender is in this process."""

    def __init__(
        self,
        store: OpenStore,
        guard: Guard,
        accounts: Accounts,
        wake: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._guard = guard
        self._accounts = accounts
        self._now = now
        self.wake = wake

    async def admit(self, caller: Caller, url: str) -> str:
        """Return the id of the key that will sign; raise ``WebhookRefusedError`` where nothing may be sent.

        Raises ``StorageError`` where the server secret cannot be read.
        """
        key = self._accounts.key(caller.id.removeprefix(KEYS)) if caller.id.startswith(KEYS) else None
        if key is None:
            raise WebhookRefusedError(
                "a webhook needs a key, whose secret signs what is sent (`code-executor keys add`)"
            )
        if self._accounts.secret is None:
            raise StorageError("the server secret cannot be read; it is safe to try again")
        await self._guard.admit(url)
        return key.id

    async def standing(self, job: str) -> Standing | None:
        """Say how the webhook of a job stands, None where it has none; raise ``StorageError``."""
        store = await self._store()
        return None if store is None else await store.standing(job)

    async def send_again(self, job: str) -> Standing:
        """Send it once more, whatever came of it; raise ``WebhookUnknownError`` or ``StorageError``."""
        store = await self._store()
        if store is not None:
            await store.again(job, self._now())
            self.wake()
        standing = await self.standing(job)
        if standing is None:
            raise WebhookUnknownError("this job has no webhook, or has not ended yet")
        return standing
