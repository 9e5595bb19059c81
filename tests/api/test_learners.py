"""Learners over HTTP and WebSockets: limits of their own, sessions of their own, and no name in any log."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.api.conftest import problem
from tests.api.test_keys import PROGRAM, SETTINGS, attempt, made
from tests.conftest import Serve, Server

ADA, BOB = "ada.lovelace@school.example", "Бобби"


class Course:
    """A server, a platform's key, and a key that may not name learners."""

    def __init__(self, server: Server, data: str, key: str, narrow: str) -> None:
        self.server, self.data, self.key, self.narrow = server, data, key, narrow

    def token(self, learner: str, *more: str) -> str:
        done = attempt(self.data, "token", "moodle", "--learner", learner, *more)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def ask(self, method: str, path: str, token: str = "", **headers: str | bytes) -> httpx.Response:
        sent: dict[str, Any] = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        body = PROGRAM if method == "POST" else None
        return httpx.request(method, f"{self.server.url}{path}", json=body, headers=sent, timeout=60)

    def run(self, token: str = "", **headers: str | bytes) -> httpx.Response:
        return self.ask("POST", "/api/execute", token, **headers)


@pytest.fixture(scope="module")
def course(serve: Serve) -> Iterator[Course]:
    with tempfile.TemporaryDirectory() as data:
        key = made(data, "moodle", "--rate", "200/hour", "--learner-rate", "3/hour")
        narrow = made(data, "narrow", "--scope", "run,check")
        with serve("native", data=data, sessions=4, **{**SETTINGS, "pool_size": 4}) as server:
            yield Course(server, data, key, narrow)


