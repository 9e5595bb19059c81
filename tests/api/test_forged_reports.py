"""A cell writes the report of its own end: its client gets an answer that any reader takes, and the log stays clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox_agent.child import pipes
from tests.conftest import Serve, Server

EMPTY = {"reason": "exception", "problems": []}

FORGED = {
    "half a character": {**EMPTY, "exception": {"type": "\ud800", "message": "\ud800", "traceback": ["\ud800"]}},
    "half a character as a value": {"reason": "", "problems": [], "value": "\ud800"},
    "half a character as a problem": {
        "reason": "policy",
        "problems": [{"line": 1, "column": 1, "message": "\ud800", "file": "\ud800"}],
    },
    "truth as a number": {**EMPTY, "line": True, "exit_code": True, "memory": True},
    "numbers of 308 digits": {**EMPTY, "line": 10**308, "exit_code": 10**308, "memory": 10**308},
    "a negative number": {**EMPTY, "line": -1, "exit_code": -1, "memory": -1},
    "a problem without a place": {"reason": "syntax", "problems": [{"line": True, "column": 0, "message": "m"}]},
    "four thousand problems": {"reason": "syntax", "problems": [{"line": 1, "column": 1, "message": "m"}] * 4000},
    "another reason": {"reason": "internal", "problems": []},
}
BODIES = {
    **{name: json.dumps(report).encode() for name, report in FORGED.items()},
    "a number of 4300 digits": b'{"reason": "", "problems": [], "line": ' + b"9" * 4300 + b"}",
    "no number": b'{"reason": "", "problems": [], "line": NaN, "memory": Infinity}',
    "a number without end": b'{"reason": "", "problems": [], "line": 1e999, "memory": 1e999}',
    "a key twice": b'{"reason": "", "problems": [], "line": 7, "line": "\\ud800"}',
    "no UTF-8": b"\xff\xfe{\x00",
    "brackets": b"[" * 200_000,
    "nothing": b"",
}


@pytest.fixture(scope="module", params=["docker", "native"])
def forgeable(request: pytest.FixtureRequest, serve: Serve) -> Iterator[Server]:
    if request.param == "docker":
        request.getfixturevalue("docker")
    with serve(request.param, rate_limit="off", policy="off", pool_size=2, preload="") as running:
        yield running
        assert not [entry for entry in running.log if entry.get("level") == "error" or "Traceback" in str(entry)]


@pytest.mark.parametrize("name", BODIES)
def test_a_forged_report_is_answered_like_any_other(forgeable: Server, name: str) -> None:
    code = f"""
import os, threading, time
body = {BODIES[name]!r}
while body:
    body = body[os.write({pipes.REPORT}, body):]
os.write({pipes.READY}, bytes(1))
time.sleep(60)
"""
    with httpx.Client(base_url=forgeable.url, timeout=60) as http:
        session = http.post("/api/sessions").headers["location"]
        try:
            response = http.post(f"{session}/cells", json={"code": code})
            assert response.status_code == 200, response.text
            answer: dict[str, Any] = json.loads(response.content.decode(), parse_constant=pytest.fail)
        finally:
            http.delete(session)
    assert answer["reason"] != "internal"
    assert len(answer["problems"]) <= 100
    for number in ("line", "exitCode", "memory"):
        assert answer[number] is None or (type(answer[number]) is int and 0 <= answer[number] < 1 << 53)
