"""Who gives receipts: where a submission was run is found out once, and without a key there is no receipt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from code_executor.core.caller import Caller, Terms
from code_executor.core.environments import Environment, may_use
from code_executor.core.errors import PoolBusyError, StorageError
from code_executor.core.limits import Limits, RunLimits
from code_executor.core.models import Readiness
from code_executor.grading.issuer import Issuer
from code_executor.grading.outcomes import Grade, Submission
from code_executor.grading.receipts import ReceiptForgedError, Subject, verify
from code_executor.grading.signing import RingFile
from tests.unit.grading.made import io, suite
from tests.unit.grading.test_receipts import grade_of, token

pytestmark = pytest.mark.anyio

SUITE = suite(io("1"))
LIMITS = replace(Limits(), wall_time=30.0)


class Desk:
    """Lists two environments; ``busy``: it cannot now."""

    def __init__(self) -> None:
        self.asked = 0
        self.busy = False

    async def list(self, caller: Caller) -> Sequence[Environment]:
        self.asked += 1
        if self.busy:
            raise PoolBusyError("every sandbox is busy", 1)
        names = [name for name in ("default", "old") if may_use(caller, name)]
        return [Environment(name, "3.13", {}, (), f"sha256:{name}", default=name == "default") for name in names]


class Health:
    async def readiness(self) -> Readiness:
        return Readiness(True, "native")


class House:
    def __init__(self, path: str) -> None:
        self.desk, self.file = Desk(), RingFile(path)
        self.issuer = Issuer(self.file, self.desk, cast("Any", Health()), LIMITS)

    async def claims(self, submission: Submission) -> dict[str, Any]:
        grade = await self.issuer.issue(grade_of(SUITE, "1"), Subject(submission, SUITE))
        assert grade.receipts is not None
        return verify(grade.receipts.full.text, self.file.need().keys)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(str(tmp_path / "data/receipt-keys.json"))


@pytest.mark.parametrize(
    ("allowed", "asked", "name"),
    [((), "", "default"), ((), "old", "old"), (("old",), "", "old"), (("old",), "old", "old")],
)
async def test_the_environment_is_the_one_that_the_program_ran_in(
    house: House, allowed: tuple[str, ...], asked: str, name: str
) -> None:
    caller = Caller("key", terms=Terms(environments=allowed))
    for _ in range(2):
        claims = await house.claims(Submission("", caller=caller, environment=asked))
        assert claims["env"] == {"name": name, "digest": f"sha256:{name}"}
    assert house.desk.asked == 1


async def test_an_environment_that_cannot_be_asked_now_is_asked_again(house: House) -> None:
    house.desk.busy = True
    assert (await house.claims(Submission("", environment="old")))["env"] == {"name": "old", "digest": None}
    house.desk.busy = False
    assert (await house.claims(Submission("")))["env"]["digest"] == "sha256:default"


async def test_the_limits_are_those_that_the_runs_were_held_to(house: House) -> None:
    caller = Caller("key", terms=Terms(memory=100 << 20))
    asked = RunLimits(wall_time=3.0)
    limits = (await house.claims(Submission("", caller=caller, limits=asked)))["limits"]
    assert (limits["wallTime"], limits["memory"], limits["output"]) == (3.0, 100 << 20, LIMITS.output)
    assert (await house.claims(Submission("")))["limits"]["wallTime"] == 30.0


async def test_without_a_place_for_a_key_the_grade_is_as_it_was() -> None:
    grade = grade_of(SUITE, "1")
    subject = Subject(Submission(""), SUITE)
    nowhere, broken = Issuer(None, Desk(), cast("Any", Health()), LIMITS), House("/proc/nonexistent/keys.json").issuer
    with capture_logs() as logs:
        assert [await each.issue(grade, subject) for each in (nowhere, broken, broken)] == [grade] * 3
    assert [entry["event"] for entry in logs] == ["receipt_not_made"]
    assert await nowhere.keys() == await broken.keys() == ()
    for each in (nowhere, broken):
        with pytest.raises(ReceiptForgedError):
            await each.verified(token())


@pytest.fixture
def spoilt(house: House) -> House:
    """One whose file has something else in it."""
    house.file.need()
    Path(house.file.path).write_text("{}")
    return house


async def test_keys_that_cannot_be_read_are_a_failure_of_ours(spoilt: House) -> None:
    grade: Grade = grade_of(SUITE, "1")
    with capture_logs():
        assert await spoilt.issuer.issue(grade, Subject(Submission(""), SUITE)) == grade
        with pytest.raises(StorageError, match="the log says why"):
            await spoilt.issuer.keys()
        with pytest.raises(StorageError):
            await spoilt.issuer.verified(token())
