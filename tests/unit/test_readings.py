"""What is read of a service's metrics: sums, growth, and shares of histograms."""

from __future__ import annotations

import pytest

from code_executor.app.terminal.readings import Reading, quantile

TEXT = """
# TYPE runs counter
runs_total{kind="a",why="x"} 3
runs_total{kind="a",why="y"} 4
runs_total{kind="b",why="x"} 5
# TYPE process_start_time_seconds gauge
process_start_time_seconds 100
# TYPE took histogram
took_bucket{le="0.1"} 2
took_bucket{le="1.0"} 6
took_bucket{le="+Inf"} 8
took_count 8
took_sum 9
"""


def test_sums_are_of_what_has_the_labels() -> None:
    reading = Reading.of(TEXT, 0.0)
    assert reading.total("runs_total") == 12
    assert reading.total("runs_total", why="x") == 8
    assert reading.total("runs_total", why="x", kind="b") == 5
    assert reading.total("runs_total", why="z") == reading.total("walks_total") == 0
    assert reading.by("kind", "runs_total") == {"a": 7, "b": 5}
    assert reading.by("why", "runs_total", kind="a") == {"x": 3, "y": 4}


def test_growth_is_the_difference_and_of_a_service_that_was_started_again_all() -> None:
    before = Reading.of(TEXT, 0.0)
    later = Reading.of(TEXT.replace("} 5", "} 9") + "# TYPE new counter\nnew_total 2\n", 1.0)
    assert later.since(before).by("kind", "runs_total") == {"a": 0, "b": 4}
    assert later.since(before).total("new_total") == 2
    again = Reading.of(TEXT.replace("seconds 100", "seconds 200"), 1.0)
    assert again.since(before).by("kind", "runs_total") == {"a": 7, "b": 5}


@pytest.mark.parametrize(("share", "value"), [(0.125, 0.05), (0.25, 0.1), (0.5, 0.55), (0.75, 1.0), (0.99, 1.0)])
def test_a_share_of_a_histogram_is_estimated_within_its_bucket(share: float, value: float) -> None:
    assert quantile(share, Reading.of(TEXT, 0.0).buckets("took")) == pytest.approx(value)


def test_of_nothing_there_is_no_share() -> None:
    assert quantile(0.5, []) is None
    assert quantile(0.5, [(1.0, 0.0), (float("inf"), 0.0)]) is None


def test_what_is_no_text_of_prometheus_is_an_error() -> None:
    with pytest.raises(ValueError, match=r".*"):
        Reading.of('a{b="c} 1\n{', 0.0)
