"""Whatever comes, in whatever order: nobody is forgotten, nothing is idle in vain, shares are even; and a course's day.

Times are simulated: nothing here depends on how fast the machine is.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections import defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from code_executor.core.caller import Caller
from code_executor.service.fairqueue import FairQueue, Lane, Left, QueueFullError, Rules, Ticket
from code_executor.service.flows import Flow, Manner
from tests.simulated import Asked, Fair, FirstInFirstOut, waits

KINDS = {"plain": ("plain",), "loaded": ("plain", "loaded")}
"""What each kind of sandbox serves."""


class QueueMachine(RuleBasedStateMachine):
    """Does to a queue what callers, sandboxes and time do."""

    @initialize(
        most=st.integers(1, 4),
        running=st.sampled_from([0, 0, 2]),
        reserve=st.integers(0, 1),
        waiting=st.integers(3, 40),
    )
    def open(self, most: int, running: int, reserve: int, waiting: int) -> None:
        self.most = most
        self.bounds = Rules(waiting, 10, running, 4, 2, 0.5, reserve)
        self.fair = FairQueue(self.bounds, 2 * most)
        self.now = 0.0
        self.waiting: list[Ticket] = []
        self.busy: dict[str, list[Ticket]] = {kind: [] for kind in KINDS}

    def sessions(self, kind: str) -> int:
        return sum(ticket.manner is Manner.SESSION for ticket in self.busy[kind])

    def left(self, kind: str) -> Left:
        free = self.most - len(self.busy[kind])
        return self.bounds.left(free, free, self.most, self.sessions(kind))

    @rule(seconds=st.sampled_from([0.01, 0.5, 40.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        caller=st.sampled_from("abc"),
        learner=st.sampled_from(["", "", "x", "y"]),
        want=st.sampled_from(sorted(KINDS)),
        manner=st.sampled_from([Manner.RUN, Manner.RUN, Manner.CHECK, Manner.SESSION]),
        lane=st.sampled_from(Lane),
    )
    def ask(self, caller: str, learner: str, want: str, manner: Manner, lane: Lane) -> None:
        who = Caller(caller, learner)
        try:
            ticket, displaced = self.fair.enter(who, want, manner, lane, self.now)
        except QueueFullError:
            return
        self.waiting.append(ticket)
        if displaced is not None:
            assert displaced is not ticket
            self.waiting.remove(displaced)

    @rule(kind=st.sampled_from(sorted(KINDS)))
    def serve(self, kind: str) -> None:
        if len(self.busy[kind]) >= self.most:
            return
        left = self.left(kind)
        ticket = self.fair.next(KINDS[kind], self.now, left=left)
        if ticket is None:
            assert not [each for each in self.waiting if self.may_run(each, kind, left=left)]  # work-conserving
            return
        assert self.may_run(ticket, kind, left=left)
        fewer = [
            each
            for each in self.waiting
            if self.may_run(each, kind, left=left) and self.held(each.caller, ticket) < self.held(ticket.caller, ticket)
        ]
        assert not fewer
        self.waiting.remove(ticket)
        self.busy[kind].append(ticket)

    def running(self) -> list[Ticket]:
        return [ticket for busy in self.busy.values() for ticket in busy]

    def held(self, flow: Flow, but: Ticket | None = None) -> int:
        return sum(
            flow in each.leaf.path() and each is not but and each.manner is not Manner.SESSION
            for each in self.running()
        )

    def may_run(self, ticket: Ticket, kind: str, *, left: Left) -> bool:
        """Whether the caps let it, said in another way than the queue does."""
        checks = [each for each in self.running() if each.manner is Manner.CHECK]
        if ticket.what[0] not in KINDS[kind]:
            return False
        if self.bounds.running and self.held(ticket.caller, ticket) >= self.bounds.running:
            return False
        if ticket.leaf.name and self.held(ticket.leaf, ticket) >= 2:
            return False
        if ticket.manner is Manner.CHECK and (
            len(checks) >= max(1, self.most) or any(each.leaf is ticket.leaf for each in checks)
        ):
            return False
        return not left or (
            ticket.manner is Manner.RUN and not self.held(ticket.caller, ticket) and ticket.caller.barred <= self.now
        )

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.waiting))
        self.fair.leave(ticket, self.now)
        self.waiting.remove(ticket)

    @precondition(lambda self: self.running())
    @rule(data=st.data(), in_vain=st.booleans(), waited=st.sampled_from([0.0, 0.3]))
    def end(self, data: st.DataObject, in_vain: bool, waited: float) -> None:
        ticket = data.draw(st.sampled_from(self.running()))
        for busy in self.busy.values():
            if ticket in busy:
                busy.remove(ticket)
        if in_vain:
            self.fair.undo(ticket, self.now)
        else:
            self.fair.finish(ticket, self.now, waited)

    @invariant()
    def nobody_is_lost(self) -> None:
        if hasattr(self, "fair"):
            assert self.fair.waiting == len(self.waiting) <= self.bounds.waiting
            assert self.fair.running == set(self.running())
            assert self.fair.waiting_in(Lane.BATCH) + self.fair.waiting_in(Lane.INTERACTIVE) == len(self.waiting)
            assert sum(map(self.fair.waiting_for, KINDS)) == len(self.waiting)

    def teardown(self) -> None:
        """Once all have gone, nothing is left but what is remembered."""
        if not hasattr(self, "fair"):
            return
        for ticket in self.waiting:
            self.fair.leave(ticket, self.now)
        for ticket in self.running():
            self.fair.finish(ticket, self.now)
        root = self.fair._root
        flows = [root, *self.below(root)]
        assert [flow for flow in flows if flow.waiting or flow.held or flow.sessions or flow.checks] == []
        assert [flow for flow in flows if flow.counts or len(flow.pace) or any(map(len, flow.lines.values()))] == []
        assert (self.fair._checks, self.fair.running) == (0, set())
        assert self.fair.flows["remembered"] == sum(1 for flow in flows if flow.path()[2:])

    def below(self, flow: Flow) -> Iterable[Flow]:
        for each in flow.below.values():
            yield each
            yield from self.below(each)


QueueMachine.TestCase.settings = settings(max_examples=max(100, settings().max_examples // 10))
TestQueue = pytest.mark.fuzz(QueueMachine.TestCase)


# ---- shares


def busy_for(weights: list[float], durations: list[list[float]], capacity: int, rounds: int) -> list[float]:
    """Keep so many callers busy with runs of their durations, in turn; return what each has used, for its weight."""
    fair = FairQueue(Rules(reserve=0, share=1.0), capacity)
    callers = [Caller(str(number), weight=weight) for number, weight in enumerate(weights)]
    used = [0.0] * len(callers)
    ends: list[tuple[float, int, Ticket]] = []
    for caller in callers:
        for _ in range(capacity + 1):
            fair.enter(caller, "plain", Manner.RUN, Lane.INTERACTIVE, 0.0)
    now = 0.0
    for count in range(rounds):
        while len(ends) < capacity:
            ticket = fair.next(("plain",), now, left=Left.MANY)
            assert ticket is not None
            who = int(ticket.caller.name)
            seconds = durations[who][count % len(durations[who])]
            used[who] += seconds / weights[who]
            heapq.heappush(ends, (now + seconds, ticket.number, ticket))
            fair.enter(callers[who], "plain", Manner.RUN, Lane.INTERACTIVE, now)
        now, _, ended = heapq.heappop(ends)
        fair.finish(ended, now)
    return used


RUNS = st.lists(st.sampled_from([0.005, 0.05, 0.2, 1.0]), min_size=1, max_size=3)


@given(weights=st.lists(st.sampled_from([1.0, 2.0, 5.0]), min_size=2, max_size=4), data=st.data())
def test_who_is_always_busy_gets_its_share_within_one_longest_run(weights: list[float], data: st.DataObject) -> None:
    durations = [data.draw(RUNS) for _ in weights]
    used = busy_for(weights, durations, capacity=1, rounds=80)
    longest = max(max(runs) / weight for runs, weight in zip(durations, weights, strict=True))
    assert max(used) - min(used) <= longest + 0.06  # and one estimate


@given(count=st.integers(2, 6), capacity=st.integers(1, 5), data=st.data())
def test_shares_are_even_on_many_sandboxes_too(count: int, capacity: int, data: st.DataObject) -> None:
    durations = [data.draw(RUNS) for _ in range(count)]
    used = busy_for([1.0] * count, durations, capacity, rounds=120)
    longest = max(map(max, durations))
    assert max(used) - min(used) <= (capacity + 1) * longest + 0.06


@given(others=st.integers(1, 8), durations=st.lists(RUNS, min_size=9, max_size=9))
def test_nobody_is_overtaken_without_end(others: int, durations: list[list[float]]) -> None:
    """A newcomer waits for no more than one turn of each other, if their runs are as long as one estimate."""
    fair = FairQueue(Rules(reserve=0), 1)
    now = 0.0
    for number in range(others):
        for _ in range(50):
            fair.enter(Caller(str(number)), "plain", Manner.RUN, Lane.INTERACTIVE, now)
    for count in range(5 * others):
        ticket = fair.next(("plain",), now, left=Left.MANY)
        assert ticket is not None
        now += durations[int(ticket.caller.name)][count % len(durations[int(ticket.caller.name)])]
        fair.finish(ticket, now)
    mine, _ = fair.enter(Caller("late"), "plain", Manner.RUN, Lane.INTERACTIVE, now)
    seen: dict[str, float] = defaultdict(float)
    while (ticket := fair.next(("plain",), now, left=Left.MANY)) is not mine:
        assert ticket is not None
        seconds = max(durations[int(ticket.caller.name)])
        assert seen[ticket.caller.name] <= max(map(max, durations))
        seen[ticket.caller.name] += seconds
        now += seconds
        fair.finish(ticket, now)


# ---- the day of a course


def a_day() -> list[Asked]:
    """Return who asks for what: one for 400 runs at once, 60 others of its course and 20 of another now and then."""
    dice = random.Random(1)
    asked = [Asked(1.0 + number * 1e-6, Caller("course", "flooder"), 0.2) for number in range(400)]
    learners = [Caller("course", str(number)) for number in range(60)] + [Caller("other", str(n)) for n in range(20)]
    for learner in learners:
        at = dice.uniform(0, 5)
        while at < 25:
            asked.append(Asked(at, learner, 0.02))
            at += dice.expovariate(1 / 5)
    return sorted(asked, key=lambda each: each.at)


def summary(took: list[float]) -> tuple[float, float]:
    return statistics.median(took), statistics.quantiles(took, n=20)[-1]


def test_who_floods_the_service_delays_itself_and_nobody_else() -> None:
    took = waits(Fair, a_day())
    assert len(took["flooder"]) == 400
    for group in ("course", "other"):
        median, late = summary(took[group])
        assert median < 100, group
        assert late < 250, group


def test_first_in_first_out_delays_everybody() -> None:
    """The bounds above are none that everything holds."""
    took = waits(FirstInFirstOut, a_day())
    for group in ("course", "other"):
        median, late = summary(took[group])
        assert median > 5000, group
        assert late > 10_000, group


# ---- many hostile addresses

LONGEST = 30.0
"""Seconds that a run may last."""


def a_siege(hostile: int, last: float = 1800.0) -> list[Asked]:
    """Return who asks for what: hostile addresses for run after run that lasts, and others for short ones."""
    dice = random.Random(2)
    asked = [Asked(1.0 + n * 1e-6, Caller(f"hostile {who}"), LONGEST) for who in range(hostile) for n in range(300)]
    for number in range(20):
        at = dice.uniform(2, 60)
        while at < last:
            asked.append(Asked(at, Caller(f"learner {number}"), 0.02))
            at += dice.expovariate(1 / 60)
    return sorted(asked, key=lambda each: each.at)


@pytest.mark.parametrize("hostile", [1, 2, 3])
def test_hostile_addresses_delay_others_only_as_often_as_they_may_take_the_last_sandbox(hostile: int) -> None:
    """Each once in eleven times as long as it held it; and then for no longer than a run may last."""
    took = waits(Fair, a_siege(hostile))
    learners = [each for name, runs in took.items() if name.startswith("learner") for each in runs]
    late = sum(each > 1000 for each in learners)
    assert len(learners) > 500
    assert late / len(learners) < hostile / 11 + 0.02
    assert max(learners) <= LONGEST * 1000 + 1000
    if hostile == 1:
        assert late == 0


def test_first_in_first_out_lets_one_address_delay_everybody_for_good() -> None:
    took = waits(FirstInFirstOut, a_siege(1))
    learners = [each for name, runs in took.items() if name.startswith("learner") for each in runs]
    assert min(learners) > 1000
