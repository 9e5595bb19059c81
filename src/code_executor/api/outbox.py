"""The one place that writes to clients: what each is owed, who is too slow, and whose connection is given up.

    an answer ─ in pieces ─ the transport's buffer ─ the kernel ─ a client that reads

Whatever is sent goes through `Outbox`. What is held for a connection is its *debt*: what waits here, and what the
transport has not handed to the kernel. A debt ends in one of three ways: the client takes it, the client goes away, or
the connection is aborted, which frees what was held. It is aborted when

- no byte of it was taken for ``stall`` seconds, or it is taken more slowly than ``rate`` on the whole;
- all debts together, or those to one caller, are more than may be owed. The connection that goes is the one that has
  taken no whole piece for the longest time: a client that reads is never in the way of one that does not.

The bookkeeping (`Ledger`) is plain code on plain state. A timer looks at it once a second while anything is owed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket as socketlib
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from code_executor.api.identity import caller_of
from code_executor.api.pieces import PIECE
from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import SendLimits
from code_executor.service.ports import Health

log = structlog.get_logger()

WIRE = "code_executor.wire"
"""The extension of a scope under which the server gives the `Wire` of a connection."""

_DEBT = "code_executor.debt"
_LOOK_EVERY = 1.0
_ENFORCE_AFTER = 4 * PIECE
_AT_ONCE = struct.pack("ii", 1, 0)


class Transport(Protocol):
    """What a transport is asked."""

    def get_write_buffer_size(self) -> int: ...

    def is_closing(self) -> bool: ...

    def abort(self) -> None: ...

    def get_extra_info(self, name: str) -> Any: ...


class Wire:
    """A connection: its transport, and what is owed over it, which outlives a request."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.debt: Debt | None = None


class Debt:
    """What one connection is owed. ``waiting``: bytes that its transport does not have yet."""

    def __init__(self, ledger: Ledger, caller: Caller, transport: Transport | None) -> None:
        self.caller = caller
        self.aborted = False
        self.waiting = 0
        self._ledger = ledger
        self._transport = transport
        self._given = 0  # bytes that the transport was given
        self._stepped_at = 0
        self.began = self.moved = self.stepped = 0.0
        self._taken = self._taken_before = 0

    @property
    def buffered(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    @property
    def owed(self) -> int:
        return 0 if self.aborted else self.waiting + self.buffered

    @property
    def is_over(self) -> bool:
        """Whether nobody is there to be sent anything."""
        return self.aborted or (self._transport is not None and self._transport.is_closing())

    def hold(self, size: int) -> None:
        """Note that so many bytes are held for it; this or another connection may be aborted for them."""
        self.waiting += size
        self._ledger.note(self)
        self._ledger.grew(size)

    def release(self, size: int) -> None:
        self.waiting -= size

    def gave(self, size: int) -> None:
        """Note that the transport took so many bytes."""
        self._given += size
        if self._given - self._stepped_at >= PIECE:
            self._stepped_at = self._given
            self.stepped = self._ledger.now()
        self._ledger.note(self)

    def begin(self, now: float) -> None:
        """It owes nothing until now."""
        self.began = self.moved = self.stepped = now
        self._taken = self._taken_before = self._given - self.buffered

    def why_late(self, now: float, limits: SendLimits) -> str:
        """Look how it gets on; return why it is to be aborted, empty if it is not."""
        taken = self._given - self.buffered
        if taken > self._taken:
            self.moved = now
        self._taken = taken
        if now - self.moved > limits.stall:
            return "stall"
        allowed = limits.stall + (taken - self._taken_before) / limits.rate
        return "rate" if now - self.began > allowed else ""

    def abort(self) -> None:
        self.aborted = True
        if self._transport is not None:
            socket: socketlib.socket | None = self._transport.get_extra_info("socket")
            if socket is not None:  # or the kernel would hold what it has, and try to send it for minutes
                socket.setsockopt(socketlib.SOL_SOCKET, socketlib.SO_LINGER, _AT_ONCE)
            self._transport.abort()


class Ledger:
    """All debts of this process. ``now``: the clock; ``told``: called with the ledger after each look."""

    def __init__(self, limits: SendLimits, now: Callable[[], float], told: Callable[[Ledger], None]) -> None:
        self.limits = limits
        self.now = now
        self.aborted: Counter[str] = Counter()
        self._debts: dict[Debt, None] = {}
        self._told = told
        self._grown = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def owed(self) -> int:
        return sum(debt.owed for debt in self._debts)

    def note(self, debt: Debt) -> None:
        """Keep an eye on a connection for as long as it is owed something."""
        if debt in self._debts or debt.aborted:
            return
        debt.begin(self.now())
        self._debts[debt] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def grew(self, size: int) -> None:
        """Note that more is held, and see to the budgets every now and then."""
        self._grown += size
        if self._grown >= _ENFORCE_AFTER:
            self.enforce()

    def enforce(self) -> None:
        """Abort connections until no more is owed than may be, to anybody and in all."""
        self._grown = 0
        owed: Counter[Caller] = Counter()
        for debt in self._debts:
            owed[debt.caller] += debt.owed
        over = [caller for caller, size in owed.items() if size > self.limits.owed_per_caller]
        for caller in over:
            debts = [debt for debt in self._debts if debt.caller == caller]
            owed[caller] -= self._free(debts, owed[caller] - self.limits.owed_per_caller, "client_budget")
        self._free(list(self._debts), owed.total() - self.limits.owed, "budget")

    def review(self) -> None:
        """Forget the debts that are paid, and abort the connections that are late."""
        now = self.now()
        for debt in list(self._debts):
            if debt.aborted or not debt.owed:
                del self._debts[debt]
            elif why := debt.why_late(now, self.limits):
                self._abort(debt, why)
        self.enforce()

    def _free(self, debts: list[Debt], size: int, why: str) -> int:
        """Abort some of them, the slowest first, until so many bytes are free; return how many are.

        Small debts come after the others, for many of them would go for little.
        """
        freed = 0
        if size <= 0:
            return freed
        for debt in sorted(debts, key=lambda debt: (debt.owed <= PIECE, debt.stepped)):
            freed += debt.owed
            self._abort(debt, why)
            if freed >= size:
                break
        return freed

    def _abort(self, debt: Debt, why: str) -> None:
        log.warning("client_too_slow", client=debt.caller.id, why=why, owed=debt.owed)
        self.aborted[why] += 1
        self._debts.pop(debt, None)
        debt.abort()

    def _look(self) -> None:
        self._timer = None
        self.review()
        if self._debts:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)
        self._told(self)


