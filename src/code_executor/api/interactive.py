"""Interactive runs over a WebSocket: the program waits, the page shows a prompt, the learner types.

The client's first message is a request as ``POST /api/execute`` takes it; then ``{"type": "stdin", "data": …}``,
``{"type": "eof"}``, ``{"type": "interrupt"}`` (Ctrl-C) and ``{"type": "cancel"}``. The server sends every event as
``{"type": …}``, last the ``result`` or a ``problem``, and closes. A client that goes away stops its run.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

from starlette.websockets import WebSocket, WebSocketDisconnect

from code_executor.api.errors import Refusal, from_failure
from code_executor.api.requests import RequestLimits, parse_execution
from code_executor.api.streaming import wire_event
from code_executor.errors import CodeExecutorError
from code_executor.models import Cancel, Execution, Input, Interrupt, Stdin
from code_executor.ratelimit import Verdict, client_key, refusal
from code_executor.service import Service

_MOST_MESSAGES = 1000
"""Inputs that may wait for the program to take them."""

_POLICY_VIOLATION = 1008


def is_allowed(origin: str | None, host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a page of ``origin`` may open a WebSocket here: pages of this host may, and those that are listed.

    Browsers let any page open one anywhere and send the origin; other clients send none.
    """
    return origin is None or "*" in allowed or origin in allowed or urlsplit(origin).netloc == host


async def serve(socket: WebSocket, service: Service, most: RequestLimits, allowed: tuple[str, ...]) -> None:
    """Answer one WebSocket."""
    if not is_allowed(socket.headers.get("origin"), socket.headers.get("host", ""), allowed):
        await socket.close(_POLICY_VIOLATION)
        return
    await socket.accept()
    try:
        try:
            execution, verdict = await _begin(socket, service, most)
            await _converse(socket, service, execution, verdict, most.stdin)
        except CodeExecutorError as error:
            raise from_failure(error) from error
    except Refusal as problem:
        await _send_problem(socket, problem)
    except (WebSocketDisconnect, RuntimeError):
        return  # the client went away; Starlette calls a second send after that a RuntimeError
    await socket.close()


async def _begin(socket: WebSocket, service: Service, most: RequestLimits) -> tuple[Execution, Verdict | None]:
    try:
        text = await asyncio.wait_for(socket.receive_text(), most.arrival)
    except TimeoutError:
        raise Refusal(408, f"No request came within {most.arrival:g} seconds.") from None
    except KeyError:
        raise Refusal(400, "The first message must be text, a request in JSON.") from None
    if len(text) > most.body:
        raise Refusal(413, f"The request is larger than {most.body} bytes.")
    client = socket.client.host if socket.client else ""
    execution = parse_execution(text.encode("utf-8", "surrogatepass"), client, service.limits, most)
    verdict = await service.hit(client_key(client or "unknown"))
    if verdict is not None and not verdict.allowed:
        raise Refusal(429, refusal(verdict), verdict.headers(), retryAfter=max(1, verdict.reset))
    return execution, verdict


async def _converse(
    socket: WebSocket, service: Service, execution: Execution, verdict: Verdict | None, most_stdin: int
) -> None:
    inputs: asyncio.Queue[Input] = asyncio.Queue(_MOST_MESSAGES)
    work = asyncio.create_task(_send_events(socket, service, execution, inputs, verdict))
    heard = asyncio.create_task(_hear(socket, inputs, most_stdin))
    try:
        await asyncio.wait([work, heard], return_when=asyncio.FIRST_COMPLETED)
        (work if work.done() else heard).result()
    finally:
        for task in (work, heard):
            task.cancel()
        await asyncio.wait([work, heard])


async def _send_events(
    socket: WebSocket, service: Service, execution: Execution, inputs: asyncio.Queue[Input], verdict: Verdict | None
) -> None:
    async with aclosing(service.stream(execution, _items(inputs))) as events:
        async for event in events:
            kind, data = wire_event(event)
            if kind == "started":
                data["rateLimit"] = _standing(verdict)
            await socket.send_text(json.dumps({"type": kind, **data}))


async def _items(inputs: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await inputs.get()


def _standing(verdict: Verdict | None) -> dict[str, int] | None:
    if verdict is None:
        return None
    return {"limit": verdict.limit, "remaining": verdict.remaining, "reset": verdict.reset, "window": verdict.window}


async def _hear(socket: WebSocket, inputs: asyncio.Queue[Input], most_stdin: int) -> None:
    """Take the client's messages until it goes away, which raises ``WebSocketDisconnect``."""
    while True:
        item = _read(await socket.receive())
        if isinstance(item, Stdin) and item.data is not None:
            most_stdin -= len(item.data.encode("utf-8", "replace"))
            if most_stdin < 0:
                raise Refusal(413, "The program was sent more input than it may have.")
        try:
            inputs.put_nowait(item)
        except asyncio.QueueFull:
            raise Refusal(413, "The program does not take its input as fast as it is sent.") from None


def _read(message: Any) -> Input:
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    try:
        match json.loads(message.get("text") or ""):
            case {"type": "stdin", "data": str(data)}:
                return Stdin(data)
            case {"type": "eof"}:
                return Stdin(None)
            case {"type": "interrupt"}:
                return Interrupt()
            case {"type": "cancel"}:
                return Cancel()
    except ValueError:
        pass
    raise Refusal(400, 'A message must be JSON with a type: "stdin" (and data), "eof", "interrupt" or "cancel".')


async def _send_problem(socket: WebSocket, problem: Refusal) -> None:
    try:
        await socket.send_text(json.dumps({**problem.body(), "type": "problem"}))
    except (WebSocketDisconnect, RuntimeError):
        return
