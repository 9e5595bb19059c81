"""Clients that mean no good, before the application hears of them: what they cost, and whether others notice."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.test_serving import workers_of
from tests.census import eventually
from tests.conftest import Serve, Server

MB = 1 << 20
GROWTH = 48 * MB
"""Bytes that an attack may cost the server: far less than it sends."""

PATIENCE = 10.0
"""Seconds in which somebody else is answered, on a slow machine."""

WITHIN = 2
"""Seconds that a request may take to arrive, here."""

SLOW = {"code": "import time\ntime.sleep(3)\nprint('done')"}


@pytest.fixture(scope="module", params=["1", "2"])
def server(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Server]:
    settings = {"preload": "", "pool_size": 2, "rate_limit": "off", "body_timeout": WITHIN}
    with serve("native", "--workers", request.param, **settings) as running:
        yield running


def address(server: Server) -> tuple[str, int]:
    url = httpx.URL(server.url)
    return url.host, url.port or 80


@contextlib.contextmanager
def connection(server: Server, data: bytes = b"", source: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.create_connection(address(server), timeout=60, source_address=(source, 0)) as connected:
        connected.sendall(data)
        yield connected


def everything(connected: socket.socket) -> bytes:
    """Read until the server closes."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connected.recv(1 << 16):
            received += data
    return received


def flood(connected: socket.socket, piece: bytes, size: int) -> bytes:
    """Send pieces until the server has enough; return its answer."""
    with contextlib.suppress(ConnectionError):
        for _ in range(size // len(piece)):
            connected.sendall(piece)
    return everything(connected)


def memory(server: Server) -> int:
    """Return bytes of resident memory of the processes that answer."""
    pids = [server.process.pid, *workers_of(server)]
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return sum(int(status.partition("VmRSS:")[2].split()[0]) << 10 for status in statuses)


@contextlib.contextmanager
def unimpressed(server: Server) -> Iterator[None]:
    """Make sure that what happens in the block neither grows the server nor keeps others waiting."""
    over = threading.Event()
    slowest = [0.0]

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not over.is_set():
                began = time.monotonic()
                assert client.get("/healthz").status_code == 200
                slowest[0] = max(slowest[0], time.monotonic() - began)

    asking = threading.Thread(target=ask)
    before = memory(server)
    asking.start()
    try:
        yield
        grown = memory(server) - before
    finally:
        over.set()
        asking.join()
    assert grown < GROWTH, f"{grown / MB:.0f} MB"
    assert slowest[0] < PATIENCE


def refused(answer: bytes, *statuses: int) -> None:
    """Make sure that the answer is a problem, or that there is none: who still sends may not hear it."""
    if answer:
        head, _, body = answer.rpartition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert status in statuses, answer
        assert json.loads(body)["status"] == status
        assert b"application/problem+json" in head
        assert b"Connection: close" in head


# ---- heads

POST = b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LINE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (LINE, b"x-filler: " + b"a" * 8000 + b"\r\n"),
        (LINE, b"a:b\r\n" * 1000),
        (LINE + b"x-filler: ", b"a" * 8000),
        (LINE, b"a" * 8000),
        (b"GET /", b"a" * 8000),
        (b"GET /?", b"a" * 8000),
        (b"", b"\r\n" * 4000),
        (b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 8000),
        (b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 1000),
        (b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a:b\r\n" * 999),
        (b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na:", b"a" * 8000),
        (LINE + b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"x-filler: " + b"a" * 8000 + b"\r\n"),
        (LINE + b"Content-Length: 99999999999\r\n\r\n", b"a" * 8000),
    ],
    ids=[
        "large fields",
        "many fields",
        "one field",
        "one name",
        "path",
        "query",
        "empty lines",
        "extension of a chunk",
        "tiny chunks",
        "many trailers",
        "one trailer",
        "handshake",
        "body that nobody reads",
    ],
)
def test_a_request_without_end_costs_little_and_is_cut_off(server: Server, begin: bytes, piece: bytes) -> None:
    with unimpressed(server), connection(server, begin) as connected:
        flood(connected, piece, 60 * MB)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (LINE + b"a: b\r\n" * 100 + b"\r\n", 431),
        (LINE + b"a: " + b"b" * (64 << 10) + b"\r\n\r\n", 431),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (LINE + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    ],
    ids=["fields", "bytes", "URL", "TLS", "HTTP/2", "CONNECT", "two lengths"],
)
def test_what_is_no_request_of_ours_is_told_so_and_the_connection_ends(
    server: Server, request_: bytes, status: int
) -> None:
    with connection(server, request_) as connected:
        answer = everything(connected)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    refused(answer, status)


