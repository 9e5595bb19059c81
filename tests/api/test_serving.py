"""A server's life: how it starts or says why not, what it logs, how it ends, and what its workers share."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from code_executor.app.settings import Settings
from code_executor.core.errors import ConfigurationError
from tests.api.conftest import events, execute, metrics
from tests.census import eventually, everything_of
from tests.conftest import Serve, Server

SLOW = {"code": "import time\nprint('begun')\ntime.sleep(2)\nprint('done')"}
SETTINGS: dict[str, object] = {"preload": "", "pool_size": 2, "rate_limit": "off"}


def run(url: str) -> dict[str, object]:
    answer: dict[str, object] = httpx.post(f"{url}/api/execute", json=SLOW, timeout=60).json()
    return answer


def run_streamed(url: str) -> dict[str, object]:
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("POST", f"{url}/api/execute", json=SLOW, headers=headers, timeout=60) as response:
        *_, (name, result) = events(response.iter_lines())
    assert name == "result"
    return result


def runs_under_way(server: Server, number: int) -> bool:
    return httpx.get(f"{server.url}/metrics").text.find(f"\ncode_executor_running {number}.0\n") > 0


# ---- the end


def test_a_signal_lets_runs_end_and_leaves_nothing(serve: Serve, engine: str) -> None:
    ends_well(serve, engine, signal.SIGTERM)


@pytest.mark.usefixtures("docker")
def test_a_second_signal_does_not_cut_the_end_short(serve: Serve) -> None:
    with serve("docker", **SETTINGS) as server:
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: any(entry["event"] == "stopping" for entry in server.log))
        assert server.stop(signal.SIGTERM) == 0
        assert everything_of(server.process.pid) == []


def test_ctrl_c_does_too(serve: Serve) -> None:
    ends_well(serve, "native", signal.SIGINT)


def test_workers_let_their_runs_end_too(serve: Serve) -> None:
    ends_well(serve, "native", signal.SIGTERM, "--workers", "2")


def ends_well(serve: Serve, engine: str, number: int, *options: str) -> None:
    """Send a server a signal while it runs two programs: they end, and so does it, and all that it made."""
    with serve(engine, *options, **SETTINGS) as server, ThreadPoolExecutor() as threads:
        answers = [threads.submit(run, server.url), threads.submit(run_streamed, server.url)]
        assert eventually(lambda: runs_under_way(server, 2))
        assert server.stop(number) == 0
        for answer in answers:
            assert (answer.result()["reason"], answer.result()["output"]) == ("completed", "begun\ndone\n")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
        assert everything_of(server.process.pid) == []


# ---- workers


@pytest.fixture(scope="module")
def crowd(serve: Serve) -> object:
    with serve("native", "--workers", "2", preload="", pool_size=2, rate_limit="6/minute") as server:
        yield server


def workers_of(server: Server) -> list[int]:
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"code_executor.app.serving" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_workers_share_one_pool_one_rate_limit_and_one_count(crowd: Server) -> None:
    statuses = [
        httpx.post(f"{crowd.url}/api/execute", json={"code": "print(1)"}, timeout=60).status_code for _ in range(12)
    ]
    assert statuses == [200] * 6 + [429] * 6
    with httpx.Client(base_url=crowd.url) as client:
        completed = metrics(client)['code_executor_executions_total{reason="completed",status="success"}']
        sandboxes = sum(value for name, value in metrics(client).items() if name.startswith("code_executor_sandboxes{"))
    assert completed == 6
    assert sandboxes <= 2


def test_a_killed_worker_is_started_again(crowd: Server) -> None:
    assert eventually(lambda: len(workers_of(crowd)) == 2)
    killed, kept = workers_of(crowd)
    os.kill(killed, signal.SIGKILL)
    assert eventually(lambda: len(set(workers_of(crowd)) - {killed}) == 2)
    assert kept in workers_of(crowd)
    assert any(entry["event"] == "worker_ended" for entry in crowd.log)
    assert all(httpx.get(f"{crowd.url}/readyz", timeout=60).status_code == 200 for _ in range(8))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty directory whose path leaves room for that of a socket: 108 bytes are the most."""
    with tempfile.TemporaryDirectory(prefix="ce-") as path:
        yield Path(path)


