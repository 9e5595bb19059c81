"""What all tests share: engines that are really there, executors on them, and servers in processes of their own.

A test that takes ``engine`` (or anything made of it) runs once per engine. Where no Docker engine answers, its half is
skipped, and the summary says so; with CI=true that is a failure.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import httpx
import pytest
import structlog

from code_executor import Executor
from tests.postgres import BINARIES, NO_POSTGRES

IMAGE = os.environ.get("CODE_EXECUTOR_IMAGE", "code-executor:latest")
RUNTIME = os.environ.pop("CODE_EXECUTOR_TEST_RUNTIME", "")
"""An OCI runtime, such as gVisor's runsc, for every container of the tests, which then are of Docker alone."""

TEST_KINDS = os.environ.pop("CODE_EXECUTOR_TEST_KINDS", "plain").split(",")
"""The kinds of sandboxes (plain, data, plots, science) that the whole hostile corpus is run in."""

STARTED_WITHIN = 90.0
STOPPED_WITHIN = 60.0

if RUNTIME:  # the settings of every executor of the tests; what gVisor lacks or does not show: docs/threat-model.md
    os.environ["CODE_EXECUTOR_RUNTIME"] = RUNTIME
    os.environ["CODE_EXECUTOR_ALLOW_MISSING"] = "memory,cpu,processes,disk"


@cache
def docker_answers() -> bool:
    """Whether there is a Docker engine, with our image."""
    question = ["docker", "image", "inspect", IMAGE]
    return subprocess.run(question, capture_output=True, timeout=60, check=False).returncode == 0


@cache
def control_groups_hold() -> bool:
    """Whether Docker's control groups are around the containers of the tests: a gVisor may be told to ignore them."""
    asleep = ["--entrypoint", "/opt/sandbox/bin/python", IMAGE, "-c", "import time; time.sleep(600)"]
    start = ["docker", "run", "--detach", "--rm", "--network=none", *(["--runtime", RUNTIME] if RUNTIME else [])]
    container = subprocess.run([*start, *asleep], capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    try:
        question = ["docker", "inspect", "--format", "{{.State.Pid}}", container]
        pid = subprocess.run(question, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
        return container in Path(f"/proc/{pid}/cgroup").read_text()
    finally:
        subprocess.run(["docker", "rm", "--force", container], capture_output=True, timeout=60, check=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not docker_answers():
        terminalreporter.section("NOT TESTED: the Docker engine", sep="!", red=True)
        terminalreporter.line(f"No Docker engine answers, or it has no image {IMAGE}: its tests were left out.")
    if BINARIES is None:
        terminalreporter.section("NOT TESTED: PostgreSQL", sep="!", red=True)
        terminalreporter.line(f"{NO_POSTGRES}: its tests were left out.")


ALONE = (
    "tests/bench/",
    "tests/hostile/test_docker_gone.py",
    "tests/hostile/test_failures.py",
    "tests/hostile/test_load.py",
    "tests/hostile/test_ten_thousand.py",
    "tests/api/test_files_and_pictures.py",
    "tests/contract/test_reasons.py",
    "tests/unit/test_middleware.py",
)
"""Tests that need the machine for themselves: they count what others do as well, or come near a time limit."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(ALONE):
            item.add_marker("alone")


@pytest.fixture(scope="session", autouse=True)
def _logs_that_can_change() -> Iterator[None]:
    """What one test has its lines written as is nothing to another: no logger keeps what it began with."""
    with pytest.MonkeyPatch.context() as patch:
        configure = structlog.configure
        patch.setattr(structlog, "configure", lambda **how: configure(**how | {"cache_logger_on_first_use": False}))
        yield


@pytest.fixture(autouse=True)
def _logs_as_they_come() -> None:
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def docker() -> None:
    """Ask for a Docker engine."""
    if not docker_answers():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and no Docker engine answers with the image {IMAGE}")
        pytest.skip("no Docker engine answers")


@pytest.fixture(scope="session", params=["docker"] if RUNTIME else ["docker", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    """The name of an engine that is there; tests run once for each."""
    if request.param == "docker":
        request.getfixturevalue("docker")
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    """The event loop that serves: pipes of its processes are sockets, and its closed ones raise errors of its own."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
async def executor(engine: str) -> AsyncIterator[Executor]:
    """An executor with two sandboxes and no policy: what reaches the sandbox is what the test wrote."""
    async with Executor.open(engine=engine, policy="off", pool_size=2, pool_min=1, preload=()) as opened:
        yield opened


@dataclass
class Server:
    """A running ``code-executor serve``, its address, and what it logged so far."""

    process: subprocess.Popen[str]
    url: str = ""
    log: list[dict[str, object]] = field(default_factory=list)
    up: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.rstrip("\n")}
            self.log.append(entry)
            if entry["event"] == "serving":
                self.url = str(entry["url"])
                self.up.set()
        self.up.set()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STOPPED_WITHIN)


Serve = Callable[..., contextlib.AbstractContextManager[Server]]


def measuring() -> dict[str, str]:
    """Return the environment in which a process writes its coverage apart from that of the tests."""
    return {"COVERAGE_FILE": os.environ["TEST_COVERAGE"]} if os.environ.get("TEST_COVERAGE") else {}


@contextlib.contextmanager
def serve_for(engine: str, *arguments: str, through: tuple[str, ...] = (), **settings: object) -> Iterator[Server]:
    """Serve; ``through``: a command that starts ours."""
    if settings.get("rate_limit") == "off":
        settings.setdefault("request_rate_limit", "off")
    settings.setdefault("preload", "")  # to import it all takes seconds of the processor, for each of many servers
    kept = ("CODE_EXECUTOR_RUNTIME", "CODE_EXECUTOR_ALLOW_MISSING") if RUNTIME else ()
    environment = {
        name: value for name, value in os.environ.items() if name in kept or not name.startswith("CODE_EXECUTOR_")
    }
    environment["CODE_EXECUTOR_IMAGE"] = IMAGE
    # what this machine's own service keeps is not the tests' matter; and this not even root can make
    environment["CODE_EXECUTOR_DATA"] = "/proc/nonexistent"
    environment |= measuring()
    environment |= {f"CODE_EXECUTOR_{name.upper()}": str(value) for name, value in settings.items()}
    measured = ["coverage", "run", "-m"] if os.environ.get("TEST_COVERAGE") else []
    command = [
        *through,
        sys.executable,
        "-m",
        *measured,
        "code_executor",
        "serve",
        "--engine",
        engine,
        "--port",
        "0",
        *arguments,
    ]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    server = Server(process)
    reader = threading.Thread(target=server.follow, daemon=True)
    reader.start()
    try:
        assert server.up.wait(STARTED_WITHIN), f"no server within {STARTED_WITHIN} s: {server.log}"
        assert server.url, f"the server did not come up: {server.log}"
        yield server
        server.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture(scope="session")
def serve() -> Serve:
    """Start servers: ``with serve("native", rate_limit="off") as server``; keywords are settings."""
    return serve_for


@pytest.fixture(scope="session")
def server(engine: str) -> Iterator[Server]:
    """A server with the default policy and no rate limit, per engine."""
    with serve_for(engine, rate_limit="off", pool_size=2, preload="") as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """An HTTP client of ``server``."""
    with httpx.Client(base_url=server.url, timeout=60) as http:
        yield http
