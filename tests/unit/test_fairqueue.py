"""Whose turn it is, stepped through as plain state."""

from __future__ import annotations

import pytest

from code_executor.core.caller import LOCAL, Caller
from code_executor.service import fairqueue
from code_executor.service.fairqueue import FairQueue, Lane, Left, QueueFullError, Rules, Ticket
from code_executor.service.flows import Manner

A, B, C = Caller("a"), Caller("b"), Caller("c")
PLAIN, LOADED = "plain", "loaded"


def queue(capacity: int = 4, **rules: float) -> FairQueue:
    return FairQueue(Rules(**{"reserve": 0, **rules}), capacity)  # type: ignore[arg-type]


def enter(
    fair: FairQueue,
    caller: Caller,
    want: str = PLAIN,
    *,
    manner: Manner = Manner.RUN,
    lane: Lane = Lane.INTERACTIVE,
    now: float = 0.0,
) -> Ticket:
    ticket, displaced = fair.enter(caller, want, manner, lane, now)
    assert displaced is None
    return ticket


def serve(fair: FairQueue, *wants: str, now: float = 0.0, left: Left = Left.MANY) -> Ticket | None:
    return fair.next(wants or (PLAIN, LOADED), now, left=left)


def served(fair: FairQueue, count: int, seconds: float = 0.0) -> str:
    """Serve so many, one after the other; return the names of their callers."""
    names, now = "", 0.0
    for _ in range(count):
        ticket = serve(fair, now=now)
        assert ticket is not None
        now += seconds
        fair.finish(ticket, now)
        names += ticket.caller.name
    return names


# ---- callers


def test_what_a_caller_asks_for_comes_in_its_order() -> None:
    fair = queue()
    tickets = [enter(fair, A) for _ in range(5)]
    assert [serve(fair) for _ in range(5)] == tickets
    assert serve(fair) is None


def test_callers_take_turns_however_many_wait() -> None:
    fair = queue()
    for caller in (A, A, A, A, B, C):
        enter(fair, caller)
    assert served(fair, 6, seconds=0.01) == "abcaaa"


def test_who_used_more_time_comes_later() -> None:
    fair = queue()
    for _ in range(20):
        enter(fair, A)
        enter(fair, B)
    now, used = 0.0, {"a": 0.0, "b": 0.0}
    for _ in range(20):
        ticket = serve(fair, now=now)
        assert ticket is not None
        seconds = {"a": 0.3, "b": 0.1}[ticket.caller.name]
        now += seconds
        used[ticket.caller.name] += seconds
        fair.finish(ticket, now)
    assert abs(used["a"] - used["b"]) <= 0.3


def test_who_has_a_sandbox_gets_no_other_while_one_waits_that_has_fewer() -> None:
    fair = queue(capacity=8)
    for _ in range(9):
        enter(fair, A)
    assert {serve(fair).caller.name for _ in range(3)} == {"a"}  # type: ignore[union-attr]  # nobody else waits
    for _ in range(4):
        enter(fair, B)
    assert [serve(fair).caller.name for _ in range(4)] == ["b", "b", "b", "a"]  # type: ignore[union-attr]


def test_a_caller_of_more_weight_gets_more() -> None:
    fair, heavy = queue(capacity=1), Caller("h", weight=3)
    for _ in range(40):
        enter(fair, A)
        enter(fair, heavy)
    assert served(fair, 40, seconds=0.1).count("h") == pytest.approx(30, abs=1)


def test_a_weight_gets_no_more_than_its_share_while_another_waits() -> None:
    fair, heavy = queue(capacity=4), Caller("h", weight=100)
    for _ in range(4):
        enter(fair, heavy)
        enter(fair, A)
    names = [ticket.caller.name for _ in range(4) if (ticket := serve(fair))]
    assert sorted(names) == ["a", "a", "h", "h"]


def test_more_than_its_share_is_for_who_alone_could_have_it() -> None:
    fair = queue(capacity=4)
    enter(fair, B, LOADED)
    for _ in range(5):
        enter(fair, A)
    assert [serve(fair, PLAIN).caller.name for _ in range(4)] == ["a"] * 4  # type: ignore[union-attr]


