"""Where the time of one execution goes, layer by layer, from the outside: the system calls of the server, the
supervisor and the child, with the kernel's own order and strace's clock. Nothing in the service knows of it.

Tracing makes every call slower, some 30 us each. What that is here is measured, and taken off by the number of calls
in each layer; what the same server needs untraced stands beside it, so that one can see how far to believe it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import contenders as c
from bench import load, markdown, strace
from bench.client import request_bytes
from bench.plan import Plan
from bench.server import Server
from bench.stats import percentile
from bench.strace import Call

TITLE = "Where the time goes"

SEND = ("write", "writev", "sendto", "sendmsg", "splice", "sendfile")
RECEIVE = ("read", "readv", "recvfrom", "recvmsg")
FORK = ("fork", "vfork", "clone", "clone3")
COLLECT = ("wait4", "waitid")

_GAP = 0.15
"""Seconds between traced executions: a child must be waiting again, and the CPU quota be whole."""


@dataclass(frozen=True)
class Layer:
    """Seconds, as traced. ``calls``: how many system calls lay on the path within it, each slowed by the tracer."""

    name: str
    took: float
    calls: int

    def less(self, cost: float) -> float:
        """Return the seconds without ``cost`` seconds for every call."""
        return max(0.0, self.took - self.calls * cost)


class Trail:
    """Walks along a trace, from the end of one layer to the end of the next.

    An end that is not found is left out, and its layer merges with the next: the profile survives changes of what it
    watches.
    """

    def __init__(self, calls: Sequence[Call], start: float) -> None:
        self._calls = calls
        self._unended: list[str] = []
        self.now = start
        self.layers: list[Layer] = []

    def to(
        self,
        layer: str,
        whose: Iterable[int],
        names: Iterable[str],
        where: Callable[[Call], bool] = lambda _call: True,
        *,
        end: bool = False,
    ) -> Call | None:
        """Go to the first call from here on that is one of ``names`` by one of ``whose`` and holds ``where``.

        ``end``: to its return, else to its beginning.
        """
        whose, names = frozenset(whose), frozenset(names)
        for call in self._calls:
            at = call.end if end else call.start
            if call.pid in whose and call.name in names and at >= self.now and where(call):
                self.at(layer, at, call.pid)
                return call
        self._unended.append(layer)
        return None

    def at(self, layer: str, at: float, *whose: int) -> None:
        """Go to a time that is known; the calls of ``whose`` are what lies on the path."""
        calls = sum(call.pid in whose and self.now <= call.start < at and call.end <= at for call in self._calls)
        self.layers.append(Layer(" + ".join([*self._unended, layer]), at - self.now, calls))
        self._unended.clear()
        self.now = at


def moved(call: Call) -> bool:
    """Whether bytes were sent or received."""
    return bool(call.result and call.result > 0)


def on_path(
    calls: Sequence[Call], server: int, supervisors: Sequence[int], sent: float, received: float
) -> list[Layer]:
    """Return the layers between a request (``sent``) and its answer (``received``)."""
    trail = Trail(calls, sent)
    others = {call.pid for call in calls} - {server, *supervisors}
    trail.to("HTTP in", [server], RECEIVE, lambda call: "POST /api/execute" in call.arguments, end=True)
    asked = _first(calls, supervisors, RECEIVE, trail.now)
    if asked is not None:  # whatever the server sent last before it
        sends = [x for x in calls if x.pid == server and x.name in SEND and trail.now <= x.start < asked.end]
        if sends:
            trail.at("request read, rate limit, lease, frame made", sends[-1].start, server)
    supervisor = asked.pid if asked else -1
    trail.to("frame out, supervisor wakes", [supervisor], RECEIVE, moved, end=True)
    woken = trail.to("payload passed on, child wakes", others, RECEIVE, moved, end=True)
    child = woken.pid if woken else -1
    first_word = _first(calls, [child], SEND, trail.now, lambda call: call.descriptor == 1)
    if first_word is not None:
        closes = [x for x in calls if x.pid == child and x.name == "close" and trail.now <= x.start < first_word.start]
        if closes:  # the last thing before the first instruction is to close the report pipe
            trail.at("payload read, parsed, checked by the policy, compiled", closes[-1].start, child)
    trail.to("run, to its first output", [child], SEND, lambda call: call.descriptor == 1)
    trail.to("run, to its exit", [child], ["exit_group"])
    trail.to("exit, collected", [supervisor], COLLECT, moved, end=True)
    answer = _first(calls, [server], SEND, trail.now, lambda call: '"HTTP/1.1 ' in call.arguments)
    until = answer.start if answer else received
    told = [x for x in calls if x.pid == server and x.name in RECEIVE and moved(x) and trail.now <= x.end <= until]
    if told:
        says = [x for x in calls if x.pid == supervisor and x.name in SEND and trail.now <= x.start <= told[-1].end]
        if says:
            trail.at("emptied, judged, result frame made", says[-1].start, supervisor)
        trail.at("result frame in", told[-1].end, server)
    if answer is not None:
        trail.at("result read, logged, answer made", answer.start, server)
    trail.at("HTTP out", received)
    return trail.layers


def off_path(calls: Sequence[Call], supervisors: Sequence[int], received: float) -> list[Layer]:
    """Return what the supervisor that served does, from its result frame on, until the next child waits."""
    served = [x for x in calls if x.pid in supervisors and x.name in SEND and moved(x) and x.end <= received]
    if not served:
        return []
    supervisor, known = served[-1].pid, {call.pid for call in calls if call.start < served[-1].end}
    trail = Trail(calls, served[-1].end)
    forked = trail.to("killed, proved empty and clean", [supervisor], FORK, moved)
    if forked is None:
        return []
    children = [call.pid for call in calls if call.pid not in known and call.start > trail.now]
    if not children:
        return []
    born = _first(calls, [children[0]], None, trail.now)
    assert born is not None
    trail.at("fork", born.start, supervisor)
    ready = [x for x in calls if x.pid == children[0] and x.name in SEND and x.start > trail.now]
    if ready:  # the last thing it writes before it waits
        trail.at("child confined and warmed up", ready[-1].start, children[0])
    trail.to("told to the server", [supervisor], SEND, moved, end=True)
    return trail.layers


def _first(
    calls: Sequence[Call],
    whose: Iterable[int],
    names: Iterable[str] | None,
    since: float,
    where: Callable[[Call], bool] = moved,
) -> Call | None:
    whose = frozenset(whose)
    return next(
        (x for x in calls if x.pid in whose and (not names or x.name in names) and x.end >= since and where(x)), None
    )


# ---- measuring


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine: ``{"untraced", "traced", "cost", "calls", "on": {layer: [[raw, less]]}, "off": …}``."""
    if not strace.present():
        raise RuntimeError("strace is not installed")
    cost = tracing_cost()
    results: dict[str, Any] = {}
    for engine in plan.engines:
        with plan.attempt(f"layers, {engine}"):
            async with Server(engine, pool_size=1) as server:
                results[engine] = await _profile(server, plan.pick(40, 12), cost)
    return results


