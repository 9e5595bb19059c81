"""What a job may ask for: what a run may, but for several inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import problem
from tests.api.test_jobs import SETTINGS, job, show
from tests.conftest import Serve

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def http(serve: Serve) -> Iterator[httpx.Client]:
    with (
        tempfile.TemporaryDirectory() as data,
        serve("native", data=data, policy="off", **SETTINGS) as server,
        httpx.Client(base_url=server.url, timeout=90) as client,
    ):
        yield client


def test_a_job_names_an_environment_that_there_is(http: httpx.Client) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/api/jobs", {"kind": "execute", "request": {"code": "1", "environment": "none"}}),
        ("/api/jobs", {"kind": "check", "request": {"code": "1", "environment": "none"}}),
        ("/api/batches", {"jobs": [job("1")], "defaults": {"request": {"environment": "none"}}}),
    ]
    for path, body in asked:
        assert "there is no environment 'none' here" in problem(http.post(path, json=body), 422).lower()
    preferring = {"Prefer": "respond-async"}
    refused = http.post("/api/execute", json={"code": "1", "environment": "none"}, headers=preferring)
    assert refused.status_code == 422
    taken = http.post("/api/jobs", json={"kind": "execute", "request": {"code": "1", "environment": "default"}})
    assert show(http, taken.json()["id"])["result"]["environment"] == "default"


def test_a_job_has_one_input(http: httpx.Client) -> None:
    body = {"kind": "execute", "request": {"code": "1", "stdins": ["a", "b"]}}
    assert problem(http.post("/api/jobs", json=body), 422).startswith("request.stdins: A job has one input")
    preferring = {"Prefer": "respond-async"}
    refused = http.post("/api/execute", json={"code": "1", "stdins": ["a"]}, headers=preferring)
    assert problem(refused, 422).startswith("stdins: A job has one input")


def test_a_job_has_limits_bytes_and_an_excerpt_as_a_run_has(http: httpx.Client) -> None:
    request: dict[str, Any] = {
        "code": "print('x' * 5000)",
        "limits": {"wallTime": 3},
        "excerpt": {"head": 10, "tail": 10},
    }
    result = show(http, post_request(http, request))["result"]
    assert (result["limits"]["wallTime"], result["leftOut"]["stdout"] > 4000) == (3, True)
    request = {"code": "import sys; sys.stdout.buffer.write(b'\\xff')", "base64": True}
    assert show(http, post_request(http, request))["result"]["stdoutBase64"] == "/w=="


def post_request(client: httpx.Client, request: dict[str, Any]) -> str:
    response = client.post("/api/jobs", json={"kind": "execute", "request": request})
    assert response.status_code == 202, response.text
    name: str = response.json()["id"]
    return name
