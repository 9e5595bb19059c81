"""Processes that measure for us where they must run: one line of JSON in, one line of JSON out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Self

_LONGEST_REPLY = 1 << 24


class HelperError(Exception):
    """The helper could not do what it was asked; the message comes from it."""


class Helper:
    """One such process. It ends when its stdin ends."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_LONGEST_REPLY,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    async def ask(self, **question: Any) -> dict[str, Any]:
        """Return its reply; raise `HelperError`."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise HelperError("not started")
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            await process.stdin.drain()
            line = await process.stdout.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise HelperError(f"{self._argv[0]} ended with {await process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise HelperError(str(reply["error"]))
        return reply
