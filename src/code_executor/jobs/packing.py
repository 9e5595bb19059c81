"""Executions and results as they are kept: their one JSON form, compressed where that is worth it."""

from __future__ import annotations

import json
import zlib
from typing import Any

from code_executor.core.apart import apart
from code_executor.core.codec import Object, decode, encode
from code_executor.core.models import Execution, Result

_WORTH_IT = 1 << 10
_PLAIN, _COMPRESSED = b"j", b"z"
_LEVEL = 1


def pack(value: Execution | Result) -> bytes:
    """Return the bytes of a value."""
    return pack_object(encode(value))


def pack_object(value: Object) -> bytes:
    """Return the bytes of an object in JSON."""
    data = json.dumps(value, separators=(",", ":")).encode()
    return _PLAIN + data if len(data) < _WORTH_IT else _COMPRESSED + zlib.compress(data, _LEVEL)


def unpack(data: bytes) -> Any:
    """Return the value that `pack` was given; raise ``ValueError`` for bytes that another version wrote."""
    return decode(unpack_object(data))


def unpack_object(data: bytes) -> Object:
    """Return the object that `pack_object` was given; raise ``ValueError`` likewise."""
    try:
        body = zlib.decompress(data[1:]) if data[:1] == _COMPRESSED else data[1:]
    except zlib.error as error:
        raise ValueError(f"not what was packed: {error}") from None
    found: Object = json.loads(body)
    return found


async def packed(value: Execution | Result) -> bytes:
    """As `pack`, without stopping everybody else for what is large."""
    return await apart(lambda: pack(value), _size(value))


async def unpacked(data: bytes) -> Any:
    """As `unpack`, likewise."""
    return await apart(lambda: unpack(data), len(data))


def _size(value: Execution | Result) -> int:
    if isinstance(value, Execution):
        return len(value.code) + len(value.stdin) + sum(len(file.data) for file in value.files)
    written = len(value.output) + len(value.error) + len(value.stdout or b"") + len(value.stderr or b"")
    shown = sum(len(display.data) for display in value.displays)
    return written + shown + sum(len(file.data) for file in value.files)
