"""Values as data: what is equal, what is not, and what is no value."""

from __future__ import annotations

import contextlib
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.grading import bounded, values
from code_executor.grading.inside import harness
from code_executor.grading.values import Tolerance, ValueFormError, compare, parse, shown, value_of

KEYS = st.one_of(st.booleans(), st.integers(-3, 3), st.text(max_size=2), st.tuples(st.integers(0, 2)))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(1 << 62, 1 << 66),
    st.floats(),
    st.complex_numbers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.decimals(),
    st.fractions(),
    st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([1, -2, 3])),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(KEYS, max_size=3),
        st.frozensets(KEYS, max_size=3),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(st.sampled_from(["$a", "$tuple", "b", "é"]), inner, max_size=3),
    ),
    max_leaves=8,
)


def sent(value: Any) -> values.Value:
    """Return what the host reads of what the harness sends."""
    return parse(json.dumps(harness.Encoder().value(value)).encode())


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types, all the way down."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, complex) and isinstance(other, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        found = {(type(key), key): each for key, each in other.items()}
        return len(one) == len(other) and all(
            (type(key), key) in found and same(each, found[type(key), key]) for key, each in one.items()
        )
    if isinstance(one, set | frozenset):
        return {(type(each), each) for each in one} == {(type(each), each) for each in other}
    if isinstance(one, Decimal) and (one.is_nan() or other.is_nan()):
        return str(one) == str(other)
    return bool(one == other)


@given(VALUES)
def test_what_is_sent_equals_itself(value: Any) -> None:
    assert compare(sent(value), sent(value)) is None


@given(VALUES, VALUES)
def test_values_are_equal_if_types_and_contents_are(one: Any, other: Any) -> None:
    assert (compare(sent(one), sent(other)) is None) == same(one, other)


@given(VALUES)
def test_what_goes_in_comes_back(value: Any) -> None:
    """What the harness makes of an argument is what it would send of the value."""
    said = harness.Encoder().value(value)
    again = harness.Encoder().value(harness.decoded(json.loads(values.as_json(said))))
    assert compare(value_of(said), value_of(again)) is None


@given(VALUES)
def test_what_is_shown_is_short(value: Any) -> None:
    assert len(shown(sent(value))) <= 200


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        ([1], (1,)),
        ({1}, frozenset({1})),
        ({1: 2}, {True: 2}),
        ("1", 1),
        (b"a", "a"),
        ([], None),
        (0, False),
        (object(), object()),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": 1, "b": 2}, {"a": 1}),
        (lambda: 1, 1),
        (0.1 + 0.2, 0.3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_looks_alike_is_not_equal(one: Any, other: Any) -> None:
    assert compare(sent(one), sent(other)) is not None
    assert compare(sent(other), sent(one)) is not None


def test_nothing_equals_an_object_that_is_no_value() -> None:
    assert compare(value_of({"$object": "Stack"}), value_of({"$object": "Stack"})) is not None


class Evil(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __pos__(self) -> Any:
        return 42


class EvilList(list[int]):
    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return True

    def __iter__(self) -> Any:
        return iter([1, 2, 3])


def test_subclasses_are_sent_as_what_they_are_of() -> None:
    assert compare(value_of(7), sent(Evil(7))) is None
    assert compare(value_of(42), sent(Evil(7))) is not None
    assert compare(value_of([9]), sent(EvilList([9]))) is None
    assert compare(value_of([1, 2, 3]), sent(EvilList([9]))) is not None


def test_tolerance_is_of_floats_alone() -> None:
    near = Tolerance(rel=1e-6)
    assert compare(value_of([1.0, {"a": 2.0}]), value_of([1.0000001, {"a": 2.0}]), near) is None
    assert compare(value_of(1.0), value_of(1.1), near) is not None
    assert compare(value_of(1_000_000_000), value_of(1_000_000_001), near) is not None
    assert compare(value_of(1.0), value_of(1), near) is not None
    assert compare(value_of(0.0), value_of(1e-9), Tolerance(abs=1e-6)) is None
    assert compare(value_of({"$float": "inf"}), value_of({"$float": "-inf"}), Tolerance(abs=1.0, rel=1.0)) is not None


def test_loose_sequences_are_loose_everywhere() -> None:
    loose = Tolerance(loose_sequences=True)
    assert compare(value_of([[1], 2]), value_of({"$tuple": [{"$tuple": [1]}, 2]}), loose) is None
    assert compare(value_of({"$set": [[1]]}), value_of({"$set": [{"$tuple": [1]}]}), loose) is None
    assert compare(value_of([1]), value_of({"$set": [1]}), loose) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing",
        "NaN",
        '{"$tuple": 1}',
        '{"$tuple": [1], "b": 2}',
        '{"$pickle": "gASVAAAA"}',
        '{"$set": [1, 1]}',
        '{"$dict": [[1, 2], [1, 3]]}',
        '{"$dict": [[1]]}',
        '{"$int": "12"}',
        '{"$float": "one"}',
        '{"$bytes": "?"}',
        '{"$decimal": "x"}',
        '{"$date": "soon"}',
        '{"$range": [1, 2, 0]}',
        '{"$range": [1, 2, 1.5]}',
        '{"$enum": ["A"]}',
        '{"$array": {"dtype": "int64"}}',
        '{"a": 1, "a": 2}',
        "[" * 200 + "]" * 200,
        "[" + "1," * 100_000 + "1]",
        '"' + "a" * (1 << 20) + '"',
        "1" * 4500,
        '{"$complex": ["1.0"]}',
        '{"$fraction": "1.5"}',
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(ValueFormError):
        parse(text.encode())


def test_a_number_without_end_is_refused_of_an_author() -> None:
    with pytest.raises(ValueFormError, match="inf"):
        value_of([math.inf])


def test_what_is_too_large_is_not_sent() -> None:
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    for value in (deep, list(range(100_000)), "a" * 1_100_000, 1 << 10_000_000):
        with pytest.raises(harness.TooLargeError):
            harness.Encoder().value(value)


def test_what_refers_to_itself_is_not_sent() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(harness.TooLargeError):
        harness.Encoder().value(loop)


def test_hashes_of_numbers_cannot_be_chosen() -> None:
    """A hundred thousand numbers with the same hash, as members of a set, would take the square of it."""
    prime = (1 << 61) - 1
    text = json.dumps({"$set": [{"$int": hex(prime * number)} for number in range(20_000)]})
    assert compare(parse(text.encode()), parse(text.encode())) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    with contextlib.suppress(ValueFormError):
        shown(parse(data))


@given(st.recursive(st.one_of(st.none(), st.integers(), st.text("$abtuplerngse", max_size=8)), st.lists, max_leaves=5))
def test_any_content_of_any_tag_is_a_value_or_refused(content: Any) -> None:
    for tag in values._READERS:
        try:
            value = value_of({f"${tag}": content})
        except ValueFormError:
            continue
        shown(value)
        compare(value, value)


def test_the_limits_of_both_sides_agree() -> None:
    """What the harness sends at most, the host reads."""
    assert harness.DEEPEST <= bounded.DEEPEST
    assert harness.MOST_ITEMS < bounded.MOST_ITEMS
    assert harness.LARGEST < bounded.LARGEST
