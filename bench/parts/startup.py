"""The time from `code-executor serve` to the first answer, and until all sandboxes are ready.

The first includes the imports, the engine, the first sandbox and the test of the layers. The second also includes the
sandboxes that import libraries. Programs that come before run in the sandboxes that are there.
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
    """Return per engine the seconds of each start: ``{"first": […], "all": […]}``, the second of some starts only."""
    results: dict[str, dict[str, list[float]]] = {}
    for number in range(plan.rounds(7, 2)):
        for engine in plan.engines:
            with plan.attempt(f"start, {engine}"):
                began = time.perf_counter()
                async with Server(engine) as server:
                    connection = await server.connect()
                    response = await connection.ask(request_bytes(server.host, c.PRINT))
                    first = time.perf_counter() - began
                    if complaint := complaint_of(response):
                        raise RuntimeError(complaint)
                    found = results.setdefault(engine, {"first": [], "all": []})
                    found["first"].append(first)
                    if number < 3:
                        await server.quiet()
                        found["all"].append(time.perf_counter() - began)
    return results


def render(data: dict[str, Any]) -> str:
    rows = []
    for engine, starts in data.items():
        for name, until in (("first", "first answer"), ("all", "all sandboxes ready")):
            found = Summary.of(starts[name])
            times = [f"{value:.2f}" for value in (found.p50, found.least, found.most)]
            rows.append([f"{engine}, {until}", *times, str(found.count)])
    return markdown.table(["start to", "p50 s", "min s", "max s", "starts"], rows)
