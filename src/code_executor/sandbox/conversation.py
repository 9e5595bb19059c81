"""One run's conversation with a sandbox: the command that starts it, what it is fed, and the events that come back."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol

from code_executor.core.cells import CellTurn
from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits, RunLimits, held_to
from code_executor.core.models import Cell, Execution, FileAction, FileOrder, Input, Interrupt, Stdin
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import Command, EventType, Hold, Outcome, ProtocolError

MUTE_AFTER = 5.0
"""Seconds past the time limit after which the host no longer waits for the supervisor's word."""

ORDER_WITHIN = 5.0
"""Seconds that an order about files may take."""

_STDIN_PIECE = 1 << 16
_TRUSTED_OUTPUT = 64 << 10
"""Bytes a run may exceed its output limit by before the host takes the supervisor for broken."""


class MuteSandboxError(SandboxError):
    """The supervisor said nothing long after it should have ended the run."""


def outcome_of(event: protocol.Event) -> Outcome:
    """Read a ``RESULT`` or a ``CELL_DONE``; raise ``SandboxError`` if it is malformed."""
    try:
        return Outcome.unpack(event.body)
    except ProtocolError as error:
        raise SandboxError(str(error)) from None


def most_sent(limits: Limits) -> int:
    """Return how many bytes all the events of one run may have."""
    return limits.output + 2 * limits.attachments + _TRUSTED_OUTPUT + protocol.MAX_REPORT


def run_command(execution: Execution, limits: Limits, number: int, *, interactive: bool) -> tuple[bytes, int]:
    """Return the frame that starts an execution, and its flags."""
    files = [(file.path, base64.b64encode(file.data).decode()) for file in execution.files]
    if execution.session:
        flags = protocol.STDIN_OPEN | protocol.INTERACTIVE | protocol.SESSION
        body = json.dumps({"session": True, "policy": execution.policy_name, "files": files}).encode() + b"\n"
    else:
        flags = protocol.COLLECT
        flags |= protocol.STDIN_OPEN if execution.stdin or interactive else 0
        flags |= protocol.INTERACTIVE if interactive else 0
        payload = {
            "code": execution.code,
            "args": execution.args,
            "policy": execution.policy_name if execution.policy else None,
            "check": execution.check_only,
            "cpu": limits.cpu_time,
            "display": execution.display,
            "interactive": interactive,
            "files": files,
        }
        hold = None
        held = held_to(execution.caller, execution.limits)
        if held is not None or not execution.is_plain:
            hold = _hold(held, limits)
            payload |= _more(execution, limits, hold)
        body = json.dumps(payload).encode()
        if hold is not None:
            return hold.pack(number) + _command(Command.RUN, number, body, limits, flags), flags
    return _command(Command.RUN, number, body, limits, flags), flags


def _hold(asked: RunLimits | None, limits: Limits) -> Hold | None:
    """Return what a sandbox has to hold a run to, of ``limits``, which are those of the run; None: to nothing."""
    if asked is None or not asked.holds:
        return None
    return Hold(
        memory=limits.memory if asked.memory else 0,
        disk=limits.disk if asked.disk else 0,
        tasks=limits.tasks if asked.processes else 0,
        cpu=asked.cpu_time is not None,
    )


def _more(execution: Execution, limits: Limits, hold: Hold | None) -> dict[str, Any]:
    """Return what the payload of few runs has."""
    entry = execution.entry
    return {
        "code": execution.code if execution.has_program else None,
        "cpu": math.ceil(limits.cpu_time) if hold is not None and hold.cpu else limits.cpu_time,
        "more": {
            "name": execution.name,
            "entry": None if entry is None else {"path": entry.path, "module": entry.module},
            "env": dict(execution.env or {}),
            "hold": None if hold is None else hold.object(),
        },
    }


