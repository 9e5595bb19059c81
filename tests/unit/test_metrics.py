"""Metrics and log lines tell how executions went, from outside, and never what was in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import cast

import pytest
import structlog
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics_families
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from code_executor.core.caller import Caller, Terms
from code_executor.core.errors import CodeExecutorError, PoolBusyError
from code_executor.core.limits import Limits, SessionLimits
from code_executor.core.models import CellDone, Event, Execution, Input, Output, Reason, Result, Started
from code_executor.core.runner import Runner, run
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service.collectors import Slowest
from code_executor.service.fairqueue import FairQueue, Lane, Left, Rules
from code_executor.service.flows import Manner
from code_executor.service.metrics import Metrics, ObservedRunner
from code_executor.service.sessions import SessionBook, Sessions

pytestmark = pytest.mark.anyio

SECRET = "the-secret-of-a-program"
RESULT = Result(
    "id",
    Reason.WALL_TIME,
    output=SECRET,
    error=SECRET,
    execution_time=1500.0,
    queue_time=20.0,
    cpu_time=3.0,
    memory=9 << 20,
    truncated=True,
)


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A logger that logs everything, whatever another test has configured, and that nobody has used before."""
    before = structlog.get_config()
    structlog.reset_defaults()
    monkeypatch.setattr("code_executor.service.metrics.log", structlog.get_logger())
    yield
    structlog.configure(**before)


class Scripted:
    """A runner whose runs yield these events, and then fail or wait for ever where that is asked for."""

    limits = Limits()

    def __init__(self, *events: Event, failure: Exception | None = None, forever: bool = False) -> None:
        self._events = events
        self._failure = failure
        self._forever = forever

    async def stream(
        self, _execution: Execution, _inputs: AsyncIterator[Input] | None = None
    ) -> AsyncGenerator[Event, None]:
        for event in self._events:
            yield event
        if self._failure:
            raise self._failure
        if self._forever:
            await asyncio.Event().wait()


def observed(
    metrics: Metrics, *events: Event, failure: Exception | None = None, forever: bool = False
) -> ObservedRunner:
    return ObservedRunner(cast("Runner", Scripted(*events, failure=failure, forever=forever)), metrics)


def samples(metrics: Metrics) -> dict[str, float]:
    """Read the text that Prometheus is given: ``{'name{label="value"}': 1.0}``; of counters, what has been counted."""
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            if family.type != "counter" or sample.value:
                found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def the_line(lines: object) -> dict[str, object]:
    (line,) = cast("list[dict[str, object]]", lines)
    return line


async def ran(runner: Runner, execution: Execution) -> Result:
    """Run, and let it be told of: that comes once the answer is on its way."""
    result = await run(runner, execution)
    await asyncio.sleep(0)
    return result


async def test_a_run_is_counted_and_logged() -> None:
    metrics = Metrics()
    runner = observed(metrics, Started("id", 20.0), Output("stdout", SECRET), RESULT)
    with capture_logs() as lines:
        assert await ran(runner, Execution(SECRET, stdin=SECRET, args=(SECRET,), caller=Caller("a"), id="id")) is RESULT
    seen = samples(metrics)
    assert seen['code_executor_executions_total{reason="wall_time",status="timeout"}'] == 1
    assert seen["code_executor_running"] == 0
    assert (seen["code_executor_execution_seconds_sum"], seen["code_executor_queue_seconds_sum"]) == (1.5, 0.02)
    assert seen["code_executor_total_seconds_count"] == 1
    assert seen['code_executor_memory_bytes_bucket{le="1.6777216e+07"}'] == 1
    line = the_line(lines)
    assert line["event"] == "execution"
    assert (line["id"], line["client"], line["status"], line["reason"]) == ("id", "a", "timeout", "wall_time")
    assert (line["execution_ms"], line["queue_ms"], line["cpu_ms"]) == (1500.0, 20.0, 3.0)
    assert (line["memory"], line["truncated"]) == (9 << 20, True)


