"""The data path: an execution goes in, events come out, and the last of them is the result.

    lease a warm sandbox ─ send it the execution ─ pass on what it writes ─ make the result ─ give the sandbox back

There is this one path. HTTP, the command line, the library and the tests all come through `PoolExecutor.stream`; `run`
is the same, drained. Whoever observes (metrics, logs) does so from outside, by wrapping a runner in another.

What a program does wrong is a value (`Result`); what we do wrong is an exception, except that output which a program
has already written is never thrown away: a sandbox that breaks under a run yields a result with reason ``internal``,
or ``memory_limit`` where the run's memory took the sandbox along.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Sequence
from contextlib import aclosing

import structlog

from code_executor.core.cells import CellTurn
from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input, Started
from code_executor.execution.transcript import SessionTranscript, Transcript
from code_executor.sandbox.conversation import MuteSandboxError
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import Cause

log = structlog.get_logger()


class PoolExecutor:
    """Runs executions on the sandboxes of pools, which must be open for as long as it is used.

    The sandboxes of a second pool have the modules ``preloaded`` imported, for the programs that name one of them;
    forking such a sandbox costs a multiple. Taking one of the wrong kind costs time and nothing else.
    """

    def __init__(self, pools: Sequence[Pool], limits: Limits, *, preloaded: Collection[str] = ()) -> None:
        self.pools = tuple(pools)
        self.limits = limits
        self._preloaded = re.compile(rf"\b(?:{'|'.join(map(re.escape, preloaded))})\b")

    @property
    def pool(self) -> Pool:
        """The first pool, whose sandboxes have nothing preloaded."""
        return self.pools[0]

    def __repr__(self) -> str:
        return f"<PoolExecutor on {self.pool!r}>"

    async def stream(
        self, execution: Execution, inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Run, as `Runner.stream` says."""
        asked = time.monotonic()
        limits = self.limits.for_run(execution.timeout)
        turn = CellTurn()
        transcript = SessionTranscript(execution, limits, turn) if execution.session else Transcript(execution, limits)
        async with self._pool_for(execution).lease() as sandbox:
            queue_time = (time.monotonic() - asked) * 1000
            transcript.begin(queue_time, str(sandbox.introduction.get("machine")))
            yield Started(execution.id, queue_time)
            try:
                run = sandbox.run(execution, limits, inputs, turn)
                async with aclosing(self._relay(sandbox, run, transcript)) as events:
                    async for event in events:
                        yield event
            finally:
                if execution.session:
                    sandbox.lost("it had a session")
        for event in transcript.ending():
            yield event

    def _pool_for(self, execution: Execution) -> Pool:
        """Choose by a look at the source; for a plain program, either kind that is free beats waiting.

        What a session will import is not known, and it lives long enough to be worth the larger one.
        """
        plain, *loaded = self.pools
        if not loaded:
            return plain
        if execution.session or self._preloaded.search(execution.code):
            return loaded[0] if loaded[0].ready else plain
        return loaded[0] if loaded[0].book.idle and not plain.book.idle else plain

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
