import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import Summary, arrivals, displacements, percentile, queued, ratio


def test_percentile_is_the_nearest_rank_and_always_one_of_the_values() -> None:
    values = [15, 20, 35, 40, 50]
    assert [percentile(values, share) for share in (0, 0.05, 0.3, 0.4, 0.5, 1)] == [15, 15, 20, 20, 35, 50]


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0, 1))
def test_percentile_has_at_least_its_share_of_the_values_at_or_below_it(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_summary_does_not_depend_on_the_order_of_the_values() -> None:
    values = [float(n) for n in range(1, 101)]
    assert Summary.of(values) == Summary.of(values[::-1]) == Summary(100, 1, 50, 90, 99, 100)


def test_ratio_compares_within_a_round_so_that_a_machine_that_slows_down_cancels_out() -> None:
    ours = [[1.0, 1.0, 1.0], [10.0, 10.0], [100.0]]
    bare = [[2.0, 2.0], [20.0, 20.0, 20.0], [200.0]]
    found = ratio(ours, bare)
    assert found is not None
    assert (found.median, found.least, found.most) == (0.5, 0.5, 0.5)


def test_ratio_tells_the_spread_of_the_rounds() -> None:
    found = ratio([[1.0], [2.0], [9.0]], [[1.0], [1.0], [1.0]])
    assert found is not None
    assert (found.median, found.least, found.most) == (2.0, 1.0, 9.0)


def test_ratio_leaves_out_rounds_that_one_side_missed() -> None:
    assert ratio([[1.0], []], [[4.0], [1.0], [1.0]]) == ratio([[1.0]], [[4.0]])
    assert ratio([[], [1.0]], [[1.0], []]) is None


def test_even_arrivals_are_spaced_by_the_rate() -> None:
    assert arrivals(4, 1.5) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_random_arrivals_are_the_same_for_a_seed_and_come_at_the_rate() -> None:
    times = arrivals(200, 50, seed=1)
    assert times == arrivals(200, 50, seed=1) != arrivals(200, 50, seed=2)
    assert times == sorted(times)
    assert times[-1] < 50
    assert len(times) == pytest.approx(10_000, rel=0.05)


def test_random_arrivals_come_in_bunches_as_a_poisson_process_does() -> None:
    gaps = [after - before for before, after in itertools.pairwise(arrivals(100, 100, seed=1))]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)


def test_displacements_are_nought_for_a_queue_that_is_served_in_order() -> None:
    assert displacements([0, 1, 2, 3]) == [0, 0, 0, 0]
    assert displacements([3, 0, 1, 2]) == [3, 1, 1, 1]


def test_an_ideal_queue_serves_in_order_and_never_idles_while_anybody_waits() -> None:
    assert queued([0, 0, 0, 1, 10], 2, 2) == [2, 2, 4, 3, 2]
    assert queued([0, 0, 0], 1, 1) == [1, 2, 3]