def test_workers_do_not_outlive_a_killed_server_nor_does_a_file_and_the_next_one_serves(
    serve: Serve, short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(short_path))
    with serve("native", "--workers", "2", **SETTINGS) as server:
        assert eventually(lambda: len(workers_of(server)) == 2)
        workers = workers_of(server)
        server.process.kill()
        server.process.wait()
        assert eventually(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    assert os.listdir(short_path) == []
    with serve("native", "--workers", "2", **SETTINGS) as server:
        assert run(server.url)["output"] == "begun\ndone\n"


# ---- the beginning


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start a server that cannot come up."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    command = [sys.executable, "-m", "code_executor", "serve", *arguments]
    return subprocess.run(
        command,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = start("--engine", "native", "--port", str(port))
    assert done.returncode == 2
    assert done.stderr.strip() == f"code-executor: cannot listen on 127.0.0.1:{port}: Address already in use"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("MEMORY", "much", "not a size (as 512m, 1g, or bytes)"),
        ("POLICY", "/nowhere.toml", "No such file"),
        ("ALLOW_MISSING", "moat", "no layer is called 'moat'"),
        ("TIMEOUT", "5", "unknown setting CODE_EXECUTOR_TIMEOUT"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_variable(name: str, value: str, says: str) -> None:
    wrong = {"ENGINE": "native", "PORT": "0", "PRELOAD": ""} | {name: value}
    done = start(**{f"CODE_EXECUTOR_{name}": value for name, value in wrong.items()})
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("code-executor: ")
    assert f"CODE_EXECUTOR_{name}" in last
    assert says in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ENGINE", "podman", "Input should be 'auto', 'docker' or 'native'"),
        ("PORT", "http", "valid integer"),
        ("PORT", "65536", "less than or equal to 65535"),
        ("RATE_LIMIT", "often", "not a rate: 'often' (as 10/minute, 100/hour, or off)"),
        ("MEMORY", "1m", "greater than or equal to"),
        ("CPUS", "0", "greater than 0"),
        ("POOL_SIZE", "0", "greater than or equal to 1"),
        ("POOL_MIN", "99999", "must not be more than CODE_EXECUTOR_POOL_SIZE"),
        ("REUSE", "-1", "greater than or equal to 0"),
        ("MAX_TIMEOUT", "-1", "greater than 0"),
        ("MAX_OUTPUT", "1 TB", "not a size"),
        ("LOG_LEVEL", "loud", "Input should be"),
    ],
)
def test_every_wrong_value_is_told_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(f"CODE_EXECUTOR_{name}", value)
    with pytest.raises(ConfigurationError, match=re.escape(says)) as caught:
        Settings.load()
    assert f"CODE_EXECUTOR_{name}" in str(caught.value)


@pytest.mark.usefixtures("docker")
def test_a_missing_image_is_an_error_that_says_how_to_make_it() -> None:
    done = start("--engine", "docker", "--port", "0", CODE_EXECUTOR_IMAGE="code-executor:nowhere")
    assert done.returncode == 2
    assert "run `make image` to build code-executor:nowhere" in done.stderr


def test_where_no_docker_answers_the_native_engine_serves_and_it_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with serve("auto", **SETTINGS) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        assert client.get("/readyz").json()["engine"] == "native"
        assert execute(client, "print(1)")["output"] == "1\n"
    (entry,) = [entry for entry in server.log if entry["event"] == "no_docker"]
    assert entry["instead"] == "native"


def test_the_port_of_the_environment_is_honoured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}:" in start("--engine", "native", PORT=str(port)).stderr


def test_what_the_command_line_says_holds_for_the_workers_too(serve: Serve) -> None:
    least = 2 * len(os.sched_getaffinity(0)) + 1  # more than there may be of the size that a worker would assume
    settings = {**SETTINGS, "pool_size": 1, "pool_min": least}
    with serve("native", "--workers", "2", "--pool-size", str(least), **settings) as server:
        assert run(server.url)["status"] == "success"
        assert not [entry for entry in server.log if entry["event"] == "worker_ended"]


# ---- the log

MARKER = "s3cret-m4rker"


def test_each_execution_is_one_line_and_nothing_of_it_is_in_the_log(serve: Serve) -> None:
    programs: list[tuple[dict[str, Any], str, str]] = [
        ({"code": f"print('{MARKER}')", "stdin": MARKER, "args": [MARKER]}, "success", "completed"),
        ({"code": f"raise ValueError('{MARKER}')"}, "error", "exception"),
        ({"code": f"import os  # {MARKER}"}, "error", "policy"),
        ({"code": f"{MARKER} = = 1"}, "error", "syntax"),
        ({"code": f"import time\nprint('{MARKER}')\ntime.sleep(9)", "timeout": 0.5}, "timeout", "wall_time"),
        ({"code": f"import sys; sys.exit('{MARKER}')"}, "error", "exit"),
    ]
    with (
        serve("native", preload="", pool_size=1, rate_limit="off", log_level="debug") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        answers = [execute(client, **program) for program, _, _ in programs]
        client.post("/api/execute", json={"code": 1, MARKER: MARKER})
        client.post("/api/execute", content=MARKER, headers={"Content-Type": "application/json"})
        headers = {"Accept": "text/event-stream"}
        with client.stream(
            "POST", "/api/execute", json={"code": f"print('{MARKER}')\nwhile True: pass"}, headers=headers
        ) as s:
            next(s.iter_lines())
        assert eventually(lambda: runs_under_way(server, 0))
    lines = [entry for entry in server.log if entry["event"] == "execution"]
    assert [(entry["status"], entry["reason"]) for entry in lines] == [
        *((status, reason) for _, status, reason in programs),
        ("error", "cancelled"),
    ]
    assert [entry["id"] for entry in lines[:-1]] == [answer["id"] for answer in answers]
    for entry in lines[:-1]:
        figures = ("execution_ms", "queue_ms", "cpu_ms", "total_ms", "memory", "truncated")
        assert {"client", "timestamp", "level", *figures} <= entry.keys()
        assert entry["client"] == "127.0.0.1"
    assert MARKER not in str(server.log)


def test_a_forbidden_system_call_is_named_in_the_answer_the_log_and_the_metrics(serve: Serve) -> None:
    program = {"code": "import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)"}
    with (
        serve("native", preload="", pool_size=1, rate_limit="off", policy="off") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        answer = execute(client, **program)
        counted = metrics(client)
    assert (answer["reason"], answer["signal"], answer["syscall"]) == ("violation", "SIGSYS", "ptrace")
    assert answer["error"] == "Your program was stopped because it called ptrace, which no program may do here."
    assert [entry.get("syscall") for entry in server.log if entry["event"] == "execution"] == ["ptrace"]
    assert counted['code_executor_violations_total{syscall="ptrace"}'] == 1
