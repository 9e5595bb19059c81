"""Values as data: what a function was given and what it returned, compared strictly on the host. Nothing is evaluated.

A value travels as JSON. What JSON has no word for is an object with one key that begins with ``$``:

    {"$tuple": [1, 2]}          {"$set": [1]}  {"$frozenset": [1]}     {"$dict": [[1, "one"]]}
    {"$float": "nan"}           {"$int": "-0xff"}                      {"$complex": ["1.0", "-2.0"]}
    {"$bytes": "aGk="}          {"$decimal": "1.50"}                   {"$fraction": "1/3"}
    {"$date": "2026-11-30"}     {"$datetime": …}  {"$time": …}         {"$range": [0, 10, 2]}
    {"$enum": ["Color", "RED"]} {"$exception": ["ValueError", "text"]}
    {"$array": {"dtype": "float64", "shape": [2], "values": [1.0, 2.0]}}      {"$series": {…}}   {"$frame": {…}}
    {"$object": "Stack"}        something else: only its type is known, and it equals nothing

Here a value is a `Value`: a kind, and what is in it. Whatever is hashed in one is text, whose hashes nobody can choose.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from code_executor.grading import bounded
from code_executor.grading.comparers import close
from code_executor.grading.differences import Difference, visible

_SHOWN = 200
"""Characters of a value that are shown."""

_SEQUENCES = frozenset({"list", "tuple"})
_BAGS = frozenset({"set", "frozenset"})
_HEX = re.compile(r"-?0x[0-9a-f]+")
_TEXTS = {
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "datetime": re.compile(r"[0-9T:.+ -]{1,64}"),
    "time": re.compile(r"[0-9:.+-]{1,40}"),
    "fraction": re.compile(r"-?[0-9]{1,4000}(?:/[0-9]{1,4000})?"),
    "object": re.compile(r".{0,200}", re.DOTALL),
}
_TABLES = {
    "array": ("dtype", "shape", "values"),
    "series": ("name", "index", "data"),
    "frame": ("columns", "index", "data"),
}


class ValueFormError(ValueError):
    """A text is no value of ours."""


class Value(NamedTuple):
    """``kind``: as above, without the ``$``. ``content``: text of what is single; else a tuple, or a frozenset."""

    kind: str
    content: Any = ""


class Tolerance(NamedTuple):
    """How far floats may be off (as of the comparer ``float``; None: not at all), and whether a tuple is a list."""

    rel: float | None = None
    abs: float | None = None
    loose_sequences: bool = False


STRICT = Tolerance()


def parse(text: bytes) -> Value:
    """Read a value that a program has written; raise ``ValueFormError``."""
    try:
        return value_of(bounded.parse_json(text))
    except ValueFormError:
        raise
    except ValueError as error:
        raise ValueFormError(str(error)) from None


def value_of(said: Any, depth: int = 0) -> Value:
    """Return the value that parsed JSON stands for; raise ``ValueFormError``."""
    if depth > bounded.DEEPEST:
        raise ValueFormError(f"more than {bounded.DEEPEST} values in each other")
    match said:
        case None:
            return Value("none")
        case bool():
            return Value("bool", str(said))
        case int():
            return Value("int", hex(said))
        case float():
            if not math.isfinite(said):
                raise ValueFormError('a number has no JSON: write it as {"$float": "nan"}, or "inf"')
            return Value("float", repr(said))
        case str():
            return Value("str", said)
        case list():
            return Value("list", tuple(value_of(each, depth + 1) for each in said))
        case dict():
            return _tagged(said, depth)
    raise ValueFormError(f"a {type(said).__name__} is no value")


def _tagged(said: dict[str, Any], depth: int) -> Value:
    tags = [key for key in said if key.startswith("$")]
    if not tags:
        return Value("dict", tuple((Value("str", key), value_of(each, depth + 1)) for key, each in said.items()))
    tag = tags[0][1:]
    if len(said) != 1 or tag not in _READERS:
        raise ValueFormError(f"{tags[0]!r} is no kind of value, or does not stand alone")
    return _READERS[tag](tag, said[tags[0]], depth)


# ---- one reader for each kind


def _text(kind: str, said: Any) -> str:
    if not isinstance(said, str):
        raise ValueFormError(f"${kind} must be a text")
    return said


def _listed(kind: str, said: Any) -> list[Any]:
    if not isinstance(said, list):
        raise ValueFormError(f"${kind} must be a list")
    return said


def _sequence(kind: str, said: Any, depth: int) -> Value:
    return Value(kind, tuple(value_of(each, depth + 1) for each in _listed(kind, said)))


def _bag(kind: str, said: Any, depth: int) -> Value:
    items = [value_of(each, depth + 1) for each in _listed(kind, said)]
    content = frozenset(items)
    if len(content) < len(items):
        raise ValueFormError(f"${kind} has an item twice")
    return Value(kind, content)


def _dict(kind: str, said: Any, depth: int) -> Value:
    pairs = []
    for pair in _listed(kind, said):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueFormError("$dict must be a list of pairs")
        pairs.append((value_of(pair[0], depth + 1), value_of(pair[1], depth + 1)))
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueFormError("$dict has a key twice")
    return Value("dict", tuple(pairs))


def _int(kind: str, said: Any, _: int) -> Value:
    text = _text(kind, said)
    if not _HEX.fullmatch(text):
        raise ValueFormError("$int must be a text such as -0xff")
    return Value("int", hex(int(text, 16)))


def _float_text(kind: str, said: Any) -> str:
    text = _text(kind, said)
    try:
        return repr(float(text if len(text) <= 400 else "?"))
    except ValueError:
        raise ValueFormError(f"${kind} must have numbers as texts") from None


def _float(kind: str, said: Any, _: int) -> Value:
    return Value("float", _float_text(kind, said))


def _complex(kind: str, said: Any, _: int) -> Value:
    parts = _listed(kind, said)
    if len(parts) != 2:
        raise ValueFormError("$complex must be two texts")
    return Value("complex", (_float_text(kind, parts[0]), _float_text(kind, parts[1])))


def _bytes(kind: str, said: Any, _: int) -> Value:
    try:
        return Value("bytes", base64.b64encode(base64.b64decode(_text(kind, said), validate=True)).decode())
    except (binascii.Error, ValueError):
        raise ValueFormError("$bytes must be base64") from None


def _decimal(kind: str, said: Any, _: int) -> Value:
    text = _text(kind, said)
    try:
        return Value("decimal", str(Decimal(text if len(text) <= bounded.LONGEST_NUMBER else "?")))
    except InvalidOperation:
        raise ValueFormError("$decimal must be a number as a text") from None


def _pattern_text(kind: str, said: Any, _: int) -> Value:
    text = _text(kind, said)
    if not _TEXTS[kind].fullmatch(text):
        raise ValueFormError(f"{text[:40]!r} is no ${kind}")
    return Value(kind, text)


def _range(kind: str, said: Any, _: int) -> Value:
    numbers = _listed(kind, said)
    if len(numbers) != 3 or not all(type(each) is int for each in numbers) or not numbers[2]:
        raise ValueFormError("$range must be three whole numbers: start, stop, and step, which is not 0")
    same = range(*numbers)
    return Value("range", tuple(map(hex, (same.start, same.stop, same.step))))


def _names(kind: str, said: Any, _: int) -> Value:
    names = _listed(kind, said)
    if len(names) != 2 or not all(isinstance(each, str) for each in names):
        raise ValueFormError(f"${kind} must be two texts")
    return Value(kind, tuple(names))


def _table(kind: str, said: Any, depth: int) -> Value:
    if not isinstance(said, dict) or set(said) != set(_TABLES[kind]):
        raise ValueFormError(f"${kind} must have {', '.join(_TABLES[kind])}, and nothing else")
    return Value(kind, tuple(value_of(said[name], depth + 1) for name in _TABLES[kind]))


_READERS: dict[str, Callable[[str, Any, int], Value]] = {
    "tuple": _sequence,
    "list": _sequence,
    "set": _bag,
    "frozenset": _bag,
    "dict": _dict,
    "int": _int,
    "float": _float,
    "complex": _complex,
    "bytes": _bytes,
    "decimal": _decimal,
    "range": _range,
    "enum": _names,
    "exception": _names,
    **dict.fromkeys(_TEXTS, _pattern_text),
    **dict.fromkeys(_TABLES, _table),
}


# ---- comparing


def compare(expected: Value, got: Value, tolerance: Tolerance = STRICT) -> Difference | None:
    """Return the first difference of two values, None where there is none.

    Types must agree: 1 is not True, and not 1.0. Floats are equal as numbers are, and a NaN equals a NaN; a tolerance
    of floats holds everywhere but inside sets and in the keys of dicts. Sets and dicts have no order.
    """
    if tolerance.loose_sequences:
        expected, got = _loosened(expected), _loosened(got)
    return _compare(expected, got, tolerance, "the value")


def _loosened(value: Value) -> Value:
    """Return a value whose tuples are lists."""
    kind, content = value
    if kind in _SEQUENCES:
        return Value("list", tuple(map(_loosened, content)))
    if kind in _BAGS:
        return Value(kind, frozenset(map(_loosened, content)))
    if kind == "dict":
        return Value(kind, tuple((_loosened(key), _loosened(each)) for key, each in content))
    return Value(kind, tuple(map(_loosened, content))) if kind in _TABLES else value


def _compare(expected: Value, got: Value, tolerance: Tolerance, path: str) -> Difference | None:
    kind = expected.kind
    if kind != got.kind:
        return _differs(f"{path} has the wrong type: {got.kind}", expected, got)
    if kind in _SEQUENCES:
        if len(expected.content) != len(got.content):
            return _differs(f"{path} has {len(got.content)} items, which is not right", expected, got)
        return _first(expected.content, got.content, tolerance, path)
    if kind == "dict":
        return _compare_dicts(expected, got, tolerance, path)
    if kind in _TABLES:
        return _first(expected.content, got.content, tolerance, path)
    return None if _same(expected, got, tolerance) else _differs(f"{path} is not right", expected, got)


def _first(expected: tuple[Value, ...], got: tuple[Value, ...], tolerance: Tolerance, path: str) -> Difference | None:
    for at, (one, other) in enumerate(zip(expected, got, strict=True)):
        if inner := _compare(one, other, tolerance, f"{path}[{at}]"):
            return inner
    return None


def _compare_dicts(expected: Value, got: Value, tolerance: Tolerance, path: str) -> Difference | None:
    found = dict(got.content)
    for key, value in expected.content:
        if key not in found:
            return _differs(f"{path} lacks a key", key, None)
        if inner := _compare(value, found[key], tolerance, f"{path}[{shown(key)[:40]}]"):
            return inner
    if len(found) == len(expected.content):
        return None
    wanted = {key for key, _ in expected.content}
    return _differs(f"{path} has a key too many", None, next(key for key in found if key not in wanted))


def _same(expected: Value, got: Value, tolerance: Tolerance) -> bool:
    kind = expected.kind
    if kind == "object":
        return False
    if kind == "float":
        return _same_float(expected.content, got.content, tolerance)
    if kind == "complex":
        return all(_same_float(*pair, tolerance) for pair in zip(expected.content, got.content, strict=True))
    if kind == "decimal":
        one, other = Decimal(expected.content), Decimal(got.content)
        return expected.content == got.content if one.is_nan() or other.is_nan() else one == other
    return bool(expected.content == got.content)


def _same_float(expected: str, got: str, tolerance: Tolerance) -> bool:
    one, other = float(expected), float(got)
    if one == other or (math.isnan(one) and math.isnan(other)):
        return True
    if tolerance.rel is None and tolerance.abs is None:
        return False
    return close(one, other, tolerance.abs or 0.0, tolerance.rel or 0.0, nan=True)


def _differs(message: str, expected: Value | None, got: Value | None) -> Difference:
    texts = (None if each is None else visible_value(each) for each in (expected, got))
    return Difference(message, None, *texts)


# ---- showing


def shown(value: Value, most: int = _SHOWN) -> str:
    """Return a value about as Python writes it, in so many characters at most."""
    text = ""
    for piece in _spelled(value):
        text += piece
        if len(text) > most:
            return text[: most - 1] + "…"
    return text


def visible_value(value: Value) -> str:
    return visible(shown(value)) if value.kind == "str" else shown(value)


_BRACKETS = {"list": "[]", "tuple": "()", "set": "{}", "frozenset": "{}", "dict": "{}"}


def _spelled(value: Value) -> Iterator[str]:
    kind, content = value
    if kind in _BRACKETS:
        yield ("frozenset(" if kind == "frozenset" else "") + _BRACKETS[kind][0]
        yield from _items(content, is_dict=kind == "dict")
        yield ("," if kind == "tuple" and len(content) == 1 else "") + _BRACKETS[kind][1]
        yield ")" if kind == "frozenset" else ""
    elif kind in _TABLES:
        yield f"{kind}("
        yield from _items(content, is_dict=False)
        yield ")"
    else:
        yield _single(kind, content)


def _items(content: Any, *, is_dict: bool) -> Iterator[str]:
    for at, each in enumerate(content):
        yield ", " if at else ""
        if is_dict:
            yield from _spelled(each[0])
            yield ": "
            yield from _spelled(each[1])
        else:
            yield from _spelled(each)


def _single(kind: str, content: Any) -> str:
    match kind:
        case "none":
            return "None"
        case "int":
            return _decimal_text(content)
        case "str":
            return repr(content[: _SHOWN + 1])
        case "bytes":
            return repr(base64.b64decode(content[: 4 * _SHOWN]))
        case "complex":
            return f"complex({content[0]}, {content[1]})"
        case "range":
            return f"range({', '.join(map(_decimal_text, content))})"
        case "enum":
            return ".".join(content)[:_SHOWN]
        case "exception":
            return f"{content[0]}({content[1]!r})"[:_SHOWN]
        case "object":
            return f"<{content}>"
    return str(content) if kind in ("bool", "float") else f"{kind}({content!r})"[: _SHOWN + 1]


def _decimal_text(number: str) -> str:
    """Return a whole number in decimal; a long one, which takes more than its length to be converted, as it is."""
    return str(int(number, 16)) if len(number) <= 100 else number[: _SHOWN + 1]


def as_json(value: Any) -> str:
    """Return what `value_of` reads, as the text that goes into a sandbox."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
