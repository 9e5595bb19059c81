"""Memory of idle, warm sandboxes: of each kind, and of all that a server keeps.

PSS divides shared memory between those that share it. Sandboxes share the pages of libraries. A supervisor shares pages
with its waiting child. So PSS depends on the number of sandboxes, and the table shows the pool of the default settings
and a larger one. The process that only holds a child's memory (docs/decisions.md) has the child's memory and none of
its own. It is not counted again.
"""

from __future__ import annotations

import asyncio
from typing import Any

from bench import markdown
from bench.plan import Plan
from bench.server import Server, has_mapped, memories, memory
from bench.stats import Summary

TITLE = "Memory of an idle sandbox"

DEFAULT = "the default pool"
SURPLUS = 75.0
"""Seconds after which a pool has given up the sandboxes that it made for the examination at its start."""

NUMPY = "and numpy, pandas"
KINDS = {
    "and scipy, sympy": "/scipy/",
    "and pyplot": "/matplotlib/",
    NUMPY: "/numpy/",
    "the standard library": "",
}
"""Each kind has what those below it have. It is known by a library of the last it has that is mapped."""


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine and pool the bytes of each sandbox: ``{"pss", "private", "kind"}``."""
    results: dict[str, list[dict[str, Any]]] = {}
    for engine in plan.engines:
        for count in plan.pick((0, 8), (0,)):
            pool = f"pool of {count}" if count else DEFAULT
            with plan.attempt(f"memory, {engine}, {pool}"):
                settings = {"pool_size": count, "pool_min": count} if count else {}
                async with Server(engine, **settings) as server:
                    await server.quiet(idle=count)
                    await asyncio.sleep(0 if count else plan.pick(SURPLUS, 0.0))
                    results[f"{engine}, {pool}"] = [_weigh(memories(pids)) for pids in server.sandboxes()]
    return results


def _weigh(pids: list[int]) -> dict[str, Any]:
    """Raises ``OSError`` where this user may not look."""
    return {
        "pss": sum(memory(pid, "Pss") for pid in pids),
        "private": sum(memory(pid, "Private_Dirty") for pid in pids),
        "kind": next(kind for kind, library in KINDS.items() if has_mapped(pids[0], library)),
    }


def pss(data: dict[str, Any], name: str, kind: str) -> float | None:
    """Return the median of the PSS of one kind's sandboxes in MB (10^6 bytes)."""
    found = [one["pss"] / 1e6 for one in data.get(name, ()) if one["kind"] == kind]
    return Summary.of(found).p50 if found else None


def whole(data: dict[str, Any], name: str) -> float | None:
    """Return the PSS of all sandboxes of a pool in MB, if every kind is there."""
    sandboxes = data.get(name, ())
    every = {one["kind"] for one in sandboxes} == set(KINDS)
    return sum(one["pss"] for one in sandboxes) / 1e6 if every else None


def render(data: dict[str, Any]) -> str:
    rows = []
    for name, sandboxes in data.items():
        for kind in reversed(KINDS):
            some = [one for one in sandboxes if one["kind"] == kind]
            if some:
                sizes = [f"{Summary.of([one[key] for one in some]).p50 / 1e6:.1f}" for key in ("pss", "private")]
                rows.append([f"{name}: {kind}", *sizes, str(len(some))])
        sums = [f"{sum(one[key] for one in sandboxes) / 1e6:.1f}" for key in ("pss", "private")]
        rows.append([f"**{name}, in all**", *sums, str(len(sandboxes))])
    return markdown.table(["", "PSS, MB", "private, MB", "sandboxes"], rows)
