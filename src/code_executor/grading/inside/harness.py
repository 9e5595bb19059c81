"""What calls a learner's function, in the learner's sandbox. It is sent there as text, and never imported by the host.

It knows what to call, and with what. It does not know what is expected, so whoever takes it over gains nothing: all
that leaves the sandbox is a value as data, and the host decides. The form of values is that of `grading.values`.
Standard library only; every Python that a sandbox may have.
"""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import json
import sys
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEEPEST, MOST_ITEMS, LARGEST = 100, 90_000, 1_000_000
LONGEST_TEXT = 100_000
PLAIN_INT = 1 << 63


class TooLargeError(Exception):
    """A value is larger or deeper than what is sent."""


class Encoder:
    """Makes JSON of values. What is of a subclass is sent as what it is a subclass of."""

    def __init__(self) -> None:
        self.items = 0
        self.size = 0

    def text(self, value: str) -> str:
        self.size += len(value)
        if self.size > LARGEST:
            raise TooLargeError
        return value

    def value(self, value: Any, depth: int = 0) -> Any:
        self.items += 1
        if depth > DEEPEST or self.items > MOST_ITEMS:
            raise TooLargeError
        if value is None or value is True or value is False:
            return value
        numpy, enum = sys.modules.get("numpy"), sys.modules.get("enum")
        if numpy is not None and isinstance(value, numpy.generic):
            value = value.item()
        if enum is not None and isinstance(value, enum.Enum):
            return {"$enum": [type(value).__name__, str(value._name_)]}
        for kind, encode in self.KINDS:
            if isinstance(value, kind):
                return encode(self, value, depth + 1)
        return self.other(value, depth + 1)

    def whole(self, value: Any, _: int) -> Any:
        value = int.__pos__(value)
        if -PLAIN_INT < value < PLAIN_INT:
            return value
        return {"$int": self.text(hex(value))}

    def number(self, value: Any, _: int) -> Any:
        value = float.__pos__(value)
        return value if value - value == 0 else {"$float": repr(value)}

    def pair(self, value: Any, _: int) -> Any:
        return {"$complex": [repr(value.real), repr(value.imag)]}

    def string(self, value: Any, _: int) -> Any:
        value = str.__str__(value)
        self.text(value)
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")

    def data(self, value: Any, _: int) -> Any:
        return {"$bytes": self.text(base64.b64encode(bytes(memoryview(value))).decode())}

    def sequence(self, value: Any, depth: int) -> Any:
        items = [self.value(each, depth) for each in self.base(value, (list, tuple)).__iter__(value)]
        return items if isinstance(value, list) else {"$tuple": items}

    def bag(self, value: Any, depth: int) -> Any:
        kind = self.base(value, (set, frozenset))
        return {"$" + kind.__name__: [self.value(each, depth) for each in kind.__iter__(value)]}

    def mapping(self, value: Any, depth: int) -> Any:
        pairs = [(key, each) for key, each in dict.items(value)]
        if all(type(key) is str and key.isascii() and not key.startswith("$") for key, _ in pairs):
            return {self.text(key): self.value(each, depth) for key, each in pairs}
        return {"$dict": [[self.value(key, depth), self.value(each, depth)] for key, each in pairs]}

    def span(self, value: Any, _: int) -> Any:
        return {"$range": [value.start, value.stop, value.step]}

    def error(self, value: Any, _: int) -> Any:
        return {"$exception": [type(value).__name__, self.text(str(value))]}

    @staticmethod
    def base(value: Any, kinds: tuple[type, ...]) -> Any:
        return next(kind for kind in kinds if isinstance(value, kind))

    def other(self, value: Any, depth: int) -> Any:
        """Encode what is of a module that may not be there."""
        for module, name, tag, spell in OTHERS:
            kind = getattr(sys.modules.get(module), name, None)
            if isinstance(kind, type) and isinstance(value, kind):
                return {tag: spell(self, value, depth)}
        return {"$object": type(value).__qualname__[:200]}

    KINDS: Any = (
        (int, whole),
        (float, number),
        (complex, pair),
        (str, string),
        ((bytes, bytearray), data),
        ((list, tuple), sequence),
        ((set, frozenset), bag),
        (dict, mapping),
        (range, span),
        (BaseException, error),
    )


def _isoformat(_: Encoder, value: Any, __: int) -> str:
    return str(value.isoformat())


def _array(encoder: Encoder, value: Any, depth: int) -> Any:
    values = [encoder.value(each, depth) for each in value.ravel().tolist()]
    return {"dtype": str(value.dtype), "shape": list(value.shape), "values": values}


def _series(encoder: Encoder, value: Any, depth: int) -> Any:
    parts = {"name": value.name, "index": value.index.tolist(), "data": value.tolist()}
    return {name: encoder.value(part, depth) for name, part in parts.items()}


def _frame(encoder: Encoder, value: Any, depth: int) -> Any:
    rows = [list(row) for row in value.itertuples(index=False, name=None)]
    parts = {"columns": value.columns.tolist(), "index": value.index.tolist(), "data": rows}
    return {name: encoder.value(part, depth) for name, part in parts.items()}


