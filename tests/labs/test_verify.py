"""Verification of labs, by running them: good ones hold, and each bad one is refused for what is wrong with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from code_executor.core.runner import Runner
from code_labs.cli import main
from code_labs.labs import lab_of, write_lab
from code_labs.verify import CODES, Report, Severity, Verifier, mutants
from tests.labs.labs import BAD, CHANGE, CUT, GOOD, STACK, Said, made, suite

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("said", GOOD, ids=lambda said: str(said["id"]))
async def test_a_good_lab_holds_and_nearly_all_wrong_versions_of_it_fail(runner: Runner, said: Said) -> None:
    report = await Verifier(runner).verify(lab_of(said))
    assert report.is_verified, report.findings
    assert not [each for each in report.findings if each.severity is Severity.WARNING]
    assert report.made >= 7
    assert report.killed >= 0.9 * report.made
    assert report.runs > 3 * len(said["suite"]["tests"]) + report.made


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_lab_gets_the_finding_that_it_must(runner: Runner, name: str) -> None:
    code, said = BAD[name]
    report = await Verifier(runner, most=10).verify(lab_of(said))
    assert code in report.codes, report.findings
    assert not (report.is_verified and CODES[code][0] is Severity.ERROR), report.findings
    finding = next(each for each in report.findings if each.code == code)
    assert finding.message
    assert finding.where


def test_there_are_bad_labs_for_every_error() -> None:
    errors = {code for code, (severity, _) in CODES.items() if severity is Severity.ERROR}
    assert len(BAD) >= 30
    assert errors - {code for code, _ in BAD.values()} == {"unreadable"}  # a directory, below


async def test_a_finding_says_what_came_instead(runner: Runner) -> None:
    report = await Verifier(runner).verify(lab_of(BAD["wrong expected value"][1]))
    (finding,) = report.findings
    assert (finding.where, finding.detail) == ("tests.toml, test 5", "expected: 'pl...'\ngot: 'p...'")
    report = await Verifier(runner).verify(lab_of(BAD["one easy test"][1]))
    (finding,) = [each for each in report.findings if each.code == "weak-tests"]
    assert f"only {report.killed} of {report.made}" in finding.message
    assert len(finding.detail.splitlines()) == report.made - report.killed == len(report.survivors)


async def test_a_lab_needs_the_policy_that_it_says(runner: Runner) -> None:
    def total(number: int, expected: int, text: str) -> Said:
        files = [{"path": "n.txt", "content": text}]
        return {"id": str(number), "kind": "call", "call": "total", "expected": expected, "files": files}

    solution = "def total():\n    with open('n.txt') as file:\n        return sum(int(line) for line in file)\n"
    said = {
        "id": "sum",
        "title": "Sum",
        "task": "Write `total()`, which adds the numbers in `n.txt`.",
        "solution": solution,
        "suite": suite(
            {"id": "1", "kind": "call", "call": "total", "expected": 6},
            {
                "id": "2",
                "kind": "call",
                "call": "total",
                "expected": 40,
                "files": [{"path": "n.txt", "content": "40\n"}],
            },
            {"id": "3", "kind": "call", "call": "total", "expected": 0, "files": [{"path": "n.txt", "content": ""}]},
        ),
        "files": [{"path": "n.txt", "content": "1\n2\n3\n"}],
    }
    assert (await Verifier(runner).verify(lab_of(said))).codes == {"refused"}
    assert (await Verifier(runner).verify(lab_of(said | {"policy": "off"}))).is_verified


async def test_a_wrong_version_that_never_ends_costs_half_a_second(runner: Runner) -> None:
    said = {
        **CUT,
        "task": "Write `cut(text, most)`: how often `text` can be halved until it is shorter than `most`.",
        "starter": "def cut(text, most):\n    while True:\n        pass\n",
        "solution": "def cut(text, most):\n    n = 0\n    while len(text) >= most:\n"
        "        text = text[: len(text) // 2]\n        n += 1\n    return n\n",
        "suite": suite(
            *(
                {"id": str(n), "kind": "call", "call": "cut", "args": ["x" * size, most], "expected": want}
                for n, (size, most, want) in enumerate([(8, 2, 3), (7, 3, 2), (1, 2, 0), (2, 2, 1), (40, 9, 3)])
            )
        ),
    }
    started = time.monotonic()
    report = await Verifier(runner).verify(lab_of(said))
    assert report.is_verified, report.findings
    assert time.monotonic() - started < 30  # the limit of one run; there are several that never end


CLAMP = {
    "id": "clamp",
    "title": "Clamp",
    "task": "Write `clamp(n)`: n, but not below 0 and not above 10.",
    "solution": "def clamp(n):\n    if n < 0:\n        return 0\n    if n > 10:\n        return 10\n    return n\n",
}


def clamped(*numbers: int) -> Said:
    tests = [
        {"id": str(at), "kind": "call", "call": "clamp", "args": [n], "expected": max(0, min(10, n))}
        for at, n in enumerate(numbers)
    ]
    return CLAMP | {"suite": suite(*tests)}


async def test_what_does_the_same_as_the_solution_is_not_counted(runner: Runner) -> None:
    verifier = Verifier(runner, most=100)
    report = await verifier.verify(lab_of(clamped(-1, 1, 9, 11, 10, -5, 40)))
    made = [each.change for each in mutants(str(CLAMP["solution"]), 100, main=False)]
    assert {*made} >= {"n < 0  →  n <= 0", "n > 10  →  n >= 10"}  # which are no mistakes
    assert report.is_verified
    assert not report.survivors
    assert report.made <= len(made) - 2


async def test_tests_without_a_boundary_are_not_excused(runner: Runner) -> None:
    report = await Verifier(runner, most=100).verify(lab_of(clamped(-5, 5, 99)))
    assert "weak-tests" in report.codes
    assert "10  →  11" in {each.change for each in report.survivors}
    assert "n > 10  →  n >= 10" not in {each.change for each in report.survivors}


async def test_a_program_nested_too_deep_is_a_finding(runner: Runner) -> None:
    deep = "def clamp(n):\n    return n" + " + 0" * 2000 + "\n"
    report = await Verifier(runner).verify(lab_of(clamped(1, 2, 3) | {"solution": deep}))
    assert "unreadable" in report.codes


async def test_verifying_again_finds_the_same(runner: Runner) -> None:
    verifier = Verifier(runner)
    said = BAD["no test of the boundary"][1]
    first, second = [await verifier.verify(lab_of(said)) for _ in range(2)]
    assert (first.findings, first.survivors, first.made) == (second.findings, second.survivors, second.made)


async def test_labs_of_other_kinds_may_show_what_theirs_is_about(runner: Runner) -> None:
    lines = ["Order:", "return text", "return text[:most] + '...'", "def cut(text, most):", "if len(text) > most:"]
    order = "".join(f"# {line}\n" for line in lines)
    verifier = Verifier(runner)
    assert (await verifier.verify(made(CUT, starter=order, kind="order"))).is_verified
    assert "solution-given" in (await verifier.verify(made(CUT, starter=order))).codes
    wrong = CUT["solution"].replace(">", ">=")
    assert (await verifier.verify(made(CUT, starter=wrong, kind="repair"))).is_verified
    given = made(CUT, starter=wrong + "# if len(text) > most:\n", kind="repair")
    assert "solution-given" in (await verifier.verify(given)).codes


# ---- the command line


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main([*arguments, "--engine", "native"])
    return status, capsys.readouterr().out


def test_the_command_verifies_all_labs_below_a_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lab(made(CUT), tmp_path / "a/cut")
    write_lab(made(STACK), tmp_path / "b")
    status, out = printed(["verify", str(tmp_path)], capsys)
    assert status == 0
    first, second = [line for line in out.splitlines() if not line.startswith(" ")]
    assert first.startswith(f"{tmp_path}/a/cut: verified (")
    assert second.startswith(f"{tmp_path}/b: verified (")

    write_lab(made(CHANGE, starter=CHANGE["solution"] + "print()\n"), tmp_path / "c")
    (tmp_path / "b/solution.py").write_text("def (")
    status, out = printed(["verify", str(tmp_path), "--json"], capsys)
    assert status == 1
    good, unreadable, given = json.loads(out)
    assert good["verified"]
    assert not good["findings"]
    assert good["mutants"]["made"] >= 8
    assert [each["code"] for each in unreadable["findings"]] == ["unreadable"]
    assert {each["code"] for each in given["findings"]} >= {"solution-given"}
    assert not given["verified"]


def test_warnings_count_if_a_teacher_wants_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lab(lab_of(BAD["the same test twice"][1]), tmp_path / "cut")
    assert printed(["verify", str(tmp_path)], capsys)[0] == 0
    status, out = printed(["verify", str(tmp_path), "--strict"], capsys)
    assert status == 1
    assert "  warning: tests.toml, test 5: The tests 2 and 5 ask the same. [duplicate-test]" in out
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "there is no lab.toml" in capsys.readouterr().err


def test_a_report_without_findings_is_verified() -> None:
    assert Report("x").is_verified


def test_the_page_has_every_finding() -> None:
    page = (Path(__file__).parents[2] / "docs/labs.md").read_text()
    missing = [
        code
        for code, (severity, meaning) in CODES.items()
        if f"| `{code}` | {severity.value} | {meaning} |" not in page.splitlines()
    ]
    assert not missing
