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

from starlette.websockets import WebSocket, WebSocketDisconnect

from code_executor.api import allowance as told
from code_executor.api.identity import caller_of, is_allowed
from code_executor.api.problems import Refusal, from_failure
from code_executor.api.requests import parse_execution
from code_executor.api.streaming import event_object
from code_executor.core.codec import encode
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RequestLimits
from code_executor.core.models import Allowance, Cancel, Execution, Input, Interrupt, Stdin
from code_executor.service.ports import Service

_MOST_MESSAGES = 1000
"""Inputs that may wait for the program to take them."""

_POLICY_VIOLATION = 1008


async def serve(socket: WebSocket, service: Service, bounds: RequestLimits, allowed: tuple[str, ...]) -> None:
    """Answer one WebSocket."""
    if not is_allowed(socket.headers.get("origin"), socket.headers.get("host", ""), allowed, socket.scope["scheme"]):
        await socket.close(_POLICY_VIOLATION)
        return
    await socket.accept()
    try:
        try:
            execution, allowance = await _begin(socket, service, bounds)
            await _converse(socket, service, execution, allowance, bounds.stdin)
        except CodeExecutorError as error:
            raise from_failure(error) from error
    except Refusal as problem:
        await _send_problem(socket, problem)
    except (WebSocketDisconnect, RuntimeError):
        return  # the client went away; Starlette calls a second send after that a RuntimeError
    await socket.close()


async def _begin(socket: WebSocket, service: Service, bounds: RequestLimits) -> tuple[Execution, Allowance | None]:
    try:
        text = await asyncio.wait_for(socket.receive_text(), bounds.arrival)
    except TimeoutError:
        raise Refusal(408, f"No request came within {bounds.arrival:g} seconds.") from None
    except KeyError:
        raise Refusal(400, "The first message must be text, a request in JSON.") from None
    if len(text) > bounds.body:
        raise Refusal(413, f"The request is larger than {bounds.body} bytes.")
    caller = caller_of(socket.scope)
    execution = parse_execution(text.encode("utf-8", "surrogatepass"), caller, service.runs.limits, bounds)
    allowance = await service.rates.hit(caller)
    if allowance is not None and not allowance.allowed:
        refusal = told.refusal(allowance)
        refusal.more["retryAfter"] = max(1, allowance.reset)  # a page reads no headers of a WebSocket
        raise refusal
    return execution, allowance


async def _converse(
    socket: WebSocket, service: Service, execution: Execution, allowance: Allowance | None, most_stdin: int
) -> None:
    inputs: asyncio.Queue[Input] = asyncio.Queue(_MOST_MESSAGES)
    work = asyncio.create_task(_send_events(socket, service, execution, inputs, allowance))
    heard = asyncio.create_task(_hear(socket, inputs, most_stdin))
    try:
        await asyncio.wait([work, heard], return_when=asyncio.FIRST_COMPLETED)
        (work if work.done() else heard).result()
    finally:
        for task in (work, heard):
            task.cancel()
        await asyncio.wait([work, heard])


async def _send_events(
    socket: WebSocket, service: Service, execution: Execution, inputs: asyncio.Queue[Input], allowance: Allowance | None
) -> None:
    async with aclosing(service.runs.stream(execution, _items(inputs))) as events:
        async for event in events:
            data = event_object(event)
            if data["type"] == "started":
                data["rateLimit"] = _standing(allowance)
            await socket.send_text(json.dumps(data))


async def _items(inputs: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await inputs.get()


def _standing(allowance: Allowance | None) -> dict[str, int] | None:
    if allowance is None:
        return None
    return {name: value for name, value in encode(allowance).items() if name not in ("type", "allowed")}


async def _hear(socket: WebSocket, inputs: asyncio.Queue[Input], most_stdin: int) -> None:
    """Take the client's messages until it goes away, which raises ``WebSocketDisconnect``."""
    while True:
        item = _read(await socket.receive())
        if isinstance(item, Stdin) and item.data is not None:
            most_stdin -= len(item.data.encode("utf-8", "replace"))
            if most_stdin < 0:
                raise Refusal(413, "The input is larger than the limit.")
        try:
            inputs.put_nowait(item)
        except asyncio.QueueFull:
            raise Refusal(413, "Too much input is waiting for the program; send it more slowly.") from None


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
