"""Sessions over HTTP: by one process, and by workers that reach the sessions through the broker."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from code_executor.app import preloads
from tests.api.conftest import events, metrics, problem
from tests.conftest import Serve, Server

WITHIN = 30.0


KINDS = {"docker": ("docker", 1), "docker, two workers": ("docker", 2), "native": ("native", 1)}


@pytest.fixture(scope="module", params=list(KINDS.values()), ids=list(KINDS))
def sessions(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Server]:
    engine, workers = request.param
    if engine == "docker":
        request.getfixturevalue("docker")
    settings = {"rate_limit": "off", "pool_size": 3, "preload": "", "sessions_per_client": 2, "max_timeout": 10}
    with serve(engine, workers=workers, **settings) as running:
        yield running


@pytest.fixture
def http(sessions: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sessions.url, timeout=60) as client:
        yield client


@pytest.fixture
def session(http: httpx.Client) -> Iterator[str]:
    """The address of an open session."""
    response = http.post("/api/sessions")
    assert response.status_code == 201, response.text
    address = response.headers["location"]
    assert address == f"/api/sessions/{response.json()['id']}"
    yield address
    http.delete(address)


def run(http: httpx.Client, session: str, code: str, **more: Any) -> dict[str, Any]:
    response = http.post(f"{session}/cells", json={"code": code, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def state(http: httpx.Client, session: str) -> str:
    answer = http.get(session)
    return str(answer.json()["state"]) if answer.status_code == 200 else "over"


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN
    while not true():
        assert time.monotonic() < deadline


def until_state(http: httpx.Client, session: str, wanted: str) -> None:
    until(lambda: state(http, session) == wanted)


def test_cells_share_their_state_and_answer_as_runs_do(http: httpx.Client, session: str) -> None:
    assert run(http, session, "x = 41")["status"] == "success"
    answer = run(http, session, "print('seen')\nx + 1")
    assert (answer["reason"], answer["output"]) == ("completed", "seen\n42\n")
    failed = run(http, session, "1\nx / 0")
    assert (failed["status"], failed["reason"], failed["line"]) == ("error", "exception", 2)
    refused = run(http, session, "import os")
    assert (refused["reason"], refused["problems"][0]["line"]) == ("policy", 1)
    assert run(http, session, "x")["output"] == "41\n"
    shown = http.get(session).json()
    assert (shown["state"], shown["cells"], shown["idleTimeout"]) == ("idle", 5, 600)
    assert 3000 < shown["expiresIn"] <= 3600


def test_files_are_there(http: httpx.Client) -> None:
    files = [{"path": "data/a.csv", "content": "a,b\n1,2\n"}]
    address = http.post("/api/sessions", json={"files": files}).headers["location"]
    assert run(http, address, "import numpy\nnumpy.loadtxt('data/a.csv', skiprows=1, delimiter=',')")["output"] == (
        "array([1., 2.])\n"
    )
    assert http.delete(address).status_code == 204


def test_a_cell_streams_waits_and_is_given_its_input(http: httpx.Client, session: str) -> None:
    body = {"code": "print('hello', input('who? '))"}
    seen = []
    with http.stream("POST", f"{session}/cells", json=body, headers={"Accept": "text/event-stream"}) as response:
        for name, data in events(response.iter_lines()):
            seen.append(name)
            if name == "waiting":
                assert state(http, session) == "waiting"
                assert http.post(f"{session}/stdin", json={"data": "Ada\n"}).status_code == 204
            elif name == "result":
                assert data["output"] == "who? hello Ada\n"
    assert seen[0] == "started"
    assert seen.index("stdout") < seen.index("waiting") < seen.index("result")


def test_the_input_of_a_cell_ends_where_it_was_given_or_where_it_is_said_to(http: httpx.Client, session: str) -> None:
    read = "import sys\nsys.stdin.read()"
    assert run(http, session, read, stdin="a\n")["value"] == "'a\\n'"
    assert run(http, session, "input()", interactive=False)["exception"]["type"] == "EOFError"
    assert run(http, session, "input()", stdin="")["exception"]["type"] == "EOFError"
    with http.stream(
        "POST", f"{session}/cells", json={"code": read}, headers={"Accept": "text/event-stream"}
    ) as response:
        told = False  # it may wait once more, between the data and the end
        for name, data in events(response.iter_lines()):
            if name == "waiting" and not told:
                told = True
                assert http.post(f"{session}/stdin", json={"data": "b", "eof": True}).status_code == 204
                again = http.post(f"{session}/stdin", json={"data": "c"})  # or it is over by now
                assert problem(again, 409) in (
                    "The cell takes no more input: its stdin has ended.",
                    "No cell is running.",
                )
            elif name == "result":
                assert data["value"] == "'b'"
    problem(http.post(f"{session}/stdin", json={}), 422)


def test_a_session_says_for_all_its_cells_that_nobody_types(http: httpx.Client) -> None:
    address = http.post("/api/sessions", json={"interactive": False}).headers["location"]
    assert run(http, address, "input()")["exception"]["type"] == "EOFError"
    assert http.delete(address).status_code == 204


def test_a_cell_that_waits_for_nobody_ends_with_its_timeout(http: httpx.Client, session: str) -> None:
    assert run(http, session, "input()", timeout=0.5)["reason"] == "wall_time"


def test_value_and_exception_are_fields_of_a_cells_answer(http: httpx.Client, session: str) -> None:
    answer = run(http, session, "print('seen')\n6 * 7")
    assert (answer["value"], answer["exception"], answer["output"]) == ("42", None, "seen\n42\n")
    raised = run(http, session, "1 / 0")["exception"]
    assert (raised["type"], raised["message"]) == ("ZeroDivisionError", "division by zero")
    assert (raised["traceback"][0], raised["traceback"][-1]) == (
        "Traceback (most recent call last):",
        "ZeroDivisionError: division by zero",
    )


def test_a_cell_is_interrupted_one_at_a_time(http: httpx.Client, session: str) -> None:
    answers: list[dict[str, Any]] = []
    run(http, session, "n = 1")
    thread = threading.Thread(target=lambda: answers.append(run(http, session, "while True: n += 1")))
    thread.start()
    until_state(http, session, "running")
    assert "one at a time" in problem(http.post(f"{session}/cells", json={"code": "print(1)"}), 409)
    assert http.post(f"{session}/interrupt").status_code == 204
    thread.join(WITHIN)
    assert answers[0]["reason"] == "cancelled"
    assert run(http, session, "print(n > 0)")["output"] == "True\n"
    assert problem(http.post(f"{session}/interrupt"), 409) == "No cell is running."
    assert problem(http.post(f"{session}/stdin", json={"data": "x"}), 409) == "No cell is running."


def test_a_client_that_goes_away_interrupts_its_cell_and_keeps_its_session(http: httpx.Client, session: str) -> None:
    body = {"code": "n = 1\nprint('go')\nimport time\ntime.sleep(60)"}
    with http.stream("POST", f"{session}/cells", json=body, headers={"Accept": "text/event-stream"}) as response:
        assert "stdout" in (name for name, _ in events(response.iter_lines()))
    until_state(http, session, "idle")
    assert run(http, session, "n")["output"] == "1\n"


def test_an_ended_session_is_unknown_and_leaves_nothing(http: httpx.Client, session: str) -> None:
    run(http, session, "secret = 1")
    assert http.delete(session).status_code == 204
    asked = [
        http.get(session),
        http.delete(session),
        http.post(f"{session}/cells", json={"code": "secret"}),
        http.post(f"{session}/stdin", json={"data": ""}),
        http.post(f"{session}/interrupt"),
        http.get("/api/sessions/guessed"),
    ]
    assert {problem(response, 404) for response in asked} == {"There is no such session, or it has ended."}
    assert metrics(http)["code_executor_sessions"] == 0
    assert http.post("/api/execute", json={"code": "print('secret' in globals())"}).json()["output"] == "False\n"


def test_a_cell_that_ends_its_session_is_answered_and_the_session_is_gone(http: httpx.Client, session: str) -> None:
    answer = run(http, session, "print('x' * (2 << 20))")
    assert (answer["reason"], answer["truncated"]) == ("output_limit", True)
    until_state(http, session, "over")


def test_a_client_has_its_share_and_no_more(http: httpx.Client, session: str) -> None:
    second = http.post("/api/sessions").headers["location"]
    for used in (session, second):
        run(http, used, "x = 1")
    assert "you already have 2 open sessions" in problem(http.post("/api/sessions"), 429).lower()
    assert http.delete(second).status_code == 204


def test_what_a_session_did_is_logged_and_counted_without_its_code(sessions: Server, http: httpx.Client) -> None:
    before = metrics(http)["code_executor_sessions_opened_total"]
    address = http.post("/api/sessions").headers["location"]
    cell = run(http, address, "print('a word of the cell')")
    http.delete(address)
    assert metrics(http)["code_executor_sessions_opened_total"] == before + 1
    lines = [line for line in sessions.log if line["event"] == "cell" and line["id"] == cell["id"]]
    assert [line["reason"] for line in lines] == ["completed"]
    ended = [line for line in sessions.log if line["event"] == "session_ended"][-1]
    assert (ended["why"], ended["cells"], ended["client"]) == ("closed", 1, "127.0.0.1")
    assert "a word of the cell" not in str(sessions.log)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("", {"files": [{"path": "../x", "content": ""}]}, 422),
        ("/cells", {}, 422),
        ("/cells", {"code": "1", "timeout": 11}, 422),
        ("/cells", {"code": "1", "args": []}, 422),
        ("/cells", {"code": "#" * (257 << 10)}, 413),
        ("/stdin", {"data": None}, 422),
        ("/stdin", {"data": "x" * (1025 << 10)}, 413),
    ],
)
def test_a_request_that_is_none_is_refused(
    http: httpx.Client, session: str, path: str, body: dict[str, Any], status: int
) -> None:
    problem(http.post((session if path else "/api/sessions") + path, json=body), status)


def test_what_may_not_be_done_to_a_session_is_answered_with_all_that_may(http: httpx.Client) -> None:
    assert http.put("/api/sessions/x").headers["allow"] == "DELETE, GET"


def test_pages_of_other_sites_open_no_session(http: httpx.Client) -> None:
    problem(http.post("/api/sessions", headers={"Origin": "https://elsewhere.example"}), 403)


# ---- servers with other settings


def test_without_sessions_all_of_it_is_404_and_says_so(serve: Serve) -> None:
    with serve("native", sessions=0, preload="", pool_size=2) as server, httpx.Client(base_url=server.url) as http:
        for response in (http.post("/api/sessions"), http.get("/api/sessions/x"), http.delete("/api/sessions/x")):
            assert problem(response, 404) == "This service has no sessions."


def test_the_last_sandbox_is_for_plain_runs(serve: Serve) -> None:
    settings = {"sessions": 9, "sessions_per_client": 9, "preload": "", "pool_size": 2, "rate_limit": "off"}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        run(http, http.post("/api/sessions").headers["location"], "x = 1")
        refused = http.post("/api/sessions")
        assert "all sessions are in use" in problem(refused, 503).lower()
        assert refused.headers["retry-after"] == "30"
        assert http.post("/api/execute", json={"code": "print(1)"}).json()["output"] == "1\n"


def test_an_idle_session_ends_by_itself_and_a_running_cell_is_no_idleness(serve: Serve) -> None:
    settings = {"session_idle": 2, "preload": "", "pool_size": 2, "rate_limit": "off"}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        address = http.post("/api/sessions").headers["location"]
        assert run(http, address, "import time\ntime.sleep(4)\nprint('done')")["output"] == "done\n"
        until_state(http, address, "over")
        until(lambda: metrics(http)["code_executor_sessions"] == 0)
        assert [line["why"] for line in server.log if line["event"] == "session_ended"] == ["idle"]


def test_an_old_session_ends_under_its_cell_which_keeps_what_it_wrote(serve: Serve) -> None:
    settings = {"session_lifetime": 2, "preload": "", "pool_size": 2, "rate_limit": "off"}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        address = http.post("/api/sessions").headers["location"]
        answer = run(http, address, "import time\nprint('first', flush=True)\ntime.sleep(25)")
        assert (answer["reason"], answer["output"]) == ("cancelled", "first\n")
        until_state(http, address, "over")


def test_opening_and_every_cell_count_as_runs(serve: Serve) -> None:
    settings = {"rate_limit": "3/minute", "preload": "", "pool_size": 2}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        address = http.post("/api/sessions").headers["location"]
        run(http, address, "x = 1")
        assert http.get(address).headers["ratelimit-remaining"] == "1"
        run(http, address, "x = 1")
        problem(http.post(f"{address}/cells", json={"code": "x"}), 429)
        assert http.post(f"{address}/interrupt").status_code == 409
        assert http.delete(address).status_code == 204


def test_the_session_of_another_client_is_unknown(serve: Serve) -> None:
    settings = {"preload": "", "pool_size": 2, "trusted_proxies": "127.0.0.1"}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as http:
        one, other = ({"X-Forwarded-For": f"203.0.113.{n}"} for n in (1, 2))
        address = http.post("/api/sessions", headers=one).headers["location"]
        assert http.get(address, headers=one).status_code == 200
        problem(http.get(address, headers=other), 404)
        problem(http.post(f"{address}/cells", json={"code": "1"}, headers=other), 404)
        problem(http.delete(address, headers=other), 404)


def test_a_server_that_stops_ends_its_sessions(serve: Serve) -> None:
    with serve("native", preload="", pool_size=2) as server:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            http.post("/api/sessions")
        assert server.stop() == 0
    assert [line["why"] for line in server.log if line["event"] == "session_ended"] == ["stopping"]


@pytest.mark.anyio
async def test_with_default_settings_sessions_open_at_once_and_one_after_another(serve: Serve) -> None:
    """Of each kind but the plain one, one sandbox is ready, and a session uses it up."""
    settings = {
        "rate_limit": "off",
        "preload": ";".join(",".join(kind) for kind in preloads.KINDS),
        "sessions_per_client": 2,
        "queue_timeout": 10,
    }
    with serve("native", **settings) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            await until_ready(client, "science")
            for number in (1, 2, 1, 2):
                opened = await asyncio.gather(*(client.post("/api/sessions") for _ in range(number)))
                assert [answer.status_code for answer in opened] == [201] * number
                await asyncio.gather(*(client.delete(answer.headers["location"]) for answer in opened))


async def until_ready(client: httpx.AsyncClient, kind: str) -> None:
    """Wait until a sandbox of the kind, whose libraries take seconds, is idle."""
    name = f'code_executor_sandboxes{{kind="{kind}",state="idle"}} '
    async with asyncio.timeout(120):
        while not any(line.startswith(name) and line[len(name) :] != "0.0" for line in await lines(client)):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def lines(client: httpx.AsyncClient) -> list[str]:
    return (await client.get("/metrics")).text.splitlines()
