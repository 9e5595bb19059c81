"""JSON as it is sent: small values in one piece, large ones in pieces that are encoded one at a time.

An answer can hold 17 MB of a program's bytes. As one text of JSON it would be several times as much, and making it
would stop everybody else. So what is large stays what it is (`Bulk`) until its turn comes.

The text is UTF-8 without escapes, which are six bytes for a character. Three characters are escaped all the same: they
end a line for clients that read a stream of events with Python's ``splitlines``.
"""

from __future__ import annotations

import base64
import codecs
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

from code_executor.core.codec import Object, display_object, encode, file_object, result_object
from code_executor.core.models import CellDone, Display, Event, File, Output, Result

PIECE = 64 << 10
"""Bytes that are sent at once, about."""

_ITEM = 256
"""What a small object costs, about."""

_LINE_ENDS = "\x85\u2028\u2029"


class Bulk(NamedTuple):
    """Bytes that are a string in JSON: as text, with U+FFFD for what is no UTF-8, or as base64."""

    data: bytes
    is_text: bool

    @classmethod
    def text(cls, data: bytes) -> Self:
        return cls(data, is_text=True)

    @classmethod
    def base64(cls, data: bytes) -> Self:
        return cls(data, is_text=False)


class Each(NamedTuple):
    """A list of what `make` makes of the items, one at a time."""

    make: Callable[[Any], Any]
    items: Sequence[Any]


def utf8(text: str) -> bytes:
    """Encode JSON. Halves of surrogate pairs, which UTF-8 does not have, become escapes."""
    if not text.isascii():
        for character in _LINE_ENDS:
            text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "backslashreplace")


def cost(event: Event) -> int:
    """Return about how many bytes of memory it takes to hold an event."""
    match event:
        case CellDone(result=result) | (Result() as result):
            texts = sum(map(sys.getsizeof, (result.output, result.error, result.value, result.problems)))
            raw = len(result.stdout or b"") + len(result.stderr or b"")
            return texts + raw + sum(map(cost, result.displays)) + sum(map(cost, result.files)) + _ITEM
        case Output(data=text, raw=raw):
            return sys.getsizeof(text) + len(raw) + _ITEM
        case Display(data=data) | File(data=data):
            return len(data) + _ITEM
        case _:
            return _ITEM


def event_object(event: Event) -> Object:
    """Return what a client is told of an event, with `Bulk` in it; of the end of a cell, as of that of a run."""
    match event:
        case CellDone(result=result) | (Result() as result):
            return {"type": "result", **answer_object(result)}
        case Display():
            return {"type": "display", **_display(event)}
        case File():
            return {"type": "file", **_file(event)}
        case _:
            return encode(event)


def answer_object(result: Result) -> Object:
    """Return the object of a result, with `Bulk` in it."""
    small = result_object(result, attachments=False, base64_of=Bulk.base64)
    return {**small, "displays": Each(_display, result.displays), "files": Each(_file, result.files)}


def _display(display: Display) -> Object:
    return display_object(display, Bulk.text, Bulk.base64)


def _file(file: File) -> Object:
    return file_object(file, Bulk.base64)


def pieces(value: Any, before: bytes = b"", after: bytes = b"") -> Iterator[bytes]:
    """Yield the JSON of a value, which may have `Bulk` in it, in pieces of about `PIECE` bytes.

    ``before`` and ``after``: what frames it.
    """
    gathered = bytearray(before)
    for part in _parts(value):
        gathered += part
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered) + after


def _parts(value: Any) -> Iterator[bytes]:
    match value:
        case Bulk(data=data, is_text=True):
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            starts = range(0, len(data), PIECE)
            yield b'"'
            for start in starts:
                yield _inside(decoder.decode(data[start : start + PIECE], final=start == starts[-1]))
            yield b'"'
        case Bulk(data=data):
            step = PIECE // 4 * 3
            yield b'"'
            for start in range(0, len(data), step):
                yield base64.b64encode(data[start : start + step])
            yield b'"'
        case str() if len(value) > PIECE:
            yield b'"'
            for start in range(0, len(value), PIECE):
                yield _inside(value[start : start + PIECE])
            yield b'"'
        case dict():
            for at, (key, each) in enumerate(value.items()):
                yield (", " if at else "{").encode() + utf8(json.dumps(key, ensure_ascii=False)) + b": "
                yield from _parts(each)
            yield b"}" if value else b"{}"
        case Each(make=make, items=items):
            yield from _list(map(make, items))
        case list():
            yield from _list(value)
        case _:
            yield utf8(json.dumps(value, ensure_ascii=False))


def _list(items: Iterable[Any]) -> Iterator[bytes]:
    yield b"["
    for at, each in enumerate(items):
        yield b", " if at else b""
        yield from _parts(each)
    yield b"]"


def _inside(text: str) -> bytes:
    return utf8(json.dumps(text, ensure_ascii=False)[1:-1])
