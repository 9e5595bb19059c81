"""A server that is stopped under load, and among rude clients: nobody waits in vain, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.census import census, eventually, everything_of
from tests.conftest import Serve, Server

AT_ONCE = 200


def at_rest(server: Server) -> dict[str, int]:
    """Return the census of a server once it no longer changes."""
    before = census(server.process.pid)
    while (now := census(server.process.pid)) != before:
        before = now
    return now


@asynccontextmanager
async def crowd(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=server.url, timeout=90, limits=limits) as client:
        yield client


async def ask(client: httpx.AsyncClient, code: str) -> httpx.Response:
    return await client.post("/api/execute", json={"code": code, "language": "python", "timeout": 20})


@pytest.mark.anyio
async def test_sigterm_under_load_answers_or_refuses_everyone_and_leaves_nothing(serve: Serve, engine: str) -> None:
    with serve(engine, rate_limit="off", policy="off", preload="", pool_size=2) as server:
        answered = asyncio.Event()
        statuses: list[int] = []

        async def one(number: int) -> None:
            with contextlib.suppress(httpx.TransportError):  # it came when nobody listened any more
                answer = await ask(client, f"import time; time.sleep(0.05); print({number})")
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    assert answer.json()["output"] == f"{number}\n"
                    answered.set()

        async with crowd(server) as client, asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(one(number))
            await answered.wait()
            server.process.send_signal(signal.SIGTERM)
        assert set(statuses) <= {200, 503}
        assert await asyncio.to_thread(server.stop) == 0
        assert everything_of(server.process.pid) == []


def connect(server: Server, *, receive_buffer: int = 0) -> socket.socket:
    url = httpx.URL(server.url)
    connection = socket.socket()
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.connect((url.host, url.port or 80))
    return connection


def head(length: int, accept: str = "application/json") -> bytes:
    return (
        f"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def test_a_client_that_does_not_read_holds_a_sandbox_no_longer_than_its_run_may_last(serve: Serve) -> None:
    with (
        serve("native", rate_limit="off", preload="", pool_size=1, queue_timeout=60) as server,
        connect(server, receive_buffer=2048) as rude,
        httpx.Client(base_url=server.url, timeout=90) as client,
    ):
        flood = json.dumps({"code": r"print('\x01' * 1_000_000)", "language": "python", "timeout": 1}).encode()
        rude.sendall(head(len(flood), "text/event-stream") + flood)
        assert rude.recv(9) == b"HTTP/1.1 "  # it has a sandbox
        answer = client.post("/api/execute", json={"code": "print(1)", "language": "python"})
        assert answer.json()["output"] == "1\n"


def test_hundreds_that_never_finish_their_requests_hinder_nobody(serve: Serve) -> None:
    with (
        serve("native", rate_limit="off", preload="", pool_size=1, body_timeout=2) as server,
        httpx.Client(base_url=server.url, timeout=90) as client,
        contextlib.ExitStack() as stack,
    ):
        program = {"code": "print(1)", "language": "python"}
        assert client.post("/api/execute", json=program).json()["output"] == "1\n"
        before = at_rest(server)
        slow = [stack.enter_context(connect(server)) for _ in range(300)]
        for connection in slow[:150]:
            connection.sendall(head(1000) + b'{"code": "')
        for connection in slow[150:]:
            connection.sendall(b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nX-")
        assert client.post("/api/execute", json=program).json()["output"] == "1\n"
        assert b" 408 " in slow[0].recv(100)
        for connection in slow:
            connection.close()
        assert eventually(lambda: census(server.process.pid) == before), (before, census(server.process.pid))
