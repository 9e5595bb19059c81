"""What the client itself costs: it sends the same requests to a server that does nothing."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bench import contenders as c
from bench import load, markdown
from bench.client import request_bytes
from bench.plan import Plan
from bench.stats import Summary

TITLE = "The client's own share"


async def measure(plan: Plan) -> dict[str, Any]:
    """Return latencies in milliseconds and the rate of one client and of eight."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.trivial", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        request = request_bytes("127.0.0.1", c.PRINT)
        results = {}
        for clients in (1, 8):
            seconds = plan.pick(2.0, 0.5)
            found = await load.closed("127.0.0.1", port, request, clients=clients, seconds=seconds)
            results[f"{clients} client{'s' if clients > 1 else ''}"] = {"ms": found.latencies, "rate": found.rate}
        return results
    finally:
        server.terminate()
        await server.wait()


def render(data: dict[str, Any]) -> str:
    rows = []
    for name, turn in data.items():
        found = Summary.of(turn["ms"])
        rows.append([name, f"{turn['rate']:.0f}", f"{found.p50:.3f}", f"{found.p99:.3f}"])
    return markdown.table(["requests to a server that does nothing", "per second", "p50 ms", "p99 ms"], rows)