def cell_command(cell: Cell, limits: Limits, number: int, count: int) -> bytes:
    """Return the frame that gives a session its ``count``-th cell."""
    payload = {
        "code": cell.code,
        "number": count,
        "policy": cell.policy,
        "cpu": int(limits.cpu_time),
        "display": cell.display,
        "stdin": None if cell.reads else cell.stdin or "",
    }
    flags = protocol.COLLECT
    flags |= protocol.INTERACTIVE if cell.reads else 0
    flags |= protocol.PATIENT if cell.is_patient else 0
    return _command(Command.CELL, number, json.dumps(payload).encode() + b"\n", limits, flags)


def files_command(order: FileOrder, policy_name: str, limits: Limits, number: int) -> bytes:
    """Return the frame that has the clerk of a session, which has that policy, do something with its files."""
    wanted = {
        "action": order.action,
        "path": order.path,
        "content": base64.b64encode(order.data).decode(),
        "policy": policy_name if order.policy else None,
    }
    most = protocol.MAX_LISTING if order.action is FileAction.LIST else limits.attachments
    return protocol.command(
        Command.FILES,
        number,
        json.dumps(wanted).encode(),
        wall_ms=int(ORDER_WITHIN * 1000),
        output_bytes=most + protocol.ANSWER_SLACK,
    )


def _command(kind: Command, number: int, body: bytes, limits: Limits, flags: int = 0) -> bytes:
    return protocol.command(
        kind,
        number,
        body,
        flags=flags,
        wall_ms=int(limits.wall_time * 1000),
        cpu_ms=int(limits.cpu_time * 1000),
        output_bytes=limits.output,
    )


class Party(Protocol):
    """The sandbox, as far as a conversation needs it."""

    name: str
    limits: Limits

    @property
    def number(self) -> int: ...

    @property
    def endings(self) -> int: ...

    def finished(self) -> None: ...

    def lost(self, why: str) -> None: ...

    async def send(self, data: bytes) -> None: ...

    async def receive(self) -> protocol.Event: ...

    def unexpected(self, event: protocol.Event) -> SandboxError: ...


