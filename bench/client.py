"""A small HTTP/1.1 client: raw bytes on keep-alive connections, so that the server is measured and not the client.

The client's own cost is measured against a server that does nothing (`trivial`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"


class Response(NamedTuple):
    status: int
    body: bytes


def request_bytes(host: str, code: str, *, stream: bool = False, **fields: Any) -> bytes:
    """Return the bytes of ``POST /api/execute``; ``fields`` are more fields of the request."""
    accept = "text/event-stream" if stream else "application/json"
    return post_bytes(host, "/api/execute", {"code": code, "language": "python", **fields}, accept)


def post_bytes(host: str, path: str, fields: Mapping[str, Any], accept: str = "application/json") -> bytes:
    """Return the bytes of a POST of ``fields`` as JSON."""
    body = json.dumps(fields).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiter: asyncio.Future[Response] | None = None
        self._on_data: Callable[[bytes], None] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int, guest: int = 0) -> Connection:
        """Open one from the loopback address of this ``guest``: an address may have only so many connections."""
        loop = asyncio.get_running_loop()
        source = f"127.0.{1 + guest // 250}.{1 + guest % 250}" if guest else "127.0.0.1"
        _, connection = await loop.create_connection(cls, host, port, local_addr=(source, 0))
        return connection

    async def ask(self, request: bytes, on_data: Callable[[bytes], None] | None = None) -> Response:
        """Send ``request`` and wait for its whole answer; ``on_data`` sees the raw bytes as they arrive.

        Raises ``ConnectionError`` if the server closes first.
        """
        if self._transport is None or not self.alive:
            raise ConnectionError("the connection is closed")
        self._on_data = on_data
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    @property
    def alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # ---- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        if self._on_data is not None:
            self._on_data(data)
        self._buffer += data
        response = parse(self._buffer)
        if response is not None and self._waiter is not None and not self._waiter.done():
            self._buffer.clear()
            self._waiter.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionError(f"the server closed the connection ({exc})"))


def parse(buffer: bytes | bytearray) -> Response | None:
    """Return the response in ``buffer``, or None if it is not complete."""
    end = buffer.find(_HEAD_END)
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    body = end + len(_HEAD_END)
    status = int(head[9:12])
    found = head.find(b"content-length:")
    if found >= 0:
        length = int(head[found + 15 :].partition(b"\r\n")[0])
        return Response(status, bytes(buffer[body:])) if len(buffer) - body >= length else None
    if b"transfer-encoding: chunked" in head:
        return Response(status, _joined(bytes(buffer[body:]))) if buffer.endswith(_LAST_CHUNK) else None
    raise ValueError("a response with neither a length nor chunks")


def _joined(chunks: bytes) -> bytes:
    """Return the body that came in chunks."""
    pieces = []
    at = 0
    while length := int(chunks[at : chunks.index(b"\r\n", at)], 16):
        start = chunks.index(b"\r\n", at) + 2
        pieces.append(chunks[start : start + length])
        at = start + length + 2
    return b"".join(pieces)
