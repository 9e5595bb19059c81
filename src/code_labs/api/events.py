"""An answer that is a stream of events, one after the other as they are made."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from code_executor.api.pieces import utf8
from code_executor.api.problems import from_failure
from code_executor.api.streaming import until_disconnect
from code_executor.core.errors import CodeExecutorError
from code_labs.errors import LabsError

log = structlog.get_logger()

Told = AsyncGenerator[tuple[str, dict[str, Any]], None]


class EventAnswer(Response):
    """Streams pairs of a name and an object. The client going away stops what makes them.

    A failure is the last event: ``failed``, with ``why``.
    """

    media_type = "text/event-stream"

    def __init__(self, told: Told) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        async with aclosing(self._told):
            with contextlib.suppress(ClientDisconnect):
                await until_disconnect(receive, self._stream(send))

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for name, data in self._whole():
            text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
            piece = utf8(f"event: {name}\ndata: {text}\n\n")
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _whole(self) -> Told:
        try:
            async for name, data in self._told:
                yield name, data
        except LabsError as error:
            yield "failed", {"why": str(error)}
        except CodeExecutorError as error:
            yield "failed", {"why": from_failure(error).detail}
        except Exception:
            log.exception("labs_failed")
            yield "failed", {"why": "The service failed."}
