"""The data path: an execution goes in, events come out, and the last of them is the result.

    lease a warm sandbox ─ send it the execution ─ pass on what it writes ─ make the result ─ give the sandbox back

There is this one path. HTTP, the command line, the library and the tests all come through `SandboxExecutor.stream`.
The lease that it is given decides whose turn it is, and on which sandbox (`service.dispatcher`). Whoever observes
(metrics, logs) does so from outside, by wrapping a runner in another.

What a program does wrong is a value (`Result`); what we do wrong is an exception, except that output which a program
has already written is never thrown away: a sandbox that breaks under a run yields a result with reason ``internal``,
or ``memory_limit`` where the run's memory took the sandbox along.
"""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Protocol

import structlog

from code_executor.core.cells import CellTurn
from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits, RequestLimits, limits_of_run
from code_executor.core.models import Event, Execution, Input, Started, Waiting
from code_executor.execution.transcript import SessionTranscript, Transcript
from code_executor.sandbox.conversation import MuteSandboxError
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import Cause

log = structlog.get_logger()


class Lease(Protocol):
    """A sandbox for one execution, once it is its turn: an async context manager."""

    @property
    def kind(self) -> tuple[str, bool, str]:
        """The name of the sandbox's kind, whether it is the one that was asked for, and the name of its environment."""

    async def __aenter__(self) -> Sandbox:
        """Raise ``PoolBusyError``, ``CallerBusyError`` or ``PoolClosedError`` when no sandbox is to be had."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""

    def wait(self, *, waiting: bool) -> None:
        """Learn whether the execution waits for its input now."""

    def follow(self, turn: CellTurn) -> None:
        """Learn that the execution is a session, and whose turn says whether one of its cells runs."""


class _Settled:
    """A `Lease` of a sandbox that is its owner's already: it is lent on once it is clean."""

    kind = "", True, ""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __aenter__(self) -> Sandbox:
        await self._sandbox.settle()
        return self._sandbox

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Its owner gives it back."""

    def wait(self, *, waiting: bool) -> None:
        """Nobody counts."""

    def follow(self, turn: CellTurn) -> None:
        """Likewise."""


class SandboxExecutor:
    """Runs executions, each on the sandbox that it is lent; ``check_time``: seconds that a check may take."""

    def __init__(self, limits: Limits, check_time: float = RequestLimits().check) -> None:
        self.limits = limits
        self._check_time = check_time

    async def stream(
        self, lease: Lease, execution: Execution, inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Run, as `Runner.stream` says. The sandbox is given back before the result is yielded."""
        asked = time.monotonic()
        limits = limits_of_run(execution.caller, execution.timeout, execution.limits, self.limits)
        if execution.check_only:
            limits = limits.for_check(self._check_time)
        turn = CellTurn()
        transcript = SessionTranscript(execution, limits, turn) if execution.session else Transcript(execution, limits)
        async with lease as sandbox:
            if execution.session:
                lease.follow(turn)
            queue_time = (time.monotonic() - asked) * 1000
            transcript.begin(queue_time, str(sandbox.introduction.get("machine")))
            yield Started(execution.id, queue_time, *lease.kind)
            try:
                run = sandbox.run(execution, limits, inputs, turn)
                async with aclosing(self._relay(sandbox, run, transcript)) as events:
                    async for event in events:
                        if inputs is not None:
                            lease.wait(waiting=isinstance(event, Waiting))
                        yield event
            finally:
                if execution.session:
                    sandbox.lost("it had a session")
        for event in transcript.ending():
            yield event

    async def _relay(
        self, sandbox: Sandbox, run: AsyncGenerator[protocol.Event, None], transcript: Transcript
    ) -> AsyncGenerator[Event, None]:
        try:
            async with aclosing(run) as events:
                async for event in events:
                    for each in transcript.take(event):
                        yield each
        except MuteSandboxError as error:
            held = await sandbox.is_held()
            log.warning("sandbox_mute", execution=transcript.id, why=str(error), held=held)
            sandbox.lost(str(error))
            # a program cannot hold its sandbox; if it made it slow, the run did not end within its time all the same
            transcript.fail(Cause.INTERNAL if held else Cause.WALL_TIME)
        except SandboxError as error:
            sandbox.lost(str(error))
            if await sandbox.ran_out_of_memory():
                log.info("sandbox_out_of_memory", execution=transcript.id)
                transcript.fail(Cause.MEMORY_LIMIT, signal.SIGKILL)
            else:
                log.warning("sandbox_broke", execution=transcript.id, why=str(error))
                transcript.fail(Cause.INTERNAL)


class ReservedExecutor:
    """A `Runner` on one sandbox, lent by a pool already, for one run after another.

    Raises ``SandboxError`` where the sandbox does not get clean between two.
    """

    def __init__(self, sandbox: Sandbox, limits: Limits) -> None:
        self.limits = limits
        self._sandbox = sandbox
        self._executor = SandboxExecutor(limits)

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        return self._executor.stream(_Settled(self._sandbox), execution, inputs)
