"""Jobs and batches over HTTP, on the native engine: posted, waited for, followed, listed, cancelled, streamed."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import metrics, problem
from tests.api.test_keys import made
from tests.census import eventually
from tests.conftest import Serve, Server

pytestmark = pytest.mark.timeout(300)

SLEEP = "import time\ntime.sleep(30)"
SETTINGS: dict[str, object] = {"preload": "", "pool_size": 2, "pool_min": 1, "rate_limit": "off"}


@pytest.fixture(scope="module")
def busy_server(serve: Serve) -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory() as data,
        serve("native", data=data, jobs=200, policy="off", **SETTINGS) as running,
    ):
        yield running


@pytest.fixture
def http(busy_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=busy_server.url, timeout=90) as client:
        yield client


def job(code: str, **more: Any) -> dict[str, Any]:
    return {"kind": "execute", "request": {"code": code}, **more}


def post(client: httpx.Client, code: str, **more: Any) -> str:
    response = client.post("/api/jobs", json=job(code, **more))
    assert response.status_code == 202, response.text
    answer = response.json()
    assert answer["state"] == "queued"
    assert response.headers["location"] == f"/api/jobs/{answer['id']}"
    name: str = answer["id"]
    return name


def show(client: httpx.Client, name: str, wait: float = 60) -> dict[str, Any]:
    response = client.get(f"/api/jobs/{name}", params={"wait": wait})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def state_is(client: httpx.Client, name: str, state: str) -> bool:
    return eventually(lambda: show(client, name, 0)["state"] == state)


# ---- one job


def test_a_job_has_the_result_of_the_synchronous_call(http: httpx.Client) -> None:
    request = {
        "code": "import sys\nprint(input(), sys.argv[1:], open('a.txt').read())\nopen('b.txt', 'w').write('x')",
        "stdin": "in\n",
        "args": ["1"],
        "files": [{"path": "a.txt", "content": "é"}],
    }
    taken = http.post("/api/jobs", json={"kind": "execute", "request": request, "labels": ["a", "b", "a"]})
    done = show(http, taken.json()["id"])
    direct = http.post("/api/execute", json=request).json()
    assert done["result"].keys() == direct.keys()
    varies = {"id", "executionTime", "cpuTime", "queueTime", "memory"}
    assert {k: v for k, v in done["result"].items() if k not in varies} == {
        k: v for k, v in direct.items() if k not in varies
    }
    assert (done["state"], done["failed"], done["runs"], done["labels"]) == ("done", False, 1, ["a", "b"])
    assert done["created"] <= done["started"] <= done["finished"]
    assert (done["problem"], done["batch"]) == (None, None)


def test_a_check_has_the_answer_of_a_check(http: httpx.Client) -> None:
    taken = http.post("/api/jobs", json={"kind": "check", "request": {"code": "x = ("}})
    done = show(http, taken.json()["id"])
    assert (done["state"], done["failed"]) == ("done", True)
    assert done["result"] == http.post("/api/check", json={"code": "x = ("}).json()


def test_a_program_that_fails_is_done(http: httpx.Client) -> None:
    done = show(http, post(http, "1 / 0"))
    assert (done["state"], done["failed"], done["result"]["reason"]) == ("done", True, "exception")


def test_a_large_result_comes_whole(http: httpx.Client) -> None:
    code = "import os\nopen('x.bin', 'wb').write(os.urandom(3_000_000))\nprint('y' * 900_000)"
    done = show(http, post(http, code))
    assert len(base64.b64decode(done["result"]["files"][0]["contentBase64"])) == 3_000_000
    assert len(done["result"]["output"]) == 900_001


def test_waiting_ends_in_time_and_says_how_it_stands(http: httpx.Client) -> None:
    name = post(http, SLEEP)
    began = time.monotonic()
    assert show(http, name, 0.2)["state"] in ("queued", "running")
    assert time.monotonic() - began < 20
    assert http.delete(f"/api/jobs/{name}").json()["state"] == "cancelled"


def test_cancelling_stops_a_running_job_and_its_sandbox_is_free(http: httpx.Client) -> None:
    names = [post(http, SLEEP) for _ in range(3)]
    assert state_is(http, names[0], "running")
    for name in names:
        answer = http.delete(f"/api/jobs/{name}").json()
        assert (answer["state"], answer["result"]) == ("cancelled", None)
    began = time.monotonic()
    assert http.post("/api/execute", json={"code": "print(1)"}).json()["output"] == "1\n"
    assert time.monotonic() - began < 20
    assert http.delete(f"/api/jobs/{names[0]}").json()["state"] == "cancelled"  # again


def test_what_does_not_begin_in_time_expires(http: httpx.Client) -> None:
    blockers = http.post("/api/batches", json={"jobs": [job(SLEEP)] * 40}).json()
    late = post(http, "print(1)", expiresIn=0.1, priority=-5)
    assert show(http, late)["state"] == "expired"
    assert http.delete(f"/api/batches/{blockers['id']}").json()["counts"]["cancelled"] == 40


def test_prefer_respond_async_makes_a_job_of_a_run(http: httpx.Client) -> None:
    response = http.post("/api/execute", json={"code": "print(2)"}, headers={"Prefer": "respond-async, wait=10"})
    assert (response.status_code, response.headers["preference-applied"]) == (202, "respond-async")
    assert show(http, response.json()["id"])["result"]["output"] == "2\n"
    direct = http.post("/api/execute", json={"code": "print(2)"}, headers={"Prefer": "return=minimal"})
    assert (direct.status_code, direct.json()["output"]) == (200, "2\n")


# ---- events


def events(client: httpx.Client, name: str, **headers: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = []
    with client.stream("GET", f"/api/jobs/{name}/events", headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        number, event = 0, ""
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if field == "id":
                number = int(value)
            elif field == "event":
                event = value
            elif field == "data":
                found.append((number, event, json.loads(value)))
    return found


def test_events_tell_each_state_and_last_the_result(http: httpx.Client) -> None:
    name = post(http, "import time\ntime.sleep(0.3)\nprint('out')")
    seen = events(http, name)
    assert [number for number, _, _ in seen] == sorted({number for number, _, _ in seen})
    assert seen[-1][1] == "done"
    assert {**seen[-1][2], "webhook": None} == show(http, name)
    assert [event for _, event, _ in events(http, name)] == ["done"]


def test_events_go_on_after_the_last_one_that_came(http: httpx.Client) -> None:
    name = post(http, "print(1)")
    last = events(http, name)[-1][0]
    assert [event for _, event, _ in events(http, name, **{"Last-Event-ID": str(last - 1)})] == ["done"]
    response = http.get(f"/api/jobs/{name}/events", headers={"Last-Event-ID": str(last)})
    assert (response.status_code, response.content) == (204, b"")
    assert problem(http.get(f"/api/jobs/{name}/events", headers={"Last-Event-ID": "x"}), 422)


# ---- lists


def test_lists_are_paged_and_filtered(http: httpx.Client) -> None:
    names = [post(http, "print(1)", labels=["list", f"n{number % 2}"]) for number in range(7)]
    for name in names:
        show(http, name)
    seen: list[str] = []
    query: dict[str, Any] = {"label": "list", "limit": 3}
    while True:
        answer = http.get("/api/jobs", params=query).json()
        seen += [each["id"] for each in answer["jobs"]]
        assert all("result" not in each for each in answer["jobs"])
        if answer["next"] is None:
            break
        query["after"] = answer["next"]
    assert seen == names[::-1]
    assert len(http.get("/api/jobs", params={"label": "n1", "state": "done"}).json()["jobs"]) == 3
    assert http.get("/api/jobs", params={"label": "n1", "state": "queued"}).json() == {"jobs": [], "next": None}


# ---- what is refused


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "dance", "request": {"code": "x"}}, "kind"),
        ({"request": {"code": "x"}}, "kind"),
        ({"kind": "execute"}, "request"),
        ({"kind": "execute", "request": {}}, "request.code"),
        ({"kind": "execute", "request": {"code": "x", "timeout": 1e6}}, "request.timeout"),
        ({"kind": "check", "request": {"code": "x", "stdin": ""}}, "request.stdin"),
        (job("x", labels=["y"] * 17), "labels"),
        (job("x", labels=["y" * 65]), "labels.0"),
        (job("x", labels=["a\nb"]), "labels.0"),
        (job("x", priority=101), "priority"),
        (job("x", expiresIn=0), "expiresIn"),
        (job("x", retain=-1), "retain"),
        (job("x", callbackUrl=""), "callbackUrl"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, body: dict[str, Any], field: str) -> None:
    response = http.post("/api/jobs", json=body)
    assert problem(response, 422)
    assert response.json()["errors"][0]["field"] in (field, "")
    in_batch = http.post("/api/batches", json={"jobs": [job("x"), body]})
    assert in_batch.status_code == 422
    assert in_batch.json()["errors"][0]["field"].startswith("jobs.1")


def test_what_is_too_large_or_no_json_is_refused_as_elsewhere(http: httpx.Client) -> None:
    assert "request.code is larger than" in problem(http.post("/api/jobs", json=job("x" * 300_000)), 413)
    assert problem(http.post("/api/jobs", content=b"{", headers={"Content-Type": "application/json"}), 400)
    assert problem(http.post("/api/jobs", content=b"{}"), 415)
    assert problem(http.post("/api/batches", json={"jobs": []}), 422)
    assert problem(http.post("/api/batches", json={"jobs": [job("x")] * 1001}), 422)
    for query in ({"after": "x"}, {"limit": 0}, {"state": "nope"}, {"limit": 1000}):
        assert problem(http.get("/api/jobs", params=query), 422)
    assert problem(http.get("/api/jobs/x", params={"wait": 61}), 422)


def test_what_is_not_there_is_not_there(http: httpx.Client) -> None:
    for path in ("/api/jobs/nobody", "/api/jobs/nobody/events", "/api/batches/nobody"):
        assert problem(http.get(path), 404)
    for path in ("/api/jobs/nobody", "/api/batches/nobody"):
        assert problem(http.delete(path), 404)


# ---- batches


def test_a_batch_with_defaults_runs_and_is_counted(http: httpx.Client) -> None:
    jobs = [job("print(input())", request={"code": "print(input())", "stdin": str(n)}) for n in range(9)]
    jobs.append({"kind": "check", "request": {"code": "x = 1"}, "labels": ["own"]})
    jobs.append({"kind": "execute", "request": {"code": "print(input())"}})
    defaults = {"labels": ["batch"], "request": {"stdin": "default\n"}}
    response = http.post("/api/batches", json={"jobs": jobs, "defaults": defaults})
    assert response.status_code == 202
    answer = response.json()
    assert response.headers["location"] == f"/api/batches/{answer['id']}"
    done = [show(http, name) for name in answer["jobs"]]
    assert [each["result"].get("output") for each in done] == [*(f"{n}\n" for n in range(9)), None, "default\n"]
    assert [each["labels"] for each in done[8:]] == [["batch"], ["own"], ["batch"]]
    assert [each["index"] for each in done] == list(range(11))
    shown = http.get(f"/api/batches/{answer['id']}", params={"limit": 4}).json()
    assert (shown["counts"]["done"], shown["failed"], shown["total"]) == (11, 0, 11)
    assert [each["id"] for each in shown["jobs"]] == answer["jobs"][:4]
    rest = http.get(f"/api/batches/{answer['id']}", params={"after": shown["next"]}).json()
    assert ([each["id"] for each in rest["jobs"]], rest["next"]) == (answer["jobs"][4:], None)


def test_a_batch_is_taken_whole_or_not_at_all(http: httpx.Client) -> None:
    before = len(http.get("/api/jobs", params={"limit": 200}).json()["jobs"])
    assert (
        "too many jobs are waiting" in problem(http.post("/api/batches", json={"jobs": [job("1")] * 250}), 503).lower()
    )
    assert len(http.get("/api/jobs", params={"limit": 200}).json()["jobs"]) == before


def test_a_batch_stops_after_failures(http: httpx.Client) -> None:
    jobs = [job("1 / 0"), *[job("import time\ntime.sleep(0.2)")] * 120]
    answer = http.post("/api/batches", json={"jobs": jobs, "stopAfterFailures": 1}).json()
    assert eventually(lambda: http.get(f"/api/batches/{answer['id']}").json()["counts"]["queued"] == 0)
    counts = http.get(f"/api/batches/{answer['id']}").json()["counts"]
    assert counts["cancelled"] > 50


def test_lines_come_in_the_order_in_which_jobs_end(http: httpx.Client) -> None:
    jobs = [job("import time\ntime.sleep(1)\nprint('slow')"), *[job(f"print({n})") for n in range(20)]]
    with http.stream(
        "POST", "/api/batches", json={"jobs": jobs}, headers={"Accept": "application/x-ndjson"}
    ) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/x-ndjson"
        batch = response.headers["location"]
        lines = [json.loads(line) for line in response.iter_lines()]
    assert sorted(line["index"] for line in lines) == list(range(21))
    assert [line["finished"] for line in lines] == sorted(line["finished"] for line in lines)
    assert {line["result"]["output"] for line in lines} == {"slow\n", *(f"{n}\n" for n in range(20))}
    assert http.get(batch).json()["counts"]["done"] == 21


def test_who_leaves_a_stream_cancels_what_is_not_over(http: httpx.Client) -> None:
    jobs = [job("print(1)"), *[job(SLEEP)] * 5]
    with http.stream(
        "POST", "/api/batches", json={"jobs": jobs}, headers={"Accept": "application/x-ndjson"}
    ) as response:
        batch = response.headers["location"]
        next(response.iter_lines())
    assert eventually(
        lambda: (
            http.get(batch).json()["counts"] | {"done": 0}
            == dict.fromkeys(("queued", "running", "done", "expired"), 0) | {"cancelled": 5}
        )
    )


# ---- the server


def test_jobs_are_counted(http: httpx.Client) -> None:
    show(http, post(http, "print(1)"))
    assert eventually(lambda: metrics(http)['code_executor_jobs{state="done"}'] >= 1)
    told = metrics(http)
    assert told["code_executor_job_wait_seconds_count"] >= 1
    assert told['code_executor_job_runs_total{status="success"}'] >= 1


def test_jobs_survive_a_restart_and_a_stop_gives_them_back(serve: Serve, tmp_path: Path) -> None:
    settings = {**SETTINGS, "data": tmp_path}
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        quick, slow = post(client, "print(1)"), post(client, "import time\ntime.sleep(2)\nprint(2)")
        show(client, quick)
        assert state_is(client, slow, "running")
        assert server.stop() == 0
    with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert show(client, quick)["result"]["output"] == "1\n"
        done = show(client, slow)
        assert (done["result"]["output"], done["runs"]) == ("2\n", 1)


def test_who_waits_does_not_hold_up_a_stop(serve: Serve, tmp_path: Path) -> None:
    with serve("native", data=tmp_path, **SETTINGS) as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            name = post(client, SLEEP)
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
            response = stack.enter_context(client.stream("GET", f"/api/jobs/{name}/events"))
            assert next(response.iter_lines())
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(60)
            assert time.monotonic() - began < 25


def test_several_processes_that_answer_have_the_same_jobs(serve: Serve, tmp_path: Path) -> None:
    with serve("native", "--workers", "2", data=tmp_path, **SETTINGS) as server:
        for _ in range(6):  # each on a connection of its own
            with httpx.Client(base_url=server.url, timeout=60) as client:
                name = post(client, "print(1)")
            with httpx.Client(base_url=server.url, timeout=60) as client:
                assert show(client, name)["result"]["output"] == "1\n"


def test_without_jobs_there_is_no_database_and_no_route(serve: Serve, tmp_path: Path) -> None:
    with serve("native", data=tmp_path, jobs=0, **SETTINGS) as server:
        assert problem(httpx.post(f"{server.url}/api/jobs", json=job("x")), 404) == "This service has no jobs."
        assert problem(httpx.get(f"{server.url}/api/jobs"), 404)
        assert httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}).status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_job_makes_no_database(serve: Serve, tmp_path: Path) -> None:
    with serve("native", data=tmp_path, **SETTINGS) as server:
        assert httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}).status_code == 200
        assert httpx.get(f"{server.url}/api/jobs").json() == {"jobs": [], "next": None}
        assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_made_is_said(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with serve("native", data=tmp_path, database=f"sqlite:///{tmp_path}/file/jobs.db", **SETTINGS) as server:
        assert "database cannot be opened" in problem(httpx.post(f"{server.url}/api/jobs", json=job("x")), 503)
        headers = {"Idempotency-Key": "x"}
        assert problem(httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}, headers=headers), 503)
        assert httpx.post(f"{server.url}/api/execute", json={"code": "print(1)"}).status_code == 200


def test_keys_see_their_own_and_need_the_scopes(serve: Serve, tmp_path: Path) -> None:
    one = made(tmp_path, "one", "--scope", "jobs", "--scope", "run")
    other = made(tmp_path, "other", "--scope", "jobs", "--scope", "check")
    none = made(tmp_path, "none", "--scope", "run")
    with serve("native", data=tmp_path, **SETTINGS) as server:

        def client(key: str) -> httpx.Client:
            return httpx.Client(base_url=server.url, timeout=60, headers={"Authorization": f"Bearer {key}"})

        with client(one) as first, client(other) as second, client(none) as third:
            name = post(first, "print(1)")
            assert show(first, name)["state"] == "done"
            assert problem(second.get(f"/api/jobs/{name}"), 404)
            assert problem(second.delete(f"/api/jobs/{name}"), 404)
            assert second.get("/api/jobs").json()["jobs"] == []
            assert problem(second.post("/api/jobs", json=job("x")), 403)
            assert problem(second.post("/api/batches", json={"jobs": [job("x")]}), 403)
            assert second.post("/api/jobs", json={"kind": "check", "request": {"code": "x"}}).status_code == 202
            assert problem(third.post("/api/jobs", json=job("x")), 403)
            assert problem(third.post("/api/execute", json={"code": "1"}, headers={"Prefer": "respond-async"}), 403)


def test_a_batch_counts_as_so_many_runs(serve: Serve, tmp_path: Path) -> None:
    with serve("native", data=tmp_path, **{**SETTINGS, "rate_limit": "5/hour"}) as server:
        response = httpx.post(f"{server.url}/api/batches", json={"jobs": [job("1")] * 6})
        assert "This batch counts as 6 runs." in problem(response, 429)
        assert httpx.post(f"{server.url}/api/batches", json={"jobs": [job("1")] * 4}).status_code == 202
        assert httpx.post(f"{server.url}/api/jobs", json=job("1")).status_code == 202
        assert problem(httpx.post(f"{server.url}/api/jobs", json=job("1")), 429)