OTHERS: Any = (
    ("decimal", "Decimal", "$decimal", lambda encoder, value, _: encoder.text(str(value))),
    ("fractions", "Fraction", "$fraction", lambda encoder, value, _: encoder.text(str(value))),
    ("datetime", "datetime", "$datetime", _isoformat),
    ("datetime", "date", "$date", _isoformat),
    ("datetime", "time", "$time", _isoformat),
    ("numpy", "ndarray", "$array", _array),
    ("pandas", "Series", "$series", _series),
    ("pandas", "DataFrame", "$frame", _frame),
)


# ---- what is given to the function


def decoded(said: Any) -> Any:
    """Make the value that JSON stands for."""
    if isinstance(said, list):
        return [decoded(each) for each in said]
    if not isinstance(said, dict):
        return said
    tag = next((key for key in said if key.startswith("$")), None)
    if tag is None:
        return {key: decoded(each) for key, each in said.items()}
    return DECODERS[tag](said[tag])


def _module(name: str, attribute: str) -> Any:
    return getattr(importlib.import_module(name), attribute)


def _decoded_array(said: Any) -> Any:
    numpy = importlib.import_module("numpy")
    return numpy.array([decoded(each) for each in said["values"]], dtype=said["dtype"]).reshape(said["shape"])


def _decoded_exception(said: Any) -> Any:
    kind = getattr(importlib.import_module("builtins"), said[0], Exception)
    return (kind if isinstance(kind, type) and issubclass(kind, BaseException) else Exception)(said[1])


DECODERS: Any = {
    "$list": lambda said: [decoded(each) for each in said],
    "$tuple": lambda said: tuple(decoded(each) for each in said),
    "$set": lambda said: {decoded(each) for each in said},
    "$frozenset": lambda said: frozenset(decoded(each) for each in said),
    "$dict": lambda said: {decoded(key): decoded(each) for key, each in said},
    "$int": lambda said: int(said, 16),
    "$float": float,
    "$complex": lambda said: complex(float(said[0]), float(said[1])),
    "$bytes": base64.b64decode,
    "$range": lambda said: range(*said),
    "$decimal": lambda said: _module("decimal", "Decimal")(said),
    "$fraction": lambda said: _module("fractions", "Fraction")(said),
    "$date": lambda said: _module("datetime", "date").fromisoformat(said),
    "$datetime": lambda said: _module("datetime", "datetime").fromisoformat(said),
    "$time": lambda said: _module("datetime", "time").fromisoformat(said),
    "$exception": _decoded_exception,
    "$array": _decoded_array,
    "$series": lambda said: _module("pandas", "Series")(
        decoded(said["data"]), index=decoded(said["index"]), name=decoded(said["name"])
    ),
    "$frame": lambda said: _module("pandas", "DataFrame")(
        decoded(said["data"]), index=decoded(said["index"]), columns=decoded(said["columns"])
    ),
}


# ---- the call


def failure(error: BaseException, file: str, *, shown: bool = True) -> dict[str, Any]:
    """Say what an exception is, where it was raised in the learner's file, and print its traceback without ours."""
    trace, line = error.__traceback__, None
    first = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith("/" + file):
            line, first = trace.tb_lineno, first or trace
        trace = trace.tb_next
    if shown:
        with contextlib.suppress(BaseException):
            traceback.print_exception(type(error), error, first)
    try:
        message = str(error)[:LONGEST_TEXT]
    except BaseException:
        message = ""
    names = [kind.__name__ for kind in type(error).__mro__][:20]
    return {"types": names, "message": message, "line": line}


def _resolved(module: Any, path: str) -> Any:
    found = module
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _called(order: dict[str, Any], answer: dict[str, Any]) -> None:
    file = order["module"] + ".py"
    try:
        module = importlib.import_module(order["module"])
        exec(order["setup"], vars(module))
        function = _resolved(module, order["call"])
    except BaseException as error:
        answer["failed"] = failure(error, file)
        return
    arguments = [decoded(each) for each in order["args"]]
    named = {name: decoded(each) for name, each in order["kwargs"].items()}
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            result = function(*arguments, **named)
        answer["returned"] = Encoder().value(result)
    except TooLargeError:
        answer["tooLarge"] = True
    except BaseException as error:
        answer["raised"] = failure(error, file)
    answer["stdout"] = printed.getvalue()[:LONGEST_TEXT]
    sys.stdout.write(printed.getvalue())
    if order["arguments"]:
        try:
            answer["arguments"] = Encoder().value(arguments)
        except TooLargeError:
            answer["tooLarge"] = True


def main(text: str) -> None:
    """Do what an order says, and leave the answer in a file."""
    order = json.loads(text)
    answer: dict[str, Any] = {}
    _called(order, answer)
    with open(order["answer"], "w", encoding="ascii") as file:
        json.dump(answer, file)