def test_each_learner_has_limits_of_its_own_however_it_is_named(course: Course) -> None:
    token = course.token(ADA)
    answers = [course.run(token), course.run(course.key, X_Learner=ADA), course.run(token), course.run(token)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == '3;w=3600;name="learner"'
    assert "for this learner" in problem(answers[3], 429)
    assert course.run(course.token(BOB)).status_code == 200
    assert course.run(course.key).headers["ratelimit-policy"] == '200;w=3600;name="key"'


def test_a_session_is_its_learners_alone(course: Course) -> None:
    mine, others = course.token("one"), course.token("another")
    opened = httpx.post(f"{course.server.url}/api/sessions", headers={"Authorization": f"Bearer {mine}"}, timeout=60)
    assert opened.status_code == 201, opened.text
    path = opened.headers["location"]
    assert course.ask("GET", path, mine).status_code == 200
    for stranger in (others, course.key):
        assert course.ask("GET", path, stranger).status_code == 404
        assert course.ask("DELETE", path, stranger).status_code == 404
    assert course.ask("GET", path, course.key, X_Learner="one").status_code == 200
    assert course.ask("DELETE", path, mine).status_code == 204


def test_only_who_may_name_a_learner_is_believed(course: Course) -> None:
    for credential in (course.narrow, course.token(ADA)):
        for named in ({"X_Learner": "eve"}, {"X_Course": "cs1"}):
            response = course.run(credential, **named)
            assert problem(response, 403) == "This needs a key with the scope learner:any."
            assert response.json()["scope"] == "learner:any"


def test_names_come_once_and_are_names(course: Course) -> None:
    for name in (b"", b"x" * 129, b"\xff", b"a\tb"):
        assert "X-Learner must" in problem(course.run(course.key, X_Learner=name), 400)
    twice = [("Authorization", f"Bearer {course.key}"), ("X-Learner", "a"), ("X-Learner", "b")]
    response = httpx.post(f"{course.server.url}/api/execute", json=PROGRAM, headers=twice)
    assert problem(response, 400) == "A request must have one X-Learner and one X-Course at most."
    lookalike = course.run(course.key, X_Learner="ünïcode".encode())
    assert lookalike.headers["ratelimit-policy"].endswith('name="learner"')


def test_a_token_is_for_what_it_says(course: Course) -> None:
    checks = course.token("checker", "--scope", "check")
    assert problem(course.run(checks), 403) == "This needs a key with the scope run."
    assert course.ask("POST", "/api/check", checks).status_code == 200
    assert problem(course.ask("GET", "/metrics", course.token("m")), 403).endswith("scope metrics.")


def test_what_is_no_token_is_told_nothing(course: Course) -> None:
    good = course.token("good")
    for token in (good[:-1], good + "x", "a.b.c", good.replace(".", ".."), "eyJhbGciOiJub25lIn0.e30.", "x" * 9000):
        assert problem(course.run(token), 401) == "The key or token is not valid."
    both = course.run(good, X_API_Key=course.key)
    assert problem(both, 401) == "A request must have one key or token."


# ---- WebSockets


def socket_answer(course: Course, *offered: str) -> tuple[str | None, list[str]]:
    """Open one as a browser does; return the protocol that was chosen, and the kinds of what came."""
    address = course.server.url.replace("http", "ws") + "/api/execute/ws"
    with connect(address, subprotocols=[Subprotocol(each) for each in offered] or None, proxy=None) as socket:
        with contextlib.suppress(ConnectionClosed):  # whoever is over its limit may be told before it has sent anything
            socket.send(json.dumps(PROGRAM))
        kinds = []
        with contextlib.suppress(ConnectionClosed):
            while True:
                kinds.append(json.loads(socket.recv(timeout=60))["type"])
        return socket.subprotocol, kinds


def test_a_browser_shows_its_token_as_a_protocol_of_a_websocket(course: Course) -> None:
    token = course.token("browser")
    chosen, events = socket_answer(course, "code-executor", f"code-executor.token.{token}")
    assert (chosen, events[0], events[-1]) == ("code-executor", "started", "result")


def test_a_websocket_without_a_good_token_is_not_opened(course: Course) -> None:
    good = course.token("browser2")
    for offered in (
        ("code-executor",),
        ("code-executor", "code-executor.token."),
        ("code-executor", f"code-executor.token.{good[:-1]}"),
        ("code-executor", f"code-executor.token.{good}", f"code-executor.token.{course.token('browser3')}"),
        (good,),
    ):
        with pytest.raises(InvalidStatus) as caught:
            socket_answer(course, *offered)
        assert caught.value.response.status_code == 401


def test_a_protocol_counts_on_websockets_alone(course: Course) -> None:
    token = course.token("browser4")
    assert course.run(Sec_WebSocket_Protocol=f"code-executor.token.{token}").status_code == 401


def test_a_learner_is_limited_on_a_websocket_too(course: Course) -> None:
    offered = ("code-executor", f"code-executor.token.{course.token('busy')}")
    ends = [socket_answer(course, *offered)[1][-1] for _ in range(4)]
    assert ends == ["result", "result", "result", "problem"]


# ---- what is kept


def test_no_name_of_a_learner_is_in_the_log(course: Course) -> None:
    course.run(course.key, X_Learner="grace.hopper", X_Course="cs1")
    course.run(course.token("grace.hopper"))
    lines = [line for line in course.server.log if line["event"] == "execution" and line.get("course") == "cs1"]
    assert lines
    assert re.fullmatch(r"[0-9a-f]{32}", str(lines[-1]["learner"]))
    logged = str(course.server.log)
    for name in ("grace", "hopper", "lovelace", BOB, "Bearer", course.key[12:]):
        assert name not in logged


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nobody", "--learner", "a"), "there is no valid key nobody"),
        (("moodle", "--learner", ""), "--learner must have 1 to 128 bytes"),
        (("moodle", "--learner", "a", "--valid", "2h"), "a token is valid for 60 minutes at most"),
        (("moodle", "--learner", "a", "--scope", "everything"), "there is no scope 'everything'"),
    ],
)
def test_the_command_says_what_is_wrong(course: Course, arguments: tuple[str, ...], why: str) -> None:
    done = attempt(course.data, "token", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (70, "", 1)
    assert why in done.stderr
