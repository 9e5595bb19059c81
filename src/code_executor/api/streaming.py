"""Answers to runs: whole, or as server-sent events; and noticing that a client has gone away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from code_executor.api.accept import wants_events
from code_executor.api.answers import object_answer, result_fields
from code_executor.api.backlog import Backlog
from code_executor.api.outbox import debt_of, disconnected
from code_executor.api.pieces import event_object, pieces
from code_executor.api.problems import Refusal
from code_executor.core.codec import Object
from code_executor.core.models import Event, Reason, Result
from code_executor.core.runner import result_of

T = TypeVar("T")


async def respond(request: Request, run: AsyncGenerator[Event, None]) -> Response:
    """Answer with the result of a run, or with all its events where the client accepts a stream of them."""
    if wants_events(request.headers.getlist("accept")):
        return EventStream(await until_disconnect(request.receive, _first(run)), run)
    result = await until_disconnect(request.receive, result_of(run))
    answer, size = result_fields(result)
    if result.reason is Reason.INTERNAL:
        more = {k: v for k, v in answer.items() if k != "status"}
        raise Refusal(500, result.error.rpartition("\n")[2], size=size, **more)
    return object_answer(answer, size)


async def _first(run: AsyncGenerator[Event, None]) -> Event:
    """Wait for its turn: whoever goes away meanwhile leaves the queue."""
    return await anext(run)


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; cancel it and raise ``ClientDisconnect`` when the client goes away first."""
    gone = asyncio.create_task(disconnected(receive))
    try:
        async with asyncio.timeout(None) as scope:

            def stop(_: asyncio.Task[None]) -> None:
                scope.reschedule(0)

            gone.add_done_callback(stop)
            try:
                return await work
            finally:
                gone.remove_done_callback(stop)
    except TimeoutError:
        if scope.expired():
            raise ClientDisconnect from None
        raise
    finally:
        _end(gone)


def _end(watching: asyncio.Task[None]) -> None:
    """Cancel a task that nobody waits for, and of which nobody wants to know why it ended."""
    watching.cancel()
    watching.add_done_callback(lambda ended: ended.cancelled() or ended.exception())


def client_object(item: Event | Refusal, backlog: Backlog) -> Object:
    """Return what a client of a stream is told of something in its backlog, with its ``type``."""
    if isinstance(item, Refusal):
        return {**item.body(), "type": "problem"}
    told = event_object(item)
    return {**told, "streamed": backlog.streamed.object()} if isinstance(item, Result) else told


class EventStream(Response):
    """Streams events as they come (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    The client going away stops the run.
    """

    media_type = "text/event-stream"

    def __init__(self, first: Event, events: AsyncGenerator[Event, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        backlog = Backlog(debt_of(scope))
        filling = asyncio.create_task(backlog.fill(self._first, self._events))
        try:
            with contextlib.suppress(ClientDisconnect):
                await until_disconnect(receive, self._stream(send, backlog))
        finally:
            filling.cancel()
            await asyncio.wait([filling])
            backlog.clear()

    async def _stream(self, send: Send, backlog: Backlog) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while (item := await backlog.get()) is not None:
            told = client_object(item[0], backlog)
            name = b"event: " + told.pop("type").encode() + b"\ndata: "
            for piece in pieces(told, before=name, after=b"\n\n"):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            backlog.sent(item[1])
        await send({"type": "http.response.body", "body": b"", "more_body": False})
