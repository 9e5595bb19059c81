"""What a request may ask for beside its program: limits, an entry, a name, variables, inputs, bytes, excerpts."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from code_executor.core.limits import Limits
from tests.api.conftest import events, execute, metrics, problem
from tests.conftest import Serve, Server

MB = 1 << 20
LIMITS = Limits()


@pytest.fixture(scope="module")
def server(serve: Serve) -> Iterator[Server]:
    """A server that allows some variables; the engine is of no consequence here."""
    with serve("native", rate_limit="off", preload="", env="COURSE_*,SEED", pool_size=3) as running:
        yield running


def refused(client: httpx.Client, field: str, **body: Any) -> str:
    """Return what a request is told that is refused for a field."""
    response = client.post("/api/execute", json={"code": "print(1)", **body})
    detail = problem(response, 422)
    assert [error["field"] for error in response.json()["errors"]] == [field], detail
    return detail


# ---- limits


def test_limits_hold_and_are_told(client: httpx.Client) -> None:
    limits = {"memory": 64 * MB, "cpuTime": 2, "wallTime": 5, "output": 1000, "processes": 2, "disk": MB}
    answer = execute(client, "bytearray(80 << 20)", limits=limits)
    assert (answer["reason"], answer["limits"]) == ("memory_limit", limits)


def test_the_limits_that_are_not_asked_for_are_told_as_they_are(client: httpx.Client) -> None:
    answer = execute(client, "print(1)", limits={"output": 100, "memory": None}, timeout=2.5)
    assert answer["limits"] == {
        "wallTime": 2.5, "cpuTime": 30.0, "memory": LIMITS.memory, "output": 100, "processes": 10, "disk": LIMITS.disk
    }  # fmt: skip
    assert execute(client, "print(1)", limits={})["limits"]["memory"] == LIMITS.memory


@pytest.mark.parametrize("body", [{}, {"limits": None}, {"name": None, "entry": None, "env": None, "stdins": None}])
def test_an_answer_to_nothing_special_has_nothing_special(client: httpx.Client, body: dict[str, Any]) -> None:
    answer = execute(client, "print(1)", **body)
    assert {"limits", "stdoutBase64", "stderrBase64", "leftOut", "results"} & answer.keys() == set()


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("memory", LIMITS.memory + 1, "536870912 bytes"),
        ("output", LIMITS.output + 1, "1048576 bytes"),
        ("disk", LIMITS.disk + 1, "67108864 bytes"),
        ("processes", 11, "10"),
        ("wallTime", 30.5, "30 seconds"),
        ("cpuTime", 31, "30 seconds"),
    ],
)
def test_a_limit_above_the_services_is_refused_by_name_and_bound(
    client: httpx.Client, name: str, value: float, bound: str
) -> None:
    assert f"limits.{name}: It may be at most {bound} here" in refused(client, f"limits.{name}", limits={name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("memory", each) for each in (48 * MB - 1, -1, "64m", 1.5, True)],
        *[("output", each) for each in (0, "1")],
        *[("processes", each) for each in (0, 1.5)],
        *[("disk", each) for each in (1, "1m")],
        *[("wallTime", each) for each in (0, -1, "1")],
        *[("cpuTime", each) for each in (0, 0.01, "1")],
        ("cores", 1),
    ],
)
def test_what_is_no_limit_is_refused(client: httpx.Client, name: str, value: object) -> None:
    refused(client, f"limits.{name}", limits={name: value})


def test_two_times_that_differ_are_refused(client: httpx.Client) -> None:
    refused(client, "limits.wallTime", timeout=2, limits={"wallTime": 3})
    assert execute(client, "print(1)", timeout=2, limits={"wallTime": 2.0})["limits"]["wallTime"] == 2


def test_less_disk_than_the_files_take_is_refused(client: httpx.Client) -> None:
    files = [{"path": "a", "content": "x" * (80 << 10)}]
    refused(client, "limits.disk", limits={"disk": 64 << 10}, files=files)


def test_the_bounds_are_in_the_description(client: httpx.Client) -> None:
    limits = client.get("/openapi.json").json()["components"]["schemas"]["LimitsIn"]["properties"]
    assert limits["memory"]["anyOf"][0] == {"minimum": 48 * MB, "maximum": LIMITS.memory, "type": "integer"}
    assert {each["anyOf"][0]["maximum"] for each in limits.values()} > {30.0, 10, LIMITS.disk}


# ---- entry and name


def test_a_file_is_run_without_code(client: httpx.Client) -> None:
    files = [{"path": "app/main.py", "content": "import sys\nprint(sys.argv)"}]
    response = client.post("/api/execute", json={"entry": {"path": "./app/main.py"}, "files": files, "args": ["x"]})
    assert response.json()["output"] == "['app/main.py', 'x']\n"


def test_a_module_is_run(client: httpx.Client) -> None:
    files = [{"path": "app/__main__.py", "content": "1/0"}]
    answer = execute(client, "x = 1", entry={"module": "app"}, files=files)
    assert (answer["reason"], answer["line"]) == ("exception", 1)
    assert 'File "<frozen runpy>"' in answer["error"]


@pytest.mark.parametrize(
    ("field", "entry"),
    [
        ("entry.path", {"path": "b.py"}),
        ("entry.path", {"path": "../a.py"}),
        ("entry.path", {"path": 1}),
        ("entry.module", {"module": "a-b"}),
        ("entry.module", {"module": ""}),
        ("entry", {}),
        ("entry", {"path": "a.py", "module": "a"}),
        ("entry.file", {"path": "a.py", "file": "a.py"}),
        ("entry", "a.py"),
    ],
)
def test_what_cannot_be_run_is_refused(client: httpx.Client, field: str, entry: object) -> None:
    refused(client, field, entry=entry, files=[{"path": "a.py", "content": ""}])


def test_without_an_entry_code_is_required(client: httpx.Client) -> None:
    for body in ({}, {"entry": None}, {"files": [{"path": "a.py", "content": ""}]}):
        response = client.post("/api/execute", json=body)
        assert problem(response, 422) == "code: Field required"
    assert problem(client.post("/api/execute", json={"code": None}), 422) == "code: Input should be a valid string"


def test_a_program_has_its_name_in_tracebacks(client: httpx.Client) -> None:
    assert 'File "/work/Übung 3.py", line 1, in <module>' in execute(client, "1/0", name="Übung 3.py")["error"]


@pytest.mark.parametrize("name", ["", "a/b.py", "..", "a\0", "x" * 256, 1, "a\n"])
def test_what_is_no_name_is_refused(client: httpx.Client, name: object) -> None:
    refused(client, "name", name=name)


def test_a_file_beside_the_program_has_another_name(client: httpx.Client) -> None:
    assert "task.py is the program itself" in refused(
        client, "files.0.path", name="task.py", files=[{"path": "task.py", "content": ""}]
    )


# ---- environment


def test_variables_that_are_allowed_are_taken(client: httpx.Client) -> None:
    """That a program finds them is shown in the contract: the strict policy does not let it look."""
    assert execute(client, "print(1)", env={"COURSE_ID": "7", "SEED": ""})["reason"] == "completed"


@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "PYTHONPATH", "HOME", "OTHER", "course_id"])
def test_other_variables_are_refused(client: httpx.Client, name: str) -> None:
    refused(client, f"env.{name}", env={name: "x"})


@pytest.mark.parametrize(
    "env", [{"SEED": 1}, {"SEED": None}, {"A=": "x"}, ["SEED"], {f"COURSE_{n}": "" for n in range(40)}]
)
def test_what_is_no_environment_is_refused(client: httpx.Client, env: object) -> None:
    response = client.post("/api/execute", json={"code": "1", "env": env})
    assert response.json()["errors"][0]["field"].startswith("env")
    problem(response, 422)


def test_by_default_no_variable_is_allowed(tight: httpx.Client) -> None:
    assert "CODE_EXECUTOR_ENV" in refused(tight, "env.COURSE_ID", env={"COURSE_ID": "1"})


# ---- inputs


def test_each_input_has_a_result_in_order(client: httpx.Client) -> None:
    before = metrics(client)['code_executor_executions_total{reason="completed",status="success"}']
    stdins = [f"{n}\n" for n in range(10)]
    response = client.post("/api/execute", json={"code": "print(int(input()) * 2)", "stdins": [*stdins, "x"]})
    results = response.json()["results"]
    assert [each["output"] for each in results] == [f"{2 * n}\n" for n in range(10)] + [""]
    assert results[10]["reason"] == "exception"
    after = metrics(client)['code_executor_executions_total{reason="completed",status="success"}']
    assert after - before == 10


def test_each_input_counts_as_a_run(serve: Serve) -> None:
    settings = {"rate_limit": "5/minute", "preload": "", "pool_size": 2}
    with serve("native", **settings) as running, httpx.Client(base_url=running.url, timeout=60) as client:
        first = client.post("/api/execute", json={"code": "print(input())", "stdins": ["a", "b", "c"]})
        assert (len(first.json()["results"]), first.headers["ratelimit-remaining"]) == (3, "2")
        assert first.headers.get_list("ratelimit-limit") == ["5"]
        second = client.post("/api/execute", json={"code": "print(input())", "stdins": ["a", "b", "c"]})
        assert "Rate limit exceeded" in problem(second, 429)
        assert int(second.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("stdins", {"stdins": []}),
        ("stdins", {"stdins": ["x"] * 33}),
        ("stdins.0", {"stdins": [1]}),
        ("stdins", {"stdins": ["x"], "stdin": "y"}),
        ("stdins", {"stdins": ["x"], "stdinBase64": "eA=="}),
        ("stdinBase64", {"stdinBase64": "eA==", "stdin": "y"}),
        ("stdinBase64", {"stdinBase64": "x"}),
        ("base64", {"base64": 1}),
        ("excerpt.head", {"excerpt": {"head": -1}}),
        ("excerpt", {"excerpt": {"head": 1}, "base64": True}),
    ],
)
def test_inputs_that_cannot_be_are_refused(client: httpx.Client, field: str, body: dict[str, Any]) -> None:
    refused(client, field, **body)


def test_more_input_than_one_run_may_have_is_refused(client: httpx.Client) -> None:
    half = "x" * (600 << 10)
    for body in ({"stdins": [half, half]}, {"stdinBase64": base64.b64encode(2 * half.encode()).decode()}):
        problem(client.post("/api/execute", json={"code": "1", **body}), 413)


# ---- bytes and excerpts


def test_bytes_come_and_go(client: httpx.Client) -> None:
    data = bytes(range(256))
    code = "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())"
    answer = execute(client, code, stdinBase64=base64.b64encode(data).decode(), base64=True)
    assert base64.b64decode(answer["stdoutBase64"]) == data
    assert answer["stderrBase64"] == ""
    assert "\ufffd" in answer["output"]


def test_large_bytes_come_whole(client: httpx.Client) -> None:
    code = "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 3000)"
    answer = execute(client, code, base64=True)
    assert base64.b64decode(answer["stdoutBase64"]) == bytes(range(256)) * 3000


def test_events_have_the_bytes_as_well(client: httpx.Client) -> None:
    body = {"code": "import sys\nsys.stdout.buffer.write(b'\\xff\\xc3')\nprint(1)", "base64": True}
    with client.stream("POST", "/api/execute", json=body, headers={"Accept": "text/event-stream"}) as response:
        found = list(events(response.iter_lines()))
    data = b"".join(base64.b64decode(each["dataBase64"]) for name, each in found if name == "stdout")
    assert data == b"\xff\xc31\n"
    assert "stdoutBase64" not in found[-1][1]


def test_a_long_output_is_cut_in_its_middle(client: httpx.Client) -> None:
    code = "import sys\nprint('a' * 5000 + 'z')\nprint('short', file=sys.stderr)"
    answer = execute(client, code, excerpt={"head": 10, "tail": 3})
    assert answer["output"] == "a" * 10 + "\n[… 4989 bytes left out …]\naz\n"
    assert (answer["error"], answer["leftOut"], answer["truncated"]) == ("short", {"stdout": 4989, "stderr": 0}, False)


def test_what_says_why_it_was_stopped_is_never_cut(client: httpx.Client) -> None:
    code = "import sys\nprint('x' * 500, file=sys.stderr, flush=True)\nprint('y' * 5000)"
    answer = execute(client, code, excerpt={"head": 1, "tail": 1}, limits={"output": 1000})
    assert answer["reason"] == "output_limit"
    assert answer["error"].endswith("only the beginning is kept.")


@pytest.mark.parametrize(("field", "body"), [("stdins", {"stdins": ["1"]}), ("excerpt", {"excerpt": {"head": 1}})])
def test_events_are_of_one_whole_run(client: httpx.Client, server: Server, field: str, body: dict[str, Any]) -> None:
    body = {"code": "print(1)", **body}
    response = client.post("/api/execute", json=body, headers={"Accept": "text/event-stream"})
    assert problem(response, 422).startswith(f"{field}: ")
    with connect(f"{server.url.replace('http', 'ws')}/api/execute/ws") as socket:
        socket.send(json.dumps(body))
        answer = json.loads(socket.recv())
        assert (answer["type"], answer["status"], answer["errors"][0]["field"]) == ("problem", 422, field)


def test_a_conversation_is_held_to_its_limits(server: Server) -> None:
    body = {"code": "input()\nbytearray(80 << 20)", "limits": {"memory": 64 * MB}, "name": "talk.py"}
    with connect(f"{server.url.replace('http', 'ws')}/api/execute/ws") as socket:
        socket.send(json.dumps(body))
        said: list[dict[str, Any]] = []
        while not said or said[-1]["type"] not in ("result", "problem"):
            said.append(json.loads(socket.recv()))
            if said[-1]["type"] == "waiting":
                socket.send(json.dumps({"type": "stdin", "data": "x\n"}))
    assert (said[-1]["reason"], said[-1]["limits"]["memory"]) == ("memory_limit", 64 * MB)
    assert any("talk.py" in each.get("data", "") for each in said)
