"""The bank: each lab in it holds, and each concept has some."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from code_executor.core.runner import Runner
from code_labs.bank import about, bank, concepts
from code_labs.cli import main
from code_labs.labs import Lab, read_lab
from code_labs.verify import Severity, Verifier

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("lab", bank(), ids=lambda lab: str(lab.id))
async def test_every_lab_of_the_bank_holds(runner: Runner, lab: Lab) -> None:
    report = await Verifier(runner, most=10).verify(lab)
    assert report.is_verified, report.findings
    assert not [each for each in report.findings if each.severity is Severity.WARNING and each.code != "slow"]


def test_every_lab_says_what_learners_need() -> None:
    assert len(bank()) >= 40
    for lab in bank():
        assert lab.hints, lab.id
        assert lab.status == "published", lab.id
        assert len(lab.concepts) == 1, lab.id
        assert lab.id.startswith(lab.concepts[0]), lab.id
    assert len({lab.title for lab in bank()}) == len(bank())


def test_labs_are_found_by_concept() -> None:
    assert set(concepts()) >= {"print", "variables", "input", "if", "loops", "range", "lists", "dicts", "strings"}
    assert set(concepts()) >= {"functions", "recursion", "files", "exceptions", "classes", "comprehensions", "numpy"}
    assert all(len(about(concept)) >= 2 for concept in concepts())
    assert {lab.concepts[0] for lab in about("sorting")} == {"sorting"}
    assert "loops-countdown" in {lab.id for lab in about("loops.while")}
    assert about("loops")[0].concepts == ("loops",)
    assert not about("loop")


def test_the_command_lists_and_copies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bank"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(bank())
    assert main(["bank", "--concept", "recursion", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said[0]["id"].startswith("recursion-")
    assert main(["bank", "--concept", "recursion", "--to", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(said)
    assert read_lab(tmp_path / said[0]["id"]) == about("recursion")[0]
    assert main(["bank", "--concept", "monads"]) == 2
    assert "There are labs about classes, " in capsys.readouterr().err
