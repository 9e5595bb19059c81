"""Clients that do not read, or hardly, and what they make a server hold."""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.conftest import Server

MB = 1 << 20

LARGE = """
import os, struct, sys
n = (8 << 20) - 4096
record = memoryview(struct.pack(">HI", 9, n) + b"text/html" + b"\\xff" * n)
while record:
    record = record[os.write(7, record):]
with open("large.bin", "wb") as file:
    file.write(os.urandom(1 << 20) * 7)
    file.write(os.urandom((1 << 20) - 4096))
written = sys.stdout.buffer.write(b"\\xff" * 1000000)
"""

LARGEST: dict[str, Any] = {"code": LARGE, "display": True}
"""Its answer is the largest: HTML of bytes that are no UTF-8, a file, and output. For a server without a policy."""

EVENTS = "Accept: text/event-stream"


def resident(server: Server) -> int:
    """Return the resident bytes of a server and its workers together."""

    def of(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) << 10

    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    workers = [int(pid) for pid in children if b"app.serving" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return sum(map(of, [server.process.pid, *workers]))


class Slow:
    """A connection of a client that reads when it is told to. ``source``: the address that it comes from."""

    def __init__(self, server: Server, source: str = "127.0.0.1", window: int = 0) -> None:
        url = urlsplit(server.url)
        self.socket = socket.socket()
        if window:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        self.socket.bind((source, 0))
        self.socket.connect((url.hostname, url.port))

    def post(self, request: dict[str, Any], *headers: str, path: str = "/api/execute") -> None:
        body = json.dumps(request).encode()
        self.ask("POST", path, "Content-Type: application/json", f"Content-Length: {len(body)}", *headers, body=body)

    def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> None:
        head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""))
        self.socket.sendall(head.encode() + body)

    def open_websocket(self) -> None:
        """Shake hands, and read the answer to that."""
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = (
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        self.ask("GET", "/api/execute/ws", *upgrade)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            piece = self.socket.recv(1)
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 101"), answer

    def ask_for_much(self, how: str) -> None:
        """Ask for the largest answer, as "json", as "events", or over a "websocket"."""
        if how == "websocket":
            self.open_websocket()
            self.frame(json.dumps(LARGEST).encode())
        else:
            self.post(LARGEST, "Connection: close", *([EVENTS] if how == "events" else []))

    def frame(self, data: bytes, opcode: int = 1, *, final: bool = True) -> None:
        """Send one frame of a WebSocket, masked with zeros."""
        self.socket.sendall(frame(data, opcode, final=final))

    @property
    def is_gone(self) -> bool:
        """Whether the server has ended the connection; nothing is read."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def read(self, most: int = 1 << 16) -> bytes:
        """Return what there is, empty at the end."""
        try:
            return self.socket.recv(most)
        except ConnectionResetError:
            return b""

    def read_all(self) -> bytes:
        pieces = []
        while piece := self.read(1 << 20):
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self.socket.close()


def frame(data: bytes, opcode: int = 1, *, final: bool = True) -> bytes:
    head = bytes([opcode | (0x80 if final else 0)])
    if len(data) < 126:
        head += bytes([0x80 | len(data)])
    elif len(data) < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([0x80 | 127]) + struct.pack("!Q", len(data))
    return head + bytes(4) + data


@contextmanager
def clients(server: Server, number: int, sources: int = 1) -> Iterator[list[Slow]]:
    """Connect so many clients, of so many addresses."""
    made = [Slow(server, f"127.0.0.{1 + n % sources}") for n in range(number)]
    try:
        yield made
    finally:
        for each in made:
            each.close()


class Peak:
    """What a server held at most, beyond what it held at the beginning."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = resident(server)
        self.bytes = 0

    def look(self) -> int:
        """Return what it holds now, beyond."""
        now = resident(self._server) - self._before
        self.bytes = max(self.bytes, now)
        return now

    def watch_until(self, is_over: Any, within: float) -> bool:
        """Look every now and then until it is over; return whether it was in time."""
        end = time.monotonic() + within
        while not is_over():
            if time.monotonic() > end:
                return False
            self.look()
            time.sleep(0.05)
        self.look()
        return True
