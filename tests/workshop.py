"""An engine for tests: its sandboxes are made, break and come back when the test says so."""

from __future__ import annotations

import asyncio
import json

from code_executor.core.errors import EngineError
from code_executor.core.limits import Limits
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import EventType, event

READY = event(EventType.READY, 0, json.dumps({"protocol": protocol.VERSION}).encode())


class Workshop:
    """An engine that makes sandboxes while it is ``open``, or fails to while it is ``broken``."""

    name = "workshop"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.broken = ""
        self.making = 0
        self.at_once: list[int] = []
        self.made: list[Sandbox] = []
        self.attempts = 0
        self.destroyed: list[Sandbox] = []
        self.closed = False

    async def start(self) -> None:
        """It needs nothing."""

    async def close(self) -> None:
        self.closed = True

    async def create(self, *, preload: tuple[str, ...] | None = None) -> Sandbox:  # noqa: ARG002  # an engine's signature
        self.making += 1
        self.attempts += 1
        self.at_once.append(self.making)
        try:
            await asyncio.sleep(0.001)
            await self.open.wait()
        finally:
            self.making -= 1
        if self.broken:
            raise EngineError(self.broken)
        sandbox = Sandbox(str(len(self.made)), Limits())
        sandbox.attach(Shelf(self, sandbox))
        sandbox.feed(READY)
        await sandbox.boot()
        self.made.append(sandbox)
        return sandbox


class Shelf:
    """The link to one of them, which nothing is written to."""

    def __init__(self, workshop: Workshop, sandbox: Sandbox) -> None:
        self._workshop = workshop
        self._sandbox = sandbox

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def begin(self) -> None:
        """Nothing is run in it."""

    async def held(self) -> bool:
        return False

    async def out_of_memory(self) -> bool:
        return False

    async def destroy(self) -> None:
        self._workshop.destroyed.append(self._sandbox)
