"""Runs that talk: what one program writes another reads, each in a sandbox of its own, and this process in between.

The trusted one has its sandbox before the other one waits for a sandbox. So whoever holds two never waits for one that
somebody else holds who waits as well.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from code_executor.core.errors import SandboxError
from code_executor.core.models import Execution, Input, Output, Reason, Result, Started, Stdin, Waiting
from code_executor.grading.runs import Runs

STUCK_AFTER = 1.0
"""Seconds for which both wait for each other before neither is waited for."""

_LOOK_EVERY = 0.1
_ENDS_WITHIN = 0.25


class Talk:
    """An interactive run, once it is begun; ``heard`` is called with each piece of what it writes to stdout."""

    def __init__(self, runs: Runs, execution: Execution, heard: Callable[[str], None]) -> None:
        self.moves = 0
        """How often it has written or was told something."""
        self.waits = False
        self.finished: Result | None = None
        """What came of it, once it has ended by itself."""
        self.task: asyncio.Task[Result] | None = None
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._started = asyncio.Event()
        self._since = 0.0
        self._runs = runs
        self._execution = execution
        self._heard = heard

    def say(self, text: str) -> None:
        """Give it something to read."""
        self.moves += 1
        self.waits = False
        self._inputs.put_nowait(Stdin(text))

    def end_input(self) -> None:
        """There is no more to read."""
        self._inputs.put_nowait(Stdin(None))

    async def begin(self) -> asyncio.Task[Result]:
        """Wait until it has a sandbox, and return its task; raise what ``Runner.stream`` raises where there is none."""
        task = self.task = asyncio.create_task(self._run())
        started = asyncio.create_task(self._started.wait())
        try:
            await asyncio.wait([started, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            started.cancel()
        if task.done():
            await task
        return task

    async def stop(self) -> Result | None:
        """End it, and return its result, or None where it had to be stopped."""
        if self.task is None:
            return None
        self.end_input()
        await asyncio.wait([self.task], timeout=_ENDS_WITHIN)
        if not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])
        if not self.task.cancelled():
            self.task.exception()  # of which somebody else is told
        return self.finished

    async def _feed(self) -> AsyncGenerator[Input, None]:
        while True:
            yield await self._inputs.get()

    async def _run(self) -> Result:
        result = Result(self._execution.id, Reason.INTERNAL)
        try:
            async with aclosing(self._runs.runner.stream(self._execution, self._feed())) as events:
                async for event in events:
                    if isinstance(event, Output) and event.stream == "stdout":
                        self.moves += 1
                        self.waits = False
                        self._heard(event.data)
                    elif isinstance(event, Waiting):
                        self.waits = True
                    elif isinstance(event, Started):
                        self._started.set()
                        self._since = time.monotonic()
                    elif isinstance(event, Result):
                        result = event
        except SandboxError:
            pass
        except asyncio.CancelledError:
            if self._started.is_set():
                self._runs.note_time((time.monotonic() - self._since) * 1000)
            raise
        self._runs.note(result)
        self.finished = result
        return result


async def stuck(one: Talk, other: Talk) -> None:
    """Return once both wait for each other."""
    quiet, moves = 0.0, -1
    while quiet < STUCK_AFTER:
        await asyncio.sleep(_LOOK_EVERY)
        now = one.moves + other.moves
        still = one.waits and other.waits and now == moves
        quiet, moves = (quiet + _LOOK_EVERY if still else 0.0), now
