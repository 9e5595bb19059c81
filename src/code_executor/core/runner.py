"""What runs executions: the interface that every room asks, whoever stands behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Protocol

from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input, Result


class Runner(Protocol):
    """The executor of this process, one that wraps another, or one of another process."""

    @property
    def limits(self) -> Limits: ...

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        """Run; yield `Started`, then what comes as it comes and, last, the `Result`. Closing it stops the run.

        With ``inputs`` the run is interactive: it is fed with them and yields `Waiting` when it waits for stdin.
        A session's are its cells, and what they read; after each it yields `CellDone`.

        Raises ``PoolBusyError``, ``CallerBusyError`` or ``PoolClosedError`` when no sandbox is to be had.
        """


async def run(runner: Runner, execution: Execution) -> Result:
    """Run to the end and return the result. Cancelling stops the run."""
    return await result_of(runner.stream(execution))


async def result_of(run: AsyncGenerator[Event, None]) -> Result:
    """Take a run's events to the end and return its result. Cancelling stops the run."""
    async with aclosing(run) as events:
        async for event in events:
            if isinstance(event, Result):
                return event
    raise SandboxError("the run ended without a result")