class Patience:
    """Waits so long for the end of a run, of a cell or of an order, and then gives the sandbox up.

    It ends the sandbox and not whoever reads its events, who can be slow and have all of them to read yet.
    """

    def __init__(self, sandbox: Party) -> None:
        self.is_over = False
        self._sandbox = sandbox
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, seconds: float) -> None:
        """Wait for the next end, from now on."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._end, self._sandbox.endings)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end(self, endings: int) -> None:
        if self._sandbox.endings == endings:
            self.is_over = True
            self._sandbox.lost("no reply after its time limit")


class Conversation:
    """Of one run within ``limits``. ``turn``: which of its cells runs, if it is a session."""

    def __init__(
        self,
        sandbox: Party,
        execution: Execution,
        limits: Limits,
        inputs: AsyncIterator[Input] | None,
        turn: CellTurn,
    ) -> None:
        self._sandbox = sandbox
        self._execution = execution
        self._limits = limits
        self._inputs = inputs
        self._turn = turn
        self._patience = Patience(sandbox)
        self._ordered = False  # something about files, which is not answered yet

    async def events(self) -> AsyncGenerator[protocol.Event, None]:
        """Start the run, feed it and yield its events, last the ``RESULT``; raise as `Sandbox.run` does."""
        interactive = self._inputs is not None
        number = self._sandbox.number
        command, flags = run_command(self._execution, self._limits, number, interactive=interactive)
        feeder: asyncio.Task[None] | None = None
        patience = self._limits.wall_time + MUTE_AFTER + (self._limits.input_time if interactive else 0)
        try:
            try:
                async with asyncio.timeout(patience):
                    await self._sandbox.send(command)
            except TimeoutError:
                raise MuteSandboxError(f"{self._sandbox.name}: it does not take its command") from None
            if not self._execution.session:  # a session has as long as its cells
                self._patience.wait(patience)
            if flags & protocol.STDIN_OPEN:
                feeder = asyncio.create_task(self._feed())
            async for event in self._checked():
                yield event
        except SandboxError as error:
            if not self._patience.is_over:
                raise
            raise MuteSandboxError(f"{self._sandbox.name}: no reply after its time limit") from error
        finally:
            self._patience.stop()
            if feeder is not None:
                feeder.cancel()  # between two frames: what was begun is queued whole
                await asyncio.wait([feeder])

    async def _checked(self) -> AsyncGenerator[protocol.Event, None]:
        """Yield the events of the run, as far as a sandbox that works may send them."""
        sandbox = self._sandbox
        left = most_sent(self._limits)
        while True:
            event = await sandbox.receive()
            if event.run != sandbox.number or event.type in (EventType.READY, EventType.FATAL):
                raise sandbox.unexpected(event)
            if event.type is EventType.RESULT:
                sandbox.finished()
                yield event
                return
            if event.type is EventType.CELL_DONE:
                if not self._turn.running:
                    raise sandbox.unexpected(event)
                self._turn.end()
                left = most_sent(self._limits)
                self._patience.stop()
                yield event
                continue
            if event.type is EventType.FILES_DONE:
                if not self._ordered:
                    raise sandbox.unexpected(event)
                self._ordered = False
                left = most_sent(self._limits)
                self._patience.stop()
                yield event
                continue
            left -= len(event.body)
            if left < 0:
                raise SandboxError(f"{sandbox.name}: it sent more than its output limit")
            yield event

    # ---- what it is fed

    async def _feed(self) -> None:
        with contextlib.suppress(SandboxError):  # whoever reads its events learns of it
            await self._feed_stdin(self._execution.stdin)
            if self._inputs is not None:
                async for item in self._inputs:
                    await self._feed_input(item)
            await self._command(Command.STDIN)

    async def _feed_input(self, item: Input) -> None:
        match item:
            case Cell():
                await self._feed_cell(item)
            case FileOrder():
                await self._feed_order(item)
            case Stdin(data=None) if self._execution.session:
                await self._command(Command.EOF, b"\n")
            case Stdin(data=None):
                await self._command(Command.STDIN)
            case Stdin(data=str(text)):
                await self._feed_stdin(text)
            case Interrupt():
                await self._command(Command.INTERRUPT)
            case _:
                await self._command(Command.CANCEL)

    async def _feed_cell(self, cell: Cell) -> None:
        """Send a cell and its stdin; from now on the sandbox has so long to say what came of it."""
        turn = self._turn
        if turn.running:  # the supervisor would drop it
            return
        turn.begin(cell, self._limits.for_run(cell.timeout))
        patience = turn.limits.wall_time + turn.limits.input_time + protocol.CELL_GRACE_MS / 1000 + MUTE_AFTER
        self._patience.wait(patience)
        await self._sandbox.send(cell_command(cell, turn.limits, self._sandbox.number, turn.count))
        if cell.reads:
            await self._feed_stdin(cell.stdin or "")

    async def _feed_order(self, order: FileOrder) -> None:
        """Send an order, which has so long to be answered; its sender sends one at a time, between cells."""
        if self._turn.running or self._ordered:  # the supervisor would drop it
            return
        self._ordered = True
        self._patience.wait(ORDER_WITHIN + MUTE_AFTER)
        await self._sandbox.send(files_command(order, self._execution.policy_name, self._limits, self._sandbox.number))

    async def _feed_stdin(self, given: str | bytes) -> None:
        stdin = given if isinstance(given, bytes) else given.encode("utf-8", "replace")
        for start in range(0, len(stdin), _STDIN_PIECE):
            await self._command(Command.STDIN, stdin[start : start + _STDIN_PIECE])

    async def _command(self, kind: Command, body: bytes = b"") -> None:
        await self._sandbox.send(protocol.command(kind, self._sandbox.number, body))
