"""Several executions of one request: side by side, as far as the caller's places allow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from code_executor.core.errors import CallerBusyError, PoolBusyError
from code_executor.core.models import Execution, Result
from code_executor.core.runner import Runner, run

AT_ONCE = 8
"""Executions of one request that run or wait at once."""


async def run_each(runner: Runner, executions: Sequence[Execution], at_once: int = AT_ONCE) -> list[Result]:
    """Run them; return their results, in order. Cancelling stops all of them.

    One that finds no place while others have theirs tries again when one of those has ended. Raises as
    ``Runner.stream`` does where none has, and stops the others.
    """
    turns = _Turns(at_once)

    async def one(execution: Execution) -> Result:
        while True:
            await turns.begin()
            try:
                return await run(runner, execution)
            except (CallerBusyError, PoolBusyError):
                if not turns.narrow():
                    raise
            finally:
                turns.end()

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(execution)) for execution in executions]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


class _Turns:
    """How many run, and how many may: fewer once there was no place for one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running = 0
        self._ended = asyncio.Event()

    async def begin(self) -> None:
        while self._running >= self._most:
            self._ended.clear()
            await self._ended.wait()
        self._running += 1

    def end(self) -> None:
        self._running -= 1
        self._ended.set()

    def narrow(self) -> bool:
        """Let no more run than do beside one that found no place; False if that would be none."""
        if self._running <= 1:
            return False
        self._most = min(self._most, self._running - 1)
        return True
