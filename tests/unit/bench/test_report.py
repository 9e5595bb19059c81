import importlib
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

from bench import contenders as c
from bench import parts as every_part
from bench import report
from bench.parts import burst, footprint, latency, learners, mixed, openloop, throughput
from bench.programs import A_PLOT, PROGRAMS

ROOT = Path(__file__).resolve().parents[3]
FACTS = {
    "date": "2026-01-02 03:04 UTC",
    "processor": "A processor, 2 cores",
    "commit": "abc1234",
    "load before": "0.10",
}
LATENCY = {
    "print": {
        c.BARE: [[10.0, 12.0, 14.0], [24.0]],
        c.http_name("docker", c.IDLE): [[1.2], [2.4, 2.4]],
        c.http_name("native", c.IDLE): [[6.0], [12.0]],
        c.http_name("docker", c.FRESH): [[3.0], [3.0]],
        c.DOCKER_RUN: [[300.0], [300.0]],
    },
    "pandas": {c.BARE_SANDBOX: [[500.0]], c.http_name("native", c.IDLE): [[5.0]]},
}
BURST = {
    "native": {
        "count": 1000,
        "seconds": 1.0,
        "sandboxes": 100,
        "answered": 999,
        "failures": 1,
        "elapsed": 10.5,
        "displacements": [0, 0, 3],
        "before": 50_000_000,
        "peak": 77_000_000,
    }
}
TAIL = {"saturation": 200.0, "rate": 100.0, "ms": [1.0] * 90 + [5.0] * 10, "lateness": [0.1], "failures": 0}
PARTS = {"latency": latency, "throughput": throughput, "openloop": openloop, "burst": burst}


def results(**parts: object) -> dict[str, Any]:
    whole = {"facts": FACTS, "quick": False, "parts": parts, "absent": {"epicbox": "RuntimeError: no"}}
    kept: dict[str, Any] = json.loads(
        json.dumps(whole)
    )  # as it is kept: what JSON does not keep, a report must not need
    return kept


def published_part(file: Path, marker: str) -> str:
    """Return what stands between ``<!-- marker -->`` and ``<!-- /marker -->``."""
    return file.read_text().partition(f"<!-- {marker} -->\n")[2].partition(f"\n<!-- /{marker} -->")[0]


