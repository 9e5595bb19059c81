"""The flows of a fair queue: what each has had and has coming, and whose turn among them it is.

A flow is a caller, one of its lanes, or a learner in that lane; its ``above`` is what it shares with others of its
level. Above the callers is the root. `fairqueue` has the rules, and counts.
"""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict, deque
from collections.abc import Collection, Iterable
from enum import Enum
from typing import Any


class Manner(Enum):
    """How a sandbox is used: a check is short and of no hurry, a session long."""

    RUN = "run"
    CHECK = "check"
    SESSION = "session"


What = tuple[str, Manner]
"""What a sandbox must be, and what for."""

_Entry = tuple[float, float, int, int, "Flow"]

SESSION_DEBT = 1.0
"""Seconds of virtual time by which open sessions can put a flow behind the others."""

_SLACK = 32
_numbers = itertools.count()


class Line:
    """Flows by their turn: a heap, whose outdated entries stay until they come up or are too many."""

    __slots__ = ("_entries", "_heap")

    def __init__(self) -> None:
        self._heap: list[_Entry] = []
        self._entries: dict[Flow, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, flow: Flow) -> bool:
        return flow in self._entries

    def put(self, flow: Flow, pressure: float) -> None:
        """Put a flow in, or where it belongs now; among equals, who was put in first comes first."""
        entry = self._entries.get(flow)
        if entry is not None and entry[:2] == (pressure, flow.time):
            return
        entry = self._entries[flow] = (pressure, flow.time, flow.rank, next(_numbers), flow)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def drop(self, flow: Flow) -> None:
        self._entries.pop(flow, None)
        if not self._entries:
            self._heap.clear()

    def first(self) -> _Entry | None:
        while self._heap:
            entry = self._heap[0]
            if self._entries.get(entry[-1]) is entry:
                return entry
            heapq.heappop(self._heap)
        return None


class Flow:
    """See above. ``most``: sandboxes that it may have at once, 0 for any number. ``rank`` decides among equals."""

    __slots__ = (
        "_path",
        "_since",
        "above",
        "barred",
        "below",
        "checks",
        "clock",
        "counts",
        "estimate",
        "held",
        "highest",
        "is_even",
        "is_exempt",
        "lines",
        "most",
        "name",
        "pace",
        "places",
        "queues",
        "rank",
        "sessions",
        "time",
        "waiting",
        "weight",
    )

    def __init__(
        self, above: Flow | None = None, weight: float = 1.0, *, name: str = "", most: int = 0, rank: int = 0
    ) -> None:
        self.above: Flow = above or self
        self.weight, self.name, self.most, self.rank = weight, name, most, rank
        self.time = 0.0  # virtual, of this flow
        self.places = 0  # of a caller
        self.held = self.waiting = self.checks = self.sessions = 0
        self.counts: dict[What, int] = defaultdict(int)  # of those that wait
        self.estimate = self.barred = self._since = 0.0
        self.is_even = True  # whether who has fewer sandboxes comes first
        self.is_exempt = False
        # of those below
        self.below: dict[str, Flow] = {}
        self.lines: dict[What, Line] = defaultdict(Line)
        self.pace = Line()
        self.clock = self.highest = 0.0
        # of a learner
        self.queues: dict[What, deque[Any]] = defaultdict(deque)
        self._path: tuple[Flow, ...] = ()

    def __repr__(self) -> str:
        return f"<Flow {self.name!r}: {self.waiting} wait, {self.held} held, at {self.time:.3f} s>"

    def path(self) -> tuple[Flow, ...]:
        """Return it and what is above it, without the root."""
        if not self._path:
            self._path = () if self.above is self else (self, *self.above.path())
        return self._path

    @property
    def is_full(self) -> bool:
        return 0 < self.most <= self.held

    @property
    def pressure(self) -> float:
        return self.held / self.weight if self.is_even and not self.is_exempt else 0.0

    def offers(self, what: What) -> bool:
        """Whether anything of it could be served now; of a learner's checks, one at a time."""
        if self.is_full or (what[1] is Manner.CHECK and self.checks):
            return False
        return bool(self.lines[what] if what in self.lines else self.queues.get(what))

    def wake(self, clock: float) -> None:
        """Start to wait, if it does not wait yet: no further back than whoever waits already."""
        if self.waiting:
            return
        above = self.above
        first = above.pace.first()
        above.clock = above.highest if first is None else max(above.clock, first[1])
        self.time = max(self.time, above.clock)
        self.pay(clock)

    def charge(self, seconds: float) -> None:
        self.time += seconds / self.weight
        self.above.highest = max(self.above.highest, self.time)

    def pay(self, clock: float) -> None:
        """Charge for the sessions that are open, up to a bound: they last, and others of its runs must not."""
        if self.sessions:
            owed = self.sessions * (clock - self._since) / self.weight
            self.time = max(self.time, min(self.time + owed, self.above.clock + SESSION_DEBT))
            self.above.highest = max(self.above.highest, self.time)
        self._since = clock

    def begin_session(self, clock: float) -> None:
        self.pay(clock)
        self.sessions += 1

    def end_session(self, clock: float) -> None:
        self.pay(clock)
        self.sessions -= 1

    def count(self, what: What, by: int) -> None:
        """Note that so many more wait."""
        self.waiting += by
        self.counts[what] += by
        if not self.counts[what]:
            del self.counts[what]

    def file(self) -> None:
        """Stand where it belongs among those of its level, after anything of it has changed."""
        above = self.above
        if not self.waiting:
            if self in above.pace:
                above.pace.drop(self)
                for line in above.lines.values():
                    line.drop(self)
            return
        above.pace.put(self, 0.0)
        for what in self.lines or self.queues:
            if self.offers(what):
                above.lines[what].put(self, self.pressure)
            else:
                above.lines[what].drop(self)

    def step_aside(self, whats: Iterable[What]) -> None:
        """Let those after it come up, until it is filed again."""
        for what in whats:
            self.above.lines[what].drop(self)

    def first(self, whats: Iterable[What]) -> Flow | None:
        """Return whose turn it is of those below that can have one of these; None where there is none."""
        entries = [entry for what in whats if what in self.lines and (entry := self.lines[what].first())]
        return min(entries)[-1] if entries else None

    def leaf_for(self, whats: Collection[What]) -> Flow:
        """Return the learner whose turn it is, of a flow that offers one of these."""
        if not self.below:
            return self
        following = self.first(whats)
        if following is None:
            raise RuntimeError(f"{self!r} offers what none of those below it has")
        return following.leaf_for(whats)

    def remove(self) -> None:
        """Take out what nobody needs any more, and what is above it and has nothing else."""
        del self.above.below[self.name]
        if not self.above.below and self.above.above is not self.above:
            self.above.remove()
