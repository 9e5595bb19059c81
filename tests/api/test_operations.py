"""What an operator asks a server: is it alive, is it ready, how much does it do, what can it do."""

from __future__ import annotations

import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.conftest import execute, metrics
from tests.conftest import Server


def test_it_says_that_it_is_alive_and_ready(client: httpx.Client, engine: str) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready", "engine": engine}


def test_metrics_count_executions_by_their_outcome(client: httpx.Client) -> None:
    names = [
        'code_executor_executions_total{reason="completed",status="success"}',
        'code_executor_executions_total{reason="exception",status="error"}',
        "code_executor_execution_seconds_count",
        "code_executor_queue_seconds_count",
        "code_executor_memory_bytes_count",
    ]
    before = metrics(client)
    for code in ("print(1)", "print(2)", "1/0"):
        execute(client, code)
    after = metrics(client)
    assert [after[name] - before.get(name, 0) for name in names] == [2, 1, 3, 3, 3]
    assert after["code_executor_running"] == 0
    lent = 'code_executor_lent_total{kind="plain",use="run",why="own"}'
    assert after[lent] - before.get(lent, 0) == 3
    assert after['code_executor_cpu_seconds_total{kind="plain"}'] > before.get("code_executor_cpu_seconds_total", 0)
    assert after["code_executor_runs_limit"] == 2
    # those too of which there is none until somebody asks
    assert {name: value for name, value in after.items() if name.startswith("code_executor_ready")} == {
        f'code_executor_ready{{kind="{kind}"}}': 1 for kind in ("plain", "trusted")
    }
    assert sum(value for name, value in after.items() if name.startswith("code_executor_sandboxes{")) >= 1


def test_metrics_are_in_the_format_of_prometheus(client: httpx.Client) -> None:
    response = client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = list(text_string_to_metric_families(response.text))
    assert all(family.documentation for family in families)


@pytest.mark.usefixtures("client")
def test_the_description_and_its_page_need_nobody_else(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/openapi.json").json()["openapi"].startswith("3.1")
        page = client.get("/docs").text
        sources = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert sources
        assert all(client.get(source).status_code == 200 for source in sources if not source.startswith("data:"))
        assert not [source for source in sources if source.startswith(("http:", "https:", "//"))]


def test_examples_of_the_description_are_requests_that_do_what_they_say(client: httpx.Client) -> None:
    body = client.get("/openapi.json").json()["paths"]["/api/execute"]["post"]["requestBody"]
    examples = {name: each["value"] for name, each in body["content"]["application/json"]["examples"].items()}
    examples["timeout"]["timeout"] = 1

    def come_of(name: str) -> list[tuple[str, str]]:
        response = client.post("/api/execute", json=examples[name])
        assert response.status_code == 200, response.text
        answer = response.json()
        return [(each["reason"], each["output"]) for each in answer.get("results", [answer])]

    assert {name: come_of(name) for name in examples} == {
        "hello": [("completed", "Hello from API!\n")],
        "error": [("exception", "")],
        "timeout": [("wall_time", "")],
        "library": [("completed", '{"test": 123}\n')],
        "input": [("completed", "Hello Ada\n")],
        "inputs": [("completed", "4\n"), ("completed", "9\n")],
        "limits": [("memory_limit", "")],
        "module": [("completed", "['/work/app/__main__.py', 'a']\n")],
    }


def test_the_page_at_the_root_is_one(client: httpx.Client) -> None:
    response = client.get("/", follow_redirects=True)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
