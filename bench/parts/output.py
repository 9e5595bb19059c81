"""How long programs take that print much, and how long with the bare interpreter of the same image.

Both have half a processor. The bare interpreter is started for each run, by a process that reads what it prints; its
start is part of its time. Ours is the `executionTime` of the answer. Between two runs is a pause, so that each begins
with all of its quota.
"""

from __future__ import annotations

import asyncio
import json
import statistics
from typing import Any

from bench import contenders, markdown
from bench.client import request_bytes
from bench.plan import Plan
from bench.server import IMAGE, Server

TITLE = "Programs that print much"

PROGRAMS = {
    "100,000 lines": "for i in range(100000): print(i)",
    "100,000 writes of a character": "import sys\nfor i in range(100000): sys.stdout.write('x')",
    "one line of 100,000 numbers": "print(*range(100000))",
    "50,000 rows of csv": "import csv, sys\ncsv.writer(sys.stdout).writerows([i, i] for i in range(50000))",
    "4 threads, 500 lines each": (
        "import threading\ndef f(c):\n    for i in range(500): print(c * 5, i % 10, c * 5)\n"
        "ts = [threading.Thread(target=f, args=(c,)) for c in 'abcd']\n"
        "for t in ts: t.start()\nfor t in ts: t.join()"
    ),
}
CPUS = 0.5
PAUSE = 0.3

_BARE = """
import json, subprocess, sys, time
times = {}
for _ in range(int(sys.argv[2])):
    for name, code in json.loads(sys.argv[1]).items():
        time.sleep(float(sys.argv[3]))
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
        times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
print(json.dumps(times))
"""


async def measure(plan: Plan) -> dict[str, Any]:
    """Return the milliseconds of each program, by who ran it."""
    results: dict[str, Any] = {}
    if "docker" not in plan.engines:
        return results
    rounds = plan.rounds(9, 3)
    with plan.attempt("programs that print much, bare"):
        results["bare"] = await _bare(rounds)
    with plan.attempt("programs that print much, docker"):
        async with Server("docker", cpus=CPUS, preload="") as server:
            connection = await server.connect()
            times: dict[str, list[float]] = {name: [] for name in PROGRAMS}
            for _ in range(rounds):
                for name, code in PROGRAMS.items():
                    await asyncio.sleep(PAUSE)
                    answer = json.loads((await connection.ask(request_bytes(server.host, code))).body)
                    if answer["reason"] != "completed":
                        raise RuntimeError(f"{name}: {answer['reason']}: {answer['error']}")
                    times[name].append(answer["executionTime"])
        results["docker"] = times
    return results


async def _bare(rounds: int) -> dict[str, list[float]]:
    command = ["docker", "run", "--rm", "--network", "none", "--cpus", str(CPUS), "--entrypoint", contenders.INSIDE]
    arguments = [IMAGE, "-c", _BARE, json.dumps(PROGRAMS), str(rounds), str(PAUSE)]
    process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"docker run ended with {process.returncode}")
    times: dict[str, list[float]] = json.loads(printed)
    return times


def ratio(data: dict[str, Any], program: str) -> float | None:
    """Return our time for a program as a multiple of the bare interpreter's: of the medians."""
    if "bare" not in data or "docker" not in data:
        return None
    ours, bare = (statistics.median(data[who][program]) for who in ("docker", "bare"))
    return float(ours / bare)


def render(data: dict[str, Any]) -> str:
    rows = []
    for name in PROGRAMS:
        cells = [f"{statistics.median(data[who][name]):.0f}" if who in data else "" for who in ("bare", "docker")]
        found = ratio(data, name)
        rows.append([name, *cells, "" if found is None else f"{found:.2f}"])
    return markdown.table(["", "bare ms", "docker ms", "÷ bare"], rows)
