"""A sandbox as the host sees it: the same for every engine.

The link's reader feeds it, the pool boots, settles and destroys it, and a run is a `Conversation` over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from code_executor.core.cells import CellTurn
from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Execution, Input
from code_executor.sandbox.conversation import Conversation, most_sent
from code_executor.sandbox.link import Link
from sandbox_agent.contract import claims, protocol
from sandbox_agent.contract.claims import ClaimError
from sandbox_agent.contract.protocol import Command, EventReader, EventType, ProtocolError

BOOT_WITHIN = 120.0
"""Seconds in which a new sandbox must be ready (imports of what is preloaded, at half a core, included)."""

SETTLE_WITHIN = 15.0
"""Seconds after a result in which a sandbox must be clean and ready again."""

CANCELLED_WITHIN = 5.0
"""Seconds in which a sandbox must take a CANCEL, and again in which the run must then have ended. The command comes
behind stdin: if the program does not read that, and it is more than a pipe holds, the sandbox has to be destroyed."""

_ENDINGS = frozenset({EventType.RESULT, EventType.CELL_DONE, EventType.FILES_DONE})

_EVENT_COST = 64
_MOST_UNREAD = 32 << 20
"""Bytes of events (each costs ``_EVENT_COST`` more) that may wait, beyond what a run may send. A broken sandbox may
send when nobody reads, and the reader of a run may be slow."""


class Sandbox:
    """One container, or its native twin, seen from the host. It runs one execution at a time.

    A link's reader calls `feed`, `lost` and `ended`; everything else is for the pool and the executor.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.runs = 0
        self.endings = 0
        """How many ends of runs, cells and orders have come from it, whether or not somebody has read them."""
        self.introduction: dict[str, Any] = {}
        self.owner: str | None = None
        """Whose alone it is, of one that has trusted code."""
        self.on_lost: Callable[[Sandbox], None] | None = None
        self._link: Link | None = None
        self._reader = EventReader()
        self._events: asyncio.Queue[protocol.Event | None] = asyncio.Queue()
        self._unread = 0
        self._most_unread = most_sent(limits) + _MOST_UNREAD
        self._why_lost = ""
        self._ended = False
        self._running = False
        self._ready = False  # clean, and nothing was sent to it since

    def __repr__(self) -> str:
        state = f"lost: {self._why_lost}" if self._why_lost else "running" if self._running else "waiting"
        return f"<Sandbox {self.name} {state}, {self.runs} runs>"

    # ---- the link's side

    def attach(self, link: Link) -> None:
        self._link = link

    def feed(self, data: bytes) -> None:
        """Take bytes from the supervisor."""
        if self._why_lost:
            return
        try:
            for event in self._reader.feed(data):
                self._events.put_nowait(event)
                self._unread += _EVENT_COST + len(event.body)
                self.endings += event.type in _ENDINGS
        except ProtocolError as error:
            self.lost(f"protocol: {error}")
        if self._unread > self._most_unread:
            self.lost("it sent more than the limit while nobody read")

    def lost(self, why: str) -> None:
        """Learn that nothing more will come."""
        if not self._why_lost:
            self._why_lost = why
            self._events.put_nowait(None)
            if self.on_lost is not None:
                self.on_lost(self)

    def ended(self, why: str) -> None:
        """Learn that nothing more will come because the supervisor is gone."""
        if not self._why_lost:
            self._ended = True
            self.lost(why)

    # ---- the pool's side

    @property
    def usable(self) -> bool:
        return not self._why_lost

    async def boot(self) -> None:
        """Wait for the first READY; raise ``SandboxError``."""
        event = await self._expect(EventType.READY, BOOT_WITHIN, run=0)
        try:
            self.introduction = claims.introduction(event.body)
        except ClaimError as error:
            raise SandboxError(f"{self.name}: its introduction cannot be used: {error}") from None
        if self.introduction.get("protocol") != protocol.VERSION:
            raise SandboxError(f"{self.name}: the image was built for another server version (`make image` renews it)")
        self._ready = True

    async def settle(self) -> None:
        """Wait until the sandbox is clean and ready again, stopping its run if it still goes on.

        Raises ``SandboxError`` when it does not get there; it must then be destroyed.
        """
        if self._ready:  # whoever it was lent to went away before using it
            return
        if self._running:
            try:
                async with asyncio.timeout(CANCELLED_WITHIN):
                    await self.send(protocol.command(Command.CANCEL, self.number))
            except TimeoutError:
                raise SandboxError(f"{self.name}: it did not accept CANCEL") from None
            await self._expect(EventType.RESULT, CANCELLED_WITHIN, run=self.number)
            self._running = False
        await self._expect(EventType.READY, SETTLE_WITHIN, run=0)
        self._ready = True

    async def destroy(self) -> None:
        """End it, whatever state it is in."""
        self.on_lost = None
        if self._link is not None:
            await self._link.destroy()
        self.lost("destroyed")

    # ---- the executor's side

    def run(
        self,
        execution: Execution,
        limits: Limits,
        inputs: AsyncIterator[Input] | None = None,
        turn: CellTurn | None = None,
    ) -> AsyncGenerator[protocol.Event, None]:
        """Run one execution within ``limits``, fed with ``inputs`` if given; yield its events, last the ``RESULT``.

        ``turn``: which cell runs, of a session; it is kept up to date. Raises ``SandboxError`` when the sandbox broke,
        and `MuteSandboxError` when it said nothing long after it should have ended the run.
        """
        self.runs += 1
        self._running, self._ready = True, False
        if self._link is not None:
            self._link.begin()
        return Conversation(self, execution, limits, inputs, turn or CellTurn()).events()

    async def ran_out_of_memory(self) -> bool:
        """Whether it broke under its newest run because that run exhausted its memory, which took the supervisor too.

        It is what a supervisor would say: a run that ends badly after the kernel had to kill went beyond its limit.
        """
        if self._link is None or not self._ended:
            return False
        return await self._link.out_of_memory()

    async def is_held(self) -> bool:
        """Whether it says nothing because somebody outside holds it, such as ``docker pause``."""
        return self._link is not None and await self._link.held()

    # ---- the conversation's side

    @property
    def number(self) -> int:
        """The number that every frame of the newest run carries."""
        return self.runs & 0xFFFF

    def finished(self) -> None:
        """Learn that the newest run is over."""
        self._running = False

    async def send(self, data: bytes) -> None:
        """Send frames; raise ``SandboxError`` where nobody takes them."""
        if self._link is None or self._why_lost:
            raise SandboxError(f"{self.name}: {self._why_lost or 'not attached'}")
        try:
            await self._link.write(data)
        except OSError as error:
            raise SandboxError(f"{self.name}: {str(error) or type(error).__name__}") from None

    async def receive(self) -> protocol.Event:
        """Return the next event; raise ``SandboxError`` where no more will come."""
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # whoever asks next learns it too
            raise SandboxError(f"{self.name}: {self._why_lost}")
        self._unread -= _EVENT_COST + len(event.body)
        return event

    def unexpected(self, event: protocol.Event) -> SandboxError:
        """Return what to raise for an event that must not come now."""
        if event.type is EventType.FATAL:
            return SandboxError(f"{self.name}: {event.body[:500].decode(errors='replace')}")
        return SandboxError(f"{self.name}: unexpected {event.type.name} of run {event.run}")

    async def _expect(self, kind: EventType, within: float, *, run: int) -> protocol.Event:
        """Wait for an event of this kind, dropping what a cancelled run still wrote before it."""
        try:
            async with asyncio.timeout(within):
                while True:
                    event = await self.receive()
                    if event.type is kind and event.run == run:
                        return event
                    if event.type in (EventType.READY, EventType.RESULT, EventType.FATAL):
                        raise self.unexpected(event)
        except TimeoutError:
            raise SandboxError(f"{self.name}: no {kind.name} within {within:g} s") from None