def telling(health: Health) -> Callable[[Ledger], None]:
    """Return what tells the service of each look at a ledger of this process."""
    told: Counter[str] = Counter()
    under_way: set[asyncio.Task[None]] = set()

    async def tell(owed: int, aborted: dict[str, int]) -> None:
        with contextlib.suppress(CodeExecutorError):  # it is stopping
            await health.note_debts(os.getpid(), owed, aborted)

    def looked(ledger: Ledger) -> None:
        new = ledger.aborted - told
        told.update(new)
        task = asyncio.create_task(tell(ledger.owed, dict(new)))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    return looked


class Outbox:
    """The middleware around everything that answers; inside of what says who asks."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self._app = app
        self._ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        debt = scope[_DEBT] = self._debt(scope)

        async def sending(message: Message) -> None:
            body = message.get("body") or message.get("text") or message.get("bytes") or b""
            if len(body) > PIECE and message["type"] == "http.response.body":
                await _send_in_pieces(message, debt, send)
            else:
                await _send(message, len(body), debt, send)

        await self._app(scope, receive, sending)
        if debt.aborted and scope["type"] == "http":  # an answer that is not whole is right only for a client that left
            await disconnected(receive)

    def _debt(self, scope: Scope) -> Debt:
        wire: Wire | None = scope.get("extensions", {}).get(WIRE)
        caller = caller_of(scope)
        if wire is None:
            return Debt(self._ledger, caller, None)
        if wire.debt is None:
            wire.debt = Debt(self._ledger, caller, wire.transport)
        wire.debt.caller = caller  # a proxy's connection is used for one after the other
        return wire.debt


async def disconnected(receive: Receive) -> None:
    """Wait until the client of a request has gone away."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(message: Message, size: int, debt: Debt, send: Send) -> None:
    await send(message)
    debt.gave(size)
    if size >= PIECE:
        await asyncio.sleep(0)  # others get their turn: to a client that reads fast, sending never waits


async def _send_in_pieces(message: Message, debt: Debt, send: Send) -> None:
    """Send a body so that the transport never holds much of it."""
    body = memoryview(message["body"])
    debt.hold(len(body))
    try:
        for start in range(0, len(body), PIECE):
            if debt.is_over:
                return
            piece = body[start : start + PIECE]
            more = start + PIECE < len(body) or message.get("more_body", False)
            await _send({"type": message["type"], "body": piece, "more_body": more}, len(piece), debt, send)
    finally:
        debt.release(len(body))


def debt_of(scope: Scope) -> Debt:
    """Return what is owed to the client of a request or a WebSocket."""
    debt: Debt = scope[_DEBT]
    return debt
