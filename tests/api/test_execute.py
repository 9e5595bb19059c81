"""Answers over HTTP, whole and streamed: the same run either way, stopped when the client goes away."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.api.conftest import events, execute, metrics
from tests.census import eventually

FOREVER = "import time\nprint('first')\ntime.sleep(600)"
CANCELLED = 'code_executor_executions_total{reason="cancelled",status="error"}'


@contextmanager
def stream(client: httpx.Client, code: str, **more: Any) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """Run a program and yield its events."""
    headers = {"Accept": "text/event-stream"}
    with client.stream("POST", "/api/execute", json={"code": code, **more}, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert response.headers["cache-control"] == "no-store"
        yield events(response.iter_lines())


def idle(client: httpx.Client) -> bool:
    return metrics(client)["code_executor_running"] == 0


def test_an_answer_has_every_field_of_the_description(client: httpx.Client) -> None:
    answer = execute(client, "print(input())", stdin="x")
    described = client.get("/openapi.json").json()["components"]["schemas"]["ExecuteResponse"]
    assert set(described["required"]) == set(answer)
    asked = set(execute(client, "print(1)", limits={}, base64=True))
    asked |= execute(client, "1", excerpt={}, environment="default").keys()
    assert asked == set(described["properties"])


def test_stdin_and_arguments_reach_the_program(client: httpx.Client) -> None:
    answer = execute(client, "import sys; print(sys.argv[1:], input())", stdin="Ada", args=["a", "b c"])
    assert answer["output"] == "['a', 'b c'] Ada\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("print('x' * (2 << 20))", {"status": "error", "reason": "output_limit", "truncated": True, "exitCode": None}),
        ("import sys; sys.exit(3)", {"status": "error", "reason": "exit", "exitCode": 3, "signal": None}),
        ("x = = 1", {"status": "error", "reason": "syntax", "line": 1, "column": 5, "exitCode": 1}),
        ("import time; time.sleep(9)", {"status": "timeout", "reason": "wall_time", "exitCode": None}),
        ("x = bytearray(1 << 40)", {"status": "error", "reason": "memory_limit", "exitCode": 1}),
        ("import os", {"status": "error", "reason": "policy", "line": 1}),
    ],
)
def test_a_failure_of_the_program_is_an_answer(client: httpx.Client, code: str, expected: dict[str, object]) -> None:
    answer = execute(client, code, timeout=1)
    assert answer | expected == answer


def test_everything_printed_is_text_that_json_can_hold(client: httpx.Client) -> None:
    code = r"import sys; sys.stdout.buffer.write(bytes(range(256))); print('\ud800\0')"
    answer = execute(client, code)
    assert answer["output"].startswith("".join(map(chr, range(128))))
    json.dumps(answer, ensure_ascii=False).encode()  # no half of a character is in it


def test_files_come_and_go(client: httpx.Client) -> None:
    files = [
        {"path": "data/in.txt", "content": "1 2"},
        {"path": "untouched.bin", "contentBase64": base64.b64encode(bytes(range(256))).decode()},
    ]
    code = "import numpy\nnumpy.savetxt('out.txt', numpy.loadtxt('data/in.txt') + 1, '%d')"
    answer = execute(client, code, files=files)
    assert answer["files"] == [
        {"path": "out.txt", "size": 4, "mediaType": "text/plain", "contentBase64": base64.b64encode(b"2\n3\n").decode()}
    ], answer["error"]


# ---- streamed


def test_events_come_in_order_and_hold_the_whole_run(client: httpx.Client) -> None:
    with stream(client, "import sys\nprint(1)\nprint('ä', file=sys.stderr)\nprint(3)") as received:
        (first, started), *middle, (last, result) = received
    assert (first, last) == ("started", "result")
    assert started.keys() == {"id", "queueTime"}
    assert {name for name, _ in middle} == {"stdout", "stderr"}
    assert "".join(data["data"] for name, data in middle if name == "stdout") == "1\n3\n" == result["output"]
    assert "".join(data["data"] for name, data in middle if name == "stderr") == "ä\n"
    assert (result["id"], result["error"], result["reason"]) == (started["id"], "ä", "completed")


def test_what_would_break_the_framing_of_a_stream_does_not(client: httpx.Client) -> None:
    text = "\n\n\r\ndata: x\n\nevent: result\r\r\u2028\u0085"
    with stream(client, f"print({text!r}, end='')") as received:
        *middle, (last, result) = list(received)[1:]
    assert "".join(data["data"] for _, data in middle) == text == result["output"]
    assert last == "result"


def test_output_is_streamed_while_the_program_runs(client: httpx.Client) -> None:
    with stream(client, FOREVER) as received:
        names = [next(received)[0], next(received)[0]]
        assert names == ["started", "stdout"]
        assert metrics(client)["code_executor_running"] == 1


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_goes_away_stops_its_run(client: httpx.Client, streamed: bool) -> None:
    before = metrics(client).get(CANCELLED, 0)
    if streamed:
        with stream(client, FOREVER) as received:
            next(received)
    else:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/api/execute", json={"code": FOREVER}, timeout=0.5)
    assert eventually(lambda: idle(client), within=15)  # the run itself would go on for 30 s
    assert metrics(client)[CANCELLED] == before + 1
    assert execute(client, "print('well')")["output"] == "well\n"


def test_a_stream_of_a_timeout_ends_with_its_result(client: httpx.Client) -> None:
    with stream(client, FOREVER, timeout=1) as received:
        *_, (name, result) = received
    assert (name, result["reason"], result["output"]) == ("result", "wall_time", "first\n")


def test_a_check_does_not_run_and_tells_every_problem(client: httpx.Client) -> None:
    fine = client.post("/api/check", json={"code": "print(1)"}).json()
    refused = client.post("/api/check", json={"code": "import os\nprint(1)\neval('1')"}).json()
    wrong = client.post("/api/check", json={"code": "x = = 1"}).json()
    assert fine == {"ok": True, "reason": None, "problems": []}
    assert (refused["ok"], refused["reason"], [p["line"] for p in refused["problems"]]) == (False, "policy", [1, 3])
    assert (wrong["ok"], wrong["reason"], wrong["problems"][0]["column"]) == (False, "syntax", 5)
