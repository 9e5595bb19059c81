"""``code-executor grade``: programs in files, a line for each, and their points as CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from code_executor.app import cli
from tests.unit.grading.made import call, io

SUITE = {"tests": [io("2", stdin="1", id="one"), io("8", stdin="4", id="two", weight=3)]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "suite.json").write_text(json.dumps(SUITE))
    work = tmp_path / "work"
    work.mkdir()
    (work / "ada.py").write_text("print(int(input()) * 2)")
    (work / "bob.py").write_text("print(2)")
    (work / "eve.py").write_text("print(")
    (work / "notes.txt").write_text("no program")
    return tmp_path


def test_a_folder_is_graded(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = folder / "points.csv"
    arguments = ["grade", str(folder / "suite.json"), str(folder / "work"), "--csv", str(points), "--engine", "native"]
    assert cli.main(arguments) == 1
    lines = [line.removeprefix(f"{folder}/work/") for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "ada.py: 4 of 4 passed",
        "bob.py: 1 of 4 partial (two: wrong_answer)",
        "eve.py: 0 of 4 failed (one: error, two: error)",
    ]
    rows = list(csv.reader(points.read_text().splitlines()))
    assert rows[0] == ["file", "verdict", "score", "max", "one", "two"]
    assert [row[1:] for row in rows[1:]] == [
        ["passed", "4", "4", "1", "3"],
        ["partial", "1", "4", "1", "0"],
        ["failed", "0", "4", "0", "0"],
    ]


def test_a_terminal_shows_how_far_it_has_come(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["grade", str(folder / "suite.json"), str(folder / "work"), "--engine", "native"]
    cli.main(arguments)
    assert "of 3" not in capsys.readouterr().err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    cli.main(arguments)
    shown = capsys.readouterr()
    assert "] 0 of 3" in shown.err
    assert "] 2 of 3" in shown.err
    assert shown.err.endswith("\r\x1b[K")
    assert len(shown.out.splitlines()) == 3


def test_whole_grades_are_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = str(folder / "work/ada.py")
    assert cli.main(["grade", str(folder / "suite.json"), program, "--json", "--engine", "native"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["file"], answer["score"], answer["tests"][1]["stdout"]) == (program, 4, "8\n")


@pytest.mark.parametrize(
    ("suite", "why"),
    [
        ("{", "Invalid JSON"),
        (json.dumps({"tests": []}), "tests: List should have at least 1 item"),
        (json.dumps({"tests": [call(args=[{"$pickle": ""}])]}), "tests.0.args: '$pickle' is no kind of value"),
    ],
)
def test_what_is_wrong_with_a_suite_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], suite: str, why: str
) -> None:
    (folder / "suite.json").write_text(suite)
    assert cli.main(["grade", str(folder / "suite.json"), str(folder / "work")]) == 2
    assert why in capsys.readouterr().err


def test_what_is_not_there_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["grade", str(folder / "suite.json"), str(folder / "nobody.py"), "--engine", "native"]) == 70
    assert "nobody.py: No such file" in capsys.readouterr().err
    (folder / "empty").mkdir()
    assert cli.main(["grade", str(folder / "suite.json"), str(folder / "empty")]) == 70
    assert "no program to grade" in capsys.readouterr().err
