"""A real receiver of webhooks on loopback, that answers as a test says: a server on a socket, with TLS if wanted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(status: int, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Length: 0", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Got:
    """A request as it arrived."""

    line: str
    headers: dict[str, str]
    body: bytes


Act = Callable[[Got, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Receiver:
    """``answers``: one for each request, the last of them for all others. ``act``: does something else instead."""

    port: int = 0
    answers: list[bytes] = field(default_factory=lambda: [OK])
    act: Act | None = None
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, host: str = "127.0.0.1", scheme: str = "http", path: str = "/hook?x=1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def wait_for(self, count: int) -> list[Got]:
        """Return what arrived, once it is that much."""
        async with asyncio.timeout(30):
            while len(self.got) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.got

    async def idle(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(30):
            while self.open:
                self.changed.clear()
                await self.changed.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        task.add_done_callback(self.serving.discard)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            got = Got(head[0], headers, await reader.readexactly(int(headers.get("content-length", "0"))))
            self.got.append(got)
            self.changed.set()
            if self.act is not None:
                await self.act(got, writer)
            else:
                writer.write(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):  # who asked has left
            pass
        finally:
            self.open -= 1
            self.changed.set()
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def receiving(
    *answers: bytes, act: Act | None = None, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """Serve for the length of the block."""
    receiver = Receiver(answers=list(answers) or [OK], act=act)
    server = await asyncio.start_server(receiver.serve, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        if left := list(receiver.serving):
            for task in left:
                task.cancel()
            await asyncio.wait(left)
