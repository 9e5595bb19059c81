"""A thousand runs of `time.sleep(1)` at once. Is any lost? Is the queue fair? How much memory does waiting take?"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from bench import load, markdown
from bench.client import request_bytes
from bench.plan import Plan
from bench.server import Server
from bench.stats import Summary, displacements

TITLE = "A thousand at once"

_EVERY = 0.05
_PAGE = 4096


async def measure(plan: Plan) -> dict[str, Any]:
    """Return the result of the burst per engine, with the server's memory in bytes before it and at its peak."""
    count, seconds, sandboxes = plan.pick((1000, 1.0, 32), (200, 0.2, 8))
    results: dict[str, Any] = {}
    for engine in plan.engines:
        with plan.attempt(f"burst, {engine}"):
            settings = {"pool_size": sandboxes, "pool_min": sandboxes, "queue_size": count, "queue_timeout": 600}
            async with Server(engine, preload="", **settings) as server:
                await server.quiet(idle=sandboxes)
                before = _resident(server.pid)
                watch = asyncio.create_task(_peak(server.pid))
                request = request_bytes(server.host, f"import time; time.sleep({seconds:g})")
                found, order = await load.burst(server.host, server.port, request, count)
                watch.cancel()
                results[engine] = {
                    "count": count,
                    "seconds": seconds,
                    "sandboxes": sandboxes,
                    "answered": len(found.latencies),
                    "failures": found.failures,
                    "elapsed": found.elapsed,
                    "displacements": displacements(order),
                    "before": before,
                    "peak": await watch,
                }
                if found.complaint:
                    raise RuntimeError(f"{found.failures} failures, the first: {found.complaint}")
    return results


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


async def _peak(pid: int) -> int:
    """Watch until cancelled; return the peak memory in bytes."""
    most = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            most = max(most, _resident(pid))
            await asyncio.sleep(_EVERY)
    return most


def growth(turn: dict[str, Any]) -> float:
    """Return how much the server's memory grew per waiting execution, in KB (10^3 bytes)."""
    waiting: int = turn["count"] - turn["sandboxes"]
    grown: int = turn["peak"] - turn["before"]
    return grown / waiting / 1e3


def render(data: dict[str, Any]) -> str:
    rows = []
    for engine, turn in data.items():
        moved = Summary.of(turn["displacements"])
        ideal = turn["count"] * turn["seconds"] / turn["sandboxes"]
        rows.append(
            [
                f"{engine}: {turn['count']} of sleep({turn['seconds']:g}) on {turn['sandboxes']} sandboxes",
                str(turn["answered"]),
                str(turn["count"] - turn["answered"]),
                f"{turn['elapsed']:.1f} ({ideal:.1f})",
                f"{moved.p50:.0f}, {moved.p99:.0f}, {moved.most:.0f}",
                f"{growth(turn):.1f}",
            ]
        )
    head = ["", "answered", "lost", "seconds (ideal)", "places out of order: p50, p99, max", "KB per waiting run"]
    return markdown.table(head, rows)
