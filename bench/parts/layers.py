"""Where the time of one run goes, step by step.

We measure from outside: strace records the system calls of the server, the supervisor and the child, with their times.
The service does not know that it is measured.

Tracing slows every call of the traced process. So there are three passes, one for each process, and the other two
processes run untraced. For each pass, we compute by how much tracing slowed one call, and subtract it for each call.
Wake-up time is how long one process waits for the other, minus the time that the other accounts for. The sum should be
the time of an untraced run. The difference shows how far you can trust the table.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import contenders as c
from bench import load, markdown, strace
from bench.client import Connection, request_bytes
from bench.plan import Plan
from bench.server import Server, descendants
from bench.stats import percentile
from bench.strace import Call

TITLE = "Where the time goes"

SEND = ("write", "writev", "sendto", "sendmsg", "splice", "sendfile")
RECEIVE = ("read", "readv", "recvfrom", "recvmsg")
FORK = ("fork", "vfork", "clone", "clone3")
COLLECT = ("wait4", "waitid")

IN_SANDBOX, IN_CHILD = "(in the sandbox)", "(in the child)"
"""What one process sees of the other; the other's own layers take its place."""

_GAP = 0.15
"""Seconds between executions: a child must be waiting again, and the CPU quota be whole."""


@dataclass(frozen=True)
class Layer:
    """Seconds, as traced. ``calls``: how many system calls lay within it, each slowed by the tracer."""

    name: str
    took: float
    calls: int

    def less(self, cost: float) -> float:
        """Return the seconds without ``cost`` seconds for every call."""
        return max(0.0, self.took - self.calls * cost)


def moved(call: Call) -> bool:
    """Whether bytes were sent or received, a process made or collected."""
    return bool(call.result and call.result > 0)


class Trail:
    """Walks along one process's calls, from the end of one layer to the end of the next.

    If the end of a layer is not found, the layer merges with the next. So the profile still works when the watched
    program changes.
    """

    def __init__(self, calls: Iterable[Call], start: float) -> None:
        self._calls = list(calls)
        self._unended: list[str] = []
        self.now = start
        self.layers: list[Layer] = []

    def find(
        self, names: Iterable[str], where: Callable[[Call], bool] = moved, *, until: float | None = None
    ) -> list[Call]:
        """Return the calls from here on that have one of ``names``, began before ``until`` and satisfy ``where``."""
        return [
            call
            for call in self._calls
            if call.name in names and call.end >= self.now and (until is None or call.start < until) and where(call)
        ]

    def to(self, layer: str, call: Call | None, *, end: bool = False) -> None:
        """Go to the beginning of a call, or to its ``end``."""
        if call is None:
            self._unended.append(layer)
            return
        self.at(layer, call.end if end else call.start)

    def at(self, layer: str, at: float) -> None:
        """Go to a time that is known."""
        calls = sum(self.now <= call.start < at and call.end <= at for call in self._calls)
        self.layers.append(Layer(" + ".join([*self._unended, layer]), at - self.now, calls))
        self._unended.clear()
        self.now = at


def _first(calls: Sequence[Call]) -> Call | None:
    return calls[0] if calls else None


def _last(calls: Sequence[Call]) -> Call | None:
    return calls[-1] if calls else None


def of_server(calls: Iterable[Call], sent: float, received: float) -> list[Layer]:
    """Return what the server does between a request (``sent``) and its answer (``received``)."""
    trail = Trail(calls, sent)
    trail.to("HTTP in", _first(trail.find(RECEIVE, lambda call: "POST /api/execute" in call.arguments)), end=True)
    trail.to("request read, rate limit, lease, frame made", _first(trail.find(SEND, _to_sandbox)))
    answer = _first(trail.find(SEND, lambda call: '"HTTP/1.1 ' in call.arguments))
    told = _last(trail.find(RECEIVE, until=answer.start if answer else received))
    trail.to(IN_SANDBOX, told, end=True)
    trail.to("result read, answer made", answer)
    trail.at("HTTP out", received)
    return trail.layers


def _to_sandbox(call: Call) -> bool:
    """Whether a sent thing is a frame: the only other things that a server sends are log lines and answers."""
    return moved(call) and call.descriptor != 2 and '"HTTP/1.1 ' not in call.arguments


