"""Answers that are given again: a request with a key of the client's own is done once, however often it is sent.

The first one claims the key. While it is being answered, others are told so; then its answer is kept, for a day. A
claim is renewed while its request is under way, and ends soon after its server did.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import structlog

from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError

log = structlog.get_logger()

KEPT = 86_400.0
"""Seconds for which an answer is kept."""

_CLAIM = 15.0
_RENEW_EVERY = 4.0


class AnswerPendingError(CodeExecutorError):
    """The first request with this key is not answered yet."""


class OtherRequestError(CodeExecutorError):
    """The key was used for another request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class AnswerStore(Protocol):
    """Keeps answers by the names of their keys. Raises ``StorageError``."""

    async def claim(self, name: bytes, fingerprint: bytes, claim: str, until: float) -> Answer | None:
        """Return the answer that is kept; if there is none, claim it until then and return None.

        Raises ``AnswerPendingError`` and ``OtherRequestError``.
        """

    async def renew(self, names: Sequence[bytes], claim: str, until: float) -> None:
        """Keep what is claimed."""

    async def keep(self, name: bytes, claim: str, answer: Answer, until: float) -> None:
        """Keep the answer until then, if it is still claimed."""

    async def drop(self, name: bytes, claim: str) -> None:
        """Give the claim up: the next one with the key is the first."""


class Claim:
    """The right to answer the first request with a key."""

    def __init__(self) -> None:
        self.answer: Answer | None = None


class Answers:
    """See above. Use it as an async context manager. ``store``: returns where they are kept."""

    def __init__(self, store: Callable[[], Awaitable[AnswerStore]]) -> None:
        self._store = store
        self._claim = secrets.token_hex(8)
        self._claimed: set[bytes] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    @contextlib.asynccontextmanager
    async def first(self, caller: Caller, path: str, key: str, body: bytes) -> AsyncIterator[Answer | Claim]:
        """Yield the answer that is kept, or a claim: what is put into it until the block ends is kept.

        Raises ``AnswerPendingError``, ``OtherRequestError`` and ``StorageError``.
        """
        store = await self._store()
        name = hashlib.sha256(f"{caller.id}\0{caller.learner}\0{path}\0{key}".encode()).digest()
        fingerprint = hashlib.sha256(body).digest()
        if name in self._claimed:  # by this process, whose claims all have one name
            raise AnswerPendingError("the first request with this key is still being answered")
        self._claimed.add(name)
        try:
            kept = await store.claim(name, fingerprint, self._claim, time.time() + _CLAIM)
            if kept is not None:
                yield kept
                return
            claim = Claim()
            try:
                yield claim
            finally:
                await asyncio.shield(self._settle(store, name, claim))
        finally:
            self._claimed.discard(name)

    async def _settle(self, store: AnswerStore, name: bytes, claim: Claim) -> None:
        try:
            if claim.answer is None:
                await store.drop(name, self._claim)
            else:
                await store.keep(name, self._claim, claim.answer, time.time() + KEPT)
        except CodeExecutorError as error:  # the claim ends by itself
            log.warning("answer_not_kept", why=str(error))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_EVERY)
            if self._claimed:
                with contextlib.suppress(CodeExecutorError):
                    await (await self._store()).renew(list(self._claimed), self._claim, time.time() + _CLAIM)
