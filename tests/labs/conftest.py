"""One grading room for all tests of labs: warm sandboxes of the native engine, as ``code-labs verify`` opens them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from code_executor.core.runner import Runner
from code_labs.verify import open_room


@pytest.fixture(scope="session")
async def runner() -> AsyncIterator[Runner]:
    async with open_room(engine="native", policy="strict", sources=["import numpy"]) as opened:
        yield opened
