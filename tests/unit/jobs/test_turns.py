"""Of whose jobs a runner takes how many."""

from __future__ import annotations

from code_executor.jobs.turns import share


def test_the_window_is_never_overfull() -> None:
    assert share({"a": 100}, {"a": 8}, 8) == {}
    assert share({"a": 100, "b": 100}, {}, 8) == {"a": 3, "b": 3}
    assert sum(share({str(n): 10 for n in range(50)}, {}, 8).values()) == 8


def test_whoever_has_the_fewest_comes_next() -> None:
    assert share({"a": 100, "b": 2}, {"a": 4}, 8) == {"b": 2}
    assert share({"a": 100, "b": 100}, {"a": 3}, 8) == {"b": 3}


def test_the_last_quarter_is_for_those_that_have_none() -> None:
    assert share({"a": 100}, {}, 8) == {"a": 6}
    assert share({"a": 100, "b": 1}, {"a": 6}, 8) == {"b": 1}
    assert share({"a": 5}, {}, 1) == {"a": 1}


def test_who_rests_gets_nothing() -> None:
    assert share({"a": 5, "b": 5}, {}, 8, {"a"}) == {"b": 5}
