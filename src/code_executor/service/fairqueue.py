"""Whose turn it is: a fair queue of two levels, callers and the learners of each. Plain state, no I/O, no clock.

Who waits, and what a sandbox may be used for, is said by a `Want` and a `Manner`; a free sandbox asks for the next
`Ticket` that it may serve (`FairQueue.next`). The order:

1. the caller that has the fewest sandboxes for its weight, and of these the one with the least *virtual time*;
2. of its lanes, interactive before batch, except that batch gets a tenth;
3. the learner with the fewest sandboxes, and of these the one with the least virtual time;
4. what the learner asked for first.

Virtual time is what a flow (a caller, lane or learner) has used, divided by its weight. It is charged when a run
begins, by an estimate, and corrected when its sandbox is back. A flow that begins to wait starts at its own time or the
least of those that wait, whichever is more: so nobody saves up credit. If nobody waits, all start even: so nobody keeps
a debt when there is nobody to whom it is owed.

Nobody may take everything: see `Rules`, and `FairQueue.next` for the last free sandboxes.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from code_executor.core.caller import Caller
from code_executor.service.flows import Flow, Manner, What

FIRST_ESTIMATE = 0.05
"""Seconds that the first run of a learner is taken for."""

_LEARNS = 0.25
"""How much the newest run counts in the mean of a learner's runs."""

_LEAST_USED = 0.001
"""Seconds that every run costs: so that time goes on for whoever is always busy."""

INPUT_COSTS = 0.1
"""What a second of waiting for input costs."""

LONG = 1.0
"""Seconds after which a sandbox that was the last free one was held for long."""

REST = 10
"""Whoever held one of the last free sandboxes for long gets no other such for so many times as long."""

FORGOTTEN_AFTER = 3600.0
"""Seconds after which nothing is known any more of a learner that does not come back."""

MOST_REMEMBERED = 2000
"""Learners that are remembered although they do not wait or run."""


