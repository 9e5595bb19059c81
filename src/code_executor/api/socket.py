"""Messages over a WebSocket: a large one is sent in fragments, so that the server never holds all of its text."""

from __future__ import annotations

from typing import NamedTuple

from starlette.websockets import WebSocket

from code_executor.api.outbox import WIRE, debt_of
from code_executor.api.pieces import pieces
from code_executor.core.codec import Object

PART = "code_executor.part"
"""What the server's own protocol finds in a message ``websocket.send`` that is one of the fragments of a message."""


class Part(NamedTuple):
    is_first: bool
    is_last: bool


async def send_object(socket: WebSocket, content: Object) -> None:
    """Send one message: the JSON of an object, which may have `Bulk` in it."""
    debt = debt_of(socket.scope)
    encoded = pieces(content)
    piece = next(encoded)
    is_first = True
    if WIRE not in socket.scope.get("extensions", {}):  # a server that knows nothing of fragments
        piece += b"".join(encoded)
    for following in encoded:
        if debt.is_over:
            break
        await _send(socket, piece, Part(is_first, is_last=False))
        piece, is_first = following, False
    if is_first:
        await socket.send_text(piece.decode())
    else:
        await _send(socket, piece, Part(is_first, is_last=True))


async def _send(socket: WebSocket, data: bytes, part: Part) -> None:
    await socket.send({"type": "websocket.send", "bytes": data, PART: part})
