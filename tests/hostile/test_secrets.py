"""Nothing of a run reaches a later one in the same sandbox by any means, and the means would find it if it did."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.models import Execution, Reason
from tests.conftest import RUNTIME
from tests.hostile.weakenings import weakened

pytestmark = pytest.mark.skipif(bool(RUNTIME), reason="the scan asks Linux itself what is mapped")

PROGRAMS = Path(__file__).with_name("programs")
PLANT = (PROGRAMS / "plant.py").read_text()
SCAN = (PROGRAMS / "scan.py").read_text()
MASKED = ("environment", "heap", "malloc", "numpy", "files", "pipes", "output")
MASK = 0x5A
TIMES = 400
LINES = 400
CONTROL = "x" * 24
ENOUGH = 20 << 20
"""Bytes of memory that a child of a supervisor with numpy has at the very least."""


@dataclass(frozen=True)
class Secrets:
    """One of 32 bytes for each place where a run can leave something; all of them begin with the same eight."""

    beginning: str = field(default_factory=lambda: secrets.token_hex(4))
    tails: dict[str, str] = field(
        default_factory=lambda: {place: secrets.token_hex(12) for place in ("source", "stdin", "args", *MASKED)}
    )

    def of(self, place: str) -> str:
        return self.beginning + self.tails[place]

    def planting(self) -> Execution:
        stdin = [self.of("stdin")] * LINES
        masked = {place: bytes(byte ^ MASK for byte in self.of(place).encode()).hex() for place in MASKED}
        return Execution(
            PLANT.replace("SECRET-OF-THE-SOURCE", self.of("source")) + f"\n# {self.of('source')}" * TIMES,
            "\n".join([*stdin, *(f"{place}={text}" for place, text in masked.items())]),
            (self.of("args"),) * 20,
        )

    def scanning(self) -> Execution:
        return Execution(SCAN, args=(self.beginning,))

    def found_in(self, tails: list[str]) -> list[str]:
        return [place for place, tail in self.tails.items() if tail in tails]


def sandboxes(executor: Executor) -> set[str]:
    book = executor.pool.book
    return {sandbox.name for sandbox in (*book.idle, *book.busy, *book.settling)}


async def plant_and_scan(executor: Executor, secret: Secrets) -> tuple[list[str], dict[str, Any]]:
    """Plant, then scan in the same sandbox; return the places whose secrets were found, and all that was found."""
    before = sandboxes(executor)
    planted = await executor.run(secret.planting())
    assert planted.reason is Reason.COMPLETED, planted.error[-2000:]
    assert planted.output.count(secret.of("output")) == TIMES
    scan = await executor.run(secret.scanning())
    assert scan.reason is Reason.COMPLETED, scan.error[-2000:]
    assert sandboxes(executor) == before
    assert len(before) == 1
    answer = json.loads(scan.output)
    return secret.found_in(answer["tails"]), answer


@pytest.fixture(scope="module")
async def reusing(engine: str) -> AsyncIterator[Executor]:
    """One sandbox, with numpy, for all runs."""
    async with Executor.open(engine=engine, policy="off", pool_size=1, pool_min=1, preload=("numpy",)) as executor:
        yield executor


@pytest.mark.anyio
async def test_a_later_run_finds_nothing(reusing: Executor) -> None:
    for _ in range(2):
        found, answer = await plant_and_scan(reusing, Secrets())
        assert found == []
        assert CONTROL in answer["tails"], "the scanner does not even find what it hid itself"
        assert answer["scanned"] > ENOUGH


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("off", "places"),
    [("unread payload", {"source", "stdin", "args"}), ("unread output", {"output"}), ("wipe", {"files"})],
)
async def test_a_later_run_finds_what_a_careless_supervisor_keeps(
    engine: str, off: str, places: set[str], tmp_path: Path
) -> None:
    async with weakened(engine, [off], tmp_path, preload=("numpy",)) as executor:
        found, _ = await plant_and_scan(executor, Secrets())
    assert places <= set(found)


@pytest.mark.anyio
async def test_random_numbers_are_fresh_in_every_run(reusing: Executor) -> None:
    program = "import numpy, random\nprint(random.random(), numpy.random.random(), numpy.random.default_rng().random())"
    draws = [(await reusing.run(program)).output.split() for _ in range(4)]
    assert len({number for draw in draws for number in draw}) == 12


@pytest.mark.anyio
async def test_without_reuse_no_run_has_the_sandbox_of_another(engine: str) -> None:
    async with Executor.open(engine=engine, policy="off", pool_size=1, reuse=0, preload=()) as executor:
        seeds = [(await executor.run("print(hash('x'))")).output for _ in range(3)]  # one per supervisor
    assert len(set(seeds)) == 3