def of_supervisor(calls: Iterable[Call], sent: float, received: float) -> tuple[list[Layer], list[Layer]]:
    """Return what the supervisor does until the result, and what it does after it until the next child waits."""
    trail = Trail(calls, sent)
    asked = _first(trail.find(RECEIVE))
    if asked is None:
        return [], []
    trail.now = asked.end
    collected = _first(trail.find(COLLECT))
    until = collected.start if collected else received
    trail.to("payload passed on", _first(trail.find(("splice", *SEND), until=until)), end=True)
    trail.to(IN_CHILD, collected, end=True)
    result = _last(trail.find(SEND, until=received))
    trail.to("emptied, judged, result frame made", result)
    on_path, trail.layers = trail.layers, []
    if result is None:
        return on_path, []
    trail.now = result.end
    forked = _first(trail.find(FORK))
    trail.to("killed, proved empty and clean", forked)
    trail.to("fork", forked, end=True)
    trail.to("child confined and warmed up", _first(trail.find(RECEIVE, lambda call: call.result == 1)), end=True)
    trail.to("told to the server", _first(trail.find(SEND)), end=True)
    return on_path, trail.layers


def of_child(calls: Iterable[Call], sent: float) -> list[Layer]:
    """Return what the child does from its payload on."""
    trail = Trail(calls, sent)
    payload = _first(trail.find(RECEIVE))
    if payload is None:
        return []
    trail.now = payload.end
    output = _first(trail.find(SEND, lambda call: call.descriptor == 1))
    closed = _last(trail.find(["close"], lambda _call: True, until=output.start if output else None))
    # the last thing before the first instruction is to close the report's pipe
    trail.to("payload read, parsed, checked by the policy, compiled", closed, end=True)
    trail.to("run, to its first output", output)
    trail.to("run, to its exit", _first(trail.find(["exit_group"], lambda _call: True)))
    return trail.layers


def combine(server: dict[str, float], supervisor: dict[str, float], child: dict[str, float]) -> dict[str, float]:
    """Put the three views into one: each ``(in …)`` becomes the other's layers, and the time to wake each other.

    Raises ``KeyError`` if a view lacks the place for the next.
    """

    def fill(outer: dict[str, float], place: str, way: str, inner: dict[str, float]) -> dict[str, float]:
        rest = max(0.0, outer[place] - sum(inner.values()))
        filled: dict[str, float] = {}
        for name, took in outer.items():
            filled |= {way: rest, **inner} if name == place else {name: took}
        return filled

    sandbox = fill(supervisor, IN_CHILD, "child woken, its exit noticed", child)
    return fill(server, IN_SANDBOX, "supervisor woken, its result noticed", sandbox)


def tracing_cost(untraced: Sequence[float], traced: Sequence[float], calls: Sequence[int]) -> float:
    """Return the seconds by which tracing slowed one call; ``calls``: the number of calls in each traced execution."""
    longer = percentile(traced, 0.5) - percentile(untraced, 0.5)
    return max(0.0, longer) / max(1, percentile(calls, 0.5))


