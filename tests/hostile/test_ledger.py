"""An account of every job: servers are killed at random moments, and sandboxes; each job that was taken has one result.

pytest tests/hostile/test_ledger.py --timeout=900
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Serve, Server
from tests.postgres import BINARIES, NO_POSTGRES, cluster

pytestmark = pytest.mark.timeout(900)

JOBS = 1000
KILLS = 5
_POSTERS = 6
_DONE_WITHIN = 300.0


def program(number: int) -> dict[str, Any]:
    """Return the program of a job: most print their number, some need too long, or too much memory, or die."""
    match number % 50:
        case 0:
            return {"code": "while True: pass", "timeout": 0.3}
        case 1:
            return {"code": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"}
        case 2:
            return {"code": "blocks = []\nwhile True: blocks.append(bytearray(1 << 24))", "timeout": 5}
        case _:
            return {"code": f"print({number})"}


def is_right(number: int, result: dict[str, Any]) -> bool:
    match number % 50:
        case 0:
            return result["reason"] in ("wall_time", "cpu_time")
        case 1:
            return result["reason"] in ("signal", "violation")
        case 2:
            return result["reason"] in ("memory_limit", "exception", "wall_time")
        case _:
            return (result["reason"], result["output"]) == ("completed", f"{number}\n")


@dataclass
class Ledger:
    """What was accepted, by the number of the job. Posting goes on over whichever server there is."""

    url: str = ""
    taken: dict[int, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    todo: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def post_all(self) -> None:
        with contextlib.suppress(queue.Empty), httpx.Client(timeout=10) as client:
            while True:
                self.post(client, self.todo.get_nowait())

    def post(self, client: httpx.Client, number: int) -> None:
        body = {"kind": "execute", "request": program(number)}
        while number not in self.taken:
            try:
                headers = {"Idempotency-Key": f"ledger-{number}"}
                response = client.post(f"{self.url}/api/jobs", json=body, headers=headers)
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if response.status_code == 202:
                self.taken[number] = response.json()["id"]
            elif response.status_code in (409, 503):
                time.sleep(0.1)
            else:
                self.refused.append(response.text)
                return


def kill_a_sandbox(server: Server, chance: random.Random) -> int:
    """Kill a sandbox, if there is one; return how many were killed."""
    found = children_of(server.process.pid)
    if not found:
        return 0
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(found), signal.SIGKILL)
    return 1


def children_of(pid: int) -> list[int]:
    """Return the processes that a server has started: of the native engine, each is a sandbox."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/jobs.db"
        return
    if BINARIES is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI=true, and {NO_POSTGRES}")
        pytest.skip(NO_POSTGRES)
    with cluster() as running:
        url = running.new_database()
        upgrade = [sys.executable, "-m", "code_executor", "db", "upgrade"]
        subprocess.run(upgrade, env=os.environ | {"CODE_EXECUTOR_DATABASE": url}, check=True)
        yield url


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    if url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            return connection.execute(query).fetchall()
    import psycopg

    with psycopg.connect(url) as server:
        return server.execute(query).fetchall()


def test_every_job_that_was_taken_has_one_result(serve: Serve, database: str, tmp_path: Path) -> None:
    chance = random.Random(20261130)
    settings = {"database": database, "data": tmp_path, "rate_limit": "off", "pool_size": 4, "pool_min": 2}
    settings["policy"] = "off"
    ledger = Ledger()
    for number in range(JOBS):
        ledger.todo.put(number)
    posters = [threading.Thread(target=ledger.post_all, daemon=True) for _ in range(_POSTERS)]
    broken = 0
    for turn in range(KILLS):
        with serve("native", **settings) as server:
            ledger.url = server.url
            if turn == 0:
                for poster in posters:
                    poster.start()
            until = time.monotonic() + chance.uniform(0.3, 3)
            while time.monotonic() < until:
                time.sleep(chance.uniform(0.1, 0.4))
                broken += kill_a_sandbox(server, chance)
            server.process.kill()
            server.process.wait()
    with serve("native", **settings) as server:
        ledger.url = server.url
        for poster in posters:
            poster.join(_DONE_WITHIN)
        assert not ledger.refused
        assert len(ledger.taken) == JOBS
        with httpx.Client(base_url=server.url, timeout=60) as client:
            internal = [number for number in range(JOBS) if not holds(client, ledger.taken[number], number)]
        assert server.stop() == 0
    # each of these has broken its sandbox twice, or was alone when its server was killed, twice
    assert len(internal) <= broken // 2 + (KILLS - 1) // 2
    names = {name for (name,) in rows(database, "SELECT id FROM jobs")}
    results = [name for (name,) in rows(database, "SELECT job FROM job_results")]
    assert set(ledger.taken.values()) <= set(results) == names
    assert len(results) == len(set(results))
    assert rows(database, "SELECT DISTINCT state FROM jobs") == [("done",)]


def holds(client: httpx.Client, name: str, number: int) -> bool:
    """Wait for the result of a job; say whether it is that of its program. If not, it must be a failure of ours."""
    deadline = time.monotonic() + _DONE_WITHIN
    while time.monotonic() < deadline:
        job = client.get(f"/api/jobs/{name}", params={"wait": 30}).json()
        if job["state"] == "done":
            if is_right(number, job["result"]):
                return True
            assert job["result"]["reason"] == "internal", (number, job)
            return False
        assert job["state"] in ("queued", "running"), job
    raise AssertionError(f"job {number} has no result: {job}")