def test_who_was_idle_has_saved_up_nothing() -> None:
    fair = queue(capacity=1)
    enter(fair, B)
    served(fair, 1)
    for _ in range(100):
        enter(fair, A)
    served(fair, 50, seconds=1)
    for _ in range(10):
        enter(fair, B)
    assert served(fair, 10, seconds=1).count("b") == pytest.approx(5, abs=1)


def test_what_was_used_while_nobody_waited_is_no_debt() -> None:
    fair = queue(capacity=2)
    for now in range(100):
        ticket = fair.begin(A, PLAIN, Manner.RUN, Lane.INTERACTIVE, float(now), left=Left.MANY)
        assert ticket is not None
        fair.finish(ticket, now + 1.0)
    for _ in range(10):
        enter(fair, B, now=200)
        enter(fair, A, now=200)
    assert served(fair, 10, seconds=0.1).count("a") == pytest.approx(5, abs=1)


def test_a_caller_at_its_cap_is_passed_over() -> None:
    fair = queue(running=1)
    first, _, other = enter(fair, A), enter(fair, A), enter(fair, B)
    assert {serve(fair), serve(fair)} == {first, other}
    assert serve(fair) is None
    fair.finish(first, 1.0)
    assert serve(fair).caller.name == "a"  # type: ignore[union-attr]


# ---- learners


def test_a_learner_has_two_sandboxes_at_most_and_its_course_as_many_as_there_are() -> None:
    fair = queue(capacity=8)
    for _ in range(4):
        enter(fair, Caller("a", "greedy"))
        enter(fair, Caller("a", "other"))
    learners = [ticket.leaf.name for _ in range(8) if (ticket := serve(fair))]
    assert sorted(learners) == ["greedy", "greedy", "other", "other"]


def test_a_caller_without_learners_has_no_cap_of_a_learner() -> None:
    fair = queue(capacity=8)
    for _ in range(8):
        enter(fair, A)
    assert all(serve(fair) for _ in range(8))


def test_learners_of_a_caller_take_turns() -> None:
    fair = queue()
    for learner in ("x", "x", "x", "y", "z"):
        enter(fair, Caller("a", learner))
    order = ""
    while (ticket := serve(fair)) is not None:
        order += ticket.leaf.name
        fair.finish(ticket, 0.01)
    assert order == "xyzxx"


# ---- lanes


def test_batch_waits_for_what_is_interactive_and_gets_a_tenth() -> None:
    fair = queue(capacity=1)
    for _ in range(100):
        enter(fair, A, lane=Lane.BATCH)
        enter(fair, A)
    lanes = []
    for now in range(100):
        ticket = serve(fair, now=now)
        assert ticket is not None
        lanes.append(ticket.leaf.above.name)
        fair.finish(ticket, now + 1.0)
    assert lanes[0] == Lane.INTERACTIVE
    assert lanes.count(Lane.BATCH) == pytest.approx(10, abs=1)
    assert fair.waiting_in(Lane.BATCH) == 100 - lanes.count(Lane.BATCH)


def test_batch_alone_gets_everything() -> None:
    fair = queue()
    for _ in range(4):
        enter(fair, A, lane=Lane.BATCH)
    assert all(serve(fair) for _ in range(4))


# ---- kinds


def test_who_waits_for_one_kind_does_not_hinder_those_whom_another_serves() -> None:
    fair = queue()
    enter(fair, A, LOADED)
    behind, other = enter(fair, A), enter(fair, B)
    assert [serve(fair, PLAIN), serve(fair, PLAIN)] == [behind, other]
    assert serve(fair, PLAIN) is None
    assert fair.waiting_for(LOADED) == 1


# ---- the last ones


def test_the_last_one_is_for_who_has_none() -> None:
    fair = queue()
    for caller in (A, A, A, B):
        enter(fair, caller)
    assert serve(fair).caller.name == "a"  # type: ignore[union-attr]
    assert serve(fair, left=Left.LAST).caller.name == "b"  # type: ignore[union-attr]
    assert serve(fair, left=Left.LAST) is None
    assert fair.begin(C, PLAIN, Manner.RUN, Lane.INTERACTIVE, 0, left=Left.LAST) is None  # others wait


