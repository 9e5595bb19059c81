"""Comparing what a program wrote with what was expected: bytes in, the first difference out, on the host.

Each comparer goes through both once, takes time in proportion to their length, and evaluates nothing. What it does not
understand in the output is a difference. The names are those of `CheckerType`; `compare` is the only way in.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any

from code_executor.core.errors import CodeExecutorError
from code_executor.grading import bounded
from code_executor.grading.differences import Difference, common_start, pieces_differ


class CheckerType(StrEnum):
    """The comparers; ``program`` is none: trusted code decides (`grading.checkers`)."""

    LINES = "lines"
    EXACT = "exact"
    TOKENS = "tokens"
    FLOAT = "float"
    UNORDERED_LINES = "unordered-lines"
    CONTAINS = "contains"
    REGEX = "regex"
    JSON = "json"
    LIVECODEBENCH = "livecodebench"
    SANDBOXFUSION = "sandboxfusion"
    PROGRAM = "program"


class CheckerError(CodeExecutorError):
    """A comparer cannot be used so: its pattern, or what it expects, is not right."""


@dataclass(frozen=True, slots=True)
class Checker:
    """How an output is compared.

    ``ignore_case``: of ``tokens``. ``abs`` and ``rel``: how far a number may be off, of ``float``; ``nan``: whether a
    NaN is right where one is expected, of ``float``. ``full``: whether all of the output must match, of ``regex``.
    ``code``: of ``program``.
    """

    type: CheckerType = CheckerType.LINES
    ignore_case: bool = False
    abs: float = 1e-6
    rel: float = 1e-6
    nan: bool = False
    full: bool = False
    code: str = ""


LINES = Checker()

LONGEST_PATTERN = 1000
"""Characters of a regular expression."""

LONGEST_MATCHED = 64 << 10
"""Bytes of an output that is matched with a regular expression; a longer one does not match."""

_PATTERN_MEMORY = 256 << 10
"""Bytes that a compiled expression may take, which bounds the time that it takes for each byte."""

_LINE_END_BLANKS = b" \t\r\v\f\0"
_WORD = re.compile(rb"\S+")
_NUMBER = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|infinity|nan)", re.IGNORECASE)
_LONGEST_NUMBER = 400
_SANDBOXFUSION_REL = 1e-5


def compare(checker: Checker, expected: bytes, got: bytes) -> Difference | None:
    """Return the first difference, None where there is none. Raise ``CheckerError`` for an expression that is none."""
    return _COMPARERS[checker.type](checker, expected, got)


def require_usable(checker: Checker, expected: bytes) -> None:
    """Raise ``CheckerError`` if nothing could be right, or everything would be."""
    if checker.type is CheckerType.PROGRAM and not checker.code.strip():
        raise CheckerError("program: code must not be empty: it is what decides")
    if checker.code and checker.type is not CheckerType.PROGRAM:
        raise CheckerError(f"{checker.type}: code is only of the type program")
    if checker.type in (CheckerType.CONTAINS, CheckerType.REGEX) and not expected.rstrip(b"\r\n"):
        raise CheckerError(f"{checker.type}: expected must not be empty, because everything would be right")
    if checker.type is CheckerType.REGEX:
        _pattern(expected)
    if checker.type is CheckerType.JSON:
        try:
            _json(expected)
        except ValueError as error:
            raise CheckerError(f"json: expected is no JSON: {error}") from None


# ---- lines


def _lines_of(text: bytes) -> list[bytes]:
    """Return the lines without white space at their ends, and without the empty ones at the end."""
    lines = [line.rstrip(_LINE_END_BLANKS) for line in text.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _lines(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    return None if expected == got else _first_line(_lines_of(expected), _lines_of(got))


def _first_line(expected: list[bytes], got: list[bytes]) -> Difference | None:
    for line, (wanted, found) in enumerate(itertools.zip_longest(expected, got), 1):
        if wanted != found:
            return _line_differs(line, wanted, found)
    return None


def _line_differs(line: int, expected: bytes | None, got: bytes | None) -> Difference:
    if got is None:
        return pieces_differ(f"the output ends before line {line}", line, expected, None)
    if expected is None:
        return pieces_differ(f"line {line} is one too many", line, None, got)
    return pieces_differ(f"line {line} is not right", line, expected, got)


def _exact(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    if expected == got:
        return None
    at = common_start(expected, got)
    line = got.count(b"\n", 0, at) + 1
    return pieces_differ(f"line {line} is not right, byte for byte", line, _line_at(expected, at), _line_at(got, at))


def _line_at(text: bytes, at: int) -> bytes | None:
    """Return the line around a place, with its end; None after the end of the text."""
    if at >= len(text) and (not text or text.endswith(b"\n")):
        return None
    start = text.rfind(b"\n", 0, at) + 1
    end = text.find(b"\n", at)
    return text[start : len(text) if end < 0 else end + 1]


def _unordered_lines(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    left = Counter(_lines_of(expected))
    for line, found in enumerate(_lines_of(got), 1):
        if not left[found]:
            return pieces_differ(f"line {line} is not expected, or not so often", line, None, found)
        left[found] -= 1
    missing = next((wanted for wanted, count in left.items() if count), None)
    return None if missing is None else pieces_differ("a line is missing", None, missing, None)


def _contains(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    wanted = expected.rstrip(b"\r\n")
    return None if wanted in got else pieces_differ("the output lacks what it must contain", None, wanted, None)


# ---- tokens


def _folded(token: bytes) -> bytes:
    return token.decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")


def _tokens(checker: Checker, expected: bytes, got: bytes) -> Difference | None:
    def same(wanted: bytes, found: bytes) -> bool:
        return wanted == found or (checker.ignore_case and _folded(wanted) == _folded(found))

    return _first_token(expected, got, same)


def _first_token(expected: bytes, got: bytes, same: Callable[[bytes, bytes], bool]) -> Difference | None:
    for at, (wanted, found) in enumerate(itertools.zip_longest(expected.split(), got.split())):
        if found is None:
            return pieces_differ("the output ends too early", None, wanted, None)
        if wanted is None:
            return pieces_differ("there is more output than expected", _line_of_token(got, at), None, found)
        if not same(wanted, found):
            line = _line_of_token(got, at)
            return pieces_differ(f"word {at + 1} of the output (line {line}) is not right", line, wanted, found)
    return None


def _line_of_token(text: bytes, number: int) -> int:
    word = next(itertools.islice(_WORD.finditer(text), number, None))
    return text.count(b"\n", 0, word.start()) + 1


def _number(token: bytes) -> float | None:
    return float(token) if len(token) <= _LONGEST_NUMBER and _NUMBER.fullmatch(token) else None


def _float(checker: Checker, expected: bytes, got: bytes) -> Difference | None:
    def same(wanted: bytes, found: bytes) -> bool:
        number = _number(wanted)
        if number is None:
            return wanted == found
        other = _number(found)
        return other is not None and close(number, other, checker.abs, checker.rel, nan=checker.nan)

    return _first_token(expected, got, same)


def close(expected: float, got: float, most_abs: float, most_rel: float, *, nan: bool) -> bool:
    """Whether a number is right: off by ``most_abs``, or ``most_rel`` times what was expected, at most.

    An infinity is right where it is expected alone. A NaN is never, or (``nan``) where one is expected.
    """
    if math.isnan(expected) or math.isnan(got):
        return nan and math.isnan(expected) and math.isnan(got)
    if math.isinf(expected) or math.isinf(got):
        return expected == got
    off = abs(got - expected)
    return off <= most_abs or off <= most_rel * abs(expected)


# ---- other forms


def _pattern(expected: bytes) -> Any:
    """Return the compiled expression; raise ``CheckerError``."""
    import re2  # noqa: PLC0415  # only few suites need it

    text = expected.rstrip(b"\r\n").decode("utf-8", "replace")
    if len(text) > LONGEST_PATTERN:
        raise CheckerError(f"regex: the expression has more than {LONGEST_PATTERN} characters")
    options = re2.Options()
    options.max_mem = _PATTERN_MEMORY
    options.never_capture = True
    options.log_errors = False
    try:
        return re2.compile(text, options)
    except re2.error as error:
        why = error.args[0] if error.args else ""
        why = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise CheckerError(
            f"regex: {why or 'not a regular expression'} (there are no look-around and no backreferences)"
        ) from None


def _regex(checker: Checker, expected: bytes, got: bytes) -> Difference | None:
    pattern = _pattern(expected)
    text = got.rstrip(b"\r\n")
    if len(text) > LONGEST_MATCHED:
        return pieces_differ(
            f"the output is longer than the {LONGEST_MATCHED} bytes that are matched", None, None, text
        )
    decoded = text.decode("utf-8", "replace")
    found = pattern.fullmatch(decoded) if checker.full else pattern.search(decoded)
    return None if found else pieces_differ("the output does not match", None, expected.rstrip(b"\r\n"), text)


def _json(text: bytes) -> Any:
    """Return what JSON says, with numbers as `Decimal`; raise ``ValueError`` for what is none, or has a key twice."""
    return bounded.parse_json(text, number=Decimal)


def _json_output(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    try:
        found = _json(got)
    except ValueError as error:
        return pieces_differ(f"the output is no JSON: {error}", None, None, got)
    return _first_value(_json(expected), found, "$")


def _first_value(wanted: Any, found: Any, path: str) -> Difference | None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            if key not in found:
                return _value_differs(f"{path} lacks a key", key, None)
            if inner := _first_value(value, found[key], f"{path}[{json.dumps(key)[:80]}]"):
                return inner
        extra = next((key for key in found if key not in wanted), None)
        return None if extra is None else _value_differs(f"{path} has a key too many", None, extra)
    if isinstance(wanted, list) and isinstance(found, list):
        for at, (value, other) in enumerate(zip(wanted, found, strict=False)):
            if inner := _first_value(value, other, f"{path}[{at}]"):
                return inner
        if len(wanted) == len(found):
            return None
        return _value_differs(f"{path} has {len(found)} items, which is not right", None, None)
    if type(wanted) is type(found) and wanted == found:
        return None
    return _value_differs(f"{path} is not right", wanted, found)


def _value_differs(message: str, expected: Any, got: Any) -> Difference:
    return pieces_differ(message, None, _as_json(expected), _as_json(got))


def _as_json(value: Any) -> bytes | None:
    if value is None:
        return None
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, default=float, ensure_ascii=False)
    return text[:1000].encode("utf-8", "replace")


def _text_lines(text: bytes) -> list[str]:
    return [line.strip() for line in text.decode("utf-8", "replace").strip().split("\n")]


def _paired(expected: bytes, got: bytes, same: Callable[[str, str], bool]) -> Difference | None:
    """Compare line by line, after white space around the whole and around each line was left out."""
    wanted, found = _text_lines(expected), _text_lines(got)
    for line, (one, other) in enumerate(zip(wanted, found, strict=False), 1):
        if one != other and not same(one, other):
            return _line_differs(line, one.encode(), other.encode())
    if len(wanted) == len(found):
        return None
    line = min(len(wanted), len(found)) + 1
    rest: Iterator[bytes | None] = (each[line - 1].encode() if len(each) >= line else None for each in (wanted, found))
    return _line_differs(line, next(rest), next(rest))


def _livecodebench(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    return _paired(expected, got, _same_decimals)


def _same_decimals(wanted: str, found: str) -> bool:
    try:
        return [Decimal(each) for each in wanted.split()] == [Decimal(each) for each in found.split()]
    except (InvalidOperation, ValueError):
        return False


def _sandboxfusion(_: Checker, expected: bytes, got: bytes) -> Difference | None:
    return _paired(expected.lower(), got.lower(), _same_number)


def _same_number(wanted: str, found: str) -> bool:
    one, other = _number(wanted.encode()), _number(found.encode())
    return one is not None and other is not None and math.isclose(one, other, rel_tol=_SANDBOXFUSION_REL)


_COMPARERS: dict[CheckerType, Callable[[Checker, bytes, bytes], Difference | None]] = {
    CheckerType.LINES: _lines,
    CheckerType.EXACT: _exact,
    CheckerType.TOKENS: _tokens,
    CheckerType.FLOAT: _float,
    CheckerType.UNORDERED_LINES: _unordered_lines,
    CheckerType.CONTAINS: _contains,
    CheckerType.REGEX: _regex,
    CheckerType.JSON: _json_output,
    CheckerType.LIVECODEBENCH: _livecodebench,
    CheckerType.SANDBOXFUSION: _sandboxfusion,
}
