"""The messages between processes of one service: JSON objects (`core.codec`) behind a length of four bytes.

A connection carries one call at a time. A *call* is ``{"op": name, …}``. A run is answered with its events, last the
result; any other call with one object. A failure can take the place of any answer.

What a program displays and the files that it leaves are large, and follow their object as they are: its ``blobs`` are
their lengths.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from code_executor.core.codec import Object, decode, encode
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import CellDone, Display, File, FileAnswer, Result

_LENGTH = struct.Struct(">I")

Packed = tuple[Object, Sequence[bytes]]
"""An object, and the blobs that follow it."""


async def send(writer: asyncio.StreamWriter, message: Object, blobs: Sequence[bytes] = ()) -> None:
    """Send one message; raise ``OSError`` where nobody takes it."""
    if blobs:
        message = {**message, "blobs": list(map(len, blobs))}
    body = json.dumps(message).encode()
    writer.write(_LENGTH.pack(len(body)) + body)
    for blob in blobs:
        writer.write(blob)
    await writer.drain()


async def receive(reader: asyncio.StreamReader) -> Object:
    """Return the next message; raise ``asyncio.IncompleteReadError`` where no more will come."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    message: Object = json.loads(await reader.readexactly(length))
    if "blobs" in message:
        message["blobs"] = [await reader.readexactly(length) for length in message["blobs"]]
    return message


def pack(value: object) -> Packed:
    """Return a value as it is sent."""
    match value:
        case Display(media_type=name, data=data):
            return {"type": "display", "name": name}, [data]
        case File(path=name, data=data):
            return {"type": "file", "name": name}, [data]
        case Result(displays=displays, files=files):
            small = encode(replace(value, displays=(), files=()))
            names = {"shown": [each.media_type for each in displays], "left": [each.path for each in files]}
            return {**small, **names}, [*(each.data for each in displays), *(each.data for each in files)]
        case CellDone(result=result):
            message, blobs = pack(result)
            return {"type": "cellDone", "result": message}, blobs
        case FileAnswer(data=data) if data:
            return encode(replace(value, data=b"")), [data]
        case _:
            return encode(value), ()


def unpack(message: Object) -> Any:
    """Return the value that `pack` was given; raise ``ValueError`` for what is none."""
    blobs: list[bytes] = message.pop("blobs", [])
    match message:
        case {"type": "display", "name": name}:
            return Display(name, blobs[0])
        case {"type": "file", "name": name}:
            return File(name, blobs[0])
        case {"type": "result", "shown": shown, "left": left}:
            data = iter(blobs)
            displays = tuple(Display(media_type, next(data)) for media_type in shown)
            return replace(decode(message), displays=displays, files=tuple(File(path, next(data)) for path in left))
        case {"type": "cellDone", "result": result}:
            return CellDone(unpack({**result, "blobs": blobs}))
        case {"type": "fileAnswer"} if blobs:
            return replace(decode(message), data=blobs[0])
        case _:
            return decode(message)


class Sent:
    """The displays and files that were sent before the result of a run, which has them too: they are sent once."""

    def __init__(self) -> None:
        self._displays: list[Display] = []
        self._files: list[File] = []

    def note(self, event: object) -> None:
        if isinstance(event, Display):
            self._displays.append(event)
        elif isinstance(event, File):
            self._files.append(event)

    def pack_rest(self, result: Result) -> Packed:
        """Return a result without what was sent, of which it says how much that is."""
        shown, left = len(self._displays), len(self._files)
        if result.displays[:shown] != tuple(self._displays) or result.files[:left] != tuple(self._files):
            shown = left = 0
        message, blobs = pack(replace(result, displays=result.displays[shown:], files=result.files[left:]))
        return {**message, "before": [shown, left]}, blobs

    def whole(self, result: Result, before: Sequence[int]) -> Result:
        """Return the result that `pack_rest` was given."""
        displays = (*self._displays[: before[0]], *result.displays)
        return replace(result, displays=displays, files=(*self._files[: before[1]], *result.files))


def answered(message: Object) -> Any:
    """Return the value of an answer; raise the failure that it is, if it is one."""
    value = unpack(message)
    if isinstance(value, CodeExecutorError):
        raise value
    return value
