"""Load, on a server that answers nobody before a number of requests wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench import load
from bench.client import request_bytes

REQUEST = request_bytes("127.0.0.1", "print(1)")
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"status":"success"}'
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def server(together: int, answer: bytes = OK, *, backwards: bool = False) -> AsyncIterator[int]:
    """Answer ``together`` requests once they are there, the last one first if ``backwards``, and later ones at once.

    Yields the port.
    """
    asked: list[asyncio.StreamWriter] = []
    opened = False
    handlers: set[asyncio.Task[None] | None] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        handlers.add(asyncio.current_task())
        while await reader.read(65536):
            asked.append(writer)
            if opened or len(asked) == together:
                opened = True
                for one in reversed(asked) if backwards else asked:
                    one.write(answer)
                    await one.drain()
                    await asyncio.sleep(0)
                asked.clear()
        writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]
        await asyncio.gather(*(handler for handler in handlers if handler))  # the clients have closed


async def test_an_open_load_sends_on_time_though_nobody_is_answered() -> None:
    times = [0.0, 0.02, 0.04, 0.06]
    async with server(together=4) as port:
        found = await load.open_loop("127.0.0.1", port, REQUEST, times)
    assert (len(found.latencies), found.failures) == (4, 0)


async def test_an_open_load_counts_from_when_a_request_was_due() -> None:
    times = [0.0, 0.2]
    async with server(together=2) as port:
        found = await load.open_loop("127.0.0.1", port, REQUEST, times)
    assert max(found.latencies) >= 200  # the first was answered with the second
    assert min(found.lateness) >= 0


async def test_a_closed_load_has_as_many_requests_under_way_as_clients() -> None:
    async with server(together=3) as port:
        found = await load.closed("127.0.0.1", port, REQUEST, clients=3, seconds=0.05)
    assert len(found.latencies) >= 3
    assert found.rate > 0


async def test_refusals_are_counted_apart_and_the_first_is_quoted() -> None:
    async with server(together=1, answer=BUSY) as port:
        found = await load.open_loop("127.0.0.1", port, REQUEST, [0.0, 0.01])
    assert (found.latencies, found.failures, found.complaint) == ([], 2, "HTTP 503: busy")


async def test_a_burst_tells_in_which_order_it_was_answered() -> None:
    async with server(together=5, backwards=True) as port:
        found, order = await load.burst("127.0.0.1", port, REQUEST, 5)
    assert len(found.latencies) == 5
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert order != [0, 1, 2, 3, 4]
