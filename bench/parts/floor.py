"""The smallest cost of one run for the sandbox, step by step, beside processes without a sandbox.

Each row is a copy of a supervisor's process. It does what a run's process does, up to a point, and then ends. There is
no HTTP, no relay and no proof that nothing is left. So no server can save what you see here. The rows take turns.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from bench import contenders as c
from bench import markdown
from bench.plan import Plan
from bench.server import IMAGE, ROOT
from bench.stats import Summary

TITLE = "The floor"

_KINDS = {"plain": "", "numpy and pandas preloaded": "numpy,pandas"}


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per kind of sandbox and rung ``{"wall", "cpu", "faults"}``, each a list."""
    results: dict[str, Any] = {}
    if "docker" in plan.engines:
        for kind, preload in _KINDS.items():
            with plan.attempt(f"floor, {kind}"):
                results[kind] = await climb(preload, plan.pick(200, 20))
    return results


async def climb(preload: str, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Return ``{rung: {"wall", "cpu", "faults"}}`` of `bench/rungs.py` in a container."""
    rungs: dict[str, dict[str, list[float]]] = json.loads(await _climb(await _config(preload), rounds))
    return rungs


async def _config(preload: str) -> str:
    """Return the configuration that the service would send to an agent."""
    words = (
        "import sys; from code_executor.app.preloads import STANDARD; from code_executor.core.limits import Limits; "
        "from code_executor.sandbox.hardening import agent_config; p = tuple(filter(None, sys.argv[1].split(','))); "
        "print(agent_config(Limits(), 52000, p, {}, STANDARD).to_json())"
    )
    return await _output(str(ROOT / ".venv/bin/python"), "-c", words, preload)


async def _climb(config: str, rounds: int) -> str:
    script = ROOT / "bench" / "rungs.py"
    rights = [f"--cap-{word}" for word in ("drop=ALL", "add=SETUID", "add=SETGID", "add=KILL")]
    box = ["--tmpfs", "/work:uid=52000,gid=52000", "--network=none", "--security-opt=no-new-privileges"]
    what = ["-v", f"{script}:/rungs.py:ro", "--entrypoint", c.INSIDE, IMAGE]
    arguments = ["-I", "-B", "/rungs.py", config, str(rounds)]
    return await _output("docker", "run", "--rm", *rights, *box, *what, *arguments)


async def _output(*command: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode(errors="replace").strip()[-300:])
    return output.decode().strip()


def render(data: dict[str, Any]) -> str:
    head = [""]
    for kind in data:
        head += [f"{kind}: ms", "processor ms", "page faults"]
    rows = []
    for rung in next(iter(data.values()), {}):
        row = [rung]
        for figures in data.values():
            cpu = figures[rung]["cpu"]
            row += [f"{Summary.of(figures[rung]['wall']).p50:.2f}", f"{sum(cpu) / len(cpu):.2f}"]
            row.append(f"{Summary.of(figures[rung]['faults']).p50:.0f}")
        rows.append(row)
    return markdown.table(head, rows)
