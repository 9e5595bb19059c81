"""The time from `code-executor serve` to the first answer.

It includes the imports, the engine, the first sandbox and the test of the layers.
"""

from __future__ import annotations

import time
from typing import Any

from bench import contenders as c
from bench import markdown
from bench.client import request_bytes
from bench.load import complaint_of
from bench.plan import Plan
from bench.server import Server
from bench.stats import Summary

TITLE = "Start"


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine the seconds of each start."""
    results: dict[str, list[float]] = {}
    for _ in range(plan.pick(7, 2)):
        for engine in plan.engines:
            with plan.attempt(f"start, {engine}"):
                began = time.perf_counter()
                async with Server(engine) as server:
                    connection = await server.connect()
                    response = await connection.ask(request_bytes(server.host, c.PRINT))
                    elapsed = time.perf_counter() - began
                if complaint := complaint_of(response):
                    raise RuntimeError(complaint)
                results.setdefault(engine, []).append(elapsed)
    return results


def render(data: dict[str, Any]) -> str:
    rows = []
    for engine, seconds in data.items():
        found = Summary.of(seconds)
        rows.append([engine, f"{found.p50:.2f}", f"{found.least:.2f}", f"{found.most:.2f}", str(found.count)])
    return markdown.table(["start to first answer", "p50 s", "min s", "max s", "starts"], rows)
