"""A day of a service in simulated time: who asks for which run and when, some sandboxes, and a way to take turns."""

from __future__ import annotations

import heapq
import math
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from code_executor.core.caller import Caller
from code_executor.service.fairqueue import FairQueue, Lane, Rules, Ticket
from code_executor.service.flows import Manner


@dataclass(frozen=True)
class Asked:
    """A run that somebody asks for."""

    at: float
    who: Caller
    seconds: float


class Turns(Protocol):
    def enter(self, asked: Asked) -> None: ...

    def next(self, now: float, /) -> Asked | None: ...

    def finish(self, asked: Asked, now: float) -> None: ...


class Fair:
    def __init__(self, sandboxes: int) -> None:
        self._queue = FairQueue(Rules(100_000, 100_000, learner_places=400), sandboxes)
        self._tickets: dict[Asked, Ticket] = {}
        self._sandboxes = sandboxes

    def enter(self, asked: Asked) -> None:
        ticket, _ = self._queue.enter(asked.who, "plain", Manner.RUN, Lane.INTERACTIVE, asked.at)
        ticket.bearer = asked

    def next(self, now: float) -> Asked | None:
        free, most = self._sandboxes - len(self._queue.running), self._sandboxes
        ticket = self._queue.next(("plain",), now, left=self._queue.rules.left(free, most, free, most))
        if ticket is None:
            return None
        assert isinstance(ticket.bearer, Asked)
        self._tickets[ticket.bearer] = ticket
        return ticket.bearer

    def finish(self, asked: Asked, now: float) -> None:
        self._queue.finish(self._tickets.pop(asked), now)


class FirstInFirstOut:
    """What there was before, to show what the fair queue is for."""

    def __init__(self, _: int) -> None:
        self._queue: deque[Asked] = deque()

    def enter(self, asked: Asked) -> None:
        self._queue.append(asked)

    def next(self, _: float) -> Asked | None:
        return self._queue.popleft() if self._queue else None

    def finish(self, asked: Asked, now: float) -> None:
        """Nothing is learnt of it."""


def waits(turns: Callable[[int], Turns], day: Iterable[Asked], sandboxes: int = 4) -> dict[str, list[float]]:
    """Let a day pass; return the milliseconds that the runs of each group took, from their asking to their end."""
    queue, coming, ends = turns(sandboxes), deque(day), list[tuple[float, int, Asked]]()
    took: dict[str, list[float]] = defaultdict(list)
    now, count = 0.0, 0
    while coming or ends:
        now = min(ends[0][0] if ends else math.inf, coming[0].at if coming else math.inf)
        while ends and ends[0][0] <= now:
            asked = heapq.heappop(ends)[2]
            queue.finish(asked, now)
            group = "flooder" if asked.who.learner == "flooder" else asked.who.id
            took[group].append((now - asked.at) * 1000)
        while coming and coming[0].at <= now:
            queue.enter(coming.popleft())
        while len(ends) < sandboxes and (chosen := queue.next(now)) is not None:
            count += 1
            heapq.heappush(ends, (now + chosen.seconds, count, chosen))
    return took
