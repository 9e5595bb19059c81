"""The WebSocket: a program asks, somebody answers, Stop stops it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from websockets import Origin
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.api.conftest import Whole
from tests.conftest import Serve, Server

PROGRAM = """
def work():  # CPython 3.11 lets an interrupt of a bare `while True` go past its own `try`
    name = input("Name? ")
    print("Hello,", name)
    while True:
        pass

try:
    work()
except KeyboardInterrupt:
    print("stopped")
"""


SMALL = {"rate_limit": "off", "preload": "", "pool_size": 1}


class Session:
    """One run over a WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._whole = Whole()
        self.events: list[dict[str, Any]] = []

    def say(self, **message: object) -> None:
        self._socket.send(json.dumps(message))

    def until(self, kind: str) -> dict[str, Any]:
        """Take events until one of this kind comes."""
        while True:
            sent = json.loads(self._socket.recv(timeout=30))
            event = self._whole.take(sent["type"], sent)
            self.events.append(event)
            if event["type"] == kind:
                return event

    def written(self) -> str:
        return "".join(event["data"] for event in self.events if event["type"] == "stdout")

    def until_written(self, text: str) -> None:
        while text not in self.written():
            self.until("stdout")


@contextmanager
def running(server: Server, **request: object) -> Iterator[Session]:
    url = server.url.replace("http", "ws", 1) + "/api/execute/ws"
    with connect(url, max_size=1 << 25) as socket:
        session = Session(socket)
        session.say(**request)
        yield session


def test_input_is_asked_for_and_an_interrupt_is_a_keyboard_interrupt(server: Server) -> None:
    with running(server, code=PROGRAM) as session:
        assert session.until("started")["rateLimit"] is None
        session.until("waiting")
        assert session.written() == "Name? "
        session.say(type="stdin", data="Ada\n")
        session.until_written("Hello, Ada\n")
        session.say(type="interrupt")
        result = session.until("result")
    assert (result["status"], result["reason"]) == ("success", "completed")
    assert result["output"] == "Name? Hello, Ada\nstopped\n"


def test_time_spent_waiting_for_the_human_does_not_count(server: Server) -> None:
    with running(server, code="input()\nprint('in time')", timeout=0.5) as session:
        session.until("waiting")
        with pytest.raises(TimeoutError):  # nothing happens for longer than the run may take
            session._socket.recv(timeout=1)
        session.say(type="stdin", data="\n")
        result = session.until("result")
    assert result["output"] == "in time\n"
    assert result["executionTime"] < 500


def test_waiting_has_a_limit_of_its_own(serve: Serve) -> None:
    with (
        serve("native", **SMALL, input_timeout=1) as server,
        running(server, code="print('well?')\ninput()") as session,
    ):
        result = session.until("result")
    assert (result["status"], result["reason"], result["output"]) == ("timeout", "input_time", "well?\n")
    assert result["error"] == "Your program waited too long for input."


def test_cancel_ends_a_program_that_ignores_interrupts(server: Server) -> None:
    code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf')\nwhile True: pass"
    with running(server, code=code) as session:
        session.until_written("deaf\n")
        session.say(type="interrupt")
        session.say(type="cancel")
        result = session.until("result")
    assert (result["reason"], result["output"]) == ("cancelled", "deaf\n")


def test_an_interrupted_program_is_cancelled(server: Server) -> None:
    with running(server, code="print('on')\nwhile True: pass") as session:
        session.until_written("on\n")
        session.say(type="interrupt")
        result = session.until("result")
    assert result["reason"] == "cancelled"
    assert "KeyboardInterrupt" in result["error"]


def test_end_of_input_is_end_of_file(server: Server) -> None:
    with running(server, code="import sys\nprint(repr(sys.stdin.read()))") as session:
        session.until("waiting")
        session.say(type="stdin", data="zwölf")
        session.say(type="eof")
        assert session.until("result")["output"] == "'zwölf'\n"


def test_stdin_of_the_request_comes_first(server: Server) -> None:
    with running(server, code="print(input(), input())", stdin="one\n") as session:
        session.until("waiting")
        session.say(type="stdin", data="two\n")
        assert session.until("result")["output"] == "one two\n"


def test_a_client_that_goes_away_stops_its_run(server: Server, client: httpx.Client) -> None:
    def cancelled() -> float:
        lines = client.get("/metrics").text.splitlines()
        counts = [line for line in lines if line.startswith("code_executor_executions_total") and "cancelled" in line]
        return float(counts[0].split()[-1]) if counts else 0.0

    before = cancelled()
    with running(server, code="print('on', flush=True)\nwhile True: pass") as session:
        session.until("stdout")
    while cancelled() == before:
        pass
    assert client.post("/api/execute", json={"code": "print(1)"}).json()["output"] == "1\n"


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("no json", 400),
        ("{}", 422),
        ('{"code": 1}', 422),
        ('{"code": "", "timeout": 31}', 422),
        ('{"code": "", "language": "cobol"}', 422),
    ],
)
def test_a_bad_request_is_a_problem(server: Server, message: str, status: int) -> None:
    with connect(server.url.replace("http", "ws", 1) + "/api/execute/ws") as socket:
        socket.send(message)
        problem = json.loads(socket.recv(timeout=30))
        assert (problem["type"], problem["status"]) == ("problem", status)
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)


def test_a_bad_message_is_a_problem_and_ends_the_run(server: Server) -> None:
    with running(server, code="while True: pass") as session:
        session.until("started")
        session.say(type="launch")
        assert session.until("problem")["status"] == 400


def test_more_input_than_allowed_is_a_problem(serve: Serve) -> None:
    with (
        serve("native", **SMALL, max_stdin="1k") as server,
        running(server, code="while True: pass") as session,
    ):
        session.say(type="stdin", data="x" * 1025)
        assert session.until("problem")["status"] == 413


def test_runs_are_counted_over_the_websocket_too(serve: Serve) -> None:
    with (
        serve("native", **{**SMALL, "rate_limit": "1/minute"}) as server,
        running(server, code="print(1)") as session,
    ):
        assert session.until("started")["rateLimit"]["remaining"] == 0
        session.until("result")
        with connect(server.url.replace("http", "ws", 1) + "/api/execute/ws") as another:  # it is not even listened to
            problem = json.loads(another.recv(timeout=30))
        assert (problem["status"], 0 < problem["retryAfter"] <= 60) == (429, True)


def test_pages_of_other_origins_are_refused_unless_they_are_listed(serve: Serve) -> None:
    with serve("native", **SMALL, allowed_origins="https://course.example") as server:
        url = server.url.replace("http", "ws", 1) + "/api/execute/ws"
        with pytest.raises(Exception, match="403"), connect(url, origin=Origin("https://evil.example")):
            pass
        for origin in ("https://course.example", server.url):
            with connect(url, origin=Origin(origin)) as socket:
                socket.send('{"code": "print(1)"}')
                assert json.loads(socket.recv(timeout=30))["type"] == "started"
        answer = httpx.post(
            f"{server.url}/api/execute", json={"code": "print(1)"}, headers={"Origin": "https://course.example"}
        )
        assert answer.headers["access-control-allow-origin"] == "https://course.example"


def test_workers_pass_inputs_on(serve: Serve) -> None:
    with (
        serve("native", "--workers", "2", **SMALL) as server,
        running(server, code=PROGRAM) as session,
    ):
        session.until("waiting")
        session.say(type="stdin", data="Ada\n")
        session.until_written("Hello, Ada\n")
        session.say(type="interrupt")
        assert session.until("result")["output"].endswith("stopped\n")
