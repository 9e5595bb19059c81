"""The broker between a worker and the process that has the pool: both ends for real, over a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from code_executor import broker
from code_executor.executor import run
from code_executor.models import Event, Execution, Input, Limits, Output, Reason, Result, Started
from code_executor.service import Service

pytestmark = pytest.mark.anyio


class Lingering:
    """A service whose runs go on for some turns of the event loop after their result, as giving back a sandbox may."""

    async def stream(self, execution: Execution, _inputs: AsyncIterator[Input] | None) -> AsyncGenerator[Event, None]:
        yield Started(execution.id, 0.0)
        yield Output("stdout", execution.code)
        yield Result(execution.id, Reason.COMPLETED, output=execution.code)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_calls_one_after_the_other_on_one_connection_are_all_answered(tmp_path: Path) -> None:
    path = str(tmp_path / "broker")
    async with broker.serve(cast("Service", Lingering()), path), asyncio.timeout(30):
        worker = broker.RemoteService(path, Limits())
        outputs = [(await run(worker, Execution(str(number)))).output for number in range(50)]
        await worker.close()
    assert outputs == [str(number) for number in range(50)]
