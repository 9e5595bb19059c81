"""The header Idempotency-Key over HTTP: asked twice, done once."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import metrics, problem
from tests.conftest import Serve, Server

pytestmark = pytest.mark.timeout(300)

SETTINGS: dict[str, object] = {"preload": "", "pool_size": 2, "pool_min": 1, "rate_limit": "off"}
RANDOM = {"code": "import random\nprint(random.random())"}


@pytest.fixture(scope="module")
def keeping(serve: Serve) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as data, serve("native", data=data, policy="off", **SETTINGS) as running:
        yield running


@pytest.fixture
def http(keeping: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=keeping.url, timeout=90) as client:
        yield client


def ask(
    client: httpx.Client, key: str, body: dict[str, Any], path: str = "/api/execute", **more: str
) -> httpx.Response:
    return client.post(path, json=body, headers={"Idempotency-Key": key, **more})


def test_the_same_answer_comes_again_and_nothing_runs_twice(http: httpx.Client) -> None:
    first, second = ask(http, "one", RANDOM), ask(http, "one", RANDOM)
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert ask(http, "another", RANDOM).json()["output"] != first.json()["output"]
    assert metrics(http)["code_executor_idempotent_replays_total"] >= 1


def test_a_programs_failure_is_an_answer(http: httpx.Client) -> None:
    body = {"code": "1 / 0"}
    assert ask(http, "fails", body).content == ask(http, "fails", body).content


def test_another_body_is_refused(http: httpx.Client) -> None:
    ask(http, "body", RANDOM)
    assert "another body" in problem(ask(http, "body", {"code": "print(2)"}), 422)


def test_a_key_counts_for_its_path(http: httpx.Client) -> None:
    body = {"code": "x = 1"}
    assert ask(http, "path", body).status_code == 200
    checked = ask(http, "path", body, "/api/check")
    assert checked.json()["ok"] is True
    assert ask(http, "path", body, "/api/check").headers["idempotency-replayed"] == "true"


def test_what_is_still_running_is_said(http: httpx.Client) -> None:
    body = {"code": "import time\ntime.sleep(3)"}
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(http, "slow", body))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.status_code for each in answers) == [200, 409, 409]
    assert ask(http, "slow", body).headers["idempotency-replayed"] == "true"


def test_a_refusal_is_not_kept(http: httpx.Client) -> None:
    for _ in range(2):
        response = ask(http, "wrong", {"code": 1})
        assert problem(response, 422)
        assert "idempotency-replayed" not in response.headers
    assert ask(http, "wrong", RANDOM).status_code == 200


def test_a_job_is_posted_once(http: httpx.Client) -> None:
    body = {"kind": "execute", "request": RANDOM, "labels": ["once"]}
    first, second = (ask(http, "job", body, "/api/jobs") for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["location"] == first.headers["location"]
    assert len(http.get("/api/jobs", params={"label": "once"}).json()["jobs"]) == 1
    batch = {"jobs": [body, body]}
    one, two = (ask(http, "batch", batch, "/api/batches") for _ in range(2))
    assert (one.status_code, one.json()) == (202, two.json())


def test_a_large_answer_comes_again_whole(http: httpx.Client) -> None:
    body = {"code": "import os\nopen('x', 'wb').write(os.urandom(2_000_000))\nprint('y' * 900_000)"}
    assert ask(http, "large", body).content == ask(http, "large", body).content


@pytest.mark.parametrize(
    "accept", ["text/event-stream", "application/x-ndjson", "application/junit+xml, text/event-stream;q=0.9"]
)
def test_a_stream_is_refused(http: httpx.Client, accept: str) -> None:
    assert "A stream is not kept" in problem(ask(http, "stream", RANDOM, Accept=accept), 400)


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_wrong_key_is_refused(http: httpx.Client, key: str) -> None:
    assert problem(ask(http, key, RANDOM), 422)


def test_two_keys_are_refused(http: httpx.Client) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert problem(http.post("/api/execute", json=RANDOM, headers=headers), 422)


def test_an_answer_survives_a_restart(serve: Serve, tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        with serve("native", data=tmp_path, **SETTINGS) as server, httpx.Client(base_url=server.url) as client:
            contents.append(ask(client, "kept", RANDOM).content)
    assert contents[0] == contents[1]


def test_who_goes_away_can_ask_again(http: httpx.Client) -> None:
    body = {"code": "import time\ntime.sleep(2)\nprint(1)"}
    with pytest.raises(httpx.ReadTimeout):
        http.post("/api/execute", json=body, headers={"Idempotency-Key": "gone"}, timeout=0.5)
    for _ in range(100):
        response = ask(http, "gone", body)
        if response.status_code != 409:
            break
    assert (response.status_code, response.json()["output"]) == (200, "1\n")


def test_several_processes_that_answer_keep_the_same(serve: Serve, tmp_path: Path) -> None:
    with serve("native", "--workers", "2", data=tmp_path, **SETTINGS) as server:
        answers = []
        for _ in range(6):  # each on a connection of its own
            with httpx.Client(base_url=server.url, timeout=60) as client:
                answers.append(ask(client, "k", RANDOM).content)
                told = metrics(client)
    assert len(set(answers)) == 1
    assert told["code_executor_idempotent_replays_total"] == 5
