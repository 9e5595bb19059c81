"""Prints, plots and cells of sessions at once. How long does each wait for the others?

Prints and plots arrive at random times. Prints arrive at 30 % of the rate that saturates the server with prints, and
plots at 30 % of the rate that saturates it with plots. Beside them, each of two sessions runs a small cell twice a
second. The first row of an engine is prints alone, at the same rate and the same times. The server has its default
settings, but it allows one client two sessions.

As above, latency counts from the time at which a request was due. No request may be refused, and no program may fail.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bench import contenders as c
from bench import load, markdown
from bench.client import post_bytes, request_bytes
from bench.load import Outcome
from bench.plan import Plan
from bench.programs import A_PLOT
from bench.server import Server
from bench.stats import Summary, arrivals

TITLE = "Prints, plots and sessions together"

ALONE, PRINTS, PLOTS, CELLS = "prints alone", "prints", "plots", "cells of sessions"

_SHARE = 0.3
_SEEDS = {PRINTS: 1, PLOTS: 2}
_CLIENTS = 8
_SESSIONS = 2
_CELLS_A_SECOND = 2.0
_CELL = "count = globals().get('count', 0) + 1\nprint(count)"


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine and kind of request ``{"rate", "ms", "lateness", "failures"}``."""
    results: dict[str, Any] = {}
    for engine in plan.engines:
        with plan.attempt(f"mixed load, {engine}"):
            async with Server(engine, sessions_per_client=_SESSIONS) as server:
                results[engine] = await _measure(plan, server)
                complaints = [turn["complaint"] for turn in results[engine].values() if turn["complaint"]]
                if complaints:
                    raise RuntimeError(f"a request failed: {complaints[0]}")
    return results


async def _measure(plan: Plan, server: Server) -> dict[str, Any]:
    at = server.host, server.port
    seconds = plan.pick(45.0, 10.0)
    requests = {
        PRINTS: request_bytes(server.host, c.PRINT),
        PLOTS: request_bytes(server.host, A_PLOT.code, display=True),
    }
    await server.quiet()
    rates = {PRINTS: _SHARE * await _saturation(server, requests[PRINTS], plan.pick(8.0, 2.0), 1.0)}
    await server.quiet()
    times = {PRINTS: arrivals(rates[PRINTS], seconds, seed=_SEEDS[PRINTS])}
    alone = await load.open_loop(*at, requests[PRINTS], times[PRINTS])
    # the first seconds: the server makes more of the sandboxes for plots, and each takes some
    rates[PLOTS] = _SHARE * await _saturation(server, requests[PLOTS], plan.pick(8.0, 3.0), plan.pick(15.0, 8.0))
    times[PLOTS] = arrivals(rates[PLOTS], seconds, seed=_SEEDS[PLOTS])
    cells = [await _open_session(server) for _ in range(_SESSIONS)]
    await server.quiet(sessions=_SESSIONS)
    prints, plots, *of_sessions = await asyncio.gather(
        *(load.open_loop(*at, requests[kind], times[kind]) for kind in (PRINTS, PLOTS)),
        *(load.open_loop(*at, cell, arrivals(_CELLS_A_SECOND, seconds), alone=True) for cell in cells),
    )
    return {
        ALONE: _turn(rates[PRINTS], alone),
        PRINTS: _turn(rates[PRINTS], prints),
        PLOTS: _turn(rates[PLOTS], plots),
        CELLS: _turn(_SESSIONS * _CELLS_A_SECOND, *of_sessions),
    }


async def _saturation(server: Server, request: bytes, seconds: float, before: float) -> float:
    """Return how many requests per second it answers at most, once it had them for some seconds."""
    await load.closed(server.host, server.port, request, clients=_CLIENTS, seconds=before)
    found = await load.closed(server.host, server.port, request, clients=_CLIENTS, seconds=seconds)
    if found.complaint:
        raise RuntimeError(f"{found.failures} failures, the first: {found.complaint}")
    return found.rate


async def _open_session(server: Server) -> bytes:
    """Return the request that runs a cell in a new session; it has run once."""
    connection = await server.connect()
    opened = await connection.ask(post_bytes(server.host, "/api/sessions", {}))
    if opened.status != 201:
        raise RuntimeError(load.complaint_of(opened))
    request = post_bytes(server.host, f"/api/sessions/{json.loads(opened.body)['id']}/cells", {"code": _CELL})
    complaint = load.complaint_of(await connection.ask(request))
    connection.close()
    if complaint:
        raise RuntimeError(complaint)
    return request


def _turn(rate: float, *outcomes: Outcome) -> dict[str, Any]:
    return {
        "rate": rate,
        "ms": [value for one in outcomes for value in one.latencies],
        "lateness": [value for one in outcomes for value in one.lateness],
        "failures": sum(one.failures for one in outcomes),
        "complaint": next((one.complaint for one in outcomes if one.complaint), ""),
    }


# ---- the report


def tail(data: dict[str, Any], engine: str) -> float | None:
    """Return the p99 of prints among the others, in milliseconds."""
    return Summary.of(data[engine][PRINTS]["ms"]).p99 if engine in data else None


def failures(data: dict[str, Any], engine: str) -> float | None:
    return float(sum(turn["failures"] for turn in data[engine].values())) if engine in data else None


def render(data: dict[str, Any]) -> str:
    rows = []
    for engine, turns in data.items():
        for kind, turn in turns.items():
            times = [""] * 5
            if turn["ms"]:  # on a machine that is slow enough, no plot arrives in time
                found = Summary.of(turn["ms"])
                late = Summary.of(turn["lateness"]).p99
                times = [f"{value:.2f}" for value in (found.p50, found.p90, found.p99, found.most, late)]
            counts = [str(len(turn["ms"])), str(turn["failures"])]
            rows.append([f"{engine}, {kind}", f"{turn['rate']:.1f}", *times, *counts])
    times = ["p50 ms", "p90 ms", "p99 ms", "max ms", "sent late by, p99 ms"]
    return markdown.table(["", "requests per second", *times, "runs", "failures"], rows)
