import os
import sys

import pytest

from bench.spawner import measure


def test_as_many_run_as_asked_and_each_is_timed() -> None:
    found = measure([sys.executable, "-c", "print(1)"], seconds=60, most=5, at_once=2)
    assert len(found["ms"]) == 5
    assert 0 < min(found["ms"]) <= max(found["ms"]) <= found["elapsed"] * 1000


def test_one_run_is_made_though_the_time_is_over() -> None:
    assert len(measure(["true"], seconds=0, most=100, at_once=1)["ms"]) == 1


def test_a_program_that_fails_is_an_error_and_no_figure() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        measure(["sh", "-c", "exit 3"], seconds=60, most=1, at_once=1)


def test_nothing_is_left_open() -> None:
    before = os.listdir("/proc/self/fd")
    measure(["true"], seconds=60, most=3, at_once=3)
    assert len(os.listdir("/proc/self/fd")) == len(before)
