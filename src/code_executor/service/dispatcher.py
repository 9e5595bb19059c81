"""The dispatcher: the runner that everything comes through. It admits, lets wait, and hands to free sandboxes.

    an execution ── a sandbox is free, and nobody waits ──────────────────────► the data path (`execution.executor`)
                 └─ else it waits in the fair queue, for a while ─ its turn ──►

Pools lend what is free, and nobody waits in them. There may be several kinds of sandboxes, each with more modules
imported than those before it, so that a later kind serves whatever an earlier one can. There may be several
environments, each with kinds of its own (`service.kinds`), which serve no other. An execution that wants one kind does
not hinder those that another can serve. All kinds of all environments together run no more at once than ``most``, and
keep no more sandboxes than those, the ones that each keeps anyway and those of sessions: so their memory has a bound
as well. A session counts as running only while one of its cells does: it waits for no turn then.

What graders trust (checkers, unit tests) has sandboxes of its own, and a dispatcher of its own in front of them. So
whoever holds one of those and waits for a learner's holds up no learner. Such a sandbox serves one caller, to its end.
Whose turn it is, and who may have the last sandbox of a kind, is decided by plain state (`service.fairqueue`).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from code_executor.core.caller import Caller
from code_executor.core.cells import CellTurn
from code_executor.core.environments import DEFAULT, choose
from code_executor.core.errors import CallerBusyError, CodeExecutorError, PoolBusyError, PoolClosedError
from code_executor.core.limits import Limits, RequestLimits
from code_executor.core.models import Event, Execution, Input
from code_executor.core.policies import require
from code_executor.execution.executor import SandboxExecutor
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service.fairqueue import FairQueue, Lane, Left, QueueFullError, Rules, Ticket
from code_executor.service.flows import Manner
from code_executor.service.kinds import Kind, Kinds
from code_executor.service.looks import Looks

PATIENCE = 30.0
"""Seconds that an execution waits for a sandbox, if nothing else is said."""

_CORES = len(os.sched_getaffinity(0))
"""While so many run, a program does not get a kind that has more than it needs: forking one takes longer."""


@dataclass(eq=False, slots=True)
class _Grant:
    """A sandbox, and whose it is until it is back."""

    ticket: Ticket
    kind: Kind
    sandbox: Sandbox


class Dispatcher:
    """A `Runner` on the sandboxes of pools, which must be open for as long as it is used.

    The sandboxes of each further pool have more modules imported, for the programs that need them (``looks``); forking
    such a sandbox costs a multiple. Taking one of the wrong kind costs time and nothing else. ``name``: of the
    environment that these are of, the default; ``others``: the kinds of the others. ``most``: runs at once in all kinds
    together (0: as many as the pools have sandboxes). ``patience``: seconds that an execution waits; ``check_time``:
    that a check may take. ``trusted``: runs what is trusted; None: nothing does. ``owned``: each sandbox serves one
    caller, and none is kept while nobody asks. ``policies``: the names of those that a request may choose.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        limits: Limits,
        *,
        most: int = 0,
        looks: Looks | None = None,
        name: str = DEFAULT,
        others: Sequence[Kinds] = (),
        rules: Rules | None = None,
        patience: float = PATIENCE,
        check_time: float = RequestLimits().check,
        trusted: Dispatcher | None = None,
        owned: bool = False,
        policies: Sequence[str] = (),
    ) -> None:
        self._default = Kinds(pools, looks, name=name, on_demand=owned)
        self._environments = {name: self._default}
        self._kinds = list(self._default.each)
        for other in others:
            kinds = self._environments[other.name] = other.numbered(len(self._kinds))
            self._kinds += kinds.each
        self.pools = tuple(kind.pool for kind in self._kinds)
        self.most = most or sum(pool.book.size.most for pool in self.pools)
        self.queue = FairQueue(rules or Rules(), self.most)
        self._executor = SandboxExecutor(limits, check_time)
        self._patience = patience
        self._policies = tuple(policies)
        self._turns: set[CellTurn] = set()
        self._trusted = trusted
        self._owned = owned
        self._closing = False
        for pool in self.pools:
            pool.on_free = self._freed
            if others:
                pool.book.room = self._room
        self._places = self.most + sum(kind.pool.book.kept if others else kind.warm for kind in self._kinds)

    def __repr__(self) -> str:
        return f"<Dispatcher on {self.pool!r}: {self.queue.waiting} waiting>"

    @property
    def limits(self) -> Limits:
        return self._executor.limits

    @property
    def pool(self) -> Pool:
        """The first pool, whose sandboxes have nothing preloaded, of the default environment."""
        return self.pools[0]

    @property
    def default_pools(self) -> tuple[Pool, ...]:
        """Those of the default environment."""
        return self._default.pools

    @property
    def environments(self) -> tuple[str, ...]:
        """Their names, the default first."""
        return tuple(self._environments)

    @property
    def all_pools(self) -> tuple[Pool, ...]:
        """Those for trusted code included."""
        return self.pools if self._trusted is None else (*self.pools, *self._trusted.pools)

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        """Run, as `Runner.stream` says."""
        if execution.trusted and not self._owned:
            if self._trusted is None:
                raise PoolClosedError("this service has no sandboxes for checkers and unit tests")
            return self._trusted.stream(execution, inputs)
        return self._executor.stream(_Loan(self, execution), execution, inputs)

    def close(self) -> None:
        """Take no more executions, and turn away those that wait. What runs is its pool's to wait for."""
        self._closing = True
        self._serve()
        if self._trusted is not None:
            self._trusted.close()

    # ---- a sandbox for an execution

    def lend_at_once(self, execution: Execution) -> _Grant | None:
        """Return a free sandbox, if nobody waits and the caller may have one."""
        if self.queue.waiting or self._is_closed:
            return None
        want, manner, lane = self._wanted(execution)
        for kind in self._kinds[int(want)].serving:
            if not self._may_run(kind, int(want)):
                break
            if kind.pool.book.idle and not kind.pool.closing:
                left = self._left(kind)
                ticket = self.queue.begin(execution.caller, want, manner, lane, time.monotonic(), left=left)
                if ticket is not None:
                    return self._lend(ticket, kind)
        return None

    async def lend(self, execution: Execution) -> _Grant:
        """Wait for a sandbox; raise ``PoolBusyError``, ``CallerBusyError`` or ``PoolClosedError``.

        Both this and `lend_at_once` raise also what `choose` raises, of an environment that cannot be had, and what
        `require` raises, of such a policy.
        """
        if self._is_closed:
            raise PoolClosedError("the service is stopping")
        ticket, waiter = self._enter(execution)
        self._serve()
        try:
            async with asyncio.timeout(self._patience):
                return await waiter
        except TimeoutError:
            if waiter.done() and not waiter.cancelled():  # it was its turn in the same moment
                return waiter.result()
            raise self._busy(self._why_busy(ticket)) from None
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and not waiter.exception():  # likewise: pass it on unused
                self._take_back_unused(waiter.result())
            raise
        finally:
            if ticket.waits:
                self.queue.leave(ticket, time.monotonic())
                self._ask()

    def takes(self, grant: _Grant, caller: Caller) -> bool:
        """Whether a caller may have this sandbox; if not, it is given up, because it served another."""
        if not self._owned:
            return True
        sandbox = grant.sandbox
        if sandbox.owner in (None, caller.id):
            sandbox.owner = caller.id
            return True
        sandbox.lost("it served another caller")
        self.give_back(grant, 0.0)
        return False

    def give_back(self, grant: _Grant, waited: float) -> None:
        """Take a sandbox back; ``waited``: seconds in which the execution waited for its input."""
        grant.kind.pool.give_back(grant.sandbox, partial(self._account, grant, waited))

    def follow(self, turn: CellTurn) -> None:
        """Count a session as running only while one of its cells does, until it is to be forgotten."""
        turn.on_end = self._freed
        self._turns.add(turn)
        self._freed()

    def forget(self, turn: CellTurn) -> None:
        """The session is over."""
        turn.on_end = None
        self._turns.discard(turn)

    # ---- who waits

    def _enter(self, execution: Execution) -> tuple[Ticket, asyncio.Future[_Grant]]:
        want, manner, lane = self._wanted(execution)
        try:
            ticket, displaced = self.queue.enter(execution.caller, want, manner, lane, time.monotonic())
        except QueueFullError as full:
            if full.own:
                raise CallerBusyError(
                    "too many of your executions are waiting; wait for their answers", self._retry_after()
                ) from None
            raise self._busy("too many executions are waiting") from None
        waiter: asyncio.Future[_Grant] = asyncio.get_running_loop().create_future()
        ticket.bearer = waiter
        if displaced is not None:
            self._turn_away(displaced, self._busy("too many executions are waiting"))
        return ticket, waiter

    def _freed(self) -> None:
        self._make_room()
        self._serve()

    def _room(self) -> int:
        """How many more sandboxes there may be, beyond those that each pool may have; less than 0: so many too many."""
        return self._places + self._resting - sum(max(pool.book.total, self._kept(pool)) for pool in self.pools)

    def _kept(self, pool: Pool) -> int:
        """How many places are a pool's own; none where there is one environment, and nobody asks for room."""
        return pool.book.kept if pool.book.room is not None else 0

    def _make_room(self) -> None:
        """Give up what nobody asks for, if there is too much of it for what others want."""
        lacking = sum(pool.book.lacking for pool in self.pools)
        over = lacking - self._room()
        for pool in reversed(self.pools):  # the largest first
            if over > 0:
                over -= pool.give_up(min(over, pool.book.total - self._kept(pool)))
        if lacking:
            for pool in self.pools:
                pool.refill()

    def _serve(self) -> None:
        """Hand what is free to whoever's turn it is."""
        if not self.queue.waiting:
            return
        now = time.monotonic()
        if self._is_closed:
            for ticket in self.queue.clear(now):
                self._turn_away(ticket, PoolClosedError("the service is stopping"))
        while self._serve_one(now):
            pass
        self._ask()

    def _serve_one(self, now: float) -> bool:
        """Hand one sandbox to whoever comes first of all who could have one; return whether there was anybody.

        One of a kind that has many comes before one of the last of another.
        """
        free = [
            (kind, kind.wants(own=not self._may_run(kind, kind.first)), self._left(kind))
            for kind in self._kinds
            if kind.pool.book.idle and not kind.pool.closing and self._may_run(kind, kind.number)
        ]
        for left in sorted({left for _, _, left in free}):
            serving = {want: kind for kind, wants, each in reversed(free) if each is left for want in wants}
            ticket = self.queue.next(tuple(serving), now, left=left)
            if ticket is None:
                continue
            waiter = _waiter_of(ticket)
            if waiter.done():  # it has given up, and has not come to say so
                self.queue.undo(ticket, now)
            else:
                waiter.set_result(self._lend(ticket, serving[ticket.what[0]]))
            return True
        return False

    @staticmethod
    def _turn_away(ticket: Ticket, why: CodeExecutorError) -> None:
        waiter = _waiter_of(ticket)
        if not waiter.done():
            waiter.set_exception(why)

    def _ask(self) -> None:
        """Tell the pools how many wait for each: whoever takes several kinds counts for the first.

        If there is no room for what they want, what nobody asks for is given up.
        """
        for kind in self._kinds:
            kind.pool.ask(self.queue.waiting_for(kind.want))
        if len(self._environments) > 1:
            self._make_room()

    # ---- the parts

    @property
    def _is_closed(self) -> bool:
        return self._closing or self.pool.closing

    @property
    def _free(self) -> int:
        """How many more may run."""
        return self.most - self._running

    @property
    def _running(self) -> int:
        return sum(len(pool.book.busy) for pool in self.pools) - self._resting

    @property
    def _resting(self) -> int:
        """How many sessions run nothing now."""
        return sum(not turn.running for turn in self._turns)

    def _left(self, kind: Kind) -> Left:
        """Say how many sandboxes are left of a kind, within what may run in all."""
        book, free = kind.pool.book, self._free
        ready = len(book.idle) + len(book.settling)  # which takes some milliseconds
        room = min(book.size.most - kind.sessions, self.most)
        return self.queue.rules.left(min(ready, free), kind.warm, min(book.size.most - len(book.busy), free), room)

    def _may_run(self, kind: Kind, need: int) -> bool:
        """Whether one more may run that needs the kind ``need``, in a sandbox of ``kind``."""
        return self._running < (self.most if need == kind.number else min(self.most, _CORES))

    def _wanted(self, execution: Execution) -> tuple[str, Manner, Lane]:
        if execution.policy_name:
            require(execution.policy_name, execution.caller, self._policies)
        kinds = self._kinds_for(execution)
        lane = Lane.BATCH if execution.batch else Lane.INTERACTIVE
        manner = Manner.CHECK if execution.check_only else Manner.SESSION if execution.session else Manner.RUN
        return kinds.wanted(execution), manner, lane

    def _kinds_for(self, execution: Execution) -> Kinds:
        """Return those of its environment; raise what `choose` raises."""
        terms = execution.caller.terms
        if not execution.environment and (terms is None or not terms.environments):
            return self._default
        return self._environments[choose(execution.environment, execution.caller, self.environments)]

    def _lend(self, ticket: Ticket, kind: Kind) -> _Grant:
        sandbox = kind.pool.take(ticket.caller.name if self._owned else None)
        if sandbox is None:
            raise RuntimeError("a pool lent what it has not")
        kind.sessions += ticket.manner is Manner.SESSION
        return _Grant(ticket, kind, sandbox)

    def _account(self, grant: _Grant, waited: float = 0.0) -> None:
        grant.kind.sessions -= grant.ticket.manner is Manner.SESSION
        self.queue.finish(grant.ticket, time.monotonic(), waited)

    def _take_back_unused(self, grant: _Grant) -> None:
        grant.kind.sessions -= grant.ticket.manner is Manner.SESSION
        self.queue.undo(grant.ticket, time.monotonic())
        grant.kind.pool.take_back_unused(grant.sandbox)

    def _why_busy(self, ticket: Ticket) -> str:
        failures = [kind.pool.failure for kind in self._kinds[int(ticket.what[0])].serving if kind.pool.failure]
        return failures[0] if failures else f"every sandbox stayed busy for {self._patience:g} s"

    def _busy(self, why: str) -> PoolBusyError:
        return PoolBusyError(why, self._retry_after())

    def _retry_after(self) -> int:
        return min(30, 1 + self.queue.waiting // self.pool.book.size.most)


class _Loan:
    """A `Lease` of the dispatcher."""

    __slots__ = ("_dispatcher", "_execution", "_grant", "_turn", "_waited", "_waits_since")

    def __init__(self, dispatcher: Dispatcher, execution: Execution) -> None:
        self._dispatcher = dispatcher
        self._execution = execution
        self._grant: _Grant | None = None
        self._turn: CellTurn | None = None
        self._waited = 0.0
        self._waits_since: float | None = None

    @property
    def kind(self) -> tuple[str, bool, str]:
        grant = self._grant
        if grant is None:
            return "", True, ""
        pool = grant.kind.pool
        return pool.name, grant.ticket.what[0] == grant.kind.want, pool.environment

    async def __aenter__(self) -> Sandbox:
        dispatcher, execution = self._dispatcher, self._execution
        while True:
            grant = dispatcher.lend_at_once(execution) or await dispatcher.lend(execution)
            if dispatcher.takes(grant, execution.caller):
                self._grant = grant
                return grant.sandbox

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait(waiting=False)
        if self._turn is not None:
            self._dispatcher.forget(self._turn)
        if self._grant is not None:
            self._dispatcher.give_back(self._grant, self._waited)

    def wait(self, *, waiting: bool) -> None:
        if self._waits_since is not None and not waiting:
            self._waited += time.monotonic() - self._waits_since
            self._waits_since = None
        elif self._waits_since is None and waiting:
            self._waits_since = time.monotonic()

    def follow(self, turn: CellTurn) -> None:
        self._turn = turn
        self._dispatcher.follow(turn)


def _waiter_of(ticket: Ticket) -> asyncio.Future[_Grant]:
    waiter = ticket.bearer
    if not isinstance(waiter, asyncio.Future):
        raise TypeError("a ticket of somebody else")
    return waiter
