"""Sends webhooks: takes what is due from the store, a few at once, and writes down what came of each.

What is taken is leased for longer than sending lasts. If this process dies, the lease ends, and whoever looks then
sends it: at least once. Who may send now is decided on plain state (`Slots`): one slow receiver, or one key with many,
keeps the others from nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import structlog

from code_executor._version import __version__
from code_executor.accounts.accounts import Accounts
from code_executor.core.errors import StorageError
from code_executor.jobs.signing import signed_headers, webhook_secret
from code_executor.jobs.webhooks import SCHEDULE, Answer, Due, Leased, State, Verdict, WebhookStore, decide

log = structlog.get_logger()

EVERY = 2.0
"""Seconds after which a look is taken for what other processes left."""

PER_HOST = 4
MOST = 32
"""Webhooks on their way at once: to one host, and in all. One key has half of all."""

MOST_BYTES = 64 << 20
"""Bytes of bodies that are held for them, unless one alone is larger."""

_SPARE = 20.0
"""Seconds that a lease is longer than sending may last."""


class Post(Protocol):
    """What sends; `post.Poster` is one."""

    @property
    def timeout(self) -> float:
        """Seconds that it takes at most."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, attempts: int = 0) -> Answer:
        """Send a body. ``attempts``: those before this one."""


