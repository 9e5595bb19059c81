"""Memory of an idle, warm sandbox, plain or with numpy and pandas preloaded.

PSS divides shared memory between those that share it. Sandboxes share the pages of libraries. A supervisor shares pages
with its waiting child. So PSS depends on the number of sandboxes, and the table shows a pool of the default size and a
larger one. The process that only holds a child's memory (docs/decisions.md) has the child's memory and none of its own.
It is not counted again.
"""

from __future__ import annotations

from typing import Any

from bench import markdown
from bench.plan import Plan
from bench.server import Server, has_mapped, memories, memory
from bench.stats import Summary

TITLE = "Memory of an idle sandbox"

_PRELOADED = "_multiarray_umath"  # numpy's core, where it is imported


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine and pool the bytes of each sandbox: ``{"pss", "private", "preloaded"}``."""
    results: dict[str, list[dict[str, Any]]] = {}
    for engine in plan.engines:
        for count in plan.pick((2, 8), (2,)):
            with plan.attempt(f"memory, {engine}, pool of {count}"):
                async with Server(engine, pool_size=count, pool_min=count) as server:
                    await server.quiet(idle=count)
                    results[f"{engine}, pool of {count}"] = [_weigh(memories(pids)) for pids in server.sandboxes()]
    return results


def _weigh(pids: list[int]) -> dict[str, Any]:
    """Raises ``OSError`` where this user may not look."""
    return {
        "pss": sum(memory(pid, "Pss") for pid in pids),
        "private": sum(memory(pid, "Private_Dirty") for pid in pids),
        "preloaded": has_mapped(pids[0], _PRELOADED),
    }


def pss(data: dict[str, Any], name: str) -> float | None:
    """Return the median of the preloaded sandboxes' PSS in MB (10^6 bytes)."""
    found = [one["pss"] / 1e6 for one in data.get(name, ()) if one["preloaded"]]
    return Summary.of(found).p50 if found else None


def render(data: dict[str, Any]) -> str:
    rows = []
    for name, sandboxes in data.items():
        for preloaded in (True, False):
            some = [one for one in sandboxes if one["preloaded"] is preloaded]
            if some:
                sizes = [f"{Summary.of([one[key] for one in some]).p50 / 1e6:.1f}" for key in ("pss", "private")]
                kind = "numpy and pandas preloaded" if preloaded else "plain"
                rows.append([f"{name}: {kind}", *sizes, str(len(some))])
    return markdown.table(["", "PSS, MB", "private, MB", "sandboxes"], rows)
