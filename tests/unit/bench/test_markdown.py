import pytest

from bench import markdown
from bench.stats import Ratio


def test_replace_changes_what_is_between_the_marks_and_nothing_else() -> None:
    text = "before\n<!-- bench:x -->\nold\n<!-- /bench:x -->\nafter\n"
    assert markdown.replace(text, "bench:x", "new") == "before\n<!-- bench:x -->\nnew\n<!-- /bench:x -->\nafter\n"


def test_replace_can_be_done_again_with_the_same_result() -> None:
    text = "<!-- bench:x --><!-- /bench:x -->"
    once = markdown.replace(text, "bench:x", r"\1 and \g<2> stay as they are")
    assert markdown.replace(once, "bench:x", r"\1 and \g<2> stay as they are") == once


@pytest.mark.parametrize("text", ["no marks", "<!-- bench:x --> no end", 2 * "<!-- bench:x --><!-- /bench:x -->"])
def test_replace_refuses_a_text_in_which_the_place_is_not_one(text: str) -> None:
    with pytest.raises(ValueError, match="bench:x"):
        markdown.replace(text, "bench:x", "new")


def test_table_keeps_a_bar_within_its_cell() -> None:
    assert markdown.table(["a", "b"], [["x|y", "1"]]).splitlines() == ["| a | b |", "| --- | ---: |", "| x\\|y | 1 |"]


def test_bars_grow_with_the_values_on_a_scale_that_shows_the_smallest() -> None:
    lines = markdown.bars({"small": 1.0, "middle": 10.0, "large": 1000.0}, "ms").splitlines()
    lengths = [line.count("█") for line in lines]
    assert lengths == sorted(lengths)
    assert lengths[0] >= 1
    assert lengths[2] == 40
    assert lines[0].endswith("1.00 ms")


def test_bars_of_equal_values_are_drawn_too() -> None:
    assert "█" in markdown.bars({"one": 5.0}, "ms")


def test_ratio_shows_the_spread_and_nothing_where_there_is_none() -> None:
    assert markdown.ratio(Ratio(0.25, 0.2, 0.4)) == "0.25 (0.2 to 0.4)"
    assert markdown.ratio(None) == ""
