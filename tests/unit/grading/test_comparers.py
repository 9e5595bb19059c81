"""Each comparer against its definition, written out another way, on texts that hypothesis makes."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from decimal import Decimal, InvalidOperation
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from code_executor.grading.comparers import Checker, CheckerError, CheckerType, compare, require_usable

BLANKS = st.sampled_from([b" ", b"\t", b"\n", b"\r\n", b"\v", b"\f", b"\0", b"  "])
WORDS = st.sampled_from([b"a", b"B", b"b", b"1", b"1.0", b"-0", b"1e3", b"nan", b"inf", b"\xff", "é".encode(), b"x_1"])
TEXTS = st.lists(st.one_of(BLANKS, WORDS), max_size=12).map(b"".join)
PAIRS = st.one_of(st.tuples(TEXTS, TEXTS), TEXTS.flatmap(lambda text: st.tuples(st.just(text), blurred(text))))
"""Half of them differ in white space at most."""


def blurred(text: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(
        [text, text + b"\n", text + b" \n\n", text.replace(b"\n", b" \n"), text.replace(b" ", b"\t")]
    )


def equal(kind: str, expected: bytes, got: bytes, **options: Any) -> bool:
    return compare(Checker(CheckerType(kind), **options), expected, got) is None


def text_lines(text: bytes) -> list[bytes]:
    """Cut white space off the end of each line, and empty lines off the end, with a regular expression."""
    bare = re.sub(rb"[ \t\r\v\f\0]+(?=\n|\Z)", b"", text)
    bare = re.sub(rb"\n+\Z", b"", bare)
    return bare.split(b"\n") if bare else []


@given(PAIRS)
@example((b"a\n\nb", b"a\nb"))
@example((b"", b"\n \n"))
@example((b" a", b"a"))
def test_lines(pair: tuple[bytes, bytes]) -> None:
    assert equal("lines", *pair) == (text_lines(pair[0]) == text_lines(pair[1]))


@given(PAIRS)
def test_exact(pair: tuple[bytes, bytes]) -> None:
    assert equal("exact", *pair) == (pair[0] == pair[1])


@given(PAIRS)
def test_tokens(pair: tuple[bytes, bytes]) -> None:
    words = [re.findall(rb"[^ \t\n\r\v\f]+", text) for text in pair]
    assert equal("tokens", *pair) == (words[0] == words[1])


@given(
    st.lists(st.sampled_from(["Ä", "ä", "A", "a", "ß", "SS", "x"])), st.lists(st.sampled_from(["Ä", "ä", "a", "ss"]))
)
@example(["ß"], ["SS"])
@example(["Ä"], ["ä"])
def test_tokens_without_case(one: list[str], other: list[str]) -> None:
    texts = [" ".join(words).encode() for words in (one, other)]
    folded = [[word.casefold() for word in words] for words in (one, other)]
    assert equal("tokens", *texts, ignore_case=True) == (folded[0] == folded[1])


@given(PAIRS)
def test_unordered_lines(pair: tuple[bytes, bytes]) -> None:
    assert equal("unordered-lines", *pair) == (Counter(text_lines(pair[0])) == Counter(text_lines(pair[1])))


@given(TEXTS, TEXTS, TEXTS)
def test_contains(before: bytes, wanted: bytes, after: bytes) -> None:
    assert equal("contains", wanted, before + wanted + after)
    assert equal("contains", wanted, before + after) == (wanted.rstrip(b"\r\n") in before + after)


NUMBERS = st.one_of(st.floats(allow_nan=False), st.integers(-(10**20), 10**20))


@given(NUMBERS, NUMBERS, st.floats(0, 1), st.floats(0, 1))
@example(0.0, 1e-7, 1e-6, 1e-6)
@example(math.inf, math.inf, 0.0, 0.0)
@example(math.inf, 1.0, 1.0, 1.0)
@example(1.0, math.inf, 1.0, 1.0)
@example(-math.inf, math.inf, 1.0, 1.0)
def test_float(expected: float, got: float, most_abs: float, most_rel: float) -> None:
    one, other = float(expected), float(got)
    if math.isinf(one) or math.isinf(other):
        right = one == other
    else:
        right = abs(one - other) <= most_abs or abs(one - other) <= most_rel * abs(one)
    texts = [repr(number).encode() for number in (expected, got)]
    assert equal("float", *texts, abs=most_abs, rel=most_rel) == right


@pytest.mark.parametrize(
    ("expected", "got", "options", "right"),
    [
        (b"nan", b"nan", {}, False),
        (b"nan", b"NaN", {"nan": True}, True),
        (b"1", b"nan", {"nan": True}, False),
        (b"x 1.0", b"x\n1.0000001", {}, True),
        (b"x 1.0", b"y 1.0", {}, False),
        (b"1.0", b"one", {}, False),
        (b"one", b"1.0", {}, False),
        (b"1", b"1_0", {}, False),
        (b"10", b"1_0", {}, False),
        (b"1.0", b"1.0 2.0", {}, False),
        (b"1.0 2.0", b"1.0", {}, False),
        (b"0x10", b"16", {}, False),
        (b"1e400", b"inf", {}, True),
        (b"9" * 401, b"9" * 401, {}, True),
    ],
)
def test_float_of_single_words(expected: bytes, got: bytes, options: dict[str, Any], right: bool) -> None:
    assert equal("float", expected, got, **options) == right


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from("ab")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6,
)


def marked(value: Any) -> Any:
    """Return JSON whose truth values are no numbers."""
    match value:
        case bool():
            return ["bool", str(value)]
        case list():
            return ["list", *map(marked, value)]
        case dict():
            return {key: marked(each) for key, each in value.items()}
    return value


@given(JSON, JSON)
@example(1, 1.0)
@example(1, True)
@example({"a": 1, "b": 2}, {"b": 2, "a": 1})
def test_json(one: Any, other: Any) -> None:
    same = marked(one) == marked(other)
    assert equal("json", json.dumps(one).encode(), json.dumps(other, indent=2).encode() + b"\n") == same


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"{",
        b"[1, 2",
        b"NaN",
        b"Infinity",
        b'{"a": 1, "a": 1}',
        b"[" * 100_000,
        b"[" * 101 + b"]" * 101,
        b"[" + b"1," * 200_000 + b"1]",
        b"9" * 5000,
        b"1e99999999999999999999",
        b"\xff",
        b"'a'",
        b'"\\ud800',
        b'"' * 1000,
        b'"\\' * 1000,
    ],
    ids=lambda output: repr(output[:12]),
)
def test_what_is_no_json_is_a_difference(output: bytes) -> None:
    assert not equal("json", b'{"a": 1}', output)


def decimals(line: str) -> list[Decimal] | None:
    try:
        return [Decimal(word) for word in line.split()]
    except InvalidOperation:
        return None


@given(PAIRS)
@example((b"1.0 2\n", b"1 2.00"))
@example((b"a\n\nb", b"a\nb"))
def test_livecodebench(pair: tuple[bytes, bytes]) -> None:
    """As its own `get_stripped_lines` and `convert_line_to_decimals` have it."""
    one, other = ([line.strip() for line in text.decode(errors="replace").strip().split("\n")] for text in pair)
    right = len(one) == len(other)
    for left, found in zip(one, other, strict=False):
        as_numbers = decimals(left), decimals(found)
        right = right and (left == found or (None not in as_numbers and as_numbers[0] == as_numbers[1]))
    assert equal("livecodebench", *pair) == right


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 3e-5))
def test_sandboxfusion_of_numbers(number: float, off: float) -> None:
    other = number * (1 + off)
    assume(math.isfinite(other))
    right = math.isclose(number, other, rel_tol=1e-5)
    assert equal("sandboxfusion", repr(number).encode(), repr(other).encode()) == right


@pytest.mark.parametrize(
    ("expected", "got", "right"),
    [
        (b"YES\n", b" yes ", True),
        (b"a\nb", b"a\nb\n\n", True),
        (b"a b", b"a  b", False),
        (b"a\nb", b"a", False),
        (b"1.0 2.0", b"1.00 2.0", False),
        (b"1.0", b"1.00", True),
    ],
)
def test_sandboxfusion(expected: bytes, got: bytes, right: bool) -> None:
    assert equal("sandboxfusion", expected, got) == right


@pytest.mark.parametrize(
    ("pattern", "got", "full", "right"),
    [
        (b"a+", b"baab", False, True),
        (b"a+", b"baab", True, False),
        (b"[ab]+\n", b"baab\n", True, True),
        ("é.ö".encode(), "éxö".encode(), True, True),
        (b"^b$", b"a\nb\nc", False, False),
        (b"(?m)^b$", b"a\nb\nc", False, True),
        (b"a.c", b"a\nc", False, False),
        (b"(?s)a.c", b"a\nc", False, True),
        (b"", b"", True, True),
        (b"a", b"a" * 70_000, False, False),
    ],
)
def test_regex(pattern: bytes, got: bytes, full: bool, right: bool) -> None:
    assert equal("regex", pattern, got, full=full) == right


def test_a_regex_that_backtracks_elsewhere_ends() -> None:
    """With `re`, it would not end before this test is stopped."""
    assert not equal("regex", b"(a*)*b", b"a" * 60_000, full=True)
    assert not equal("regex", b"(x+x+)+y", b"x" * 60_000)


@pytest.mark.parametrize("pattern", [b"(", b"(?=a)", rb"(a)\1", b"a{1001}", b"((a{100}){100}){100}", b"a" * 1001])
def test_a_regex_that_is_none_is_an_error(pattern: bytes) -> None:
    with pytest.raises(CheckerError):
        require_usable(Checker(CheckerType.REGEX), pattern)


@pytest.mark.parametrize(
    ("kind", "expected"), [("contains", b""), ("contains", b"\n"), ("regex", b""), ("json", b"{"), ("json", b"")]
)
def test_what_everything_or_nothing_would_match_is_an_error(kind: str, expected: bytes) -> None:
    with pytest.raises(CheckerError):
        require_usable(Checker(CheckerType(kind)), expected)


@pytest.mark.parametrize("kind", [each for each in CheckerType if each not in (CheckerType.REGEX, CheckerType.PROGRAM)])
@given(expected=TEXTS, got=TEXTS)
def test_the_same_is_right_and_no_message_says_what_was_expected(
    kind: CheckerType, expected: bytes, got: bytes
) -> None:
    secret = b"planted7secret"
    for wanted in (secret, secret + b"\n" + expected, expected + b" " + secret):
        quoted = json.dumps({"a": wanted.decode(errors="replace")}).encode()
        text = quoted if kind is CheckerType.JSON else wanted
        assert equal(kind.value, text, text, nan=True)
        difference = compare(Checker(kind), text, got)
        assert difference is not None
        assert "planted" not in difference.message


@pytest.mark.parametrize(
    ("kind", "expected", "got", "line", "pieces"),
    [
        ("lines", b"a\nb c\n", b"a\nb\tc\n", 2, ("b·c", "b→c")),
        ("lines", b"a\nb", b"a", 2, ("b", None)),
        ("lines", b"a", b"a\nb", 2, (None, "b")),
        ("exact", b"a\n", b"a\r\n", 1, ("a␊", "a␍␊")),
        ("exact", b"a\nb\n", b"a\n", 2, ("b␊", None)),
        ("tokens", b"a b", b"a\n\nc", 3, ("b", "c")),
        ("tokens", b"a", b"a\nb", 2, (None, "b")),
        ("unordered-lines", b"a\nb", b"b\nb", 2, (None, "b")),
        ("unordered-lines", b"a\nb", b"b", None, ("a", None)),
        ("json", b'{"a": [1, 2]}', b'{"a": [1, 3]}', None, ("2", "3")),
    ],
)
def test_the_first_difference_is_told(
    kind: str, expected: bytes, got: bytes, line: int | None, pieces: tuple[str | None, str | None]
) -> None:
    difference = compare(Checker(CheckerType(kind)), expected, got)
    assert difference is not None
    assert (difference.line, (difference.expected, difference.got)) == (line, pieces)


def test_a_long_line_is_cut_around_the_place_that_differs() -> None:
    difference = compare(Checker(), b"x" * 500 + b"right" + b"y" * 500, b"x" * 500 + b"wrong" + b"y" * 500)
    assert difference is not None
    assert difference.expected is not None
    assert difference.got is not None
    assert len(difference.got) < 130
    assert "right" in difference.expected
    assert "wrong" in difference.got


_OTHERWISE = (CheckerType.REGEX, CheckerType.JSON, CheckerType.PROGRAM)


@pytest.mark.parametrize("kind", [each for each in CheckerType if each not in _OTHERWISE])
@pytest.mark.parametrize("output", [b"\n" * (1 << 20), b"1 " * (1 << 19), b"a" * (1 << 20), b"\0 " * (1 << 19)])
def test_the_largest_outputs_take_time_in_proportion(kind: CheckerType, output: bytes) -> None:
    """What takes the square of it would not end before this test is stopped."""
    compare(Checker(kind), output, output[:-1] + b"x")
    compare(Checker(kind), output[:-1] + b"x", output)
