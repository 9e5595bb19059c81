"""What jobs cost beside synchronous calls: `python -m bench.jobs [--jobs 10000] [--postgres]`.

One server on the native engine. First clients ask for `print(1)` as fast as they are answered. Then so many jobs of
`print(1)` are posted in batches of a thousand, while all wait that were posted before, and run to the end. Meanwhile a
page of the list is asked for again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import uvloop

from bench.client import Connection, post_bytes, request_bytes

_HOST = "127.0.0.1"
_CLIENTS = 8
_SYNCHRONOUS = 10.0
"""Seconds."""


@contextlib.asynccontextmanager
async def serving(data: str, **settings: object) -> AsyncIterator[int]:
    """Serve; yield the port."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
    always = {"data": data, "rate_limit": "off", "request_rate_limit": "off", "port": 0, "preload": ""}
    given = {f"CODE_EXECUTOR_{name.upper()}": str(value) for name, value in (always | settings).items()}
    log = Path(data) / "log"
    with log.open("wb") as handle:
        command = [sys.executable, "-m", "code_executor", "serve", "--engine", "native"]
        process = subprocess.Popen(  # noqa: ASYNC220  # nothing else happens yet
            command, env=clean | given, stdin=subprocess.DEVNULL, stderr=handle
        )
    try:
        while (found := re.search(r'"url": "http://[^"]*:(\d+)"', log.read_text())) is None:
            if process.poll() is not None:
                raise SystemExit(log.read_text()[-2000:])
            await asyncio.sleep(0.05)
        yield int(found[1])
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)


async def ask(connection: Connection, path: str) -> Any:
    answer = await connection.ask(f"GET {path} HTTP/1.1\r\nHost: {_HOST}\r\n\r\n".encode())
    if answer.status != 200:
        raise RuntimeError(answer.body.decode())
    return json.loads(answer.body)


async def synchronous(port: int) -> float:
    """Return how many calls a second are answered."""
    request = request_bytes(_HOST, "print(1)")
    until = time.monotonic() + _SYNCHRONOUS

    async def client() -> int:
        connection = await Connection.open(_HOST, port)
        count = 0
        while time.monotonic() < until:
            if (await connection.ask(request)).status != 200:
                raise RuntimeError("a call failed")
            count += 1
        connection.close()
        return count

    return sum(await asyncio.gather(*(client() for _ in range(_CLIENTS)))) / _SYNCHRONOUS


async def queued(port: int, count: int) -> dict[str, float]:
    """Post them, in as many batches as are needed, and wait for the last; return what was measured."""
    connection, other = await Connection.open(_HOST, port), await Connection.open(_HOST, port)
    one = {"kind": "execute", "request": {"code": "print(1)"}, "labels": ["bench"]}
    batch = post_bytes(_HOST, "/api/batches", {"jobs": [one] * min(count, 1000)})
    began = time.monotonic()
    names = []
    for _ in range(max(1, count // 1000)):
        answer = await connection.ask(batch)
        if answer.status != 202:
            raise RuntimeError(answer.body.decode())
        names.append(json.loads(answer.body)["id"])
    posted = time.monotonic() - began
    pages = []
    after = ""
    left = names
    while left:
        asked = time.monotonic()
        page = await ask(other, f"/api/jobs?limit=50&label=bench{after}")
        pages.append(time.monotonic() - asked)
        after = f"&after={page['next']}" if page["next"] else ""
        counts = (await ask(other, f"/api/batches/{left[0]}?limit=1"))["counts"]
        if not counts["queued"] and not counts["running"]:
            left = left[1:]
        await asyncio.sleep(0.25)
    elapsed = time.monotonic() - began
    calm = []
    for _ in range(50):
        asked = time.monotonic()
        await ask(other, "/api/jobs?limit=50&label=bench")
        calm.append(time.monotonic() - asked)
    metrics = await connection.ask(f"GET /metrics HTTP/1.1\r\nHost: {_HOST}\r\n\r\n".encode())
    found = re.search(rb'code_executor_job_runs_total\{status="success"\} ([\d.]+)', metrics.body)
    done = float(found[1]) if found else 0.0
    return {
        "posted": count / posted,
        "done": done,
        "rate": count / (elapsed - posted / 2),
        "page": statistics.median(pages) * 1000,
        "calm page": statistics.median(calm) * 1000,
    }


async def measure(count: int, url: str = "") -> None:
    with tempfile.TemporaryDirectory() as data:
        more: dict[str, object] = {"database": url} if url else {}
        async with serving(data, jobs=2 * count, jobs_per_client=2 * count, **more) as port:
            await synchronous(port)  # warm
            before = await synchronous(port)
            found = await queued(port, count)
            after = await synchronous(port)
    rate = (before + after) / 2
    print(f"{'PostgreSQL' if url else 'SQLite'}: {count} jobs, {found['done']:.0f} of them run")
    print(f"  synchronous   {before:7.0f}/s before, {after:7.0f}/s after")
    print(f"  as jobs       {found['rate']:7.0f}/s, which is {found['rate'] / rate:.0%}")
    print(f"  posted        {found['posted']:7.0f}/s, in batches of 1000")
    print(f"  a page of 50  {found['calm page']:7.1f} ms afterwards, {found['page']:.1f} ms while they run")


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    from tests.postgres import cluster  # noqa: PLC0415

    with cluster() as running:
        url = running.new_database()
        upgrade = [sys.executable, "-m", "code_executor", "db", "upgrade"]
        subprocess.run(upgrade, env=os.environ | {"CODE_EXECUTOR_DATABASE": url}, check=True)
        yield url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own, too")
    options = parser.parse_args()
    uvloop.run(measure(options.jobs))
    if options.postgres:
        with postgres() as url:
            uvloop.run(measure(options.jobs, url))


if __name__ == "__main__":
    main()