@pytest.mark.parametrize("manner", [Manner.CHECK, Manner.SESSION])
def test_the_last_one_is_for_runs(manner: Manner) -> None:
    fair = queue()
    assert fair.begin(A, PLAIN, manner, Lane.INTERACTIVE, 0, left=Left.LAST) is None
    enter(fair, A, manner=manner)
    assert serve(fair, left=Left.LAST) is None
    assert serve(fair) is not None


def test_who_held_the_last_one_for_long_rests() -> None:
    fair = queue()
    enter(fair, A)
    ticket = serve(fair, left=Left.LAST)
    assert ticket is not None
    fair.finish(ticket, 30.0)
    enter(fair, A, now=30)
    enter(fair, B, now=30)
    assert serve(fair, now=30, left=Left.LAST).caller.name == "b"  # type: ignore[union-attr]
    assert serve(fair, now=329, left=Left.LAST) is None
    assert serve(fair, now=331, left=Left.LAST).caller.name == "a"  # type: ignore[union-attr]


def test_who_held_the_last_one_for_a_moment_may_have_it_again() -> None:
    fair = queue()
    for now in range(3):
        ticket = fair.begin(A, PLAIN, Manner.RUN, Lane.INTERACTIVE, now, left=Left.LAST)
        assert ticket is not None
        fair.finish(ticket, now + 0.5)


@pytest.mark.parametrize(
    ("ready", "warm", "free", "room", "left"),
    [
        (4, 4, 4, 4, Left.MANY),
        (2, 2, 2, 4, Left.MANY),
        (1, 2, 2, 4, Left.FEW),
        (0, 2, 4, 4, Left.FEW),
        (1, 1, 2, 4, Left.MANY),
        (1, 2, 1, 4, Left.LAST),
        (1, 1, 1, 4, Left.LAST),
        (0, 2, 1, 2, Left.LAST),
        (1, 2, 1, 1, Left.MANY),
        (1, 2, 1, 2, Left.LAST),
    ],
)
def test_something_is_kept_wherever_two_are_left(ready: int, warm: int, free: int, room: int, left: Left) -> None:
    assert Rules(reserve=1).left(ready, warm, free, room) is left


def test_who_gets_one_of_the_few_that_are_ready_need_not_rest() -> None:
    fair = queue()
    for now in (0, 100):
        ticket = fair.begin(A, PLAIN, Manner.RUN, Lane.INTERACTIVE, now, left=Left.FEW)
        assert ticket is not None
        assert fair.begin(A, PLAIN, Manner.RUN, Lane.INTERACTIVE, now, left=Left.FEW) is None
        fair.finish(ticket, now + 50)
    assert fair.begin(A, PLAIN, Manner.RUN, Lane.INTERACTIVE, 151, left=Left.LAST)


def test_whoever_is_alone_in_its_process_is_not_protected_from_itself() -> None:
    fair = queue(capacity=1, places=1, running=1)
    for manner in (Manner.RUN, Manner.CHECK, Manner.CHECK, Manner.SESSION, Manner.SESSION):
        enter(fair, LOCAL, manner=manner)
    assert all(serve(fair, left=Left.LAST) for _ in range(5))


# ---- checks


def test_checks_run_one_at_a_time_and_runs_go_past_them() -> None:
    fair = queue()
    first, _, run = enter(fair, A, manner=Manner.CHECK), enter(fair, A, manner=Manner.CHECK), enter(fair, A)
    assert [serve(fair), serve(fair), serve(fair)] == [first, run, None]
    fair.finish(first, 0.1)
    assert serve(fair) is not None


def test_checks_of_learners_do_not_wait_for_one_another() -> None:
    fair = queue(capacity=8)
    ada, bob = Caller("key", "ada"), Caller("key", "bob")
    first, second, other = (enter(fair, who, manner=Manner.CHECK) for who in (ada, ada, bob))
    assert [serve(fair), serve(fair), serve(fair)] == [first, other, None]
    fair.finish(first, 0.1)
    assert serve(fair) is second


def test_checks_have_half_of_all_at_most() -> None:
    fair = queue(capacity=4)
    for name in "abcd":
        enter(fair, Caller(name), manner=Manner.CHECK)
    assert [serve(fair) is None for _ in range(4)] == [False, False, True, True]
    assert queue(capacity=1).begin(A, PLAIN, Manner.CHECK, Lane.INTERACTIVE, 0, left=Left.MANY)


