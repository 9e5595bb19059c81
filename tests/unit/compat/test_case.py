"""What counts as a difference between two outcomes of the same program."""

from __future__ import annotations

import json

from compat.case import Case, Comparison, Run, compare, complete

PROGRAM = Case("suite", "one", "print(1)")
TESTS = Case("suite", "many", "", counted="tests")


def told(*outcomes: tuple[str, str], end: bool = True) -> Run:
    lines = [{"id": name, "outcome": outcome, "detail": ""} for name, outcome in outcomes]
    written = "".join(f"\n@@ {json.dumps(line)}\n" for line in [*lines, *([{"end": "m"}] if end else [])])
    return Run("0", "noise" + written, "")


def names(compared: Comparison) -> list[str]:
    return [each.part for each in compared.differences]


def test_times_addresses_and_the_path_of_the_program_are_no_difference() -> None:
    bare = Run("1", "<f at 0x7f00aa>", 'Ran 3 tests in 0.120s\n  File "/work/main.py", line 1\n')
    ours = Run("1", "<f at 0x55bb11>", 'Ran 3 tests in 1.7s\n  File "main.py", line 1')
    assert names(compare(PROGRAM, [bare], [ours])) == []


def test_exit_status_and_both_streams_are_compared() -> None:
    compared = compare(PROGRAM, [Run("0", "a", "")], [Run("SIGSEGV", "b", "c")])
    assert names(compared) == ["exit status", "stdout", "stderr"]
    assert (compared.units, compared.bare, compared.ours) == (1, 1, 0)


def test_what_differs_between_two_runs_alike_varies_and_is_no_difference() -> None:
    bare = [Run("0", "0.1", ""), Run("0", "0.7", "")]
    compared = compare(PROGRAM, bare, [Run("0", "0.4", ""), Run("0", "0.4", "")])
    assert names(compared) == []
    assert compared.varies == 1


def test_tests_are_compared_one_by_one() -> None:
    bare, ours = (
        told(("m.a", "ok"), ("m.b", "ok"), ("m.c", "skip")),
        told(("m.a", "ok"), ("m.b", "fail"), ("m.c", "skip")),
    )
    compared = compare(TESTS, [bare], [ours])
    assert names(compared) == ["m.b"]
    assert (compared.units, compared.bare, compared.ours) == (3, 2, 1)


def test_a_test_that_did_not_run_is_missing_and_says_why_the_program_stopped() -> None:
    ours = told(("m.a", "ok"), end=False)
    stopped = Run("wall_time", ours.stdout + '\n@@ {"id": "m.b", "out', "too long")
    (missing,) = compare(TESTS, [told(("m.a", "ok"), ("m.b", "ok"))], [stopped]).differences
    assert (missing.part, missing.ours, missing.detail) == ("m.b", "missing", "wall_time: too long")


def test_a_test_whose_module_was_not_set_up_is_missing_and_says_why() -> None:
    ours = told()
    failed = {"id": "setUpModule (m)", "outcome": "error", "detail": "no such program"}
    compared = compare(TESTS, [told(("m.A.a", "ok"))], [Run("0", f"\n@@ {json.dumps(failed)}\n{ours.stdout}", "")])
    (missing,) = compared.differences
    assert (missing.part, missing.ours, missing.detail) == ("m.A.a", "missing", "setUpModule (m): no such program")
    assert (compared.units, compared.bare, compared.ours) == (1, 1, 0)


def test_a_program_of_tests_is_complete_only_if_it_reports_its_end() -> None:
    assert complete(TESTS, told(("m.a", "ok")))
    assert not complete(TESTS, told(("m.a", "ok"), end=False))
    assert not complete(PROGRAM, Run("wall_time", "", ""))
