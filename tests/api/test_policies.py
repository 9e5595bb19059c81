"""Policies over HTTP: choosing one for each kind of request, and keys that may choose only some."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.api.conftest import events, execute, problem
from tests.api.test_environments import cli
from tests.api.test_keys import attempt, made
from tests.conftest import Serve, Server
from tests.unit.grading.made import io

pytestmark = pytest.mark.timeout(300)  # it starts several processes

SORTS, READS = "print(sorted([2, 1]))", "import os\nprint(len(os.listdir()) > 0)"
SMALL: dict[str, Any] = {"preload": "", "preload_always": "", "pool_size": 2, "pool_min": 1, "rate_limit": "off"}
SUITE = {"tests": [io("[1, 2]\n")]}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The setting for a policy beside the server's own: it refuses a name, and nothing else."""
    path = tmp_path_factory.mktemp("policies") / "course.toml"
    path.write_text('extends = "off"\n[deny.names]\nsorted = "write it yourself"\n')
    return f"course={path}"


@pytest.fixture(scope="module", params=[1, 2], ids=["one-process", "workers"])
def running(
    request: pytest.FixtureRequest, serve: Serve, course: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("data")
    with serve("native", policies=f"off,{course}", workers=request.param, data=data, **SMALL) as server:
        yield server


@pytest.fixture
def http(running: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, timeout=60) as client:
        yield client


def finished(http: httpx.Client, job: str) -> dict[str, Any]:
    answer: dict[str, Any] = http.get(f"/api/jobs/{job}?wait=60").json()
    assert answer["state"] == "done", answer
    return answer


# ---- choosing one


@pytest.mark.parametrize(
    ("more", "reads", "sorts"),
    [
        ({}, "policy", "completed"),
        ({"policy": None}, "policy", "completed"),
        ({"policy": "strict"}, "policy", "completed"),
        ({"policy": "off"}, "completed", "completed"),
        ({"policy": "course"}, "completed", "policy"),
    ],
)
def test_a_run_and_a_check_choose(http: httpx.Client, more: dict[str, Any], reads: str, sorts: str) -> None:
    for code, reason in ((READS, reads), (SORTS, sorts)):
        assert execute(http, code, **more)["reason"] == reason
        checked = http.post("/api/check", json={"code": code, **more}).json()
        assert (checked["ok"], checked["reason"]) == (reason == "completed", None if reason == "completed" else reason)


def test_a_stream_and_a_websocket_choose_too(http: httpx.Client, running: Server) -> None:
    body = {"code": SORTS, "policy": "course"}
    with http.stream("POST", "/api/execute", json=body, headers={"Accept": "text/event-stream"}) as response:
        assert dict(events(response.iter_lines()))["result"]["reason"] == "policy"
    with connect(running.url.replace("http", "ws") + "/api/execute/ws", proxy=None) as socket:
        socket.send(json.dumps(body))
        assert [json.loads(message) for message in socket][-1]["reason"] == "policy"


def test_a_session_keeps_what_it_was_opened_with(http: httpx.Client) -> None:
    key = {"Idempotency-Key": "one"}
    session = http.post("/api/sessions", json={"policy": "course"}, headers=key).json()
    assert session["policy"] == "course"
    address = f"/api/sessions/{session['id']}"
    for _ in range(2):
        assert http.post(f"{address}/cells", json={"code": SORTS}).json()["reason"] == "policy"
        assert http.post(f"{address}/cells", json={"code": READS}).json()["reason"] == "completed"
        assert "write it yourself" in problem(http.put(f"{address}/files/a.py", content=SORTS), 422)
        assert http.put(f"{address}/files/b.py", content=READS).status_code == 201
        assert http.post(f"{address}/restart").json()["policy"] == "course"
    assert http.post("/api/sessions", json={"policy": "course"}, headers=key).json()["id"] == session["id"]
    assert "`policy`" in problem(http.post("/api/sessions", json={}, headers=key), 409)
    http.delete(address)
    plain = http.post("/api/sessions", json={}).json()
    assert "policy" not in plain
    http.delete(f"/api/sessions/{plain['id']}")


def test_a_grade_chooses_for_the_submission(http: httpx.Client) -> None:
    for name, verdict in ((None, "passed"), ("off", "passed"), ("course", "failed")):
        grade = http.post("/api/grade", json={"code": SORTS, "suite": SUITE, "policy": name}).json()
        assert (grade["verdict"], len(grade["problems"])) == (verdict, int(verdict == "failed"))


def test_jobs_and_batches_choose_too(http: httpx.Client) -> None:
    requests = {
        "execute": {"code": SORTS, "policy": "course"},
        "check": {"code": SORTS, "policy": "course"},
        "grade": {"code": SORTS, "suite": SUITE, "policy": "course"},
    }
    for kind, request in requests.items():
        posted = http.post("/api/jobs", json={"kind": kind, "request": request})
        assert posted.status_code == 202, posted.text
        result = finished(http, posted.json()["id"])["result"]
        assert result["problems"][0]["line"] == 1
    programs = [{"code": SORTS}, {"code": SORTS, "policy": "off"}, {"code": READS, "policy": None}]
    batch = {
        "jobs": [{"kind": "execute", "request": each} for each in programs],
        "defaults": {"request": {"policy": "course"}},
    }
    names = http.post("/api/batches", json=batch).json()["jobs"]
    reasons = [finished(http, name)["result"]["reason"] for name in names]
    assert reasons == ["policy", "completed", "policy"]  # null is the server's own


@pytest.mark.parametrize("path", ["/api/execute", "/api/check", "/api/sessions", "/api/grade"])
def test_an_unknown_name_is_refused_with_those_that_there_are(http: httpx.Client, path: str) -> None:
    body: dict[str, Any] = {} if path == "/api/sessions" else {"code": ""}
    body |= {"suite": SUITE} if path == "/api/grade" else {}
    answer = http.post(path, json=body | {"policy": "third"})
    message = "There is no policy 'third' here; a request may choose strict, off, course"
    assert problem(answer, 422) == f"policy: {message}"
    assert answer.json()["errors"] == [{"field": "policy", "message": message}]
    for wrong in ("", "x" * 65, 3, False):
        assert "policy: " in problem(http.post(path, json=body | {"policy": wrong}), 422)


def test_a_job_is_refused_when_it_is_posted(http: httpx.Client) -> None:
    requests: dict[str, dict[str, Any]] = {
        "execute": {"code": ""},
        "check": {"code": ""},
        "grade": {"code": "", "suite": SUITE},
    }
    for kind, request in requests.items():
        answer = http.post("/api/jobs", json={"kind": kind, "request": request | {"policy": "third"}})
        assert problem(answer, 422).startswith("request.policy: There is no policy 'third' here")
    jobs = [{"kind": "execute", "request": {"code": "", "policy": name}} for name in ("off", "third")]
    answer = http.post("/api/batches", json={"jobs": jobs})
    assert answer.json()["errors"][0]["field"] == "jobs.1.request.policy"


def test_streams_refuse_an_unknown_name_before_they_begin(http: httpx.Client, running: Server) -> None:
    body = {"code": "", "policy": "third"}
    for path, more in (("/api/execute", {}), ("/api/grade", {"suite": SUITE})):
        answer = http.post(path, json=body | more, headers={"Accept": "text/event-stream"})
        assert problem(answer, 422).startswith("policy: ")
    with connect(running.url.replace("http", "ws") + "/api/execute/ws", proxy=None) as socket:
        socket.send(json.dumps(body))
        assert [json.loads(message)["status"] for message in socket] == [422]


def test_the_description_has_their_names(http: httpx.Client) -> None:
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    for name in ("ExecuteRequest", "CheckRequest", "SessionRequest", "GradeRequest"):
        assert schemas[name]["properties"]["policy"]["anyOf"][0]["enum"] == ["strict", "off", "course"]


def test_the_log_says_which_was_chosen(serve: Serve) -> None:
    with serve("native", policies="off", **SMALL) as server:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            execute(http, "1")
            execute(http, "1", policy="off")
        server.stop()
        lines = [line for line in server.log if line["event"] == "execution"]
    assert [line.get("policy") for line in lines] == [None, "off"]


# ---- without the setting


def test_a_request_cannot_switch_the_check_off_unless_the_operator_offers_it(client: httpx.Client) -> None:
    """The shared server has the default settings."""
    for body in ({"policy": "off"}, {"policy": "course"}, {"policy": False}, {"policyName": "off"}):
        for path in ("/api/execute", "/api/check"):
            problem(client.post(path, json={"code": READS, **body}), 422)
    for more in ({}, {"policy": "strict"}, {"policy": None}):
        assert execute(client, READS, **more)["reason"] == "policy"
    answer = client.post("/api/execute", json={"code": "", "policy": "off"})
    assert problem(answer, 422).endswith("a request may choose strict")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("course", "not a policy: 'course'"),
        ("a=/nonexistent.toml", "/nonexistent.toml: [Errno 2] No such file or directory"),
        ("off=x.toml", "'off' is built in"),
    ],
)
def test_a_wrong_one_stops_the_server(tmp_path: Path, value: str, why: str) -> None:
    done = attempt(tmp_path, "serve", "--engine", "native", "--port", "0", policies=value)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("code-executor: CODE_EXECUTOR_POLICIES: ")
    assert why in done.stderr.splitlines()[-1]