async def test_a_violation_is_counted_and_logged_by_the_call_that_it_was() -> None:
    metrics = Metrics()
    named = Result("id", Reason.VIOLATION, signal="SIGSYS", syscall="bpf")
    with capture_logs() as lines:
        for result in (named, named, replace(named, syscall=None), RESULT):
            await ran(observed(metrics, result), Execution(""))
    seen = samples(metrics)
    assert seen['code_executor_violations_total{syscall="bpf"}'] == 2
    assert seen['code_executor_violations_total{syscall="unknown"}'] == 1
    assert sum(value for name, value in seen.items() if name.startswith("code_executor_violations_total")) == 3
    assert [line.get("syscall") for line in lines] == ["bpf", "bpf", None, None]


async def test_neither_code_nor_output_is_ever_logged_or_counted() -> None:
    metrics = Metrics()
    secret = Execution(SECRET, stdin=SECRET, args=(SECRET,))
    with capture_logs() as lines:
        await ran(observed(metrics, Output("stderr", SECRET), RESULT), secret)
        async with aclosing(observed(metrics, Output("stdout", SECRET), RESULT).stream(secret)) as events:
            await anext(events)
        with pytest.raises(PoolBusyError):
            await ran(observed(metrics, failure=PoolBusyError("busy", 1)), secret)
    assert len(lines) == 3
    assert SECRET not in str(lines)
    assert SECRET not in metrics.render().decode()


async def test_a_run_is_running_until_it_ends() -> None:
    metrics = Metrics()
    async with aclosing(observed(metrics, Started("id", 0.0), RESULT).stream(Execution(""))) as events:
        await anext(events)
        assert samples(metrics)["code_executor_running"] == 1
    assert samples(metrics)["code_executor_running"] == 0


async def test_a_run_that_nobody_waits_for_is_cancelled() -> None:
    metrics = Metrics()
    with capture_logs() as lines:
        async with aclosing(
            observed(metrics, Started("id", 0.0), forever=True).stream(Execution("", id="x"))
        ) as events:
            await anext(events)
    assert samples(metrics)['code_executor_executions_total{reason="cancelled",status="error"}'] == 1
    assert (the_line(lines)["reason"], the_line(lines)["id"]) == ("cancelled", "x")


async def test_a_run_whose_task_is_cancelled_is_cancelled() -> None:
    metrics = Metrics()
    task = asyncio.create_task(run(observed(metrics, forever=True), Execution("")))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    seen = samples(metrics)
    assert seen['code_executor_executions_total{reason="cancelled",status="error"}'] == 1
    assert seen["code_executor_running"] == 0


async def test_a_run_that_is_left_after_its_result_is_not_cancelled() -> None:
    metrics = Metrics()
    async with aclosing(observed(metrics, RESULT, forever=True).stream(Execution(""))) as events:
        await anext(events)
    assert not any("_total{" in name and "cancelled" in name for name in samples(metrics))


async def test_a_run_that_found_no_sandbox_is_refused_and_no_execution() -> None:
    metrics = Metrics()
    with capture_logs() as lines, pytest.raises(PoolBusyError):
        await ran(observed(metrics, failure=PoolBusyError("all are busy", 3)), Execution("", id="x"))
    seen = samples(metrics)
    assert seen['code_executor_refused_total{why="PoolBusyError"}'] == 1
    assert seen["code_executor_running"] == 0
    assert not any(name.startswith("code_executor_executions_total") for name in seen)
    assert (the_line(lines)["event"], the_line(lines)["why"]) == ("refused", "all are busy")


async def test_what_fails_otherwise_is_not_swallowed() -> None:
    metrics = Metrics()
    with pytest.raises(CodeExecutorError, match="odd"):
        await ran(observed(metrics, failure=CodeExecutorError("odd")), Execution(""))
    assert samples(metrics)["code_executor_running"] == 0


