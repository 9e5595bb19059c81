"""Who is idle, busy or being made in a pool, and what should be done about it. Plain state, no I/O, no clock."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from code_executor.sandbox.sandbox import Sandbox

IDLE_SECONDS = 60.0
"""A sandbox beyond the least number is given up after this long without work."""

_SPREAD = 0.25
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class PoolSize:
    """``least`` sandboxes are always kept, never more than ``most``; ``spare`` ones more than are asked for.

    ``reuse``: runs per sandbox; 0 and 1 both mean a fresh one for every run. ``lifetime``: seconds after which a
    sandbox is replaced.
    """

    least: int = 2
    most: int = 4
    spare: int = 1
    reuse: int = 200
    lifetime: float = 3600.0


@dataclass(frozen=True)
class Term:
    """When a sandbox came into the book (of ``time.monotonic``), and the ``share`` it gets of what it may be used."""

    born: float
    share: float

    @classmethod
    def of(cls, number: int, now: float) -> Term:
        """Return the term of the sandbox that comes as the ``number``-th, ``now``.

        Sandboxes are lent in turn and would all be worn at the same moment, so each gets up to a quarter less than
        all: by multiples of the golden ratio, which leave no two that follow each other close together.
        """
        return cls(now, 1 - _SPREAD * (number * _GOLDEN % 1))


@dataclass
class Book:
    """Who is idle, busy, settling or being made, and what should be done about it. No I/O in here.

    ``asked``: how many executions wait for a sandbox; ``due``: how many more are to be made for them now. ``aging``:
    those that were used enough, and serve until another is there in their place. ``room``: for how many more sandboxes
    there is room beside those of other pools, beyond those for which there is always (``kept``); None: for as many as
    are wanted.
    """

    size: PoolSize
    idle: deque[Sandbox] = field(default_factory=deque)
    busy: set[Sandbox] = field(default_factory=set)
    settling: set[Sandbox] = field(default_factory=set)
    making: int = 0
    asked: int = 0
    due: int = 0
    aging: set[Sandbox] = field(default_factory=set)
    idle_since: dict[Sandbox, float] = field(default_factory=dict)
    terms: dict[Sandbox, Term] = field(default_factory=dict)
    made: int = 0
    room: Callable[[], int] | None = None

    @property
    def total(self) -> int:
        """Sandboxes that are there or on their way."""
        return len(self.idle) + len(self.busy) + len(self.settling) + self.making

    def wanted(self) -> int:
        """How many more should be made now: some beyond what is asked for, within the bounds."""
        wanted = self._wanted()
        if not wanted or self.room is None:
            return wanted
        return min(wanted, max(0, self.kept - self.total) + max(0, self.room()))

    @property
    def lacking(self) -> int:
        """How many more would be made if there were room."""
        return self._wanted() - self.wanted() if self.room is not None else 0

    def _wanted(self) -> int:
        used = len(self.busy) + len(self.settling) + self.due + self.size.spare
        return max(0, min(max(used, self.size.least) + len(self.aging), self.size.most) - self.total)

    @property
    def kept(self) -> int:
        """For how many there is room at any time: those that are kept anyway, or one for whoever waits."""
        return max(self.size.least, self.size.spare, 1)

    def take(self, owner: str | None = None) -> Sandbox | None:
        """Lend the longest idle sandbox, and rather one that is ``owner``'s or nobody's; None where there is none."""
        if not self.idle:
            return None
        if owner is None:
            sandbox = self.idle.popleft()
        else:
            sandbox = min(self.idle, key=lambda each: (each.owner != owner, each.owner is not None))
            self.idle.remove(sandbox)
        self.idle_since.pop(sandbox, None)
        self.busy.add(sandbox)
        return sandbox

    def arrived(self, sandbox: Sandbox, now: float) -> None:
        """A sandbox is clean and ready."""
        if sandbox not in self.terms:
            self.terms[sandbox] = Term.of(self.made, now)
            self.made += 1
        self.settling.discard(sandbox)
        self.idle.append(sandbox)
        self.idle_since[sandbox] = now

    def returned(self, sandbox: Sandbox, now: float) -> bool:
        """A run is over. True if the sandbox may be used again once it has settled; False: destroy it."""
        self.busy.discard(sandbox)
        self.settling.add(sandbox)
        if self.worn(sandbox, now) or not sandbox.usable:
            self.forget(sandbox)
            return False
        return True

    def worn(self, sandbox: Sandbox, now: float) -> bool:
        """Whether it goes: it was used as long as is allowed, or enough, and another is there in its place.

        Where there can be no other beside it, it goes when it was used enough, unless another is being made.
        """
        if self._is_used(sandbox, now, 1.0):
            return True
        if not self._is_used(sandbox, now, self.terms[sandbox].share):
            return False
        self.aging.add(sandbox)
        needed = len(self.busy) + len(self.settling - {sandbox}) + self.due + self.size.spare
        is_replaced = self.total - self.making > max(needed, self.size.least)
        return is_replaced or (self.total >= self.size.most and not self.making)

    def _is_used(self, sandbox: Sandbox, now: float, share: float) -> bool:
        size = self.size
        used = sandbox.runs >= max(1, math.ceil(size.reuse * share))
        return used or now - self.terms[sandbox].born > size.lifetime * share

    def forget(self, sandbox: Sandbox) -> None:
        """It is gone, or going."""
        with contextlib.suppress(ValueError):
            self.idle.remove(sandbox)
        self.busy.discard(sandbox)
        self.settling.discard(sandbox)
        self.aging.discard(sandbox)
        self.idle_since.pop(sandbox, None)
        self.terms.pop(sandbox, None)

    @property
    def beyond(self) -> int:
        """How many sandboxes are there beyond those that are wanted now; what is idle of them may be given up."""
        asked = len(self.busy) + len(self.settling) + self.asked + self.size.spare
        return max(0, self.total - max(self.size.least, asked))

    def superfluous(self, now: float) -> list[Sandbox]:
        """Take out of the book what has been idle too long beyond the least, or lived too long, and return it."""
        old = []
        for sandbox in tuple(self.idle):
            if self.worn(sandbox, now):
                old += self._taken([sandbox])
        bored = [sandbox for sandbox in self.idle if now - self.idle_since[sandbox] > IDLE_SECONDS]
        return old + self._taken(bored[: self.beyond])

    def surplus(self, most: int) -> list[Sandbox]:
        """Take out of the book up to ``most`` that are idle and not wanted now, the longest idle first."""
        return self._taken(list(self.idle)[: min(most, self.beyond)])

    def _taken(self, sandboxes: list[Sandbox]) -> list[Sandbox]:
        for sandbox in sandboxes:
            self.forget(sandbox)
        return sandboxes