def test_a_head_that_is_just_small_enough_is_answered(server: Server) -> None:
    fields = {f"x-{number}": "a" * 7000 for number in range(8)} | {f"y-{number}": "b" for number in range(80)}
    answer = httpx.get(f"{server.url}/healthz?{'q' * 8000}", headers=fields, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize("begin", [b"", b"GET", LINE, LINE + b"x: ", LINE + b"\r\n" + LINE])
def test_who_does_not_finish_a_head_is_shown_out(server: Server, begin: bytes) -> None:
    with connection(server, begin) as connected:
        began = time.monotonic()
        answer = everything(connected)
        assert time.monotonic() - began < 30
    assert answer.count(b"HTTP/1.1 200") == begin.count(b"\r\n\r\n")
    assert (b"HTTP/1.1 408" in answer) == bool(begin)


def test_who_sends_a_head_byte_by_byte_is_too(server: Server) -> None:
    with connection(server, LINE) as connected:
        connected.settimeout(0.05)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 30:
                connected.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    if connected.recv(1 << 16).startswith(b"HTTP/1.1 408"):
                        break
        assert time.monotonic() - began < 30


def test_requests_sent_ahead_without_end_are_not_kept(server: Server) -> None:
    body = json.dumps(SLOW).encode()
    begin = (
        b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with unimpressed(server), connection(server, begin % len(body) + body) as connected:
        flood(connected, (LINE + b"\r\n") * 1000, 20 * MB)


def test_a_few_requests_sent_ahead_are_answered_in_order(server: Server) -> None:
    ahead = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\n" for path in ("/healthz", "/nowhere", "/readyz", "/healthz")]
    with connection(server, ("\r\n".join(ahead) + "Connection: close\r\n\r\n").encode()) as connected:
        answer = everything(connected)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"404", b"200", b"200"]


def test_garbage_after_a_request_does_not_get_into_its_answer(server: Server) -> None:
    body = json.dumps(SLOW).encode()
    begin = (
        b"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with connection(server, begin % len(body) + body) as connected:
        time.sleep(0.5)  # or the garbage would be read with the request
        with contextlib.suppress(ConnectionError):
            connected.sendall(b"\0\0\0\r\n\r\n")
        assert everything(connected) in (b"", b"HTTP/1.1 200 OK")


# ---- handshakes

KEY = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
SHAKE = b"GET /api/execute/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" + KEY


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (SHAKE + b"x: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (SHAKE + b"Transfer-Encoding: chunked\r\n\r\n", 400),
        (SHAKE + b"Content-Length: 5\r\n\r\n", 400),
        (SHAKE.replace(b"GET", b"POST") + b"\r\n", 405),
        (SHAKE.replace(b"/ws", b"/ws?" + b"a" * 8100) + b"\r\n", 414),
    ],
    ids=["large field", "chunks", "body", "method", "URL"],
)
def test_a_handshake_that_is_none_is_answered_and_the_connection_ends(
    server: Server, request_: bytes, status: int
) -> None:
    with connection(server, request_) as connected:
        assert b"%d" % status in everything(connected).split(b"\r\n")[0]


# ---- bodies that nobody reads


def test_a_body_for_a_session_that_does_not_exist_is_not_read(server: Server) -> None:
    for method, path in (("POST", "stdin"), ("POST", "cells"), ("PUT", "files/a.txt"), ("POST", "restart")):
        head = f"{method} /api/sessions/nobody/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with connection(server, f"{head}Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n".encode()) as connected:
            answer = everything(connected)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"connection: close" in answer
        assert b"100 Continue" not in answer


def test_who_waits_for_leave_to_send_a_body_gets_it(server: Server) -> None:
    body = json.dumps({"code": "print(1)"}).encode()
    begin = POST + b"Connection: close\r\n"
    with connection(server, begin + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)) as connected:
        assert connected.recv(1 << 16).startswith(b"HTTP/1.1 100 Continue")
        connected.sendall(body)
        assert everything(connected).startswith(b"HTTP/1.1 200 ")


# ---- connections


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_crowd_of_silent_connections_keeps_nobody_out(serve: Serve, workers: str) -> None:
    settings = {"preload": "", "pool_size": 2, "rate_limit": "off"}
    scarce = ("prlimit", "--nofile=128:128")
    with serve("native", "--workers", workers, through=scarce, **settings) as server, contextlib.ExitStack() as stack:
        before = httpx.Client(base_url=server.url, timeout=PATIENCE)
        stack.enter_context(before)
        assert before.get("/healthz").status_code == 200
        for _ in range(150):
            with contextlib.suppress(ConnectionError):
                stack.enter_context(connection(server, source="127.0.0.2"))
        for _ in range(20):
            answer = httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}, timeout=PATIENCE)
            assert answer.json()["output"] == "1\n"
        assert before.get("/healthz").status_code == 200
        assert eventually(lambda: any(entry["event"] == "connections_refused" for entry in server.log))
        lines = [entry for entry in server.log if entry["event"] == "connections_refused"]
        assert {entry["client"] for entry in lines} == {"127.0.0.2"}
        assert len(lines) <= 2 * int(workers)


def test_who_has_too_many_connections_is_told_so_and_may_come_again(serve: Serve) -> None:
    with serve("native", preload="", pool_size=1, connections_per_client=3) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connection(server))
            with connection(server) as fourth:
                answer = everything(fourth)
            assert answer.startswith(b"HTTP/1.1 429 ")
            refused(answer, 429)
            with connection(server, LINE + b"\r\n", source="127.0.0.2") as other:
                assert other.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        assert eventually(lambda: httpx.get(f"{server.url}/healthz").status_code == 200)


def test_websockets_count_as_connections_for_as_long_as_they_live(serve: Serve) -> None:
    with serve("native", preload="", pool_size=1, connections_per_client=2) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(2):
                shaken = stack.enter_context(connection(server, SHAKE + b"\r\n"))
                assert shaken.recv(1 << 16).startswith(b"HTTP/1.1 101 ")
            with connection(server, LINE + b"\r\n") as third:
                assert everything(third).startswith(b"HTTP/1.1 429 ")
        assert eventually(lambda: httpx.get(f"{server.url}/healthz").status_code == 200)


def test_a_trusted_proxy_has_no_limit_of_its_own(serve: Serve) -> None:
    settings = {"preload": "", "pool_size": 1, "connections_per_client": 2, "trusted_proxies": "127.0.0.2"}
    with serve("native", **settings) as server, contextlib.ExitStack() as stack:
        for _ in range(10):
            proxied = stack.enter_context(connection(server, LINE + b"\r\n", source="127.0.0.2"))
            assert proxied.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
