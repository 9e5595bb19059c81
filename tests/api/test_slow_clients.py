"""Clients that do not read, or hardly: what they make the server hold, for how long, and who pays for it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.api.conftest import execute, metrics, raw_events
from tests.api.slow import EVENTS, LARGEST, MB, Peak, Slow, clients
from tests.census import eventually
from tests.conftest import Serve, Server

SETTINGS: dict[str, object] = {
    "rate_limit": "off",
    "preload": "",
    "policy": "off",
    "pool_size": 3,
    "queue_timeout": 300,
    "send_timeout": 3,
}
COMPLETED = 'code_executor_executions_total{reason="completed",status="success"}'


@pytest.fixture(scope="module", params=[1, 2], ids=["one-process", "two-workers"])
def impatient(serve: Serve, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that waits 3 seconds for a client to read, answering in one process, or in two."""
    with serve("native", "--workers", str(request.param), **SETTINGS) as server:
        for _ in range(8):
            httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}, timeout=60)
        yield server


def quiet(server: Server) -> bool:
    """Whether nothing went wrong with the server, as its log has it."""
    return not [entry for entry in server.log if "exc" in str(entry).lower() or entry.get("level") == "error"]


@pytest.mark.parametrize(("how", "sources"), [("json", 1), ("json", 5), ("events", 1), ("websocket", 5)], ids=str)
def test_clients_that_read_nothing_cost_little_and_are_gone_soon(impatient: Server, how: str, sources: int) -> None:
    peak = Peak(impatient)
    with clients(impatient, 15, sources) as made:
        for client in made:
            client.ask_for_much(how)
        assert peak.watch_until(lambda: all(client.is_gone for client in made), 110)
    assert peak.bytes < 200 * MB  # 42 to 65 MB each were 630 to 975 MB; with two processes we saw 139 to 171
    with httpx.Client(base_url=impatient.url, timeout=60) as http:
        assert eventually(lambda: metrics(http)["code_executor_owed_bytes"] == 0)
        assert sum(n for name, n in metrics(http).items() if name.startswith("code_executor_aborted_total")) >= 15
        assert execute(http, "print(1)")["output"] == "1\n"
    assert quiet(impatient)


def test_the_largest_answer_reaches_who_reads_while_others_do_not(impatient: Server) -> None:
    with clients(impatient, 6, 2) as made:
        for client in made:
            client.ask_for_much("json")
        answer = httpx.post(f"{impatient.url}/api/execute", json=LARGEST, timeout=100).json()
    assert answer["displays"][0]["content"].count("\ufffd") == len(answer["displays"][0]["content"]) > 8 * MB - 5000
    assert answer["files"][0]["size"] > 7 * MB
    assert answer["output"] == "\ufffd" * 1_000_000


def test_the_largest_answer_reaches_a_client_of_http_1_0_with_its_length(impatient: Server) -> None:
    body = json.dumps(LARGEST)
    with closing(Slow(impatient)) as client:
        fields = ("Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}")
        head = "\r\n".join(("POST /api/execute HTTP/1.0", *fields, "", ""))
        client.socket.sendall((head + body).encode())
        head_of_answer, _, content = client.read_all().partition(b"\r\n\r\n")
    lengths = [line for line in head_of_answer.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    assert lengths == [b"content-length: %d" % len(content)]
    assert json.loads(content)["reason"] == "completed"


@pytest.mark.parametrize("how", ["json", "events"])
def test_who_reads_a_byte_now_and_then_does_not_hold_an_answer_for_ever(serve: Serve, how: str) -> None:
    with (
        serve("native", **{**SETTINGS, "send_timeout": 5, "send_rate": "1m"}) as server,
        closing(Slow(server, window=4096)) as client,
    ):
        client.ask_for_much(how)
        began = time.monotonic()
        while not client.is_gone:
            client.read(4096)
            time.sleep(0.05)  # 80 KB a second
            assert time.monotonic() - began < 60
        assert eventually(lambda: any(entry["event"] == "client_too_slow" for entry in server.log))
    assert {entry["why"] for entry in server.log if entry["event"] == "client_too_slow"} == {"rate"}


@pytest.mark.parametrize("how", ["events", "websocket"])
def test_a_client_that_does_not_read_does_not_hold_its_sandbox(serve: Serve, how: str) -> None:
    with (
        serve("native", **{**SETTINGS, "pool_size": 1, "send_timeout": 60}) as server,
        closing(Slow(server)) as client,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        client.ask_for_much(how)
        assert eventually(
            lambda: metrics(http).get('code_executor_executions_total{reason="completed",status="success"}')
        )
        assert execute(http, "print(1)")["output"] == "1\n"  # in the only sandbox there is
        assert not client.is_gone
        assert eventually(lambda: metrics(http)["code_executor_owed_bytes"] > MB)
    assert quiet(server)


def test_a_slow_reader_is_not_taken_for_a_mute_sandbox(serve: Serve) -> None:
    code = "import time\nprint('x' * 900000, flush=True)\ntime.sleep(0.5)\nprint('end')"
    with serve("native", **{**SETTINGS, "send_timeout": 60}) as server, closing(Slow(server, window=4096)) as client:
        client.post({"code": code, "timeout": 1}, EVENTS, "Connection: close")
        deadline = time.monotonic() + 8  # past the time after which a sandbox counts as mute
        while time.monotonic() < deadline:
            assert not client.is_gone
            time.sleep(0.1)
        answer = client.read_all()
    assert b'"reason": "completed"' in answer
    assert [entry["reason"] for entry in server.log if entry["event"] == "execution"] == ["completed"]
    assert quiet(server)


def test_requests_behind_one_another_cost_no_more_than_one(impatient: Server) -> None:
    peak = Peak(impatient)
    one = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with clients(impatient, 10) as made:
        for client in made:
            client.socket.setblocking(False)
        for _ in range(200):
            for client in made:
                try:
                    client.socket.send(one * 2000)
                except (BlockingIOError, ConnectionError):
                    continue
            peak.look()
        assert peak.watch_until(lambda: all(client.is_gone for client in made), 30)
    assert peak.bytes < 50 * MB


def test_a_file_of_a_session_that_nobody_reads_is_let_go(impatient: Server) -> None:
    with httpx.Client(base_url=impatient.url, timeout=60) as http:
        name = http.post("/api/sessions").json()["id"]
        try:
            http.put(f"/api/sessions/{name}/files/large", content=bytes(8 * MB - 1))
            peak = Peak(impatient)
            with clients(impatient, 10) as made:
                for client in made:
                    client.ask("GET", f"/api/sessions/{name}/files/large")
                assert peak.watch_until(lambda: all(client.is_gone for client in made), 60)
            assert peak.bytes < 80 * MB
            assert len(http.get(f"/api/sessions/{name}/files/large").content) == 8 * MB - 1
        finally:
            http.delete(f"/api/sessions/{name}")


def test_the_last_event_does_not_repeat_what_was_streamed(impatient: Server) -> None:
    code = "import sys\nprint('one')\nprint('two', file=sys.stderr)\nopen('f', 'w').write('x')\nwhile True: pass"
    request: dict[str, Any] = {"code": code, "timeout": 1}
    with httpx.stream(
        "POST", f"{impatient.url}/api/execute", json=request, headers={"Accept": "text/event-stream"}, timeout=60
    ) as response:
        *_, (name, result) = raw_events(response.iter_lines())
    assert name == "result"
    assert (result["output"], result["files"], result["displays"]) == ("", [], [])
    assert result["error"] == "Execution exceeded 1 second timeout"
    assert result["streamed"] == {"stdout": 4, "stderr": 4, "displays": 0, "files": 1}
