"""Every program of the corpus, on every engine, and after each a canary that must find a clean, working sandbox.

The programs run in lanes: several executors of one sandbox each, so that a canary has the sandbox of its program, or
the one that replaced it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.models import Reason, Result
from code_executor.sandbox import doctor, hardening
from tests.conftest import RUNTIME, TEST_KINDS, control_groups_hold
from tests.hostile import cases
from tests.hostile.cases import Case
from tests.kinds import DATA, LARGEST, PLAIN, PLOTS, open_kind

LANES = 3
ANSWERED_WITHIN = 60.0
"""Seconds past its time limit in which a program must be answered, whatever it does and however slow the machine is."""

ENDED_WHOLE = hardening.is_gvisor(RUNTIME) and control_groups_hold()
"""What exhausts a control group ends all of gVisor; doctor cannot see from inside that there is one."""

CANARY = (Path(__file__).with_name("programs") / "canary.py").read_text()
CASES = [case for kind in cases.load() for case in kind.cases]

KINDS = {"plain": PLAIN, "data": DATA, "plots": PLOTS, "science": LARGEST}
SELECTED = [  # in the largest, which takes seconds to make again: those that its size may matter to
    pytest.param(number, case, id=f"{name}-{case}")
    for name, number in KINDS.items()
    for case in CASES
    if name in TEST_KINDS or (number == LARGEST and case.kind in ("asked", "leftovers", "memory"))
]


@dataclass(frozen=True)
class Verdict:
    """What came of a program, of the one that was to run after it, and what canaries found: before and after."""

    result: Result
    then: Result | None
    fresh: dict[str, Any]
    found: dict[str, Any]


class Lanes:
    """Runs cases on one kind of one engine, several at a time, in the background of the tests that wait for them."""

    def __init__(self, engine: str, kind: int, selected: list[Case]) -> None:
        self._engine = engine
        self._kind = kind
        self._waiting = deque(selected)
        self._verdicts: dict[Case, asyncio.Future[Verdict]] = {
            case: asyncio.get_running_loop().create_future() for case in selected
        }
        self._lanes = [asyncio.create_task(self._lane()) for _ in range(min(LANES, len(selected)))]

    async def verdict(self, case: Case) -> Verdict:
        future = self._verdicts[case]
        while not future.done():
            waited: list[asyncio.Future[Any]] = [future, *self._lanes]
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            for lane in self._lanes:
                if lane.done():
                    lane.result()
        return future.result()

    async def _lane(self) -> None:
        async with open_kind(self._engine, self._kind) as executor:
            held = {f.layer for f in await doctor.examine(executor, executor.pool.introduction) if f.held}
            if ENDED_WHOLE:
                held.add("memory")
            fresh = await _canary(executor)
            while self._waiting:
                case = self._waiting.popleft()
                if missing := case.needs - held:
                    self._verdicts[case].set_exception(pytest.skip.Exception(f"not here: {', '.join(missing)}"))
                    continue
                try:
                    self._verdicts[case].set_result(await _judge(executor, case, fresh))
                except Exception as error:  # noqa: BLE001  # it is for the test that waits
                    self._verdicts[case].set_exception(error)

    async def close(self) -> None:
        self._waiting.clear()
        await asyncio.gather(*self._lanes, return_exceptions=True)


async def _judge(executor: Executor, case: Case, fresh: dict[str, Any]) -> Verdict:
    async with asyncio.timeout((case.execution.timeout or 0) + ANSWERED_WITHIN):
        result = await executor.run(case.execution)
    then = await executor.run(case.then, timeout=10) if case.then else None
    return Verdict(result, then, fresh, await _canary(executor))


async def _canary(executor: Executor) -> dict[str, Any]:
    result = await executor.run(CANARY, timeout=20)
    assert result.reason is Reason.COMPLETED, f"the canary ended with {result.reason}: {result.error}"
    found: dict[str, Any] = json.loads(result.output)
    return found


def _same(found: dict[str, Any], kind: int) -> dict[str, Any]:
    """Return what must not change. How much data a sandbox has before any program varies if much is preloaded."""
    limits = found["same"]["limits"]
    if kind != PLAIN:
        limits = {name: most for name, most in limits.items() if name not in ("RLIMIT_DATA", "RLIMIT_AS")}
    return {**found["same"], "limits": limits}


class Corpus:
    """The selected cases of one engine, by kind. Those of a kind start when the first of them is asked for."""

    def __init__(self, engine: str, selected: list[tuple[int, Case]]) -> None:
        self._engine = engine
        self._selected = selected
        self._lanes: dict[int, Lanes] = {}

    async def verdict(self, kind: int, case: Case) -> Verdict:
        if kind not in self._lanes:
            cases_of_kind = [each for number, each in self._selected if number == kind]
            self._lanes[kind] = Lanes(self._engine, kind, cases_of_kind)
        return await self._lanes[kind].verdict(case)

    async def close(self) -> None:
        for lanes in self._lanes.values():
            await lanes.close()


@pytest.fixture(scope="module")
async def corpus(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[Corpus]:
    wanted = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    parameters = [spec.params for spec in wanted if spec is not None]
    running = Corpus(engine, [(p["kind"], p["case"]) for p in parameters if p.get("engine") == engine])
    yield running
    await running.close()


def _whole(case: Case) -> frozenset[Reason]:
    """The reasons with which a case may end all of gVisor: of the threads that it gets no more, nobody can tell."""
    if case.kind == "processes":
        return frozenset({Reason.MEMORY_LIMIT, Reason.INTERNAL})
    return frozenset({Reason.MEMORY_LIMIT}) if "memory" in case.needs else frozenset()


@pytest.mark.anyio
@pytest.mark.parametrize(("kind", "case"), SELECTED)
async def test_is_contained(case: Case, corpus: Corpus, kind: int) -> None:
    verdict = await corpus.verdict(kind, case)
    result = verdict.result
    said = result.output + result.error
    if ENDED_WHOLE and result.reason in _whole(case):
        case = dataclasses.replace(case, reasons=_whole(case), output=None, prints=())
    assert result.reason in case.reasons, said[-2000:]
    if case.output is not None:
        assert result.output == case.output, result.error[-2000:]
    assert [text for text in case.prints if text not in said] == [], said[-2000:]
    assert [text for text in case.never if text in said] == [], said[-2000:]
    if case.left is not None:
        assert tuple(file.path for file in result.files) == case.left
    if verdict.then is not None:
        assert verdict.then.reason is Reason.COMPLETED, verdict.then.error
        assert cases.BREACH not in verdict.then.output
    assert _same(verdict.found, kind) == _same(verdict.fresh, kind)
    assert verdict.found["random"] != verdict.fresh["random"]