async def test_the_state_of_each_pool_is_told_as_it_is_when_asked() -> None:
    metrics = Metrics()
    pools = [Pool(cast("Engine", None), PoolSize(most=4), name) for name in ("plain", "data")]
    metrics.watch(*pools)
    assert samples(metrics)['code_executor_sandboxes{kind="plain",state="idle"}'] == 0
    assert samples(metrics)['code_executor_ready{kind="data"}'] == 0
    for pool in pools:
        for number in range(3):
            pool.book.arrived(Sandbox(str(number), Limits()), 0.0)
        lent = pool.book.take()
        assert lent is not None
        pool.book.returned(lent, 0.0)
        pool.book.take()
    pools[0].book.making, pools[1].book.asked = 1, 7
    pools[1].book.forget(pools[1].book.idle[0])
    seen = samples(metrics)
    told = {
        kind: [
            seen[f'code_executor_sandboxes{{kind="{kind}",state="{state}"}}']
            for state in ("idle", "busy", "settling", "making")
        ]
        for kind in ("plain", "data")
    }
    assert told == {"plain": [1, 1, 1, 1], "data": [0, 1, 1, 0]}
    for name, plain, data in (("ready", 1, 1), ("sandboxes_made_total", 3, 3), ("waiting_for_kind", 0, 7)):
        assert [seen[f'code_executor_{name}{{kind="{kind}"}}'] for kind in ("plain", "data")] == [plain, data], name


@pytest.mark.parametrize(
    ("own", "how", "labels"),
    [
        (True, {}, 'kind="data",use="run",why="own"'),
        (False, {}, 'kind="data",use="run",why="busy"'),
        (True, {"session": True}, 'kind="data",use="session",why="own"'),
        (True, {"check_only": True}, 'kind="data",use="check",why="own"'),
    ],
)
async def test_a_sandbox_that_is_lent_is_counted_by_its_kind_and_by_what_for_and_why(
    own: bool, how: dict[str, bool], labels: str
) -> None:
    metrics = Metrics()
    runner = observed(metrics, Started("id", 0.0, "data", own), Output("stdout", ""), RESULT)
    with capture_logs() as lines:
        await ran(runner, Execution("", **how))  # type: ignore[arg-type]
    seen = samples(metrics)
    assert {name: value for name, value in seen.items() if name.startswith("code_executor_lent_total")} == {
        f"code_executor_lent_total{{{labels}}}": 1
    }
    seconds = f"code_executor_lent_seconds_total{{{labels.rpartition(',')[0]}}}"
    assert 0 < seen[seconds] < 1
    assert seen.get('code_executor_cpu_seconds_total{kind="data"}') == (None if "session" in how else 0.003)
    assert [line["kind"] for line in lines] == ([] if "session" in how else ["data"])


async def test_what_a_key_takes_and_is_refused_is_told_by_its_id_and_of_nobody_else() -> None:
    metrics = Metrics()
    key = Caller("ce_k3x9q2pa", learner="5f0c", terms=Terms())
    runner = observed(metrics, Started("id", 0.0, "data", own=True), Output("stdout", ""), RESULT)
    for caller in (key, Caller("203.0.113.7")):
        await ran(runner, Execution("", caller=caller))
        with pytest.raises(PoolBusyError):
            await ran(observed(metrics, failure=PoolBusyError("full", 1)), Execution("", caller=caller))
    seen = {name: value for name, value in samples(metrics).items() if "key=" in name and "_created" not in name}
    assert 0 < seen.pop('code_executor_key_seconds_total{key="ce_k3x9q2pa"}') < 1
    assert seen.pop('code_executor_key_refused_total{key="ce_k3x9q2pa",why="PoolBusyError"}') == 1
    assert seen.pop('code_executor_flow_wait_seconds_count{key="ce_k3x9q2pa"}') == 1
    assert seen.pop('code_executor_flow_wait_seconds_sum{key="ce_k3x9q2pa"}') == 0.02
    assert all(name.startswith('code_executor_flow_wait_seconds_bucket{key="ce_k3x9q2pa"') for name in seen)


async def test_what_may_happen_is_told_before_it_has_happened() -> None:
    metrics = Metrics()
    metrics.watch(Pool(cast("Engine", None), PoolSize()))
    text = metrics.render().decode()
    for expected in (
        'code_executor_executions_total{reason="internal",status="error"} 0.0',
        'code_executor_refused_total{why="PoolBusyError"} 0.0',
        'code_executor_aborted_total{why="budget"} 0.0',
        'code_executor_lent_total{kind="plain",use="run",why="busy"} 0.0',
    ):
        assert f"\n{expected}\n" in text


