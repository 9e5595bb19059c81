"""Executors of the contract: what they share is that nobody changes their settings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from code_executor import Executor


@pytest.fixture(scope="session")
async def small(engine: str) -> AsyncIterator[Executor]:
    """An executor whose limits are all reached in no time, with the default policy."""
    async with Executor.open(
        engine=engine,
        pool_size=2,
        preload=(),
        cpus=1,
        memory="96m",
        disk="4m",
        max_files=64,
        max_output="10k",
        max_processes=4,
        max_cpu_time=1,
        max_timeout=10,
    ) as opened:
        yield opened
