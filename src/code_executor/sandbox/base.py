"""What an engine is, and the sandbox that every engine makes.

An engine starts something that speaks the agent's protocol on a byte stream (a *link*): that is all in which engines
differ. The sandbox on the host's side of the link is the same for all of them and lives here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol

from code_executor.errors import SandboxError
from code_executor.models import Cell, Execution, Input, Interrupt, Limits, Stdin
from sandbox_agent import protocol
from sandbox_agent.protocol import Command, EventReader, EventType, Outcome, ProtocolError

BOOT_WITHIN = 60.0
"""Seconds in which a new sandbox must be ready (imports of what is preloaded, at half a core, included)."""

SETTLE_WITHIN = 15.0
"""Seconds after a result in which a sandbox must be clean and ready again."""

CANCELLED_WITHIN = 5.0
"""Seconds in which the word to stop must be taken, and again in which the run must have ended. The word comes behind
stdin: where the program does not read that, and it is more than a pipe holds, the sandbox has to be destroyed."""

MUTE_AFTER = 5.0
"""Seconds past the time limit after which the host no longer waits for the supervisor's word."""

_STDIN_PIECE = 1 << 16
_TRUSTED_OUTPUT = 64 << 10
"""Bytes a run may exceed its output limit by before the host takes the supervisor for broken."""

_EVENT_COST = 64
_MOST_UNREAD = 32 << 20
"""Bytes, beyond what a run may send, of events (at ``_EVENT_COST`` each) that wait to be taken: a broken sandbox may
talk when nobody listens, and a run's listener may be slow."""


class Link(Protocol):
    """The byte stream to one supervisor, and the power to end it."""

    async def write(self, data: bytes) -> None:
        """Queue ``data`` whole for the supervisor, then wait until there is room for more; cancelling loses nothing."""

    def begin(self) -> None:
        """A run begins: note what `out_of_memory` has to know."""

    async def out_of_memory(self) -> bool:
        """Whether a sandbox that is gone had its memory exhausted by the run under which it went.

        Bounded in time, and False in doubt.
        """

    async def destroy(self) -> None:
        """End the sandbox and everything in it; idempotent, and bounded in time."""


class Engine(Protocol):
    """Makes sandboxes. ``name`` is how the settings and the log call it."""

    name: str

    async def start(self) -> None:
        """Get ready, and remove what a crashed server left behind; raise ``EngineError`` where it cannot work."""

    async def create(self, *, preload: bool = True) -> Sandbox:
        """Return a new sandbox that is ready for its first run; raise ``EngineError`` or ``SandboxError``.

        ``preload`` False: nothing but Python itself is imported in it.
        """

    async def close(self) -> None:
        """Release what `start` took. Sandboxes are destroyed before."""


class SharedEngine:
    """An engine that several pools share, as one of them sees it; its owner starts and closes it."""

    def __init__(self, engine: Engine, *, preload: bool) -> None:
        self._engine = engine
        self._preload = preload
        self.name = engine.name

    async def start(self) -> None:
        """The owner has done it."""

    async def create(self, *, preload: bool = True) -> Sandbox:
        return await self._engine.create(preload=preload and self._preload)

    async def close(self) -> None:
        """The owner does it."""


