"""``code-executor status``: a running service in a terminal, as one picture and as JSON."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from code_executor.app.terminal.status import duration
from tests.api.conftest import execute, problem
from tests.api.test_cli import COMMAND, cli, environment
from tests.conftest import Serve, Server


@pytest.fixture(scope="module")
def watched(serve: Serve) -> Iterator[Server]:
    with serve("native", rate_limit="3/hour", request_rate_limit="off", pool_size=2, preload="") as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/api/sessions", json={}).status_code == 201
            execute(client, "print(1)")
            execute(client, "1/0")
            problem(client.post("/api/execute", json={"code": ""}), 429)
        yield server


def test_json_says_how_the_service_is(watched: Server) -> None:
    done = cli("status", "--url", watched.url, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    state = json.loads(done.stdout)
    assert (state["url"], state["engine"], state["ready"], state["why"]) == (watched.url, "native", True, "")
    plain = state["sandboxes"]["plain"]
    assert (plain["busy"], plain["waiting"], plain["ready"]) == (1, 0, True)
    assert (state["runsLimit"], state["queue"]["waiting"], state["queue"]["limit"]) == (2, 0, 1000)
    assert (state["executions"]["completed"], state["executions"]["exception"]) == (1, 1)
    assert (state["refused"]["rate_limit"], state["rates"]["runs"]) == (1, 0)
    assert state["sessions"] == {"open": 1, "limit": 1, "opened": 1}
    assert 0 < state["uptime"] < 600
    assert state["times"]["sinceStart"]
    assert 0 < state["times"]["run"]["p50"] <= state["times"]["run"]["p99"] < 10_000
    assert state["server"]["memory"] > 20e6


def test_what_is_no_terminal_gets_one_picture(watched: Server) -> None:
    done = cli("status", "--url", watched.url.removeprefix("http://"))
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert re.search(
        r"^code-executor [\d.]+ \(native\) at http://127\.0\.0\.1:\d+\nready, up \S+ s$", text, re.MULTILINE
    )
    assert re.search(r"^  plain +\d +1 +\d +\d +0 +0\.0$", text, re.MULTILINE)
    assert "refused   0.0 a second; in all: rate_limit 1, " in text
    assert "sessions  1 of 1 open; 1 opened in all" in text


@contextlib.contextmanager
def in_terminal(*arguments: str) -> Iterator[Callable[[str], str]]:
    """Start it in a terminal; yield what waits for something to be shown. Ctrl-C must end it with 0."""
    ours, its = pty.openpty()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in a shell's background ignore it
    process = subprocess.Popen([*COMMAND, *arguments], env=environment(), stdin=its, stdout=its, stderr=its)
    signal.signal(signal.SIGINT, before)
    os.close(its)
    shown = ""

    def until(wanted: str) -> str:
        nonlocal shown
        deadline = time.monotonic() + 60
        while wanted not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([ours], [], [], 1)[0]:
                shown += os.read(ours, 1 << 16).decode()
        seen, shown = shown, shown.partition(wanted)[2]
        return seen

    try:
        yield until
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_terminal_is_drawn_again_and_again(watched: Server) -> None:
    with in_terminal("status", "--url", watched.url) as until:
        assert "\x1b[H" in until("sandboxes")
        until("Ctrl-C ends this.")
        until("Ctrl-C ends this.")


def test_a_terminal_waits_for_a_service_that_has_gone(serve: Serve) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve("native", pool_size=1, preload=""))
        until = stack.enter_context(in_terminal("status", "--url", server.url))
        until("ready, up")
        server.stop()
        until("nothing answers at")
        until("Ctrl-C ends this.")


def test_where_nothing_answers_it_says_so() -> None:
    done = cli("status", "--url", "http://127.0.0.1:8799")
    assert (done.returncode, done.stdout) == (70, b"")
    assert done.stderr.decode() == (
        "code-executor: nothing answers at http://127.0.0.1:8799: [Errno 111] Connection refused. "
        "Is the server running there? --url names another address.\n"
    )


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (200, b"<html>hello</html>", "what answers at {} is no Code Executor, or an older one"),
        (200, b"code_executor_running 0\n", "what answers at {} is no Code Executor, or an older one"),
        (421, b'{"detail": "no host of mine"}', "{}/metrics answers with HTTP 421: no host of mine"),
    ],
)
def test_what_is_something_else_is_an_error(status: int, body: bytes, why: str) -> None:
    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{other.server_port}"
            done = cli("status", "--url", url)
        finally:
            other.shutdown()
            thread.join()
    assert (done.returncode, done.stderr.decode()) == (70, f"code-executor: {why.format(url)}\n")


def test_an_address_of_another_kind_is_refused() -> None:
    assert b"not an address: 'file:///etc/passwd'" in cli("status", "--url", "file:///etc/passwd").stderr


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        *((None, "-"), (0.04, "0.0 ms"), (999.0, "999.0 ms"), (1500, "1.5 s"), (119_000, "119.0 s")),
        *((600_000, "10 min"), (9_000_000, "2 h 30 min"), (3 * 86_400_000, "3 days")),
    ],
)
def test_durations_are_said_as_one_would(ms: float | None, said: str) -> None:
    assert duration(ms) == said


def test_the_cost_of_what_a_service_has_used(watched: Server) -> None:
    done = cli("cost", "--url", watched.url, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    told = json.loads(done.stdout)
    assert (told["usage"]["runs"], told["usage"]["requests"]) == (2, 3)
    assert 0 < told["usage"]["runSeconds"] < 60
    assert told["usage"]["cpuSeconds"] > 0.1
    assert told["month"]["app"]["price"] == pytest.approx(50.3, abs=1)
    text = cli("cost", "--url", watched.url).stdout.decode()
    assert re.search(r"^Used: 2 runs of [\d.]+ s on average in 0\.\d hours\.$", text, re.MULTILINE)
