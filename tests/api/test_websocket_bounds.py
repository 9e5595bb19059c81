"""What a client can make the server hold and do over a WebSocket, before and after it is heard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from websockets.sync.client import connect

from tests.api.conftest import execute
from tests.api.slow import MB, Peak, Slow, clients, frame
from tests.census import eventually
from tests.conftest import Serve, Server

SETTINGS: dict[str, object] = {"preload": "", "pool_size": 1, "body_timeout": 8, "send_timeout": 3}
CONT, TEXT, PING = 0, 1, 9


@pytest.fixture(scope="module", params=[1, 2], ids=["one-process", "two-workers"])
def bounded(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Server]:
    with serve("native", "--workers", str(request.param), **SETTINGS, rate_limit="off") as server:
        yield server


def address(server: Server) -> str:
    return server.url.replace("http", "ws", 1) + "/api/execute/ws"


def quiet(server: Server) -> bool:
    return not [entry for entry in server.log if "Traceback" in str(entry) or "exception" in str(entry).lower()]


def test_messages_are_not_compressed(bounded: Server) -> None:
    with connect(address(bounded), compression="deflate") as socket:
        assert socket.response is not None
        assert "Sec-WebSocket-Extensions" not in socket.response.headers
        socket.send(json.dumps({"code": "print(1)"}))
        assert json.loads(socket.recv(timeout=30))["type"] == "started"


def test_a_handshake_counts_though_nothing_is_asked(serve: Serve) -> None:
    with serve("native", **SETTINGS, rate_limit="3/minute") as server:
        for _ in range(3):
            with connect(address(server)):
                pass
        with connect(address(server)) as refused:
            problem = json.loads(refused.recv(timeout=30))
        assert (problem["type"], problem["status"]) == ("problem", 429)
        assert 0 < problem["retryAfter"] <= 60
        assert httpx.post(f"{server.url}/api/execute", json={"code": ""}).status_code == 429


def test_one_that_is_refused_is_not_read(serve: Serve) -> None:
    with serve("native", **SETTINGS, rate_limit="1/minute") as server:
        with connect(address(server)):
            pass
        peak = Peak(server)
        for _ in range(5):
            with closing(Slow(server)) as client:
                client.open_websocket()
                try:
                    for _ in range(20):
                        client.frame(b"x" * MB, TEXT)
                except ConnectionError:
                    pass
                peak.look()
        assert peak.bytes < 40 * MB
        assert quiet(server)


@pytest.mark.parametrize("size", [0, 1], ids=["empty", "of-a-byte"])
def test_fragments_cost_what_is_in_them(bounded: Server, size: int) -> None:
    peak = Peak(bounded)
    with clients(bounded, 5) as made:
        for client in made:  # all of them first: whoever is silent before that is closed
            client.open_websocket()
        for client in made:
            piece = frame(b"x" * size, CONT, final=False) * 2000
            try:
                client.frame(b'"', TEXT, final=False)
                for _ in range(100):
                    client.socket.sendall(piece)
            except ConnectionError:
                continue
            peak.look()
        assert peak.watch_until(lambda: all(client.is_gone for client in made), 60)
    assert peak.bytes < 40 * MB
    assert quiet(bounded)


def test_a_message_is_no_larger_than_a_request(bounded: Server) -> None:
    with closing(Slow(bounded)) as client:
        client.open_websocket()
        client.frame(b"[", TEXT, final=False)
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(60):
                client.frame(b"x" * MB, CONT, final=False)
            while client.socket.recv(1 << 16):
                pass
            raise ConnectionResetError
    assert quiet(bounded)


def test_pings_that_nobody_reads_the_answers_of_are_not_answered(bounded: Server) -> None:
    peak = Peak(bounded)
    ping = frame(b"x" * 125, PING) * 500
    with closing(Slow(bounded, window=4096)) as client:
        client.open_websocket()
        client.frame(json.dumps({"code": "import time\ntime.sleep(9)"}).encode())
        client.socket.settimeout(1)
        end = time.monotonic() + 5
        try:
            while time.monotonic() < end:
                client.socket.sendall(ping)
        except OSError:
            pass
    assert peak.look() < 30 * MB


@pytest.mark.parametrize(
    "message",
    [b"\xff\xfe", b"[" * 100_000, json.dumps({"type": "stdin", "data": "\ud800"}).encode()],
    ids=["no-utf-8", "deep", "half-a-character"],
)
@pytest.mark.parametrize("at", ["first", "later"])
def test_no_message_is_an_exception_in_the_log(bounded: Server, message: bytes, at: str) -> None:
    with closing(Slow(bounded)) as client:
        client.open_websocket()
        if at == "later":
            client.frame(json.dumps({"code": "input()", "timeout": 5}).encode())
            client.read()
        client.frame(message)
        client.socket.settimeout(30)
        if b"stdin" not in message or at == "first":
            assert eventually(lambda: not client.read())
    with httpx.Client(base_url=bounded.url, timeout=60) as http:
        assert execute(http, "print(1)")["output"] == "1\n"
    assert quiet(bounded)


def test_one_that_asks_nothing_is_closed(bounded: Server) -> None:
    with closing(Slow(bounded)) as client:
        client.open_websocket()
        client.socket.settimeout(60)
        said = client.read_all()  # the problem, and the end, though it answers no close
    assert b'"status": 408' in said


def test_a_problem_with_a_body_of_many_wrong_fields_is_small(bounded: Server) -> None:
    peak = Peak(bounded)
    many = json.dumps({f"a{n}": 0 for n in range(300_000)}).encode()
    some = json.dumps({f"a{n}": 0 for n in range(1500)}).encode()
    headers = {"Content-Type": "application/json"}
    for body in (many, some):
        answer = httpx.post(f"{bounded.url}/api/execute", content=body, headers=headers, timeout=60)
        assert answer.status_code == 422
        assert len(answer.content) < 32 << 10
        peak.look()
    assert peak.bytes < 40 * MB
    assert len(answer.json()["errors"]) == 100


def test_many_commas_in_a_program_are_no_values(bounded: Server) -> None:
    with httpx.Client(base_url=bounded.url, timeout=60) as http:
        code = f'x = {list(range(20000))}\ntext = "a\\", b"\nprint(len(x), text)'
        assert execute(http, code)["output"] == '20000 a", b\n'
