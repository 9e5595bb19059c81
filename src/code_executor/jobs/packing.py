"""Executions and results as they are kept: their one JSON form, compressed where that is worth it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from code_executor.core.codec import Object, decode, encode
from code_executor.core.models import Execution, Result

_WORTH_IT = 1 << 10
_LARGE = 256 << 10
"""Bytes from which on it is done in a thread."""

_PLAIN, _COMPRESSED = b"j", b"z"
_LEVEL = 1

T = TypeVar("T")


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
    return await apart(pack, value, _size(value))


async def unpacked(data: bytes) -> Any:
    """As `unpack`, likewise."""
    return await apart(unpack, data, len(data))


async def apart(make: Callable[[Any], T], value: object, size: int) -> T:
    """Make something of a value; of a large one in a thread. ``size``: its bytes, about."""
    return make(value) if size < _LARGE else await asyncio.to_thread(make, value)


def _size(value: Execution | Result) -> int:
    if isinstance(value, Execution):
        return len(value.code) + len(value.stdin) + sum(len(file.data) for file in value.files)
    written = len(value.output) + len(value.error) + len(value.stdout or b"") + len(value.stderr or b"")
    shown = sum(len(display.data) for display in value.displays)
    return written + shown + sum(len(file.data) for file in value.files)