# ---- sessions


def test_an_open_session_does_not_keep_its_caller_from_running() -> None:
    fair = queue(capacity=4)
    enter(fair, A, manner=Manner.SESSION)
    session = serve(fair)
    enter(fair, C)
    serve(fair)
    for _ in range(300):
        enter(fair, A, now=3000)
        enter(fair, B, now=3000)
    assert "a" in served(fair, 30, seconds=0.1)
    assert session is not None
    fair.finish(session, 3600)


def test_an_open_session_costs_time() -> None:
    fair = queue(capacity=4)
    enter(fair, A, manner=Manner.SESSION)
    assert serve(fair) is not None
    enter(fair, B, now=10)
    enter(fair, A, now=10)
    assert served(fair, 2, seconds=0.1) == "ba"


# ---- places


def test_a_caller_has_so_many_places_and_half_of_them_for_checks() -> None:
    fair = queue(places=4)
    enter(fair, A, manner=Manner.CHECK)
    enter(fair, A, manner=Manner.CHECK)
    with pytest.raises(QueueFullError):
        enter(fair, A, manner=Manner.CHECK)
    enter(fair, A)
    enter(fair, A)
    with pytest.raises(QueueFullError) as caught:
        enter(fair, A)
    assert caught.value.own
    assert fair.waiting == 4
    enter(fair, B)


def test_a_learner_has_places_of_its_own() -> None:
    fair = queue(learner_places=2)
    enter(fair, Caller("a", "x"))
    enter(fair, Caller("a", "x"))
    with pytest.raises(QueueFullError) as caught:
        enter(fair, Caller("a", "x"))
    assert caught.value.own
    enter(fair, Caller("a", "y"))


def test_where_all_places_are_taken_who_has_most_makes_room_for_who_has_fewer() -> None:
    fair = queue(waiting=4)
    for _ in range(3):
        newest = enter(fair, A)
    enter(fair, B)
    _, displaced = fair.enter(C, PLAIN, Manner.RUN, Lane.INTERACTIVE, 0)
    assert displaced is newest
    assert fair.waiting == 4
    with pytest.raises(QueueFullError) as caught:
        enter(fair, C)  # two each would be no better
    assert not caught.value.own
    with pytest.raises(QueueFullError):
        enter(fair, A)


# ---- what is left over


def test_who_leaves_the_queue_leaves_nothing() -> None:
    fair = queue()
    first, second = enter(fair, A), enter(fair, B)
    fair.leave(first, 0)
    assert serve(fair) is second
    assert serve(fair) is None
    assert fair.flows == {"waiting": 0, "running": 1, "remembered": 1}


def test_what_was_given_in_vain_costs_next_to_nothing() -> None:
    fair = queue()
    enter(fair, A)
    ticket = serve(fair, left=Left.LAST)
    assert ticket is not None
    fair.undo(ticket, 0.0)
    assert not fair.running
    assert ticket.caller.time == pytest.approx(0.001)


def test_those_who_do_not_come_back_are_forgotten() -> None:
    fair = queue()
    for number in range(100):
        fair.leave(enter(fair, Caller(str(number))), 0)
    assert fair.flows["remembered"] == 100
    for number in range(100):
        fair.leave(enter(fair, Caller(f"new {number}"), now=4000), 4000)
    assert fair.flows["remembered"] == 100


def test_many_addresses_take_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairqueue, "MOST_REMEMBERED", 50)
    fair = queue()
    for number in range(1000):
        ticket = fair.begin(Caller(str(number)), PLAIN, Manner.RUN, Lane.INTERACTIVE, number, left=Left.MANY)
        assert ticket is not None
        fair.finish(ticket, number)
    assert fair.flows["remembered"] <= 50


def test_who_must_rest_is_not_forgotten_meanwhile() -> None:
    fair = queue()
    enter(fair, A)
    ticket = serve(fair, left=Left.LAST)
    assert ticket is not None
    fair.finish(ticket, 1000.0)
    for number in range(10):
        fair.leave(enter(fair, Caller(str(number)), now=9000), 9000)
    enter(fair, A, now=9000)
    assert serve(fair, now=9000, left=Left.LAST) is None
