"""The pool's book, stepped through as plain state: bounds, reuse, and that nothing gets lost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from code_executor.core.limits import Limits
from code_executor.sandbox.book import IDLE_SECONDS, Book, PoolSize, Term
from code_executor.sandbox.sandbox import Sandbox


def sandbox(name: str = "one") -> Sandbox:
    return Sandbox(name, Limits())


def fill(book: Book, count: int, now: float = 0.0) -> list[Sandbox]:
    """Put in ``count`` new sandboxes."""
    new = [sandbox(str(number)) for number in range(count)]
    for each in new:
        book.arrived(each, now)
    return new


def lend(book: Book) -> Sandbox:
    lent = book.take()
    assert lent is not None
    return lent


# ---- how many


@pytest.mark.parametrize(
    ("size", "idle", "busy", "wanted"),
    [
        (PoolSize(least=2, most=4), 0, 0, 2),
        (PoolSize(least=2, most=4), 2, 0, 0),
        (PoolSize(least=2, most=4), 1, 1, 0),
        (PoolSize(least=2, most=4), 0, 2, 1),  # one beyond what is asked for
        (PoolSize(least=2, most=4), 0, 3, 1),
        (PoolSize(least=2, most=4), 0, 4, 0),
        (PoolSize(least=0, most=4), 0, 0, 1),
        (PoolSize(least=4, most=4), 1, 1, 2),
        (PoolSize(least=1, most=1), 0, 1, 0),
        (PoolSize(least=2, most=4), 4, 0, 0),
    ],
)
def test_as_many_are_wanted_as_are_asked_for_and_one_more(size: PoolSize, idle: int, busy: int, wanted: int) -> None:
    book = Book(size)
    fill(book, idle + busy)
    for _ in range(busy):
        lend(book)
    assert book.wanted() == wanted


def test_who_waits_is_asked_for() -> None:
    book = Book(PoolSize(least=1, most=10))
    fill(book, 1)
    lend(book)
    book.asked = 3
    assert book.wanted() == 1  # the spare one
    book.due = 1
    assert book.wanted() == 2
    book.making = 2
    assert book.wanted() == 0


def test_as_many_are_spare_as_are_set() -> None:
    book = Book(PoolSize(least=1, most=4, spare=2))
    fill(book, 2)
    lend(book)
    assert book.wanted() == 1
    fill(book, 2)
    assert len(book.superfluous(10 * IDLE_SECONDS)) == 1
    assert len(book.idle) == 2


def test_what_settles_will_be_back_and_is_not_made_again() -> None:
    book = Book(PoolSize(least=1, most=10))
    fill(book, 2)
    lent = lend(book)
    assert book.returned(lent, 0)
    assert book.wanted() == 0


def test_what_settles_and_is_busy_leaves_one_more_to_be_wanted() -> None:
    book = Book(PoolSize(least=0, most=10))
    fill(book, 3)
    settling, _, _ = lend(book), lend(book), lend(book)
    assert book.returned(settling, 0)
    assert book.wanted() == 1


# ---- who gets which


def test_the_one_that_has_rested_longest_is_lent() -> None:
    book = Book(PoolSize(most=3))
    first, second, third = fill(book, 3)
    assert lend(book) is first
    book.returned(first, 1)
    book.arrived(first, 1)
    assert [lend(book) for _ in range(3)] == [second, third, first]
    assert book.take() is None


def test_an_owner_gets_its_own_then_one_that_is_nobodys_then_anothers() -> None:
    book = Book(PoolSize(most=4))
    first, second, third, fourth = fill(book, 4)
    first.owner, third.owner, fourth.owner = "b", "a", "b"
    assert [book.take("a") for _ in range(4)] == [third, second, first, fourth]
    assert book.take("a") is None


# ---- how long


@pytest.mark.parametrize(("reuse", "runs"), [(0, 1), (1, 1), (3, 3)])
def test_a_sandbox_serves_as_many_runs_as_are_allowed(reuse: int, runs: int) -> None:
    book = Book(PoolSize(reuse=reuse))
    (one,) = fill(book, 1)
    for run in range(1, runs + 1):
        assert lend(book) is one
        assert book.busy == {one}
        one.runs = run
        again = book.returned(one, 0)
        assert again == (run < runs)
        if again:
            book.arrived(one, 0)
    assert book.total == 0
    assert not book.terms


def test_a_sandbox_that_has_settled_is_in_one_place() -> None:
    book = Book(PoolSize())
    (one,) = fill(book, 1)
    lend(book)
    book.returned(one, 0)
    book.arrived(one, 0)
    assert (list(book.idle), book.settling, book.total) == ([one], set(), 1)


def test_a_sandbox_that_broke_is_not_used_again() -> None:
    book = Book(PoolSize())
    (one,) = fill(book, 1)
    lend(book)
    one.lost("it broke")
    assert not book.returned(one, 0)
    assert book.total == 0


def test_a_sandbox_that_has_lived_long_is_not_used_again() -> None:
    book = Book(PoolSize(lifetime=100))
    (one,) = fill(book, 1, now=0)
    assert book.returned(lend(book), 100)
    book.arrived(one, 100)
    assert not book.returned(lend(book), 100.1)


def test_settling_does_not_make_it_younger() -> None:
    book = Book(PoolSize(lifetime=100))
    (one,) = fill(book, 1, now=0)
    lend(book)
    book.returned(one, 90)
    book.arrived(one, 90)
    assert book.superfluous(101) == [one]


def test_the_bored_are_given_up_down_to_the_least() -> None:
    book = Book(PoolSize(least=2, most=5))
    some = fill(book, 5, now=0)
    assert book.superfluous(IDLE_SECONDS) == []
    assert book.superfluous(IDLE_SECONDS + 1) == some[:3]
    assert list(book.idle) == some[3:]
    assert book.superfluous(10 * IDLE_SECONDS) == []


def test_one_more_than_are_in_use_is_kept_however_bored() -> None:
    book = Book(PoolSize(least=0, most=5))
    fill(book, 4, now=0)
    lend(book)
    assert len(book.superfluous(10 * IDLE_SECONDS)) == 2
    assert len(book.idle) == 1


def test_the_old_are_given_up_even_if_they_are_the_least() -> None:
    book = Book(PoolSize(least=2, most=5, lifetime=100))
    old = fill(book, 2, now=0)
    assert book.superfluous(101) == old
    assert book.wanted() == 2


def test_the_old_do_not_count_for_those_that_are_kept() -> None:
    book = Book(PoolSize(least=2, most=5, lifetime=100))
    fill(book, 2, now=0)
    fill(book, 2, now=90)
    assert len(book.superfluous(90 + IDLE_SECONDS + 1)) == 2
    assert len(book.idle) == 2


def test_as_many_as_wait_are_kept_however_bored() -> None:
    book = Book(PoolSize(least=0, most=5))
    fill(book, 4, now=0)
    book.asked = 1
    assert len(book.superfluous(10 * IDLE_SECONDS)) == 2


def test_a_sandbox_is_old_only_after_its_lifetime() -> None:
    book = Book(PoolSize(least=1, most=5, lifetime=100))
    fill(book, 1, now=50)
    assert book.superfluous(150) == []
    assert book.returned(lend(book), 150)


def test_sandboxes_that_came_together_do_not_go_together() -> None:
    """Lent in turn, they would all be replaced at the same moment, and nobody served meanwhile."""
    shares = [Term.of(number, 0).share for number in range(8)]
    for together in (sorted(shares[i : i + 4]) for i in range(5)):
        assert min(more - less for less, more in itertools.pairwise(together)) > 0.03
    assert all(0.75 <= share <= 1 for share in shares)


def test_what_is_worn_goes_while_others_of_its_age_stay() -> None:
    book = Book(PoolSize(least=2, most=2, reuse=100))
    first, second = fill(book, 2)
    for each in (first, second):
        each.runs = 85
        lend(book)
    assert book.returned(first, 0)
    assert not book.returned(second, 0)
    assert book.wanted() == 1


def test_what_was_used_enough_serves_until_another_is_there() -> None:
    book = Book(PoolSize(least=1, most=4, spare=0, reuse=100))
    first, second = fill(book, 2)
    book.forget(first)
    lend(book)
    second.runs = 85
    assert book.returned(second, 0)
    assert book.wanted() == 1
    book.arrived(second, 0)
    fill(book, 1)
    assert (book.wanted(), book.superfluous(0)) == (0, [second])
    assert (book.total, book.wanted(), book.aging) == (1, 0, set())


def test_what_was_used_as_long_as_is_allowed_goes_though_there_is_no_other() -> None:
    book = Book(PoolSize(least=1, most=4, spare=0, reuse=100))
    (one,) = fill(book, 1)
    lend(book)
    one.runs = 100
    assert not book.returned(one, 0)
    assert book.wanted() == 1


@pytest.mark.parametrize(
    ("runs", "now", "again"), [(85, 85, True), (99, 100, True), (100, 0, False), (0, 100.1, False)]
)
def test_while_another_is_made_it_is_used_as_long_as_is_allowed(runs: int, now: float, again: bool) -> None:
    book = Book(PoolSize(least=2, most=2, reuse=100, lifetime=100))
    _, second = fill(book, 2, now=0)
    lend(book)
    assert lend(book) is second
    book.making = 1
    second.runs = runs
    assert book.returned(second, now) is again


# ---- whatever happens, in whatever order


class BookMachine(RuleBasedStateMachine):
    """Does to a book what the pool, its dispatcher, its engine and time do."""

    @initialize(
        least=st.integers(0, 4),
        more=st.integers(0, 3),
        reuse=st.sampled_from([200, 0, 2]),
        lifetime=st.sampled_from([1e9, 150.0]),
    )
    def open(self, least: int, more: int, reuse: int, lifetime: float) -> None:
        self.size = PoolSize(least=least, most=max(1, least + more), reuse=reuse, lifetime=lifetime)
        self.book = Book(self.size)
        self.now = 0.0
        self.lent: list[Sandbox] = []
        self.gone: set[Sandbox] = set()
        fill(self.book, self.size.most)

    def arrive(self, sandbox: Sandbox) -> None:
        self.book.arrived(sandbox, self.now)
        assert self.book.idle[-1] is sandbox

    @rule(seconds=st.sampled_from([0.1, 10.0, 45.0, IDLE_SECONDS + 1]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def refill(self) -> None:
        self.book.making += self.book.wanted()
        assert self.book.wanted() == 0
        assert self.book.total >= self.size.least

    @precondition(lambda self: self.book.making)
    @rule(works=st.booleans())
    def make(self, works: bool) -> None:
        self.book.making -= 1
        if works:
            self.arrive(sandbox())

    @rule(number=st.integers(0, 10))
    def ask(self, number: int) -> None:
        self.book.asked = number
        self.book.due = min(number, 1)

    @rule()
    def lend(self) -> None:
        longest = self.book.idle[0] if self.book.idle else None
        lent = self.book.take()
        assert lent is longest
        if lent is not None:
            self.lent.append(lent)

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), breaks=st.booleans())
    def end_a_run(self, data: st.DataObject, breaks: bool) -> None:
        ended = data.draw(st.sampled_from(self.lent))
        self.lent.remove(ended)
        ended.runs += 1
        if breaks:
            ended.lost("it broke")
        if not self.book.returned(ended, self.now):
            self.gone.add(ended)

    @precondition(lambda self: self.book.settling)
    @rule(data=st.data(), works=st.booleans())
    def settle(self, data: st.DataObject, works: bool) -> None:
        settled = data.draw(st.sampled_from(sorted(self.book.settling, key=id)))
        if works:
            self.arrive(settled)
        else:
            self.book.forget(settled)
            self.gone.add(settled)

    @precondition(lambda self: self.book.idle)
    @rule(data=st.data())
    def lose_an_idle_one(self, data: st.DataObject) -> None:
        lost = data.draw(st.sampled_from(list(self.book.idle)))
        self.book.forget(lost)
        self.gone.add(lost)

    @rule()
    def tend(self) -> None:
        worn = {each for each in self.book.idle if self.book.worn(each, self.now)}
        wanted = self.book.wanted()
        superfluous = self.book.superfluous(self.now)
        assert len(set(superfluous)) == len(superfluous)
        if not worn.intersection(superfluous):
            assert self.book.wanted() == wanted  # else it would make what it has just given up
        self.gone.update(superfluous)

    @invariant()
    def never_more_than_most(self) -> None:
        if hasattr(self, "book"):
            assert self.book.total <= self.size.most
            assert self.book.total + self.book.wanted() <= self.size.most

    @invariant()
    def every_sandbox_is_in_one_place(self) -> None:
        if hasattr(self, "book"):
            places = [*self.book.idle, *self.book.busy, *self.book.settling]
            assert len(places) == len(set(places))
            assert not self.gone & set(places)
            assert set(self.book.terms) == set(places)
            assert set(self.book.idle_since) == set(self.book.idle)

    @invariant()
    def every_lent_sandbox_has_one_borrower(self) -> None:
        if hasattr(self, "book"):
            assert len(self.lent) == len(set(self.lent))
            assert set(self.lent) == self.book.busy


BookMachine.TestCase.settings = settings(max_examples=max(100, settings().max_examples // 10))  # of 50 steps each
TestBook = pytest.mark.fuzz(BookMachine.TestCase)


# ---- beside other pools


def test_where_there_is_no_room_it_makes_what_it_keeps_anyway_and_the_first_for_who_waits() -> None:
    room = 0
    book = Book(PoolSize(least=2, most=8, spare=1), room=lambda: room)
    assert (book.wanted(), book.lacking) == (2, 0)
    book.making = 2
    book.due = 5
    assert (book.wanted(), book.lacking) == (0, 4)
    room = 3
    assert (book.wanted(), book.lacking) == (3, 1)
    on_demand = Book(PoolSize(least=0, most=8, spare=0), room=lambda: -1)
    assert on_demand.wanted() == 0
    on_demand.due = 3
    assert (on_demand.wanted(), on_demand.lacking) == (1, 2)
    on_demand.making = 1
    assert (on_demand.wanted(), on_demand.lacking) == (0, 2)