async def _profile(server: Server, count: int, cost: float) -> dict[str, Any]:
    connection = await server.connect()
    request = request_bytes(server.host, c.PRINT)

    async def ask_now_and_then(times: int) -> list[tuple[float, float]]:
        spans = []
        for _ in range(times):
            await asyncio.sleep(_GAP)
            sent = time.time()
            if complaint := load.complaint_of(await connection.ask(request)):
                raise RuntimeError(complaint)
            spans.append((sent, time.time()))
        return spans

    await ask_now_and_then(3)
    untraced = await ask_now_and_then(count)
    await server.quiet()
    sandboxes = server.sandboxes()
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "trace"
        with strace.follow([server.pid, *(pid for pids in sandboxes for pid in pids)], log):
            traced = await ask_now_and_then(count)
            await asyncio.sleep(_GAP)
        calls = strace.read(log)
    on: dict[str, list[tuple[float, float]]] = {}
    off: dict[str, list[tuple[float, float]]] = {}

    def note(layers: list[Layer], into: dict[str, list[tuple[float, float]]]) -> None:
        for layer in layers:
            into.setdefault(layer.name, []).append((layer.took * 1e3, layer.less(cost) * 1e3))

    supervisors = [pids[0] for pids in sandboxes]
    for sent, received in traced[1:]:  # the first one's child was born before the tracing
        near = [call for call in calls if sent - 1 < call.start < received + _GAP]
        note(on_path(near, server.pid, supervisors, sent, received), on)
        note(off_path(near, supervisors, received), off)
    return {
        "untraced": [(received - sent) * 1e3 for sent, received in untraced],
        "traced": [(received - sent) * 1e3 for sent, received in traced],
        "cost": cost * 1e6,
        "on": on,
        "off": off,
    }


_CALLS = 2000
_LOOP = f"""
import os, time
began = time.perf_counter()
for _ in range({_CALLS}): os.getppid()
print(time.perf_counter() - began)
"""


def tracing_cost() -> float:
    """Return the seconds by which tracing slows one system call down."""
    took = []
    for tracer in ([], ["strace", *strace.OPTIONS, "-o", "/dev/null"]):
        done = subprocess.run([*tracer, sys.executable, "-c", _LOOP], capture_output=True, check=True, timeout=60)
        took.append(float(done.stdout))
    return (took[1] - took[0]) / _CALLS


# ---- what it says


def medians(layers: dict[str, list[list[float]]]) -> dict[str, tuple[float, float]]:
    """Return per layer the medians, as traced and less the tracing."""
    return {
        name: (percentile([raw for raw, _ in found], 0.5), percentile([less for _, less in found], 0.5))
        for name, found in layers.items()
    }


def render(data: dict[str, Any]) -> str:
    pieces = []
    for engine, found in data.items():
        rows = []
        for path in ("on", "off"):
            each = medians(found[path])
            total = tuple(sum(both[n] for both in each.values()) for n in (0, 1))
            for name, (raw, less) in each.items():
                share = f"{less / total[1]:.0%}" if total[1] else ""
                rows.append([name, f"{less:.2f}", share, f"{raw:.2f}"])
            what = "in all, for the caller" if path == "on" else "in all, afterwards"
            rows.append([f"**{what}**", f"**{total[1]:.2f}**", "", f"**{total[0]:.2f}**"])
        untraced = percentile(found["untraced"], 0.5)
        pieces.append(markdown.table([engine, "ms", "share", "as traced, ms"], rows))
        pieces.append(
            f"The same without tracing: {untraced:.2f} ms. Tracing costs {found['cost']:.0f} us a call, taken off."
        )
    return "\n\n".join(pieces)