def test_the_command_line_has_a_policy_of_its_own() -> None:
    done = cli("", "run", "--engine", "native", "--policy", "off", "-", stdin=READS)
    assert (done.returncode, done.stdout) == (0, "True\n")


# ---- keys


@pytest.fixture(scope="module")
def keyed(serve: Serve, course: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    """A server, a key that may choose one of its policies, and a learner's token of that key."""
    data = tmp_path_factory.mktemp("data")
    scopes = ("run", "check", "session", "jobs", "grade", "learner:any")
    key = made(data, "one", "--policy", "course", *(each for scope in scopes for each in ("--scope", scope)))
    done = attempt(data, "token", "one", "--learner", "ada")
    assert done.returncode == 0, done.stderr
    with serve("native", policies=f"off,{course}", data=data, **SMALL) as server:
        yield server, key, done.stdout.strip()


def test_a_key_and_its_learners_choose_of_those_that_it_may(keyed: tuple[Server, str, str]) -> None:
    server, key, token = keyed
    for secret in (key, token):
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60) as http:
            assert execute(http, SORTS, policy="course")["reason"] == "policy"
            assert execute(http, READS)["reason"] == "policy"  # the server's own is everybody's
            for name in ("off", "strict", "third"):
                for path in ("/api/execute", "/api/check", "/api/sessions"):
                    body = {"policy": name} | ({} if path == "/api/sessions" else {"code": READS})
                    refused = http.post(path, json=body)
                    assert problem(refused, 403) == "This key may not choose that policy; it may choose course."


def test_a_job_of_a_key_is_refused_when_it_is_posted(keyed: tuple[Server, str, str]) -> None:
    server, key, _ = keyed
    requests: dict[str, dict[str, Any]] = {
        "execute": {"code": ""},
        "check": {"code": ""},
        "grade": {"code": "", "suite": SUITE},
    }
    with httpx.Client(base_url=server.url, headers={"X-API-Key": key}, timeout=60) as http:
        for kind, request in requests.items():
            asked = {"kind": kind, "request": request | {"policy": "off"}}
            assert "may choose course" in problem(http.post("/api/jobs", json=asked), 403)
        assert "may choose course" in problem(http.post("/api/grade", json=requests["grade"] | {"policy": "off"}), 403)
        prefer = {"Prefer": "respond-async"}
        problem(http.post("/api/execute", json={"code": "", "policy": "off"}, headers=prefer), 403)
        posted = http.post("/api/execute", json={"code": SORTS, "policy": "course"}, headers=prefer)
        assert finished(http, posted.json()["id"])["result"]["reason"] == "policy"
