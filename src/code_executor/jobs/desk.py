"""Where callers ask for jobs: post, look, wait, list, cancel. It runs nothing; a `JobRunner` does, maybe elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError, WebhookRefusedError, WebhookUnknownError
from code_executor.jobs.board import Board
from code_executor.jobs.models import (
    Batch,
    Job,
    JobsOffError,
    JobStore,
    JobUnknownError,
    NewBatch,
    NewJob,
    Submitted,
    Wanted,
    new_id,
)
from code_executor.jobs.webhooks import Standing, WebhookDesk

OpenStore = Callable[[bool], Awaitable[JobStore | None]]
"""Returns where jobs are kept: given True, it is made if there is none; given False, None then."""

_POLL = 0.5
MOST_CALLBACKS = 8
"""Different addresses in a batch: each is looked up before the answer."""

_AT_ONCE = 16
"""Results of a batch that are held at once."""


class JobDesk:
    """See above. Use it as an async context manager. ``store`` None: this service has no jobs.

    A caller learns nothing of jobs that are not its own: they raise ``JobUnknownError``, as what never was does.
    ``hooks``: where the end of a job can be told to an address; None: it cannot.
    """

    def __init__(
        self, store: OpenStore | None = None, board: Board | None = None, hooks: WebhookDesk | None = None
    ) -> None:
        self.board = board or Board()
        self._hooks = hooks
        self._open = store
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._open is not None:
            self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.board.close()
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    @property
    def is_on(self) -> bool:
        return self._open is not None

    # ---- jobs

    async def post(self, caller: Caller, job: NewJob) -> Submitted:
        """Keep a job, to be run.

        Raises ``JobsFullError``, ``JobsOffError``, ``WebhookRefusedError`` or ``StorageError``.
        """
        await self._admit(caller, [job])
        submitted = await self._must(await self._open_store(make=True)).add(caller, [job])
        self.board.work.set()
        return submitted

    async def post_batch(
        self, caller: Caller, jobs: Sequence[NewJob], stop_after: int | None = None
    ) -> tuple[str, Submitted]:
        """Keep all of them or none, and return the name of the batch that they are; raise as `post` does."""
        await self._admit(caller, jobs)
        batch = NewBatch(new_id(), stop_after)
        submitted = await self._must(await self._open_store(make=True)).add(caller, jobs, batch)
        self.board.work.set()
        return batch.id, submitted

    async def find(self, caller: Caller, job: str, wait: float = 0.0) -> Job:
        """Return a job with its result, once it is over or after ``wait`` seconds, whichever is first."""
        deadline = time.monotonic() + wait
        while True:
            waiter = self.board.expect(job)
            try:
                found = await self._find(caller, job)
                left = deadline - time.monotonic()
                if found.state.is_over or left <= 0 or self.board.is_closed:
                    return found
                await asyncio.wait([waiter], timeout=left)
            finally:
                self.board.forget(job, waiter)

    async def follow(self, caller: Caller, job: str, after: int = 0) -> AsyncGenerator[Job, None]:
        """Yield a job whenever its state is another one, from the version after ``after`` on, until it is over."""
        while not self.board.is_closed:
            waiter = self.board.expect(job)
            try:
                found = await self._find(caller, job)
                if found.version > after:
                    after = found.version
                    yield found
                if found.state.is_over:
                    return
                await asyncio.wait([waiter])
            finally:
                self.board.forget(job, waiter)

    async def list(self, caller: Caller, wanted: Wanted) -> Sequence[Job]:
        """Return jobs without their results, the newest first; of a batch, in its order."""
        store = await self._open_store()
        return [] if store is None else await store.list(caller, wanted)

    async def cancel(self, caller: Caller, job: str) -> Job:
        """Cancel a job, if it is not over; return how it stands then."""
        store = await self._kept()
        if await store.cancel(caller, job):
            self.board.cancelled([job])
        return await self._find(caller, job)

    # ---- telling

    async def webhook(self, job: Job) -> Standing | None:
        """Say how the webhook of a job stands; None while there is none."""
        if self._hooks is None or not job.callback or not job.state.is_over:
            return None
        return await self._hooks.standing(job.id)

    async def send_again(self, caller: Caller, job: str) -> Standing:
        """Send the webhook of a job once more; raise ``JobUnknownError`` or ``WebhookUnknownError``."""
        found = await self._find(caller, job)
        if self._hooks is None:
            raise WebhookUnknownError("this service sends no webhooks")
        return await self._hooks.send_again(found.id)

    async def _admit(self, caller: Caller, jobs: Sequence[NewJob]) -> None:
        addresses = {job.callback for job in jobs} - {""}
        if not addresses:
            return
        if self._hooks is None:
            raise WebhookRefusedError("this service sends no webhooks")
        if len(addresses) > MOST_CALLBACKS:
            raise WebhookRefusedError(f"the jobs of a batch name {MOST_CALLBACKS} different addresses at most")
        for address in sorted(addresses):
            await self._hooks.admit(caller, address)

    # ---- batches

    async def find_batch(self, caller: Caller, batch: str) -> Batch:
        """Return how a batch stands."""
        found = await (await self._kept()).find_batch(caller, batch)
        if found is None:
            raise JobUnknownError("there is no such batch, or it is not kept any more")
        return found

    async def cancel_batch(self, caller: Caller, batch: str) -> Batch:
        """Cancel what is not over of a batch; return how it stands then."""
        cancelled = await (await self._kept()).cancel_batch(caller, batch)
        self.board.cancelled([*cancelled, batch])
        return await self.find_batch(caller, batch)

    async def results(self, batch: str) -> AsyncGenerator[Job, None]:
        """Yield the jobs of a batch with their results, as they end."""
        store = await self._kept()
        told: set[str] = set()
        while not self.board.is_closed:
            waiter = self.board.expect(batch)
            try:
                over, left = await store.over(batch)
                new = [each for each in over if each not in told]
                told.update(new)
                for start in range(0, len(new), _AT_ONCE):
                    by_id = {job.id: job for job in await store.results(new[start : start + _AT_ONCE])}
                    for each in new[start : start + _AT_ONCE]:
                        if each in by_id:
                            yield by_id[each]
                if not left:
                    return
                if not new:
                    await asyncio.wait([waiter])
            finally:
                self.board.forget(batch, waiter)

    # ---- the store

    async def _open_store(self, *, make: bool = False) -> JobStore | None:
        if self._open is None:
            raise JobsOffError("this service has no jobs")
        return await self._open(make)

    @staticmethod
    def _must(store: JobStore | None) -> JobStore:
        if store is None:
            raise JobUnknownError("there is no such job, or it is not kept any more")
        return store

    async def _kept(self) -> JobStore:
        return self._must(await self._open_store())

    async def _find(self, caller: Caller, job: str) -> Job:
        found = await (await self._kept()).find(caller, job)
        if found is None:
            raise JobUnknownError("there is no such job, or it is not kept any more")
        return found

    async def _look(self) -> None:
        """Wake whoever waits for a change that another process made."""
        known: dict[str, int] = {}
        while True:
            await asyncio.sleep(_POLL)
            names = self.board.names
            if not names:
                known.clear()
                continue
            with contextlib.suppress(CodeExecutorError):
                versions = await (await self._kept()).versions(names)
                # what is new here may have changed between its reader's look and this one: it looks again
                self.board.changed([name for name in names if versions.get(name) != known.get(name)])
                known = dict(versions)
