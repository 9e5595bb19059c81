"""Several executions of one request run side by side, as far as there are places, and in the order of the request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from code_executor.core.errors import CallerBusyError, CodeExecutorError, SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input, Reason, Result
from code_executor.service.several import run_each

pytestmark = pytest.mark.anyio


class Places:
    """A `Runner` that has so many places, and answers each execution with its own input."""

    limits = Limits()

    def __init__(self, places: int, broken: str = "") -> None:
        self.places = places
        self.broken = broken
        self.running = self.most = self.refused = self.ended = 0

    async def stream(
        self,
        execution: Execution,
        inputs: AsyncIterator[Input] | None = None,  # noqa: ARG002  # of the interface
    ) -> AsyncGenerator[Event, None]:
        if self.running >= self.places:
            self.refused += 1
            raise CallerBusyError("too many", 1)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if execution.stdin == self.broken:
                raise SandboxError("it broke")
            await asyncio.sleep(0)
            self.ended += 1
            yield Result(execution.id, Reason.COMPLETED, output=str(execution.stdin))
        finally:
            self.running -= 1


def asked(count: int) -> list[Execution]:
    return [Execution("1", stdin=str(number)) for number in range(count)]


@pytest.mark.parametrize("places", [1, 2, 3, 7, 100])
async def test_all_come_to_their_turn_however_few_places_there_are(places: int) -> None:
    runner = Places(places)
    results = await run_each(runner, asked(20), at_once=8)
    assert [result.output for result in results] == [str(number) for number in range(20)]
    assert runner.most == min(places, 8)
    assert runner.refused < 8  # after the first refusals, no more are tried at once than there are places


async def test_where_none_has_a_place_the_request_has_none() -> None:
    with pytest.raises(CallerBusyError):
        await run_each(Places(0), asked(5))


async def test_a_failure_of_ours_ends_them_all() -> None:
    runner = Places(4, broken="3")
    with pytest.raises(CodeExecutorError, match="it broke"):
        await run_each(runner, asked(30), at_once=4)
    assert runner.running == 0
    assert runner.ended < 30
