"""Interactive runs over a WebSocket: the program waits, the page shows a prompt, the learner types.

The client's first message is a request as ``POST /api/execute`` takes it; then ``{"type": "stdin", "data": …}``,
``{"type": "eof"}``, ``{"type": "interrupt"}`` (Ctrl-C) and ``{"type": "cancel"}``. The server sends every event as
``{"type": …}``, last the ``result`` or a ``problem``, and closes. A client that goes away stops its run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from code_executor.api import allowance as told
from code_executor.api.backlog import Backlog
from code_executor.api.identity import PROTOCOL, caller_of, is_allowed, origins_of
from code_executor.api.outbox import debt_of
from code_executor.api.problems import Refusal, from_failure
from code_executor.api.requests import parse_executions
from code_executor.api.socket import send_object
from code_executor.api.streaming import client_object
from code_executor.core.codec import encode
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RequestLimits
from code_executor.core.models import Allowance, Cancel, Execution, Input, Interrupt, Stdin
from code_executor.service.ports import Service

_MOST_MESSAGES = 1000
"""Inputs that may wait for the program to take them."""

_GONE = (WebSocketDisconnect, RuntimeError)
"""The client went away; Starlette calls a second send after that a RuntimeError."""

_SLACK = 1024
_POLICY_VIOLATION = 1008


async def serve(socket: WebSocket, service: Service, bounds: RequestLimits, allowed: tuple[str, ...]) -> None:
    """Answer one WebSocket."""
    allowed = (*allowed, *origins_of(socket.scope))
    if not is_allowed(socket.headers.get("origin"), socket.headers.get("host", ""), allowed, socket.scope["scheme"]):
        await socket.close(_POLICY_VIOLATION)
        return
    await socket.accept(PROTOCOL if PROTOCOL in socket.scope.get("subprotocols", ()) else None)
    try:
        try:
            allowance = await service.rates.hit(caller_of(socket.scope))  # before anything is read
            _require_allowed(allowance)
            execution = await _receive(socket, service, bounds)
            await _converse(socket, service, execution, allowance, bounds.stdin)
        except CodeExecutorError as error:
            raise from_failure(error) from error
    except Refusal as problem:
        with contextlib.suppress(*_GONE):
            await send_object(socket, {**problem.body(), "type": "problem"})
    except _GONE:
        return
    with contextlib.suppress(*_GONE):
        await socket.close()


def _require_allowed(allowance: Allowance | None) -> None:
    if allowance is not None and not allowance.allowed:
        refusal = told.refusal(allowance)
        refusal.more["retryAfter"] = max(1, allowance.reset)  # a page reads no headers of a WebSocket
        raise refusal


async def _receive(socket: WebSocket, service: Service, bounds: RequestLimits) -> Execution:
    try:
        text = await asyncio.wait_for(socket.receive_text(), bounds.arrival)
    except TimeoutError:
        raise Refusal(408, f"No request came within {bounds.arrival:g} seconds.") from None
    except KeyError:
        raise Refusal(400, "The first message must be text, a request in JSON.") from None
    if len(text) > bounds.body:
        raise Refusal(413, f"The request is larger than {bounds.body} bytes.")
    body = text.encode("utf-8", "surrogatepass")
    return parse_executions(body, caller_of(socket.scope), service.runs.limits, bounds).require_events()


async def _converse(
    socket: WebSocket, service: Service, execution: Execution, allowance: Allowance | None, most_stdin: int
) -> None:
    inputs: asyncio.Queue[Input] = asyncio.Queue(_MOST_MESSAGES)
    backlog = Backlog(debt_of(socket.scope))
    filling = asyncio.create_task(backlog.fill(None, service.runs.stream(execution, _items(inputs))))
    sending = asyncio.create_task(_send_all(socket, backlog, allowance))
    hearing = asyncio.create_task(_hear(socket, inputs, most_stdin))
    try:
        await asyncio.wait([sending, hearing], return_when=asyncio.FIRST_COMPLETED)
        if not sending.done() and isinstance(problem := hearing.exception(), Refusal):
            backlog.finish(problem)  # behind what is being sent, which may be half of a message
            filling.cancel()
            await asyncio.wait([sending])
        gone = _is_gone(sending if sending.done() else hearing)
    finally:
        for task in (filling, sending, hearing):
            task.cancel()
        await asyncio.wait([filling, sending, hearing])
        backlog.clear()
    if gone:
        raise WebSocketDisconnect


def _is_gone(task: asyncio.Task[None]) -> bool:
    """Whether a task ended because the client went away; raise what else it failed with.

    Its exception is not raised again: that would make a circle of what it was about to send.
    """
    error = task.exception()
    if error is None or isinstance(error, _GONE):
        return error is not None
    raise error


async def _send_all(socket: WebSocket, backlog: Backlog, allowance: Allowance | None) -> None:
    while (item := await backlog.get()) is not None:
        data = client_object(item[0], backlog)
        if data["type"] == "started":
            data["rateLimit"] = _standing(allowance)
        await send_object(socket, data)
        backlog.sent(item[1])


async def _items(inputs: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await inputs.get()


def _standing(allowance: Allowance | None) -> dict[str, int] | None:
    if allowance is None:
        return None
    return {name: value for name, value in encode(allowance).items() if name not in ("type", "allowed")}


async def _hear(socket: WebSocket, inputs: asyncio.Queue[Input], most_stdin: int) -> None:
    """Take the client's messages until it goes away, which raises ``WebSocketDisconnect``."""
    most_text = 6 * most_stdin + _SLACK  # JSON may spell one byte with six
    while True:
        item = _read(await socket.receive(), most_text)
        if isinstance(item, Stdin) and item.data is not None:
            most_stdin -= len(item.data.encode("utf-8", "replace"))
            if most_stdin < 0:
                raise Refusal(413, "The input is larger than the limit.")
        try:
            inputs.put_nowait(item)
        except asyncio.QueueFull:
            raise Refusal(413, "Too much input is waiting for the program; send it more slowly.") from None


def _read(message: Any, most: int = 1 << 20) -> Input:
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text") or ""
    if len(text) > most:
        raise Refusal(413, "The input is larger than the limit.")
    try:
        match json.loads(text):
            case {"type": "stdin", "data": str(data)}:
                return Stdin(data)
            case {"type": "eof"}:
                return Stdin(None)
            case {"type": "interrupt"}:
                return Interrupt()
            case {"type": "cancel"}:
                return Cancel()
    except (ValueError, RecursionError):
        pass
    raise Refusal(400, 'A message must be JSON with a type: "stdin" (and data), "eof", "interrupt" or "cancel".')
