"""The clock of a run: its time, the time that it waits for input, and neither counted as the other."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sandbox_agent import clock as module
from sandbox_agent.clock import Clock


class Time:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic_ns(self) -> int:
        return round(self.seconds * 1e9)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=time.monotonic_ns))
    return time


def test_what_is_left_is_the_limit_less_what_has_passed(time: Time) -> None:
    clock = Clock(5000, 300)
    assert clock.left() == 5.0
    time.seconds += 1.5
    assert (clock.left(), clock.ran_us()) == (3.5, 1_500_000)
    time.seconds += 4
    assert (clock.left(), clock.ran_us()) == (-0.5, 5_500_000)


def test_waiting_for_input_does_not_count(time: Time) -> None:
    clock = Clock(5000, 300)
    time.seconds += 1
    assert not clock.waiting
    clock.wait()
    assert clock.waiting
    time.seconds += 100
    clock.go_on()
    assert not clock.waiting
    time.seconds += 1
    assert (clock.left(), clock.ran_us()) == (3.0, 2_000_000)


def test_going_on_without_having_waited_changes_nothing(time: Time) -> None:
    clock = Clock(5000, 300)
    time.seconds += 1
    clock.go_on()
    assert (clock.left(), clock.ran_us()) == (4.0, 1_000_000)


def test_waiting_has_a_limit_of_its_own_over_all_its_times(time: Time) -> None:
    clock = Clock(5000, 300)
    time.seconds += 2
    clock.wait()
    assert clock.left() == 300.0
    time.seconds += 100
    assert clock.left() == 200.0
    clock.go_on()
    time.seconds += 2
    clock.wait()
    assert clock.left() == 200.0
    time.seconds += 201
    assert clock.left() == -1.0


def test_a_run_that_ends_while_it_waits_ran_until_it_waited(time: Time) -> None:
    clock = Clock(5000, 300)
    time.seconds += 2
    clock.wait()
    time.seconds += 50
    assert clock.ran_us() == 2_000_000
