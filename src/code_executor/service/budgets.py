"""How long the callers with a key have used sandboxes today (UTC). Plain state; whoever keeps it elsewhere reads it.

A sandbox counts for as long as it is away, waiting for input and open sessions included.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import UTC, datetime

from code_executor.core.caller import Caller
from code_executor.core.limits import Limits
from code_executor.core.models import Allowance, Event, Execution, Input, Started
from code_executor.core.runner import Runner

_DAY = 86400
SECONDS = "seconds"


class Budgets:
    """See above. ``wall`` says what day it is, ``clock`` how long something took."""

    def __init__(self, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._clock = clock
        self._day, self._number = "", -1
        self._kept: dict[str, float] = {}  # as it was last said that it is
        self._new: dict[str, float] = defaultdict(float)  # since then, here
        self._open: dict[object, tuple[str, float]] = {}

    def allowance(self, caller: Caller) -> Allowance | None:
        """Say how a caller stands; None where its terms have no such limit."""
        if caller.terms is None or not caller.terms.seconds:
            return None
        left = caller.terms.seconds - self.used(caller)
        reset = _DAY - int(self._wall()) % _DAY
        return Allowance(left > 0, int(caller.terms.seconds), max(0, int(left)), reset, _DAY, SECONDS)

    def used(self, caller: Caller) -> float:
        """Return the seconds of today."""
        self.today()
        away = sum(self._clock() - since for who, since in self._open.values() if who == caller.id)
        return self._kept.get(caller.id, 0.0) + self._new.get(caller.id, 0.0) + away

    def begin(self, use: object, caller: Caller) -> None:
        """Note that a sandbox is away, for some ``use`` that is no other's."""
        self.today()
        self._open[use] = (caller.id, self._clock())

    def end(self, use: object) -> None:
        """Note that it is back, if it was away."""
        if use in self._open:
            self._settle(use)
            del self._open[use]

    def take(self) -> Mapping[str, float]:
        """Return what is new, by caller, for somebody to keep: then `learn`, or `put_back` where that failed."""
        self.today()
        for use in self._open:
            self._settle(use)
        taken = dict(self._new)
        self._new.clear()
        for who, seconds in taken.items():
            self._kept[who] = self._kept.get(who, 0.0) + seconds
        return taken

    def put_back(self, day: str, taken: Mapping[str, float]) -> None:
        """Note that what was taken was not kept."""
        if day == self.today():
            for who, seconds in taken.items():
                self._kept[who] -= seconds
                self._new[who] += seconds

    def learn(self, day: str, kept: Mapping[str, float]) -> None:
        """Note what is kept by now of a day, of other servers too."""
        if day == self.today():
            self._kept = dict(kept)

    def today(self) -> str:
        """Return the day, as 2026-11-29; what was used on another one is forgotten."""
        number = int(self._wall() // _DAY)
        if number != self._number:
            self._number = number
            self._day = datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()
            self._kept.clear()
            self._new.clear()
            self._open = {use: (who, self._clock()) for use, (who, _) in self._open.items()}
        return self._day

    def _settle(self, use: object) -> None:
        who, since = self._open[use]
        now = self._clock()
        self._new[who] += now - since
        self._open[use] = who, now


class CountedRunner:
    """Runs what ``inner`` runs, and charges it to the budget of whoever has a key."""

    def __init__(self, inner: Runner, budgets: Budgets) -> None:
        self._inner = inner
        self._budgets = budgets

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        """Run, as `Runner.stream` says."""
        run = self._inner.stream(execution, inputs)
        return run if execution.caller.terms is None else self._counted(execution, run)

    async def _counted(self, execution: Execution, run: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        use = object()
        try:
            async with aclosing(run) as events:
                async for event in events:
                    if isinstance(event, Started):
                        self._budgets.begin(use, execution.caller)
                    yield event
        finally:
            self._budgets.end(use)
