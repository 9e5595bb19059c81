"""A sandbox that has been taken over: a real process that says to the host whatever it likes."""

from __future__ import annotations

import asyncio
import json
import sys

from code_executor.core.limits import Limits
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import EventType, event

READY = event(EventType.READY, 0, json.dumps({"protocol": protocol.VERSION}).encode())

_PROGRAM = f"""
import os, struct, sys
def say(text):
    data = memoryview(eval(text))
    while data:
        data = data[os.write(1, data):]
say(sys.argv[1])
header = sys.stdin.buffer.read({protocol.COMMAND.size})
if header:
    sys.stdin.buffer.read(struct.unpack("{protocol.COMMAND.format}", header)[3])
    say(sys.argv[2])
    if sys.argv[3] == "stay":
        sys.stdin.buffer.read()
"""


class Impostor:
    """An engine whose sandboxes say ``greeting`` when they start and ``answer`` to a run, and then stay or end.

    Both are expressions of bytes, so that an answer may be larger than an argument of a program.
    """

    name = "impostor"

    def __init__(self, answer: str, *, greeting: str = repr(READY), stay: bool = True) -> None:
        self._arguments = [greeting, answer, "stay" if stay else "end"]
        self.made = 0

    async def start(self) -> None:
        """It needs nothing."""

    async def close(self) -> None:
        """It has nothing."""

    async def create(self, *, preload: tuple[str, ...] | None = None) -> Sandbox:  # noqa: ARG002  # an engine's signature
        self.made += 1
        sandbox = Sandbox(f"impostor-{self.made}", Limits())
        link = ImpostorLink(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _PROGRAM,
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            ),
            sandbox,
        )
        sandbox.attach(link)
        try:
            await sandbox.boot()
        except BaseException:
            await link.destroy()
            raise
        return sandbox


class ImpostorLink:
    """The pipes to one of them."""

    def __init__(self, process: asyncio.subprocess.Process, sandbox: Sandbox) -> None:
        self._process = process
        self._sandbox = sandbox
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while data := await self._process.stdout.read(1 << 16):
            self._sandbox.feed(data)
        self._sandbox.ended("it ended")

    def begin(self) -> None:
        """It knows all that it has to."""

    async def held(self) -> bool:
        return False

    async def out_of_memory(self) -> bool:
        return False

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def destroy(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader
        assert self._process.stdin is not None
        self._process.stdin.close()
