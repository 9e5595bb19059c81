"""The time from the moment a program writes until its bytes reach the client.

The program prints the time at which it writes. The whole machine has the same clock (CLOCK_MONOTONIC).
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

from bench import markdown
from bench.client import request_bytes
from bench.plan import Plan
from bench.server import Server
from bench.stats import Summary

TITLE = "Streaming"

PROGRAM = """\
import time
for _ in range(5):
    print(time.monotonic_ns(), flush=True)
    time.sleep(0.02)
"""
_STDOUT = re.compile(rb"event: stdout\ndata: (\{.*\})\n\n")


class Arrivals:
    """Notes how long each printed time took to arrive."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._rest = b""

    def __call__(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self._rest += data
        for event in _STDOUT.finditer(self._rest):
            for written in json.loads(event[1])["data"].split():
                self.milliseconds.append((now - int(written)) / 1e6)
        self._rest = _STDOUT.sub(b"", self._rest)


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine the milliseconds of first pieces and of later ones."""
    results: dict[str, Any] = {}
    for engine in plan.engines:
        with plan.attempt(f"streaming, {engine}"):
            async with Server(engine) as server:
                connection = await server.connect()
                request = request_bytes(server.host, PROGRAM, stream=True)
                first, later = [], []
                for _ in range(plan.pick(100, 20)):
                    arrivals = Arrivals()
                    await connection.ask(request, arrivals)
                    if len(arrivals.milliseconds) != 5:
                        raise RuntimeError(f"{len(arrivals.milliseconds)} pieces of 5 arrived")
                    first.append(arrivals.milliseconds[0])
                    later += arrivals.milliseconds[1:]
                results[engine] = {"first": first, "later": later}
    return results


def render(data: dict[str, Any]) -> str:
    rows = []
    for engine, found in data.items():
        for piece in ("first", "later"):
            times = Summary.of(found[piece])
            rows.append([f"{engine}, {piece}", f"{times.p50:.2f}", f"{times.p99:.2f}", str(times.count)])
    head = ["from write to receipt", "p50 ms", "p99 ms", "pieces"]
    return markdown.table(head, rows)
