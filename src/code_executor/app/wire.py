"""What the server's protocols do for `api.outbox`, beside what uvicorn's do: each connection is known by its `Wire`.

And what a client can make a WebSocket hold without reading an answer: its frames, fragments and pings.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame

from code_executor.api.outbox import WIRE, Wire
from code_executor.api.pieces import PIECE
from code_executor.api.socket import PART

_INVALID_DATA = 1007


class HeadWithBody:
    """A transport for one answer, which sends its head with the first piece of its body: in one write, not in two.

    After the first of two, the system would let a client on the same machine read before there is anything to read.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.holds = False
        """Whether what is written next is a head, and more will follow it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self.holds:
            self.holds, self._head = False, data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self.write(b"")
        self._transport.close()


class HttpConnection(HttpToolsProtocol):
    """A connection of HTTP/1.1."""

    wire: Wire

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.wire = Wire(transport)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {WIRE: self.wire}  # type: ignore[dict-item]


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket, whose messages are gathered as bytes, however many fragments they come in."""

    async def run_asgi(self) -> None:
        extensions: dict[str, Any] = self.scope["extensions"] or {}
        extensions[WIRE] = Wire(self.transport)
        await super().run_asgi()

    # ---- what it is sent

    def handle_cont(self, event: Frame) -> None:
        self.frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def handle_text(self, event: Frame) -> None:
        self._begin("text", event)

    def handle_bytes(self, event: Frame) -> None:
        self._begin("bytes", event)

    def _begin(self, kind: Any, event: Frame) -> None:
        self.curr_msg_data_type = kind
        self.frames = [bytearray(event.data) if not event.fin else event.data]  # type: ignore[list-item]
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        data, self.frames = self.frames[0], []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "text":
            try:
                self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
            except UnicodeDecodeError:  # uvicorn's own way logs a traceback
                self.conn.send_close(_INVALID_DATA)
                self.handle_parser_exception()
                return
        else:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": bytes(data)})
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        if self.transport.get_write_buffer_size() < PIECE:
            super().handle_ping()
        else:
            self.conn.data_to_send()  # who does not read needs no answers

    # ---- what it sends

    async def send(self, message: Any) -> None:
        """Send a message, or a part of one (`PART`) that others follow."""
        part = message.get(PART)
        if part is None:
            await super().send(message)
            return
        await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        try:
            if part.is_first:
                self.conn.send_text(message["bytes"], fin=part.is_last)
            else:
                self.conn.send_continuation(message["bytes"], fin=part.is_last)
        except InvalidState:
            raise ClientDisconnected from None
        self.transport.write(b"".join(self.conn.data_to_send()))
