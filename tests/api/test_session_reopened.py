"""Sessions over HTTP: listed, restarted, and found again after a lost answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.api.conftest import problem
from tests.api.test_sessions import WITHIN, run, until_state
from tests.conftest import Serve, Server

FILES = [{"path": "data.txt", "content": "given"}]


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def sessions(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Server]:
    settings = {"pool_size": 4, "sessions": 3, "sessions_per_client": 2, "trusted_proxies": "127.0.0.1"}
    with serve("native", workers=request.param, rate_limit="off", preload="", policy="off", **settings) as running:
        yield running


@pytest.fixture
def http(sessions: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sessions.url, timeout=60) as client:
        yield client
        for session in client.get("/api/sessions").json()["sessions"]:
            client.delete(f"/api/sessions/{session['id']}")


def ids(http: httpx.Client, **headers: str) -> list[str]:
    return [each["id"] for each in http.get("/api/sessions", headers=headers).json()["sessions"]]


def test_a_client_lists_its_sessions_and_not_those_of_others(http: httpx.Client) -> None:
    assert ids(http) == []
    own = [http.post("/api/sessions").json()["id"] for _ in range(2)]
    other = {"X-Forwarded-For": "203.0.113.9"}
    theirs = http.post("/api/sessions", headers=other).json()["id"]
    run(http, f"/api/sessions/{own[1]}", "1")
    assert ids(http) == own
    assert ids(http, **other) == [theirs]
    listed = http.get("/api/sessions").json()["sessions"]
    assert [(each["state"], each["cells"]) for each in listed] == [("idle", 0), ("idle", 1)]
    assert 0 <= listed[1]["age"] <= listed[0]["age"] < 60
    http.delete(f"/api/sessions/{theirs}", headers=other)


def test_a_lost_answer_to_opening_is_given_again_to_who_has_the_key(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "tab-1"}
    first = http.post("/api/sessions", json={"files": FILES}, headers=key)
    again = http.post("/api/sessions", json={"files": FILES}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    assert ids(http) == [first.json()["id"]]
    assert "other `files`" in problem(http.post("/api/sessions", headers=key), 409)
    for interactive in (True, False):
        body = {"files": FILES, "interactive": interactive}
        assert "`interactive`" in problem(http.post("/api/sessions", json=body, headers=key), 409)
    assert problem(http.post("/api/sessions", headers={"Idempotency-Key": "x" * 256}), 422)


def test_a_restarted_session_has_the_files_it_was_opened_with_and_nothing_else(http: httpx.Client) -> None:
    address = http.post("/api/sessions", json={"files": FILES}).headers["location"]
    run(http, address, "x = open('data.txt').read(); open('data.txt', 'w').write('changed'); open('made', 'w').close()")
    http.put(f"{address}/files/put", content=b"")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(run(http, address, "print('said'); input()")))
    thread.start()
    until_state(http, address, "waiting")
    restarted = http.post(f"{address}/restart")
    assert restarted.status_code == 200, restarted.text
    thread.join(WITHIN)
    assert (answers[0]["reason"], answers[0]["output"]) == ("cancelled", "said\n")
    assert (address.rpartition("/")[2], 0) == (restarted.json()["id"], restarted.json()["cells"])
    code = "import os; 'x' in globals(), open('data.txt').read(), os.listdir()"
    assert run(http, address, code)["output"] == "(False, 'given', ['data.txt'])\n"
    problem(http.post("/api/sessions/none/restart"), 404)


def test_a_lost_answer_of_a_cell_is_given_again(http: httpx.Client) -> None:
    address = http.post("/api/sessions").headers["location"]
    assert problem(http.get(f"{address}/cells/1"), 404)
    answer = run(http, address, "open('a', 'w').write('1'); print('seen'); 42")
    assert (answer["output"], [file["path"] for file in answer["files"]]) == ("seen\n42\n", ["a"])
    number = http.get(address).json()["cells"]
    assert http.get(f"{address}/cells/{number}").json() == answer
    assert "cell 1" in problem(http.get(f"{address}/cells/2"), 404)
    assert http.get(f"{address}/cells/x").status_code == 422


def test_where_sessions_are_not_listed_nobody_sees_them(serve: Serve) -> None:
    settings = {"session_list": "false", "preload": "", "pool_size": 2}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        assert http.post("/api/sessions").status_code == 201
        assert problem(http.get("/api/sessions"), 404) == "This service has no list of sessions."
