"""Latency under load: requests arrive at half the rate that saturates the server.

Each request is sent at a fixed time, even if the server has not answered the ones before. Latency counts from the time
at which the request was due. If each client waited for its answer instead, it would send nothing while the server
stalls, and this would hide the stall.

The ideal queue beside it is a simulation. It gets the same arrivals and has one server per core. Every request takes
the same time, which follows from the saturation rate. At p50 Code Executor is faster than the ideal queue, because it
sends the answer before the clean-up. The clean-up includes forking, confining and warming the next child. At p99 a
request also waits for the clean-up of other requests.
"""

from __future__ import annotations

import os
from typing import Any

from bench import contenders as c
from bench import load, markdown
from bench.client import request_bytes
from bench.plan import Plan
from bench.server import Server
from bench.stats import Summary, arrivals, queued

TITLE = "Latency at half the saturation rate"

_SEED = 1


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine and kind of arrivals: ``{"saturation", "rate", "ms", "lateness", "failures", "ideal"}``."""
    results: dict[str, Any] = {}
    seconds = plan.pick(60.0, 10.0)
    for engine in plan.engines:
        with plan.attempt(f"open loop, {engine}"):
            async with Server(engine) as server:
                request = request_bytes(server.host, c.PRINT)
                at = server.host, server.port
                await load.closed(*at, request, clients=8, seconds=1)  # as many sandboxes as it will have under load
                await server.quiet()
                saturation = (await load.closed(*at, request, clients=8, seconds=plan.pick(8.0, 2.0))).rate
                kinds = (("random", _SEED), ("even", None))
                for kind, seed in plan.pick(kinds, kinds[:1]):
                    await server.quiet()
                    times = arrivals(saturation / 2, seconds, seed=seed)
                    cores = len(os.sched_getaffinity(0))
                    found = await load.open_loop(*at, request, times)
                    results[f"{engine}, {kind} arrivals"] = {
                        "saturation": saturation,
                        "rate": saturation / 2,
                        "ms": found.latencies,
                        "lateness": found.lateness,
                        "failures": found.failures,
                        "ideal": [took * 1000 for took in queued(times, cores / saturation, cores)],
                    }
                    if found.complaint:
                        raise RuntimeError(f"{found.failures} failures, the first: {found.complaint}")
    return results


def render(data: dict[str, Any]) -> str:
    rows = []
    for name, turn in data.items():
        found = Summary.of(turn["ms"])
        times = [f"{value:.2f}" for value in (found.p50, found.p90, found.p99, found.most)]
        ideal = f"{Summary.of(turn['ideal']).p99:.2f}"
        late = f"{Summary.of(turn['lateness']).p99:.2f}"
        counts = [str(found.count), str(turn["failures"])]
        rows.append([name, f"{turn['rate']:.0f}", *times, f"{found.p99 / found.p50:.1f}", ideal, late, *counts])
    head = [
        "",
        "requests per second",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "max ms",
        "p99 ÷ p50",
        "ideal queue, p99 ms",
        "sent late by, p99 ms",
        "runs",
        "failures",
    ]
    return markdown.table(head, rows)
