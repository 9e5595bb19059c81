"""Answers in JSON: small ones at once, large ones in pieces."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from code_executor.api.outbox import debt_of, disconnected
from code_executor.api.pieces import PIECE, answer_object, cost, pieces, utf8
from code_executor.core.codec import Object, result_object
from code_executor.core.models import Result

_JSON = "application/json"

LARGE = 4 * PIECE
"""Bytes from which on an answer is sent in pieces."""


class Json(Response):
    """A small answer."""

    media_type = _JSON

    def render(self, content: Any) -> bytes:
        return utf8(json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


class Pieces(Response):
    """A large answer, of an object with `Bulk` in it. ``size``: what it costs to hold it."""

    def __init__(
        self,
        content: Object,
        size: int,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str = _JSON,
    ) -> None:
        super().__init__(None, status, headers, media_type)
        del self.headers["content-length"]
        self._content = content
        self._size = size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        debt = debt_of(scope)
        debt.hold(self._size)
        try:
            if scope["http_version"] == "1.0":  # has no way to say where a body ends but its length
                self.headers["content-length"] = str(await self._length())
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            for piece in pieces(self._content):
                if debt.is_over:
                    await disconnected(receive)
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            debt.release(self._size)

    async def _length(self) -> int:
        length = 0
        for piece in pieces(self._content):
            length += len(piece)
            await asyncio.sleep(0)
        return length


def result_fields(result: Result) -> tuple[Object, int]:
    """Return the object of a result and its size; of a large one, with `Bulk` in it."""
    size = cost(result)
    return (result_object(result) if size < LARGE else answer_object(result)), size


def object_answer(
    content: Object, size: int, status: int = 200, headers: Mapping[str, str] | None = None, *, media_type: str = _JSON
) -> Response:
    """Answer with an object that takes so many bytes."""
    if size < LARGE:
        return Json(content, status, headers, media_type)
    return Pieces(content, size, status, headers, media_type)
