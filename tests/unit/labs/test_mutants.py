"""Mutants and examples: which mistakes are made in a program, and what in a task is an example."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_labs.bank import bank
from code_labs.labs.values import encoded, spelled, written
from code_labs.verify.examples import examples
from code_labs.verify.mutants import mutants

SUM = '''\
def total(n: int = 0) -> str:
    """Add 1 to n."""
    found = 0
    for i in range(1, n + 1):
        if i % 2 == 0 and not (i < 10):
            found += i
    print("é", f"{found + 1:.1f}")
    if n < 0:
        raise ValueError("below 0")
    return max(found, 1)


if __name__ == "__main__":
    print(total(5))
'''


def changes(source: str, **more: bool) -> set[str]:
    return {mutant.change for mutant in mutants(source, 1000, **more)}


def test_each_kind_of_mistake_is_made() -> None:
    found = changes(SUM, main=False)
    assert found >= {
        "n + 1  →  n - 1",
        "n + 1  →  n + 1 - 1",
        "0  →  1",
        "i % 2 == 0  →  i % 2 != 0",
        "i < 10  →  i <= 10",
        "i % 2 == 0 and not (i < 10)  →  i % 2 == 0 or not i < 10",
        "i % 2 == 0 and not (i < 10)  →  not (i % 2 == 0 and (not i < 10))",
        "not (i < 10)  →  i < 10",
        "found += i  →  pass",
        "found += i  →  found -= i",
        "\"é\"  →  'é?'",
        "max  →  min",
        "return max(found, 1)  →  return None",
        'raise ValueError("below 0")  →  pass',
    }
    assert any(change.startswith('f"{found + 1:.1f}"') for change in found)


def test_what_is_not_run_or_not_looked_at_stays() -> None:
    found = changes(SUM, main=False)
    assert not [change for change in found if "Add 1" in change or "below 0?" in change or "total(5)" in change]
    assert [change for change in changes(SUM, main=True) if change.startswith("5")]
    assert "\"below 0\"  →  'below 0?'" in changes(SUM, messages=True)


def test_a_mutant_differs_in_one_place_and_keeps_the_rest_as_it_was_written() -> None:
    for mutant in mutants(SUM, 1000):
        before, after = SUM.splitlines(), mutant.source.splitlines()
        assert len(before) == len(after)
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
        assert after[mutant.line - 1] != before[mutant.line - 1]


def test_mutants_are_the_same_each_time_and_all_different() -> None:
    first = mutants(SUM, 12)
    assert first == mutants(SUM, 12)
    assert len({mutant.source for mutant in first}) == 12
    assert len({mutant.kind for mutant in first}) >= 8
    assert mutants(SUM.replace("\n", "\r\n"), 12) == first


def test_what_compiles_to_the_same_is_no_mutant() -> None:
    assert changes("def f():\n    return None\n") == set()
    assert changes("x = 0 * 0\n") == {"0 * 0  →  0 // 0"}
    assert mutants("def f(:\n") == []


def test_mutants_of_real_programs_are_python() -> None:
    for lab in bank():
        found = mutants(lab.solution, 1000)
        assert found, lab.id
        for mutant in found:
            ast.parse(mutant.source)


# ---- examples in tasks


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ("`f(1)` returns `2`.", [("f(1)", 2)]),
        ("`f(1)` → `[1, 2]` and `f('a')` gives `None`", [("f(1)", [1, 2]), ("f('a')", None)]),
        ("Look: `f(1) == 2`", [("f(1)", 2)]),
        ("```\nf(1)  # (1, 2)\n```", [("f(1)", {"$tuple": [1, 2]})]),
        ("```\nf(1) -> -3\n```", [("f(1)", -3)]),
        (">>> f(1)\n{'a': 1}\n", [("f(1)", {"a": 1})]),
        (">>> f(1)\n", []),
        (">>> g(1)\n2\n", []),
        ("`g(1)` returns `2`, and `f(1)` returns something", []),
        ("`f(1)` returns `x`", []),
        ("```\nf(1)  # call it\n```", []),
    ],
)
def test_calls_with_values_are_examples(task: str, found: list[tuple[str, object]]) -> None:
    said = examples(task, frozenset({"f"}))
    assert [(each.text, each.test["expected"]) for each in said] == found


def test_doctests_have_what_was_typed_before_them_and_what_they_print() -> None:
    typed = ">>> s = f()\n>>> s.go(1)\nhello\n>>> s.bad()\nTraceback (most recent call last):\n  ...\nKeyError: 'x'\n"
    task = f"```\n{typed}```"
    first, second = examples(task, frozenset({"f"}))
    assert first.test["stdout"] == "hello"
    assert first.test["setup"].startswith("s = f()\ndef _example():\n")
    assert second.test["raises"] == {"type": "KeyError", "message": "'x'"}
    assert (first.line, second.line) == (3, 5)


def test_blocks_of_input_and_output_are_examples() -> None:
    task = "**Input:**\n\n```\n1\n2\n```\n\n**Output**\n```\n3\n```\n\nInput\n```\n9\n```\nNo more.\n"
    (example,) = examples(task, frozenset())
    assert (example.test["stdin"], example.test["expected"], example.line) == ("1\n2\n", "3", 10)


# ---- values

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
    ),
    max_leaves=10,
)


@given(VALUES)
def test_values_are_written_and_read_again(value: object) -> None:
    said = encoded(value)
    assert written(spelled(said)) == said


def test_what_is_no_literal_is_refused() -> None:
    for text in ("x", "f(1)", "1 +", "[x]"):
        with pytest.raises(ValueError, match=r"literal|malformed"):
            written(text)
