"""The messages between processes of one service: JSON objects (`core.codec`) behind a length of four bytes.

A connection carries one call at a time. A *call* is ``{"op": name, …}``. A run is answered with its events, last the
result; any other call with one object. A failure can take the place of any answer.
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from code_executor.core.codec import Object, decode
from code_executor.core.errors import CodeExecutorError

_LENGTH = struct.Struct(">I")


async def send(writer: asyncio.StreamWriter, message: Object) -> None:
    """Send one message; raise ``OSError`` where nobody takes it."""
    body = json.dumps(message).encode()
    writer.write(_LENGTH.pack(len(body)) + body)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Object:
    """Return the next message; raise ``asyncio.IncompleteReadError`` where no more will come."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    message: Object = json.loads(await reader.readexactly(length))
    return message


def answered(message: Object) -> Any:
    """Return the value of an answer; raise the failure that it is, if it is one."""
    value = decode(message)
    if isinstance(value, CodeExecutorError):
        raise value
    return value