def row(table: str, start: str) -> list[str]:
    (line,) = (line for line in table.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_targets_are_met_or_not_per_engine() -> None:
    table = report.targets(results(latency=LATENCY, burst=BURST, openloop={"docker, even arrivals": TAIL}))
    assert row(table, "one client, `print`")[1:] == ["≤ 0.15", "0.1 ✓", "0.5 ✗"]
    assert row(table, "one client, numpy")[1:] == ["≤ 0.02", "not measured", "0.01 ✓"]
    assert row(table, "`reuse=0`")[1:] == ["≤ 0.02", "0.01 ✓", "not measured"]
    assert row(table, "half the saturation rate, even")[1:] == ["≤ 4", "5 ✗", "not measured"]
    assert row(table, "a burst")[1:] == ["≤ 0", "not measured", "1 ✗"]
    assert row(table, "the same: server's memory")[1:] == ["≤ 30", "not measured", "30 ✓"]


def test_throughput_is_met_from_below_and_by_the_best_number_of_workers() -> None:
    rounds = {
        throughput.bare_name(8): [{"rate": 100.0, "ms": [80.0], "failures": 0}],
        throughput.http_name("docker", 8): [{"rate": 500.0, "ms": [16.0], "failures": 0}],
        throughput.http_name("docker", 8, 2): [{"rate": 700.0, "ms": [11.0], "failures": 0}],
        throughput.http_name("native", 8): [{"rate": 500.0, "ms": [16.0], "failures": 0}],
    }
    assert row(report.targets(results(throughput=rounds)), "8 clients")[1:] == ["≥ 6", "7 ✓", "5 ✗"]


def test_nothing_measured_is_no_target_met() -> None:
    assert "✓" not in report.targets(results())


def test_document_has_every_part_and_says_what_is_missing() -> None:
    text = report.document(results(latency=LATENCY, burst=BURST), PARTS, {"latency": "latency.png"})
    for part in PARTS.values():
        assert f"## {part.TITLE}" in text
    assert text.count("Not measured.") == 2
    assert "![One client](latency.png)" in text
    assert "- epicbox: RuntimeError: no" in text
    assert "- commit: abc1234" in text


def test_an_unfinished_part_does_not_hide_the_others() -> None:
    text = report.document(results(latency=LATENCY, burst={"native": {"count": 1}}), PARTS, {})
    assert "Not measured: KeyError" in text
    assert "| docker run | 300.00 |" in text


def test_a_quick_run_says_so() -> None:
    quick = {**results(latency=LATENCY), "quick": True}
    assert "a quick run" in report.document(quick, PARTS, {})
    assert "a quick run" not in report.document(results(latency=LATENCY), PARTS, {})


def test_a_busy_machine_is_told() -> None:
    busy = {**results(latency=LATENCY), "facts": {**FACTS, "load before": "1.50"}}
    assert "busy (load 1.50)" in report.document(busy, PARTS, {})
    assert "busy" not in report.document(results(latency=LATENCY), PARTS, {})


def test_absences_with_one_reason_are_told_once() -> None:
    assert report.absences({"a": "no Docker", "b": "no root", "c": "no Docker"}) == "- a; c: no Docker\n- b: no root"


def test_headline_has_the_medians_and_where_they_are_from() -> None:
    text = report.headline(results(latency=LATENCY))
    assert row(text, c.http_name("docker", c.IDLE))[1:] == ["2.4 ms", "", ""]
    assert row(text, c.BARE)[1] == "12.0 ms"
    assert "2026-01-02 on A processor, 2 cores, commit abc1234" in text


def test_headline_has_every_caveat_of_the_report() -> None:
    doubtful = {**results(latency=LATENCY), "quick": True, "facts": {**FACTS, "load before": "1.50"}}
    assert len(report.caveats(doubtful)) == 2
    for caveat in report.caveats(doubtful):
        assert f"{caveat}\n" in report.headline(doubtful)
        assert f"{caveat}\n" in report.document(doubtful, PARTS, {})


def test_headline_of_a_quiet_machine_has_no_caveat() -> None:
    quiet = results(latency=LATENCY)
    assert report.caveats(quiet) == []
    assert "do not quote" not in report.headline(quiet)


def test_the_published_headline_is_of_the_published_report_and_has_its_caveats() -> None:
    published = published_part(ROOT / "bench/README.md", "bench:report")
    headline = published_part(ROOT / "README.md", "bench:headline")
    commit = re.search(r"^- commit: (.+)$", published, re.MULTILINE)
    assert commit
    assert f"commit {commit[1]}." in headline
    before_the_targets = published.partition("## ")[0].strip()
    assert headline.startswith(f"{before_the_targets}\n\n|" if before_the_targets else "|")


@pytest.mark.parametrize("name", [found.name for found in pkgutil.iter_modules(every_part.__path__)])
def test_the_published_report_describes_a_part_as_the_part_does(name: str) -> None:
    part = importlib.import_module(f"bench.parts.{name}")
    section = report.document(results(), {name: part}, {}).partition(f"## {part.TITLE}\n")
    description = section[1] + section[2].partition("\n\nNot measured.")[0]
    assert len(description) > len(part.TITLE) + 50
    assert f"{description}\n\n" in published_part(ROOT / "bench/README.md", "bench:report")


def test_headline_without_latencies_is_refused() -> None:
    with pytest.raises(ValueError, match="no latencies"):
        report.headline(results(burst=BURST))


LEARNERS: dict[str, Any] = {
    "ms": {
        program.name: {
            learners.OURS: [[3.0], [2.0], [4.0]],
            c.BARE_IMAGE: [[300.0], [200.0], [400.0]],
        }
        for program in PROGRAMS
    },
    "cpu": {program.name: [1.0, 2.0, 3.0] for program in PROGRAMS},
}


def test_a_program_meets_its_target_by_the_median_ratio_of_the_rounds() -> None:
    slow = {**LEARNERS, "ms": {**LEARNERS["ms"], "asyncio": {learners.OURS: [[9.0]], c.BARE_IMAGE: [[30.0]]}}}
    table = learners.render(slow)
    assert row(table, "asyncio")[1:] == ["9.0", "2.0", "30.0", "0.3 (0.3 to 0.3)", "≤ 0.1", "✗"]
    assert row(table, "numpy")[1:] == ["3.0", "2.0", "300.0", "0.01 (0.01 to 0.01)", "≤ 0.1", "✓"]
    assert row(report.targets(results(learners=slow)), "learners'")[1:] == ["≤ 0", "1 ✗", "not measured"]


def test_a_plot_has_milliseconds_to_meet_too() -> None:
    long = {**LEARNERS, "ms": {A_PLOT.name: {learners.OURS: [[101.0]], c.BARE_IMAGE: [[1000.0]]}}}
    assert row(learners.render(long), A_PLOT.name)[4:] == ["0.101 (0.101 to 0.101)", "≤ 0.2 and ≤ 100 ms", "✗"]


def test_a_program_that_was_not_measured_misses_its_target() -> None:
    without: dict[str, Any] = {"ms": {}, "cpu": {}}
    assert row(learners.render(without), "asyncio")[1:] == ["not measured", "", "", "", "≤ 0.1", "✗"]
    assert row(report.targets(results(learners=without)), "learners'")[2] == f"{len(PROGRAMS)} ✗"


def test_headline_has_a_plot_beside_print_where_it_was_measured() -> None:
    text = report.headline(results(latency=LATENCY, learners=LEARNERS))
    assert row(text, c.http_name("docker", c.IDLE))[1:] == ["2.4 ms", "", "3.0 ms"]
    assert row(text, c.BARE_IMAGE)[1:] == ["", "", "300.0 ms"]
    assert c.BARE_IMAGE not in report.headline(results(latency=LATENCY))


def test_a_pool_is_weighed_as_a_whole_only_with_every_kind() -> None:
    sandboxes = [{"pss": 20e6, "private": 1e6, "kind": kind} for kind in footprint.KINDS]
    table = report.targets(results(footprint={f"docker, {footprint.DEFAULT}": sandboxes}))
    assert row(table, "all idle sandboxes")[1:] == ["≤ 420", "80 ✓", "not measured"]
    table = report.targets(results(footprint={f"docker, {footprint.DEFAULT}": sandboxes[1:]}))
    assert row(table, "all idle sandboxes")[2] == "not measured"


def turn(milliseconds: list[float], failures: int = 0) -> dict[str, Any]:
    return {"rate": 2.0, "ms": milliseconds, "lateness": [0.1], "failures": failures, "complaint": ""}


MIXED = {
    "docker": {
        mixed.ALONE: turn([3.0] * 99 + [5.0]),
        mixed.PRINTS: turn([4.0] * 98 + [60.0, 70.0]),
        mixed.PLOTS: turn([80.0], failures=1),
        mixed.CELLS: turn([6.0]),
    },
    "native": {kind: turn([5.0]) for kind in (mixed.ALONE, mixed.PRINTS, mixed.CELLS)} | {mixed.PLOTS: turn([])},
}


def test_a_mixed_load_is_judged_by_the_tail_of_its_prints_and_by_what_failed_of_any_kind() -> None:
    table = report.targets(results(mixed=MIXED))
    assert row(table, "prints among")[1:] == ["≤ 50", "60 ✗", "5 ✓"]
    (failed,) = (line for line in table.splitlines() if "refused or failed" in line)
    assert "| 1 ✗ | 0 ✓ |" in failed


def test_a_mixed_load_shows_each_kind_of_request_and_what_never_came() -> None:
    table = mixed.render(MIXED)
    assert row(table, "docker, prints |")[1:6] == ["2.0", "4.00", "4.00", "60.00", "70.00"]
    assert row(table, "docker, prints alone")[4] == "3.00"
    assert row(table, "native, plots")[2:] == ["", "", "", "", "", "0", "0"]
