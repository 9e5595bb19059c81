"""Answers that go on until there is nothing more to tell: each item is an object, framed as a line or an event."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import NamedTuple

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from code_executor.api.outbox import Debt, debt_of
from code_executor.api.pieces import pieces
from code_executor.api.streaming import until_disconnect
from code_executor.core.codec import Object

_ALIVE_EVERY = 15.0


class Item(NamedTuple):
    """``size``: what it costs to hold it; ``before`` and ``after``: what frames it."""

    content: Object
    size: int
    before: bytes = b""
    after: bytes = b"\n"


class Following(Response):
    """Sends items as they come, each once the client has taken those before it.

    ``alive``: what is sent while there is none, now and then, so that nobody on the way takes it for dead. ``ended``:
    called at the end, with whether all was sent.
    """

    def __init__(
        self,
        items: AsyncGenerator[Item, None],
        media_type: str,
        *,
        alive: bytes = b"",
        ended: Callable[[bool], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(None, 200, {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, media_type)
        del self.headers["content-length"]
        self._items = items
        self._alive = alive
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        whole = False
        try:
            with contextlib.suppress(ClientDisconnect):
                await until_disconnect(receive, self._send(send, debt_of(scope)))
                whole = True
        finally:
            if self._ended is not None:
                await asyncio.shield(self._ended(whole))

    async def _send(self, send: Send, debt: Debt) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._items) as items:
            while (item := await self._next(items, send)) is not None:
                debt.hold(item.size)
                try:
                    for piece in pieces(item.content, before=item.before, after=item.after):
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                finally:
                    debt.release(item.size)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, items: AsyncGenerator[Item, None], send: Send) -> Item | None:
        coming = asyncio.ensure_future(anext(items, None))
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=_ALIVE_EVERY if self._alive else None)
                if done:
                    return coming.result()
                await send({"type": "http.response.body", "body": self._alive, "more_body": True})
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait([coming])