class Slots:
    """Who may send: at most ``most`` at once, ``per_host`` to one host, and half of all for one key.

    ``most_bytes``: what the bodies of all have together, unless there is only one.
    """

    def __init__(self, most: int = MOST, per_host: int = PER_HOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._per_host = per_host
        self._per_key = max(1, most // 2)
        self._hosts: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._taken = 0
        self._bytes = 0

    @property
    def free(self) -> int:
        return self._most - self._taken

    @property
    def full_hosts(self) -> list[str]:
        return [host for host, count in self._hosts.items() if count >= self._per_host]

    @property
    def full_keys(self) -> list[str]:
        return [key for key, count in self._keys.items() if count >= self._per_key]

    def choose(self, due: Sequence[Due]) -> Sequence[Due]:
        """Return those that there is a slot for, the first first. It takes none."""
        hosts, keys = self._hosts.copy(), self._keys.copy()
        chosen: list[Due] = []
        size = self._bytes
        for each in due:
            size += each.size
            if len(chosen) == self.free or (size > self._most_bytes and self._taken + len(chosen)):
                break  # what is too large now has its turn before what comes after it
            if hosts[each.host] < self._per_host and keys[each.key] < self._per_key:
                hosts[each.host] += 1
                keys[each.key] += 1
                chosen.append(each)
        return chosen

    def take(self, leased: Leased) -> None:
        self._hosts[leased.delivery.host] += 1
        self._keys[leased.delivery.key] += 1
        self._taken += 1
        self._bytes += len(leased.delivery.body)

    def give(self, leased: Leased) -> None:
        for counts, name in ((self._hosts, leased.delivery.host), (self._keys, leased.delivery.key)):
            counts[name] -= 1
            if not counts[name]:
                del counts[name]
        self._taken -= 1
        self._bytes -= len(leased.delivery.body)


class Sender:
    """See above. Use it as an async context manager.

    ``note``: told of each attempt's outcome, and of the seconds since the job ended where it was delivered.
    """

    def __init__(
        self,
        store: WebhookStore,
        poster: Post,
        accounts: Accounts,
        note: Callable[[str, float | None], None],
        *,
        slots: Slots | None = None,
        schedule: Sequence[float] = SCHEDULE,
        every: float = EVERY,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._poster = poster
        self._accounts = accounts
        self._note = note
        self._slots = slots or Slots()
        self._schedule = schedule
        self._every = every
        self._now = now
        self._woken = asyncio.Event()
        self._sending: dict[asyncio.Task[None], Leased] = {}
        self._looking: asyncio.Task[None] | None = None
        self._failing = False

    async def __aenter__(self) -> Self:
        self._looking = asyncio.create_task(self._look_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. What is on its way is given back, and sent by whoever looks next."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        under_way = dict(self._sending)
        for task in under_way:
            task.cancel()
        if not under_way:
            return
        await asyncio.wait(under_way)
        try:
            await self._store.release(list(under_way.values()), self._now())
        except StorageError as failure:  # the leases end by themselves
            log.warning("webhooks_not_released", why=str(failure))

    def wake(self) -> None:
        """Look now for what is due."""
        self._woken.set()

    async def _look_for_ever(self) -> None:
        while True:
            self._woken.clear()
            patience = self._every
            try:
                patience = await self._look()
                self._failing = False
            except StorageError as error:
                if not self._failing:
                    log.error("webhooks_unreadable", why=str(error))  # noqa: TRY400  # a sentence
                self._failing = True
            except Exception:
                log.exception("webhooks_failed")
                await asyncio.sleep(self._every)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._woken.wait()

    async def _look(self) -> float:
        """Begin to send what is due and has a slot; return after how many seconds to look again."""
        while self._slots.free:
            due = await self._store.next_due()
            now = self._now()
            if due is None or due > now:
                return self._every if due is None else min(self._every, due - now)
            slots = self._slots
            until = now + self._poster.timeout + _SPARE
            leases = await self._store.lease(now, until, slots.choose, slots.full_hosts, slots.full_keys)
            if not leases:
                break
            for leased in leases:
                self._begin(leased)
        return self._every  # or when a slot is free again

    def _begin(self, leased: Leased) -> None:
        self._slots.take(leased)
        task = asyncio.create_task(self._deliver(leased))
        self._sending[task] = leased
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._slots.give(self._sending.pop(task))
        self._woken.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhooks_failed", exc_info=error)

    async def _deliver(self, leased: Leased) -> None:
        began = time.monotonic()
        try:
            answer = await self._send(leased)
        except StorageError as error:
            answer = Answer(None, str(error))
        except Exception:
            log.exception("webhooks_failed", id=leased.delivery.id, job=leased.delivery.job)
            answer = Answer(None, "the server failed to send it")
        now = self._now()
        verdict = decide(leased.attempts + 1, answer, now, self._schedule)
        try:
            kept = await self._store.settle(leased, verdict)
        except StorageError as error:  # the lease ends, and it is sent again
            log.warning("webhook_not_settled", id=leased.delivery.id, why=str(error))
            return
        self._tell(leased, verdict, time.monotonic() - began, now, kept=kept)

    async def _send(self, leased: Leased) -> Answer:
        delivery = leased.delivery
        now = self._now()
        key = self._accounts.key(delivery.key)
        if key is None or not key.is_valid(now):
            return Answer(None, "its key is not valid any more", final=True)
        if self._accounts.secret is None:
            return Answer(None, "the server secret cannot be read")
        numbers = (await self._store.generation(key.id)).valid(now)
        secrets = [webhook_secret(self._accounts.secret, key.id, number) for number in numbers]
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"code-executor/{__version__}",
            **signed_headers(delivery.id, int(now), delivery.body, secrets),
            **({"traceparent": delivery.trace} if delivery.trace else {}),
        }
        return await self._poster.post(delivery.url, headers, delivery.body, leased.attempts)

    def _tell(self, leased: Leased, verdict: Verdict, took: float, now: float, *, kept: bool) -> None:
        delivery, answer = leased.delivery, verdict.answer
        lag = now - delivery.created if verdict.state is State.DELIVERED else None
        self._note(verdict.outcome, lag)
        log.info(
            "webhook",
            id=delivery.id,
            job=delivery.job,
            client=f"ce_{delivery.key}",
            host=delivery.host,
            attempt=leased.attempts + 1,
            outcome=verdict.outcome,
            status=answer.status,
            took_ms=round(took * 1000, 3),
            **({"why": answer.error} if answer.error else {}),
            **({} if kept else {"late": True}),
        )
