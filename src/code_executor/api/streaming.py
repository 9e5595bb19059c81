"""Server-sent events, and noticing that a client has gone away."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from code_executor.api.accept import wants_events
from code_executor.api.problems import Refusal, from_failure
from code_executor.core.codec import encode, result_object
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import CellDone, Event, Reason
from code_executor.core.runner import result_of

T = TypeVar("T")


async def respond(request: Request, run: AsyncGenerator[Event, None]) -> Response:
    """Answer with the result of a run, or with all its events where the client accepts a stream of them."""
    if wants_events(request.headers.getlist("accept")):
        return EventStream(await until_disconnect(request.receive, _first(run)), run)
    result = await until_disconnect(request.receive, result_of(run))
    answer = result_object(result)
    if result.reason is Reason.INTERNAL:
        raise Refusal(500, result.error.rpartition("\n")[2], **{k: v for k, v in answer.items() if k != "status"})
    return JSONResponse(answer)


async def _first(run: AsyncGenerator[Event, None]) -> Event:
    """Wait for its turn: whoever goes away meanwhile leaves the queue."""
    return await anext(run)


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; cancel it and raise ``ClientDisconnect`` when the client goes away first."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.wait([task, gone])


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def event_object(event: Event) -> dict[str, Any]:
    """Return what a client is told of an event; of the end of a cell, as of that of a run."""
    return encode(event.result if isinstance(event, CellDone) else event)


def _as_text(event: Event) -> bytes:
    """Return one server-sent event (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    data = event_object(event)
    return f"event: {data.pop('type')}\ndata: {json.dumps(data)}\n\n".encode()


class EventStream(Response):
    """Streams events as they come; the client going away stops the run."""

    media_type = "text/event-stream"

    def __init__(self, first: Event, events: AsyncGenerator[Event, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        with contextlib.suppress(ClientDisconnect):
            await until_disconnect(receive, self._stream(send))

    async def _stream(self, send: Send) -> None:
        async with aclosing(self._events):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._send(send, _as_text(self._first))
            try:
                async for event in self._events:
                    await self._send(send, _as_text(event))
            except CodeExecutorError as error:  # too late for a status of its own
                problem = from_failure(error).response().body
                await self._send(send, b"event: problem\ndata: " + bytes(problem) + b"\n\n")
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    @staticmethod
    async def _send(send: Send, body: bytes) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": True})