class Lane(StrEnum):
    """``batch``: nobody looks at a clock for it."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


_WEIGHTS = {Lane.INTERACTIVE: 9.0, Lane.BATCH: 1.0}


class Left(IntEnum):
    """How many sandboxes of a kind are left: the last that are ready, or even the last that there can be."""

    MANY = 0
    FEW = 1
    LAST = 2


@dataclass(frozen=True)
class Rules:
    """What one caller, and all together, may have. 0 for ``running`` and ``learner_running``: no such limit.

    ``waiting``: executions that wait in all; ``places``: of one caller (half of them for checks); ``running``:
    sandboxes that one caller may have at once. ``learner_places``, ``learner_running``: the same for a learner that has
    a name. ``share``: of all sandboxes, what one caller gets at most while others wait that could have them.
    ``reserve``: how many free sandboxes are kept for callers that have none.
    """

    waiting: int = 1000
    places: int = 500
    running: int = 0
    learner_places: int = 20
    learner_running: int = 2
    share: float = 0.5
    reserve: int = 1

    def left(self, ready: int, warm: int, free: int, room: int) -> Left:
        """Say how many are left of a kind: ``ready`` ones, and ``free`` ones with those that can be made.

        ``warm``: how many it has ready when nothing runs; ``room``: how many there can be, but for those that sessions
        have. The only one is never kept.
        """
        kept = min(self.reserve, room - 1)
        return Left.LAST if free <= kept else Left.FEW if ready <= min(kept, warm - 1) else Left.MANY


class QueueFullError(Exception):
    """There is no place. ``own``: the caller's or the learner's own places are taken, and not those of all."""

    def __init__(self, *, own: bool) -> None:
        super().__init__(own)
        self.own = own


@dataclass(eq=False, slots=True)
class Ticket:
    """An execution that waits, and then has a sandbox. ``bearer`` is whatever its owner hangs on it."""

    leaf: Flow
    what: What
    number: int
    bearer: object = None
    began: float = -1.0
    estimate: float = 0.0
    was_last: bool = False
    waits: bool = False

    @property
    def caller(self) -> Flow:
        return self.leaf.above.above

    @property
    def manner(self) -> Manner:
        manner: Manner = self.what[1]
        return manner


@dataclass
class FairQueue:
    """See above. ``capacity``: sandboxes of all kinds together. Times are seconds of any clock that only goes on."""

    rules: Rules
    capacity: int
    running: set[Ticket] = field(default_factory=set)
    _root: Flow = field(default_factory=Flow)
    _idle: OrderedDict[Flow, float] = field(default_factory=OrderedDict)
    _checks: int = 0
    _number: int = 0

    # ---- how it stands

    @property
    def waiting(self) -> int:
        """How many executions wait."""
        return self._root.waiting

    def waiting_for(self, want: str) -> int:
        """How many of those wait for this."""
        return sum(count for what, count in self._root.counts.items() if what[0] == want)

    def waiting_in(self, lane: Lane) -> int:
        return sum(caller.below[lane].waiting for caller in self._root.below.values() if lane in caller.below)

    @property
    def flows(self) -> dict[str, int]:
        """How many learners wait, have a sandbox, and are only remembered."""
        leaves = [
            leaf
            for caller in self._root.below.values()
            for lane in caller.below.values()
            for leaf in lane.below.values()
        ]
        return {
            "waiting": sum(leaf.waiting > 0 for leaf in leaves),
            "running": sum(leaf.held > 0 or leaf.sessions > 0 for leaf in leaves),
            "remembered": len(self._idle),
        }

    # ---- who comes

    def begin(self, caller: Caller, want: str, manner: Manner, lane: Lane, now: float, *, left: Left) -> Ticket | None:
        """Give a sandbox that is free to somebody who has just come; None where it must `enter` and wait its turn."""
        if self._root.waiting:
            return None
        leaf, what = self._leaf(caller, lane, now), (want, _manner(caller, manner))
        flow = leaf.above.above
        allowed = (
            not leaf.is_full
            and not flow.is_full
            and (what[1] is not Manner.CHECK or (not leaf.checks and self._checks_may_run))
            and (not left or (what[1] is Manner.RUN and self._is_entitled(flow, now)))
        )
        if not allowed:
            self._rest(leaf, now)
            return None
        return self._start(self._ticket(leaf, what), now, left=left)

    def enter(self, caller: Caller, want: str, manner: Manner, lane: Lane, now: float) -> tuple[Ticket, Ticket | None]:
        """Let somebody wait; raise ``QueueFullError`` where there is no place.

        If all places are taken, whoever has the most of them loses the newest to one that has fewer: that is the second
        ticket, which has left the queue.
        """
        leaf, what = self._leaf(caller, lane, now), (want, _manner(caller, manner))
        flow = leaf.above.above
        try:
            self._require_place(caller, leaf, what)
            displaced = self._displace(flow, now) if self.waiting >= self.rules.waiting else None
        except QueueFullError:
            self._rest(leaf, now)
            raise
        ticket = self._ticket(leaf, what)
        for each in leaf.path():
            each.wake(now)
        ticket.waits = True
        leaf.queues[what].append(ticket)
        self._count(ticket, 1)
        _file(leaf)
        return ticket, displaced

    def leave(self, ticket: Ticket, now: float) -> None:
        """Let somebody go that waits no longer."""
        ticket.waits = False
        ticket.leaf.queues[ticket.what].remove(ticket)
        self._count(ticket, -1)
        _file(ticket.leaf)
        self._rest(ticket.leaf, now)

    def clear(self, now: float) -> list[Ticket]:
        """Let everybody go that waits."""
        tickets = [ticket for caller in self._root.below.values() for ticket in _tickets(caller)]
        for ticket in tickets:
            self.leave(ticket, now)
        return tickets

    # ---- whose turn it is

    def next(self, wants: tuple[str, ...], now: float, *, left: Left) -> Ticket | None:
        """Take out whoever gets a free sandbox that can serve ``wants``; None where nobody may have it.

        ``left``: whether it is one of the few of its kind. Only a caller that has no other gets it, for a run, and none
        that held one of the last for long a moment ago: else a few callers could keep all of them for good.
        """
        manners = [Manner.RUN]
        if not left:
            manners.append(Manner.SESSION)
            if self._checks_may_run:
                manners.append(Manner.CHECK)
        whats = [(want, manner) for want in wants for manner in manners]
        caller = self._caller_for(whats, now, left=left)
        if caller is None:
            return None
        whats = [what for what in whats if caller.offers(what)]
        leaf = caller.leaf_for(whats)
        queue = min((leaf.queues[what] for what in whats if leaf.queues[what]), key=lambda queue: queue[0].number)
        ticket: Ticket = queue.popleft()
        ticket.waits = False
        self._count(ticket, -1)
        self._start(ticket, now, left=left)
        _file(leaf)
        return ticket

    def finish(self, ticket: Ticket, now: float, waited: float = 0.0) -> None:
        """Take a sandbox back, as clean or gone, and charge for it; ``waited``: seconds of waiting for input."""
        self.running.discard(ticket)
        leaf, caller = ticket.leaf, ticket.caller
        held = now - ticket.began
        if ticket.manner is Manner.SESSION:
            for each in leaf.path():
                each.end_session(now)
        else:
            used = max(_LEAST_USED, held - (1 - INPUT_COSTS) * waited)
            for each in leaf.path():
                each.held -= 1
                each.charge(used - ticket.estimate)
            leaf.estimate += (used - leaf.estimate) * _LEARNS
        if ticket.manner is Manner.CHECK:
            leaf.checks -= 1
            self._checks -= 1
        if ticket.was_last and held > LONG:
            caller.barred = now + REST * held
        if self._root.waiting:
            _file(leaf)
        self._rest(leaf, now)

    def undo(self, ticket: Ticket, now: float) -> None:
        """Take back unused what `next` or `begin` gave: its bearer had gone."""
        ticket.was_last = False
        self.finish(ticket, max(now, ticket.began))

    # ---- the parts

    @property
    def _checks_may_run(self) -> bool:
        return self._checks < max(1, self.capacity // 2)

    @staticmethod
    def _is_entitled(caller: Flow, now: float) -> bool:
        return caller.is_exempt or (not caller.held and caller.barred <= now)

    def _caller_for(self, whats: list[What], now: float, *, left: Left) -> Flow | None:
        """Return the first that may have it; one that has its share already only where no other may."""
        share = max(1, math.ceil(self.rules.share * self.capacity))
        passed: list[Flow] = []
        spare = None
        while (caller := self._root.first(whats)) is not None:
            if left and not self._is_entitled(caller, now):
                if caller.held:  # so have all after it
                    caller = None
                    break
            elif caller.held < share or caller.is_exempt:
                break
            else:
                spare = spare or caller
            passed.append(caller)
            caller.step_aside(whats)
        for each in passed:
            each.file()
        return caller or spare

    def _start(self, ticket: Ticket, now: float, *, left: Left) -> Ticket:
        leaf = ticket.leaf
        ticket.began, ticket.estimate, ticket.was_last = now, leaf.estimate, left is Left.LAST
        self.running.add(ticket)
        if ticket.manner is Manner.CHECK:
            leaf.checks += 1
            self._checks += 1
        for each in leaf.path():
            if ticket.manner is Manner.SESSION:
                each.begin_session(now)
            else:
                each.held += 1
                each.charge(ticket.estimate)
        return ticket

    def _ticket(self, leaf: Flow, what: What) -> Ticket:
        self._number += 1
        return Ticket(leaf, what, self._number)

    def _count(self, ticket: Ticket, by: int) -> None:
        for each in ticket.leaf.path():
            each.count(ticket.what, by)
        self._root.count(ticket.what, by)

    def _require_place(self, caller: Caller, leaf: Flow, what: What) -> None:
        flow, rules = leaf.above.above, self.rules
        if flow.is_exempt:
            return
        checks = sum(count for (_, manner), count in flow.counts.items() if manner is Manner.CHECK)
        if (
            flow.waiting >= flow.places
            or (what[1] is Manner.CHECK and checks >= max(1, flow.places // 2))
            or (caller.learner and leaf.waiting >= rules.learner_places)
        ):
            raise QueueFullError(own=True)

    def _displace(self, newcomer: Flow, now: float) -> Ticket:
        fattest = max(self._root.below.values(), key=lambda caller: caller.waiting / caller.weight, default=newcomer)
        if (newcomer.waiting + 1) / newcomer.weight >= fattest.waiting / fattest.weight:
            raise QueueFullError(own=False)
        newest = max(_tickets(fattest), key=lambda ticket: ticket.number)
        self.leave(newest, now)
        return newest

    # ---- who is known

    def _leaf(self, caller: Caller, lane: Lane, now: float) -> Flow:
        flow = self._root.below.get(caller.id)
        within = flow and flow.below.get(lane)
        leaf = within and within.below.get(caller.learner)
        if leaf is None:
            leaf = self._new_leaf(caller, lane, now)
        self._agree(leaf.above.above, caller)
        self._idle.pop(leaf, None)
        return leaf

    def _agree(self, flow: Flow, caller: Caller) -> None:
        """Let a caller's flow be as its terms are now: they may have changed."""
        terms = caller.terms
        flow.weight = caller.weight
        flow.most = (terms and terms.running) or (self.rules.running if caller.id else 0)
        flow.places = (terms and terms.places) or self.rules.places

    def _new_leaf(self, caller: Caller, lane: Lane, now: float) -> Flow:
        self._forget(now)
        flow = self._root.below.get(caller.id)
        if flow is None:
            flow = Flow(self._root, name=caller.id)
            flow.is_exempt = not caller.id
            self._root.below[caller.id] = flow
        within = flow.below.get(lane)
        if within is None:
            within = flow.below[lane] = Flow(flow, _WEIGHTS[lane], name=lane, rank=int(lane is Lane.BATCH))
            within.is_even = False
        leaf = Flow(within, name=caller.learner, most=self.rules.learner_running if caller.learner else 0)
        leaf.estimate = FIRST_ESTIMATE
        within.below[caller.learner] = leaf
        return leaf

    def _rest(self, leaf: Flow, now: float) -> None:
        """Remember a learner that does nothing now, for a while."""
        if not (leaf.waiting or leaf.held or leaf.sessions):
            self._idle[leaf] = now

    def _forget(self, now: float) -> None:
        """Forget two of those that have been away the longest; called for each that comes, it keeps up with them."""
        for _ in range(2):
            if not self._idle:
                return
            leaf, since = next(iter(self._idle.items()))
            caller = leaf.above.above
            if len(self._idle) < MOST_REMEMBERED and (now - since < FORGOTTEN_AFTER or now < caller.barred):
                return
            del self._idle[leaf]
            leaf.remove()


def _file(leaf: Flow) -> None:
    """Let a learner, and what is above it, stand where they belong now."""
    for each in leaf.path():
        each.file()


def _tickets(flow: Flow) -> list[Ticket]:
    """Return what waits of a flow."""
    own = [ticket for queue in flow.queues.values() for ticket in queue]
    return own + [ticket for each in flow.below.values() for ticket in _tickets(each)]


def _manner(caller: Caller, manner: Manner) -> Manner:
    """Return how it counts: whoever is alone in its process needs no protection from itself."""
    return manner if caller.id else Manner.RUN
