"""How many runs per second are possible, with one client and with eight.

Each client sends its next request as soon as it has an answer. Bare interpreters are started in the same way.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import Any

from bench import contenders as c
from bench import load, markdown
from bench.client import request_bytes
from bench.plan import Plan
from bench.server import Server
from bench.stats import Ratio, Summary, ratio

TITLE = "Throughput"

CLIENTS = 8


def bare_name(at_once: int) -> str:
    return f"{c.BARE}, {at_once} at once"


def http_name(engine: str, clients: int, workers: int = 1) -> str:
    more = f", {workers} workers" if workers > 1 else ""
    return f"HTTP, {engine}{more}, {clients} client{'s' if clients > 1 else ''}"


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per contender its rounds: ``{"rate": a second, "ms": latencies, "failures": count}``."""
    seconds = plan.pick(4.0, 1.5)
    results: dict[str, list[dict[str, Any]]] = {}

    def note(name: str, rate: float, latencies: list[float], failures: int) -> None:
        results.setdefault(name, []).append({"rate": rate, "ms": latencies, "failures": failures})

    async with AsyncExitStack() as stack:
        spawner = await stack.enter_async_context(c.spawner())
        servers: list[tuple[Server, int, int]] = []
        for engine in plan.engines:
            for workers in (1, os.cpu_count() or 1):
                if (engine, workers) in ((one.engine, many) for one, many, _ in servers):
                    continue
                with plan.attempt(http_name(engine, CLIENTS, workers)):
                    server = await stack.enter_async_context(Server(engine, workers=workers))
                    servers += [
                        (server, workers, clients) for clients in ((1, CLIENTS) if workers == 1 else (CLIENTS,))
                    ]
        for server, _, _ in servers:  # so that it has as many sandboxes as under load
            await load.closed(server.host, server.port, request_bytes(server.host, c.PRINT), clients=CLIENTS, seconds=1)
        for _ in range(plan.rounds(4, 1)):
            for at_once in (1, CLIENTS):
                argv = [plan.python, "-c", c.PRINT]
                reply = await spawner.ask(argv=argv, seconds=seconds, most=1_000_000, at_once=at_once)
                note(bare_name(at_once), len(reply["ms"]) / reply["elapsed"], reply["ms"], 0)
            for server, workers, clients in servers:
                with plan.attempt(http_name(server.engine, clients, workers)):
                    await server.quiet()
                    request = request_bytes(server.host, c.PRINT)
                    found = await load.closed(server.host, server.port, request, clients=clients, seconds=seconds)
                    note(http_name(server.engine, clients, workers), found.rate, found.latencies, found.failures)
                    if found.complaint:
                        raise RuntimeError(f"{found.failures} failures, the first: {found.complaint}")
    return results


def compared(data: dict[str, Any], name: str, to: str) -> Ratio | None:
    if name not in data or to not in data:
        return None
    return ratio([[turn["rate"]] for turn in data[name]], [[turn["rate"]] for turn in data[to]])


def render(data: dict[str, Any]) -> str:
    rows = []
    to = bare_name(CLIENTS)
    for name, turns in data.items():
        found = Summary.of([value for turn in turns for value in turn["ms"]])
        rates = Summary.of([turn["rate"] for turn in turns])
        failures = sum(turn["failures"] for turn in turns)
        times = [f"{value:.2f}" for value in (found.p50, found.p99)]
        rows.append([name, f"{rates.p50:.0f}", *times, str(failures), markdown.ratio(compared(data, name, to))])
    head = ["", "per second", "p50 ms", "p99 ms", "failures", f"÷ {to}"]
    return markdown.table(head, rows)