async def test_a_run_that_is_refused_was_lent_nothing() -> None:
    metrics = Metrics()
    with pytest.raises(PoolBusyError):
        await ran(observed(metrics, failure=PoolBusyError("busy", 1)), Execution(""))
    assert not [name for name in samples(metrics) if name.startswith("code_executor_lent")]


async def test_the_slowest_run_is_told_for_a_minute_and_forgotten_after_two() -> None:
    now = 0.0
    slowest = Slowest(lambda: now)

    def told() -> dict[str, float]:
        return {sample.labels["kind"]: sample.value for family in slowest.collect() for sample in family.samples}

    assert told() == {}
    slowest.note("plain", 3.0)
    slowest.note("plain", 1.0)
    slowest.note("data", 0.5)
    assert told() == {"plain": 3.0, "data": 0.5}
    now = 70.0
    slowest.note("plain", 2.0)
    assert told() == {"plain": 3.0, "data": 0.5}
    now = 130.0
    assert told() == {"plain": 2.0}
    now = 180.0
    assert told() == {}
    slowest.note("plain", 2.0)
    now = 1000.0
    assert told() == {}


async def test_what_a_service_may_do_is_told() -> None:
    metrics = Metrics()
    metrics.tell("1.2", "native", Limits(memory=7, cpus=0.25), 9)
    metrics.watch_queue(FairQueue(Rules(waiting=5), 1))
    metrics.watch_sessions(SessionBook(SessionLimits(open=3)))
    seen = samples(metrics)
    assert seen['code_executor_info{engine="native",version="1.2"}'] == 1
    names = ("runs_limit", "memory_limit_bytes", "cpus_limit", "waiting_limit", "sessions_limit")
    assert [seen[f"code_executor_{name}"] for name in names] == [9, 7, 0.25, 5, 3]
    assert seen["process_resident_memory_bytes"] > 1 << 20


async def test_who_waits_is_told_by_lane_and_nobody_by_name() -> None:
    metrics, queue = Metrics(), FairQueue(Rules(), 1)
    metrics.watch_queue(queue)
    queue.begin(Caller("secret"), "any", Manner.RUN, Lane.BATCH, 0.0, left=Left.MANY)
    for lane in (Lane.BATCH, Lane.INTERACTIVE, Lane.INTERACTIVE):
        queue.enter(Caller("secret"), "any", Manner.RUN, lane, 0.0)
    queue.leave(queue.enter(Caller("other"), "any", Manner.RUN, lane, 0.0)[0], 0.0)
    seen = samples(metrics)
    assert seen["code_executor_waiting"] == 3
    assert seen['code_executor_waiting_in_lane{lane="interactive"}'] == 2
    assert seen['code_executor_waiting_in_lane{lane="batch"}'] == 1
    assert seen['code_executor_flows{state="waiting"}'] == 2
    assert seen['code_executor_flows{state="running"}'] == 1
    assert seen['code_executor_flows{state="remembered"}'] == 1
    assert "secret" not in metrics.render().decode()


async def test_two_servers_in_one_process_do_not_count_for_one_another() -> None:
    one, other = Metrics(), Metrics()
    await ran(observed(one, RESULT), Execution(""))
    assert samples(other)["code_executor_total_seconds_count"] == 0


async def test_the_cells_of_a_session_are_counted_and_logged_and_it_is_no_run_of_its_own() -> None:
    metrics = Metrics()
    runner = observed(metrics, Started("id", 20.0), CellDone(RESULT), Result("whole", Reason.CANCELLED))
    with capture_logs() as lines:
        async with aclosing(runner.stream(Execution("", session=True, caller=Caller("a")))) as events:
            await anext(events)
            assert samples(metrics)["code_executor_running"] == 0
            assert len([event async for event in events]) == 2
    seen = {name: value for name, value in samples(metrics).items() if "executions_total" in name}
    assert seen == {'code_executor_executions_total{reason="wall_time",status="timeout"}': 1}
    line = the_line(lines)
    assert (line["event"], line["id"], line["client"], line["reason"]) == ("cell", "id", "a", "wall_time")


