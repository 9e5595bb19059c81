"""The test of the tests: without the protection that holds it, a hostile program gets through."""

from __future__ import annotations

from pathlib import Path

import pytest

from code_executor.sandbox import conversation
from tests.hostile import cases
from tests.hostile.cases import Kind, Weakened
from tests.hostile.weakenings import WEAKENINGS, weakened

KINDS = cases.load()
ELSEWHERE = {"unread payload", "unread output", "own files"}
"""Used by test_secrets.py and test_own_files.py."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.name))
def test_every_class_has_a_weakened_case(kind: Kind) -> None:
    assert kind.weakened


def test_every_weakening_is_used() -> None:
    used = {name for kind in KINDS for entry in kind.weakened for name in entry.off}
    assert used | ELSEWHERE == set(WEAKENINGS)


@pytest.mark.anyio
@pytest.mark.parametrize("entry", [entry for kind in KINDS for entry in kind.weakened], ids=str)
async def test_gets_through(engine: str, entry: Weakened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MUTE_AFTER", 60.0)  # the host's own clock holds as well
    case = entry.case
    async with weakened(engine, entry.off, tmp_path) as executor:
        result = await executor.run(case.execution)
        then = await executor.run(case.then) if case.then else None
    said = result.output + result.error + (then.output if then else "")
    assert cases.BREACH in said, f"{result.reason}: {said[-1000:]}"
