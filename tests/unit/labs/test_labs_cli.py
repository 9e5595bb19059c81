"""The command line: what it prints, and what it says with its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from code_labs.cli import EXIT_INPUT, EXIT_WRONG, main
from code_labs.labs import read_lab, write_lab
from code_labs.labs.formats import export_nbgrader
from tests.unit.labs.course_data import DATA
from tests.unit.labs.made import made

VIDEOS = [str(path) for path in sorted(DATA.iterdir()) if path.name != "labs.toml"]
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def labs(tmp_path: Path) -> list[str]:
    write_lab(made(), tmp_path / "pinned")
    write_lab(made(id="free", video=None), tmp_path / "free")
    other = made(id="other", title="Quarks", goals=[], task="Chromodynamics", solution="", video=None, suite=None)
    write_lab(other, tmp_path / "other")
    return [str(tmp_path / name) for name in ("pinned", "free", "other")]


def test_a_transcript_is_shown(capsys: Printed) -> None:
    assert main(["transcript", str(DATA / "05-lists.txt")]) == 0
    first, chapter, cue, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("page, en, ")
    assert chapter == "== Making a list"
    assert cue == "   0:01  good morning until now each variable was a box with"
    assert main(["transcript", str(DATA / "11-elegant.sbv"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["format"], said["cues"][0]["text"]) == ("sbv", "This lesson is about writing the")


def test_what_cannot_be_read_is_named(tmp_path: Path, capsys: Printed) -> None:
    (tmp_path / "a.txt").write_text("no times")
    for name, why in (("a.txt", "no times were found"), ("b.txt", "No such file")):
        assert main(["transcript", str(tmp_path / name)]) == EXIT_INPUT
        error = capsys.readouterr().err
        assert error.startswith(f"code-labs: {tmp_path / name}: ")
        assert why in error


def test_labs_are_matched_with_reasons_and_a_miss_is_said(labs: list[str], capsys: Printed) -> None:
    assert main(["match", *labs, "--video", *VIDEOS]) == EXIT_WRONG
    pinned, free, other = capsys.readouterr().out.splitlines()
    assert pinned == "tally: 06-dictionaries 4:01 (pinned)"
    assert free.startswith("free: 06-dictionaries 3:18 (0.5")
    assert "counting" in free
    assert other == "other: no good match"
    assert main(["match", *labs[:2], "--in-order", "--json", "--video", *VIDEOS]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["match"]["lab"] for each in said] == ["tally", "free"]
    assert said[1]["match"]["reasons"]


def test_pins_measure_the_matching(labs: list[str], capsys: Printed) -> None:
    assert main(["evaluate", *labs, "--video", *VIDEOS]) == 0
    assert capsys.readouterr().out.startswith("1 labs with a place that a teacher has named\n")
    assert main(["evaluate", *labs, "--json", "--video", *VIDEOS]) == 0
    assert json.loads(capsys.readouterr().out)["labs"] == 1
    assert main(["evaluate", *labs[1:], "--video", *VIDEOS]) == EXIT_INPUT


def test_two_videos_of_one_name_and_unknown_pins_are_refused(labs: list[str], capsys: Printed) -> None:
    assert main(["match", labs[0], "--video", VIDEOS[0], VIDEOS[0]]) == EXIT_INPUT
    assert main(["match", labs[0], "--video", VIDEOS[0]]) == EXIT_INPUT
    first, second = capsys.readouterr().err.splitlines()
    assert "two transcripts are called '01-first-steps'" in first
    assert "pinned to the video '06-dictionaries', which the course lacks" in second


def test_labs_are_imported_once_and_exported(tmp_path: Path, labs: list[str], capsys: Printed) -> None:
    (tmp_path / "x.ipynb").write_text(export_nbgrader(made()).text)
    command = ["import", "nbgrader", str(tmp_path / "x.ipynb"), "--to", str(tmp_path / "new")]
    assert main(command) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new/tally'}: 2 tests\n"
    assert read_lab(tmp_path / "new/tally").solution == made().solution
    assert main(command) == EXIT_INPUT
    assert "is there already" in capsys.readouterr().err
    assert main(["export", "coderunner", *labs]) == 0
    out, err = capsys.readouterr()
    assert out.count("<question ") == 3
    assert "tally: hints cannot be held" in err
    assert main(["export", "json", labs[0]]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "tally"
    assert main(["export", "nbgrader", *labs]) == EXIT_INPUT


def test_without_the_extra_the_command_says_what_to_install() -> None:
    block = "import sys; sys.modules['snowballstemmer'] = None; sys.argv = ['code-labs', '--version']; "
    run = "from code_labs.__main__ import main; sys.exit(main())"
    for program, status, said in ((run, 0, ""), (block + run, EXIT_INPUT, "pip install 'code-executor[labs]'")):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.argv = ['code-labs', '--version']; {program}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == status, done.stderr
        assert said in done.stderr
        assert "Traceback" not in done.stderr
