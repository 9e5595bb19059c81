"""Servers of the API's tests beside the shared one, and what a client does with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox_agent.contract.report import error_text
from tests.conftest import Serve, Server


@pytest.fixture(scope="session")
def tight_server(serve: Serve) -> Iterator[Server]:
    """A server with one sandbox and little patience, whose every limit is near."""
    settings = {
        "rate_limit": "off",
        "pool_size": 1,
        "preload": "",
        "queue_timeout": 0.3,
        "max_code": 2000,
        "max_stdin": 1000,
        "max_attachments": 1000,
        "max_timeout": 5,
        "body_timeout": 1,
    }
    with serve("native", **settings) as running:
        yield running


@pytest.fixture
def tight(tight_server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=tight_server.url, timeout=60) as http:
        yield http


def execute(client: httpx.Client, code: str, **more: Any) -> dict[str, Any]:
    """Run a program; return the answer's object."""
    response = client.post("/api/execute", json={"code": code, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def problem(response: httpx.Response, status: int) -> str:
    """Make sure that this is a problem as RFC 9457 has it; return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail"} <= body.keys()
    assert (body["type"], body["status"]) == ("about:blank", status)
    detail: str = body["detail"]
    return detail


def metrics(client: httpx.Client) -> dict[str, float]:
    """Return what /metrics says: each sample's name and labels to its value."""
    lines = client.get("/metrics").text.splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


class Whole:
    """Puts together what a stream does not send twice, as a client does."""

    def __init__(self) -> None:
        self._before: list[tuple[str, dict[str, Any]]] = []

    def take(self, name: str, data: dict[str, Any]) -> dict[str, Any]:
        """Note an event and return its data; of the result, with what the events before it had."""
        if name != "result":
            self._before.append((name, data))
            return data
        texts = {
            stream: "".join(each["data"] for kind, each in self._before if kind == stream)
            for stream in ("stdout", "stderr")
        }
        items = {
            kind: [{k: v for k, v in each.items() if k != "type"} for name, each in self._before if name == kind]
            for kind in ("display", "file")
        }
        streamed = data["streamed"]
        assert streamed == {
            **{stream: len(text.encode()) for stream, text in texts.items()},
            "displays": len(items["display"]),
            "files": len(items["file"]),
        }
        return {
            **{k: v for k, v in data.items() if k != "streamed"},
            "output": texts["stdout"] + data["output"],
            "error": error_text(texts["stderr"], data["error"]),
            "displays": items["display"] + data["displays"],
            "files": items["file"] + data["files"],
        }


def events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read server-sent events: name and data; the result is whole."""
    whole = Whole()
    for name, data in raw_events(lines):
        yield name, whole.take(name, data)


def raw_events(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read server-sent events as they are sent."""
    name, data = "", ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            data += value
        elif not line:
            yield name, json.loads(data)
            name, data = "", ""