class Sandbox:
    """One container, or its native twin, seen from the host. It runs one execution at a time.

    A link's reader calls `feed`, `lost` and `ended`; everything else is for the pool and the executor.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.limits = limits
        self.runs = 0
        self.introduction: dict[str, Any] = {}
        self.on_lost: Callable[[Sandbox], None] | None = None
        self._link: Link | None = None
        self._reader = EventReader()
        self._events: asyncio.Queue[protocol.Event | None] = asyncio.Queue()
        self._unread = 0
        self._why_lost = ""
        self._ended = False
        self._running = False
        self._ready = False  # clean, and nothing was sent to it since
        self._cells = 0  # of its session
        self._cell_under_way = False
        self._patience = asyncio.Timeout(None)

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
        except ProtocolError as error:
            self.lost(f"protocol: {error}")
        if self._unread > self._most_sent + _MOST_UNREAD:
            self.lost("it says more than anybody listens to")

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
            self.introduction = json.loads(event.body)
        except ValueError:
            raise SandboxError(f"{self.name}: it introduced itself with something else than JSON") from None
        if not isinstance(self.introduction, dict) or self.introduction.get("protocol") != protocol.VERSION:
            raise SandboxError(
                f"{self.name}: it is of another version than this server (`make image` renews the image)"
            )
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
                    await self._send(protocol.command(Command.CANCEL, self._number))
            except TimeoutError:
                raise SandboxError(f"{self.name}: it takes no word to stop") from None
            await self._expect(EventType.RESULT, CANCELLED_WITHIN, run=self._number)
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

    async def run(
        self, execution: Execution, inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[protocol.Event, None]:
        """Run one execution, fed with ``inputs`` if given; yield its events as they come, and last the ``RESULT``.

        Raises ``SandboxError`` when the sandbox broke. After the time limit plus ``MUTE_AFTER`` without a word, it is
        taken for mute, which is a ``SandboxError`` as well, of kind `MuteSandboxError`.
        """
        self.runs += 1
        self._cells, self._cell_under_way = 0, False
        wall_time = self._wall_time(execution)
        stdin = execution.stdin.encode("utf-8", "replace")
        payload: dict[str, Any] = {
            "code": execution.code,
            "args": execution.args,
            "policy": execution.policy,
            "check": execution.check_only,
            "cpu": self.limits.cpu_time,
            "display": execution.display,
            "interactive": inputs is not None,
            "files": [(file.path, base64.b64encode(file.data).decode()) for file in execution.files],
        }
        flags = protocol.COLLECT
        if stdin or inputs is not None:
            flags |= protocol.STDIN_OPEN
        if inputs is not None:
            flags |= protocol.INTERACTIVE
        if execution.session:
            flags = protocol.STDIN_OPEN | protocol.INTERACTIVE | protocol.SESSION
            payload = {"session": True, "files": payload["files"]}
        command = protocol.command(
            Command.RUN,
            self._number,
            json.dumps(payload).encode() + (b"\n" if execution.session else b""),
            flags=flags,
            wall_ms=int(wall_time * 1000),
            cpu_ms=int(self.limits.cpu_time * 1000),
            output_bytes=self.limits.output,
        )
        self._running, self._ready = True, False
        if self._link is not None:
            self._link.begin()
        feeder: asyncio.Task[None] | None = None
        patience = wall_time + MUTE_AFTER + (self.limits.input_time if inputs is not None else 0)
        try:
            async with asyncio.timeout(patience) as self._patience:
                await self._send(command)
                if execution.session:  # from here on it has as long as its cells
                    self._patience.reschedule(None)
                if flags & protocol.STDIN_OPEN:
                    feeder = asyncio.create_task(self._feed(stdin, inputs))
                async for event in self._events_of_run():
                    yield event
        except TimeoutError:
            raise MuteSandboxError(f"{self.name}: no word long after its time was over") from None
        finally:
            if feeder is not None:
                feeder.cancel()  # between two frames: what was begun is queued whole
                await asyncio.wait([feeder])

    async def ran_out_of_memory(self) -> bool:
        """Whether it broke under its newest run because that run exhausted its memory, which took the supervisor too.

        It is what a supervisor would say: a run that ends badly after the kernel had to kill went beyond its limit.
        """
        if self._link is None or not self._ended:
            return False
        return await self._link.out_of_memory()

    async def _events_of_run(self) -> AsyncGenerator[protocol.Event, None]:
        left = self._most_sent
        while True:
            event = await self._next()
            if event.run != self._number or event.type in (EventType.READY, EventType.FATAL):
                raise SandboxError(f"{self.name}: {self._describe(event)}")
            if event.type is EventType.RESULT:
                self._running = False
                yield event
                return
            if event.type is EventType.CELL_DONE:
                if not self._cell_under_way:
                    raise SandboxError(f"{self.name}: {self._describe(event)}")
                self._cell_under_way = False
                left = self._most_sent
                self._patience.reschedule(None)
                yield event
                continue
            left -= len(event.body)
            if left < 0:
                raise SandboxError(f"{self.name}: it sends more than its output limit")
            yield event

    @property
    def _most_sent(self) -> int:
        """Bytes that all the events of one run may have."""
        return self.limits.output + 2 * self.limits.attachments + _TRUSTED_OUTPUT + protocol.MAX_REPORT

    @property
    def _number(self) -> int:
        return self.runs & 0xFFFF

    async def _send(self, data: bytes) -> None:
        if self._link is None or self._why_lost:
            raise SandboxError(f"{self.name}: {self._why_lost or 'not attached'}")
        try:
            await self._link.write(data)
        except OSError as error:
            raise SandboxError(f"{self.name}: {str(error) or type(error).__name__}") from None

    async def _feed(self, stdin: bytes, inputs: AsyncIterator[Input] | None) -> None:
        with contextlib.suppress(SandboxError):  # whoever reads its events learns of it
            await self._feed_stdin(stdin)
            if inputs is not None:
                async for item in inputs:
                    await self._feed_input(item)
            await self._send(protocol.command(Command.STDIN, self._number))

    def _wall_time(self, asked: Execution | Cell) -> float:
        return min(asked.timeout or self.limits.wall_time, self.limits.wall_time)

    async def _feed_cell(self, cell: Cell) -> None:
        """Send a cell and its stdin; from now on the sandbox has so long to say what came of it."""
        self._cells, self._cell_under_way = self._cells + 1, True
        wall_time = self._wall_time(cell)
        body = {
            "code": cell.code,
            "number": self._cells,
            "policy": cell.policy,
            "cpu": int(self.limits.cpu_time),
            "display": cell.display,
        }
        command = protocol.command(
            Command.CELL,
            self._number,
            json.dumps(body).encode() + b"\n",
            wall_ms=int(wall_time * 1000),
            cpu_ms=int(self.limits.cpu_time * 1000),
            output_bytes=self.limits.output,
        )
        patience = wall_time + self.limits.input_time + protocol.CELL_GRACE_MS / 1000 + MUTE_AFTER
        self._patience.reschedule(asyncio.get_running_loop().time() + patience)
        await self._send(command)
        await self._feed_stdin(cell.stdin.encode("utf-8", "replace"))

    async def _feed_input(self, item: Input) -> None:
        if isinstance(item, Cell):
            await self._feed_cell(item)
        elif isinstance(item, Stdin) and item.data is None:
            await self._send(protocol.command(Command.STDIN, self._number))
        elif isinstance(item, Stdin):
            await self._feed_stdin((item.data or "").encode("utf-8", "replace"))
        else:
            kind = Command.INTERRUPT if isinstance(item, Interrupt) else Command.CANCEL
            await self._send(protocol.command(kind, self._number))

    async def _feed_stdin(self, stdin: bytes) -> None:
        for start in range(0, len(stdin), _STDIN_PIECE):
            await self._send(protocol.command(Command.STDIN, self._number, stdin[start : start + _STDIN_PIECE]))

    async def _next(self) -> protocol.Event:
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)  # whoever asks next learns it too
            raise SandboxError(f"{self.name}: {self._why_lost}")
        self._unread -= _EVENT_COST + len(event.body)
        return event

    async def _expect(self, kind: EventType, within: float, *, run: int) -> protocol.Event:
        """Wait for an event of this kind, dropping what a cancelled run still wrote before it."""
        try:
            async with asyncio.timeout(within):
                while True:
                    event = await self._next()
                    if event.type is kind and event.run == run:
                        return event
                    if event.type in (EventType.READY, EventType.RESULT, EventType.FATAL):
                        raise SandboxError(f"{self.name}: {self._describe(event)}")
        except TimeoutError:
            raise SandboxError(f"{self.name}: no {kind.name} within {within:g} s") from None

    def _describe(self, event: protocol.Event) -> str:
        if event.type is EventType.FATAL:
            return event.body[:500].decode(errors="replace")
        return f"unexpected {event.type.name} of run {event.run}"


class MuteSandboxError(SandboxError):
    """The supervisor said nothing long after it should have ended the run."""


def outcome_of(event: protocol.Event) -> Outcome:
    """Read a ``RESULT`` or a ``CELL_DONE``; raise ``SandboxError`` if it is malformed."""
    try:
        return Outcome.unpack(event.body)
    except ProtocolError as error:
        raise SandboxError(str(error)) from None