# ---- measuring


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per engine: ``{"untraced": [ms], "costs": [us], "on": {layer: ms}, "off": {layer: ms}}``.

    ``costs``: of a call of the server, of the supervisor and of the child.
    """
    if not strace.present():
        raise RuntimeError("strace is not installed")
    results: dict[str, Any] = {}
    for engine in plan.engines:
        with plan.attempt(f"layers, {engine}"):
            async with Server(engine, pool_size=1) as server:
                results[engine] = await _Profiler(server, await server.connect(), plan.pick(40, 8)).profile()
    return results


@dataclass
class _Profiler:
    server: Server
    connection: Connection
    count: int
    untraced: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    async def profile(self) -> dict[str, Any]:
        for _ in range(3):
            await self._ask()
        self.untraced = [received - sent for sent, received in [await self._ask() for _ in range(self.count)]]
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "trace"
            server = await self._pass(
                log, [self.server.pid], lambda calls, sent, received: [of_server(calls, sent, received)]
            )
            served = await self._busy_supervisor()
            supervisor = await self._pass(log, [served], lambda *what: list(of_supervisor(*what)))
            child = await self._child_pass(log, served)
        return {
            "untraced": [took * 1e3 for took in self.untraced],
            "costs": [cost * 1e6 for cost in self.costs],
            "on": combine(server[0], supervisor[0], child),
            "off": supervisor[1],
        }

    async def _ask(self) -> tuple[float, float]:
        """Ask once, at rest; return when it was sent and answered."""
        await asyncio.sleep(_GAP)
        sent = time.time()
        response = await self.connection.ask(request_bytes(self.server.host, c.PRINT))
        received = time.time()
        if complaint := load.complaint_of(response):
            raise RuntimeError(complaint)
        return sent, received

    async def _busy_supervisor(self) -> int:
        """Return the supervisor that serves these executions. Other supervisors may serve other programs."""
        children = {pids[0]: set(pids[1:]) for pids in self.server.sandboxes()}
        await self._ask()
        await asyncio.sleep(_GAP)
        return next(pid for pid, before in children.items() if before != set(descendants(pid)))

    async def _pass(
        self, log: Path, pids: Sequence[int], read: Callable[[list[Call], float, float], list[list[Layer]]]
    ) -> list[dict[str, float]]:
        with self._traced(pids, log):
            spans = [await self._ask() for _ in range(self.count)]
            await asyncio.sleep(_GAP)
        calls = strace.read(log)
        found = [
            read([call for call in calls if sent - 1 < call.end and call.start < received + _GAP], sent, received)
            for sent, received in spans
        ]
        cost = self._cost(calls, spans)
        return [self._medians([layers[view] for layers in found], cost) for view in range(len(found[0]))]

    async def _child_pass(self, log: Path, supervisor: int) -> dict[str, float]:
        """Each child is a new process: attach to the waiting one every time."""
        found = []
        spans: list[tuple[float, float]] = []
        every: list[Call] = []
        for _ in range(self.count):
            await asyncio.sleep(_GAP)
            with self._traced(descendants(supervisor), log):
                spans.append(await self._ask())
            calls = strace.read(log)
            leaders = {call.pid for call in calls if call.name == "exit_group"}
            every += calls
            found.append(of_child([call for call in calls if call.pid in leaders], spans[-1][0]))
        return self._medians(found, self._cost(every, spans))

    def _cost(self, calls: Sequence[Call], spans: Sequence[tuple[float, float]]) -> float:
        counts = [sum(sent <= call.start and call.end <= received for call in calls) for sent, received in spans]
        cost = tracing_cost(self.untraced, [received - sent for sent, received in spans], counts)
        self.costs.append(cost)
        return cost

    @staticmethod
    def _traced(pids: Sequence[int], log: Path) -> AbstractContextManager[None]:
        return strace.follow(pids, log, forks=False)

    @staticmethod
    def _medians(runs: Sequence[Sequence[Layer]], cost: float) -> dict[str, float]:
        """Return milliseconds per layer, less the tracing."""
        found: dict[str, list[float]] = {}
        for layers in runs:
            for layer in layers:
                found.setdefault(layer.name, []).append(layer.less(cost) * 1e3)
        often = {name: took for name, took in found.items() if 2 * len(took) > len(runs)}
        return {name: percentile(took, 0.5) for name, took in often.items()}


# ---- the report


def render(data: dict[str, Any]) -> str:
    pieces = []
    for engine, found in data.items():
        rows = []
        for path, what in (("on", "total until the answer"), ("off", "total after the answer")):
            total = sum(found[path].values())
            rows += [[name, f"{took:.2f}", f"{took / total:.0%}"] for name, took in found[path].items()]
            rows.append([f"**{what}**", f"**{total:.2f}**", ""])
        pieces.append(markdown.table([engine, "ms", "share"], rows))
        untraced = percentile(found["untraced"], 0.5)
        costs = ", ".join(f"{cost:.0f}" for cost in found["costs"])
        pieces.append(
            f"An untraced run takes {untraced:.2f} ms. Subtracted for tracing in the three passes: {costs} µs per call."
        )
    return "\n\n".join(pieces)