async def test_a_session_that_is_closed_is_no_cancelled_run() -> None:
    metrics = Metrics()
    async with aclosing(
        observed(metrics, Started("id", 0.0), forever=True).stream(Execution("", session=True))
    ) as events:
        await anext(events)
    assert not [name for name in samples(metrics) if "executions_total" in name]


async def test_open_sessions_are_told_as_they_are_when_asked() -> None:
    metrics = Metrics()
    async with Sessions(cast("Runner", Scripted(Started("id", 0.0), forever=True)), SessionLimits()) as sessions:
        metrics.watch_sessions(sessions.book)
        await sessions.open(Caller("a"))
        assert samples(metrics)["code_executor_sessions"] == 1
    assert samples(metrics)["code_executor_sessions"] == 0
    assert samples(metrics)["code_executor_sessions_opened_total"] == 1
    assert samples(metrics)['code_executor_sessions_ended_total{why="stopping"}'] == 1


# ---- exemplars

TRACE = {"trace_id": "4b" * 16, "span_id": "f0" * 8}
OBSERVED = ("execution_seconds", "queue_seconds", "flow_wait_seconds", "total_seconds", "memory_bytes")


def exemplars(metrics: Metrics) -> dict[str, tuple[dict[str, str], float]]:
    """Return the labels and values of all exemplars, by the histogram that has them; there is one of each."""
    found: dict[str, tuple[dict[str, str], float]] = {}
    text = metrics.render(exemplars=True).decode()
    for family in open_metrics_families(text):  # type: ignore[no-untyped-call]  # the library's
        for sample in family.samples:
            if sample.exemplar is not None:
                assert family.name not in found
                found[family.name] = (sample.exemplar.labels, sample.exemplar.value)
    return found


async def test_histograms_name_the_trace_of_what_they_measured() -> None:
    metrics = Metrics(exemplar=lambda: TRACE)
    key = Caller("ce_k3x9q2pa", terms=Terms())
    await ran(observed(metrics, Started("id", 0.0), RESULT), Execution("", caller=key))
    metrics.note_grade("passed", 1.5, {})
    found = exemplars(metrics)
    assert set(found) == {f"code_executor_{name}" for name in (*OBSERVED, "grade_seconds")}
    assert all(labels == TRACE for labels, _ in found.values())
    assert found["code_executor_execution_seconds"][1] == 1.5
    assert found["code_executor_queue_seconds"][1] == 0.02
    assert found["code_executor_memory_bytes"][1] == 9 << 20


async def test_the_text_format_stays_as_it_is_with_traces_and_without() -> None:
    with_traces, without = Metrics(exemplar=lambda: TRACE), Metrics()
    for metrics in (with_traces, without):
        await ran(observed(metrics, Started("id", 0.0), RESULT), Execution(""))
    text = with_traces.render().decode()
    assert "4b4b" not in text
    assert "# EOF" not in text
    names = [sorted(samples(metrics)) for metrics in (with_traces, without)]
    assert names[0] == names[1]


@pytest.mark.parametrize("exemplar", [None, lambda: None])
async def test_where_there_is_no_trace_there_is_no_exemplar(exemplar: Callable[[], None] | None) -> None:
    metrics = Metrics(exemplar=exemplar)
    await ran(observed(metrics, Started("id", 0.0), RESULT), Execution(""))
    metrics.note_grade("passed", 1.5, {})
    assert exemplars(metrics) == {}


async def test_a_cell_is_not_told_to_be_of_the_request_that_opened_its_session() -> None:
    metrics = Metrics(exemplar=lambda: TRACE)
    await ran(observed(metrics, Started("id", 0.0), CellDone(RESULT), RESULT), Execution("", session=True))
    assert samples(metrics)["code_executor_execution_seconds_count"] == 1
    assert exemplars(metrics) == {}
