"""What runs cost: the arithmetic, with numbers that were calculated by hand."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from code_executor.app import cli
from code_executor.app.costs import MONTH, Amounts, Prices, Size, Usage
from code_executor.app.terminal import cost
from code_executor.app.terminal.readings import Reading
from code_executor.core.errors import CodeExecutorError, ConfigurationError

HALF = Size(0.5, 1.0)
PRICES = Prices.load()


def test_a_run_of_three_seconds_in_half_a_core() -> None:
    run = HALF.for_seconds(3)
    assert run == Amounts(1.5, 3.0, 0.0)
    assert PRICES.cost(Amounts(1.5)) == pytest.approx(0.000051465)
    assert PRICES.cost(run) == pytest.approx(0.000062145)
    assert PRICES.cost(HALF.for_seconds(5)) == pytest.approx(0.000103575)


def test_what_is_free_is_taken_off_each_amount_by_itself() -> None:
    assert PRICES.month(Amounts(100_000, 200_000, 100_000)) == 0
    assert PRICES.month(Amounts(100_001, 0, 0)) == pytest.approx(0.00003431)
    assert PRICES.month(Amounts(0, 200_010, 1_100_000)) == pytest.approx(10 * 0.00000356 + 0.538)
    assert PRICES.free_runs(HALF.for_seconds(3)) == 66_666
    assert PRICES.free_runs(Size(0.5, 4.0).for_seconds(1)) == 50_000  # memory is used up first
    assert PRICES.free_runs(Amounts()) == 0


def test_sixty_lessons_on_two_instances() -> None:
    usage = cost.given(720_000, 0.05)
    assert PRICES.month(usage.as_app(Size(2, 4), 2, 75)) == pytest.approx(40.93, abs=0.005)
    jobs = usage.as_jobs(HALF, 2.0)
    assert [jobs.vcpu_seconds, jobs.gb_seconds] == pytest.approx([0.5 * 720_000 * 2.05, 720_000 * 2.05])
    assert PRICES.month(Usage(MONTH, 0, 0, 0).as_app(Size(0.25, 1), 1, 730)) == pytest.approx(27.75, abs=0.01)


def test_a_month_is_as_many_times_what_was_used() -> None:
    usage = Usage(seconds=MONTH / 10, runs=100, run_seconds=200.0, requests=150)
    jobs = usage.as_jobs(Size(1, 2), 1.0)
    assert [jobs.vcpu_seconds, jobs.gb_seconds, jobs.requests] == pytest.approx([3000, 6000, 0])
    assert usage.as_app(Size(1, 2), 1, 1.0).requests == pytest.approx(1500)


def test_the_planned_numbers_are_told_beside_what_they_leave_out() -> None:
    told = cost.estimate(PRICES, cost.Options(HALF, 2.0, 1, 730), None)
    rows = told["planned"]["rows"]
    assert [(row["runs"], row["planned"]) for row in rows] == [(1, 0.0001025), (1000, 0.1), (10_000, 1), (100_000, 10)]
    last = {name: round(rows[-1][name], 2) for name in ("vcpu", "withMemory", "withStart", "lessFree")}
    assert last == {"vcpu": 5.15, "withMemory": 6.21, "withStart": 10.36, "lessFree": 6.21}
    assert told["planned"]["freeRuns"] == {"planned": 66_666, "withMemory": 66_666, "withStart": 40_000}
    assert (told["usage"], told["month"]) == (None, None)
    text = cost.shown(told, as_json=False)
    assert "  100,000 runs          $10.00       $5.15        $6.21      $10.36       $6.21\n" in text
    assert "$0.00003417 for a vCPU second is not that of the list, $0.00003431." in text
    assert all(f"- {each}" in text for each in told["leavesOut"])
    assert "{" not in text
    assert json.loads(cost.shown(told, as_json=True)) == told


METRICS = """
# TYPE code_executor_execution_seconds histogram
code_executor_execution_seconds_count 200
code_executor_execution_seconds_sum 100
# TYPE code_executor_memory_bytes histogram
code_executor_memory_bytes_sum 1e10
# TYPE code_executor_cpu_seconds counter
code_executor_cpu_seconds_total{kind="plain"} 30
code_executor_cpu_seconds_total{kind="data"} 10
# TYPE code_executor_refused counter
code_executor_refused_total{why="rate_limit"} 50
"""


def started(ago: float) -> Reading:
    return Reading.of(METRICS + f"process_start_time_seconds {time.time() - ago}\nprocess_cpu_seconds_total 20\n", 0.0)


def test_what_a_service_used_is_read_from_its_metrics() -> None:
    usage = cost.usage_of(started(MONTH / 1000))
    assert usage.seconds == pytest.approx(MONTH / 1000, rel=0.01)
    assert (usage.runs, usage.run_seconds, usage.requests, usage.cpu_seconds) == (200, 100, 250, 60)
    assert usage.gb_seconds == pytest.approx(5.0)  # 50 MB each, for half a second
    told = cost.estimate(PRICES, cost.Options(HALF, 2.0, 1, 730), usage)
    assert told["month"]["runs"] == pytest.approx(200_000, rel=0.01)
    assert told["month"]["jobs"]["price"] == pytest.approx(
        (250_000 - 100_000) * 0.00003431 + (500_000 - 200_000) * 0.00000356, rel=0.02
    )
    text = cost.shown(told, as_json=False)
    assert "Used: 200 runs of 0.500 s on average in 0.7 hours." in text
    assert "less processor than was used" not in text


def test_an_app_that_is_too_small_for_what_was_used_is_said_to_be() -> None:
    told = cost.estimate(PRICES, cost.Options(HALF, 2.0, 1, 730), cost.usage_of(started(100)))
    assert told["usage"]["cores"] == pytest.approx(0.6, rel=0.05)
    assert "Such an app has less processor than was used." in cost.shown(told, as_json=False)


def test_of_a_service_that_has_run_nothing_there_is_no_estimate() -> None:
    with pytest.raises(CodeExecutorError, match="run nothing yet"):
        cost.usage_of(Reading.of("", 0.0))


def test_other_prices_are_read_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(cli.__file__).parent / "prices.toml").read_text()
    file = tmp_path / "prices.toml"
    file.write_text(text.replace("vcpu_second = 0.00003431", "vcpu_second = 1"))
    runs = ["--runs", "300000", "--seconds", "1", "--start", "0"]
    assert cli.main(["cost", "--prices", str(file), *runs, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["month"]["jobs"]["price"] == pytest.approx(50_000 + 100_000 * 0.00000356)
    for wrong in (text.replace("gb_second", "gb"), "]", text.replace("[job]", "[jobs]"), text.replace("0.5", '"a"')):
        file.write_text(wrong)
        with pytest.raises(ConfigurationError, match=str(file)):
            Prices.load(str(file))
    with pytest.raises(ConfigurationError, match="No such file"):
        Prices.load(str(tmp_path / "none"))


def test_what_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in (["--runs", "0"], ["--hours", "-1"], ["--vcpu", "nan"], ["--start", "-1"]):
        with pytest.raises(SystemExit):
            cli.main(["cost", *wrong])
    assert cli.main(["cost", "--runs", "1", "--url", "localhost"]) == 70
    assert "give either --url or --runs" in capsys.readouterr().err


def test_the_prices_say_where_they_are_from() -> None:
    assert PRICES.date.year >= 2024
    assert PRICES.sources
    text = cost.shown(cost.estimate(PRICES, cost.Options(HALF, 2.0, 1, 730), None), as_json=False)
    assert "as of 2024-10-05" in text
    assert "  vCPU second   0.00003431   100,000 a month are free\n" in text
    assert all(source in text for source in PRICES.sources)
