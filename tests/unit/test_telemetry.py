"""What OpenTelemetry is told of requests and runs, read from an exporter in memory; and that nothing is, by default."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, cast

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import process_attributes
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
    user_agent_attributes,
)
from opentelemetry.semconv.metrics import http_metrics
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from code_executor.api.app import create_app
from code_executor.api.hosts import HostNames
from code_executor.api.identity import Identity
from code_executor.api.tracing import Traced
from code_executor.app import telemetry as configuration
from code_executor.app.jobs import open_desk
from code_executor.app.settings import Settings
from code_executor.app.webserver import application
from code_executor.core.caller import Caller
from code_executor.core.errors import CallerBusyError, CodeExecutorError, PoolBusyError
from code_executor.core.limits import Limits, RequestLimits, SessionLimits
from code_executor.core.models import Cell, Event, Execution, Input, Output, Reason, Result, Started
from code_executor.core.runner import run
from code_executor.sandbox.pool import Pool
from code_executor.service.local import LocalHealth, LocalRates
from code_executor.service.metrics import Metrics, ObservedRunner
from code_executor.service.ports import CHECKS, REQUESTS, RUNS, Service, SessionDesk
from code_executor.service.ratelimit import RateLimiter
from code_executor.service.sessions import Sessions
from code_executor.service.telemetry import Telemetry, TracedDesk, TracedRunner

pytestmark = pytest.mark.anyio

SECRET = "the-secret-of-a-program"
RESULT = Result("id", Reason.EXIT, output=SECRET, error=SECRET, exit_code=3, execution_time=1500.0, cpu_time=250.0)
STANDARD = {
    getattr(module, name)
    for module in (
        *(error_attributes, http_attributes, network_attributes, process_attributes),
        *(server_attributes, url_attributes, user_agent_attributes),
    )
    for name in dir(module)
    if name.isupper()
}
"""The names of attributes that the semantic conventions have."""


class Memory:
    """Telemetry whose spans and measurements stay here."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.telemetry = Telemetry(tracers, MeterProvider([self._reader], shutdown_on_exit=False), "1")

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        finished = self._spans.get_finished_spans()
        assert len({span.name for span in finished}) == len(finished)
        return {span.name: span for span in finished}

    def measured(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """Attributes, and the sum of what was measured, by the name of the metric."""
        data: Any = self._reader.get_metrics_data()
        return {
            metric.name: [
                (dict(point.attributes), getattr(point, "sum", getattr(point, "value", 0.0)))
                for point in metric.data.data_points
            ]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def memory() -> Memory:
    return Memory()


class Scripted:
    limits = Limits()

    def __init__(self, *events: Event, failure: Exception | None = None, forever: bool = False) -> None:
        self._events, self._failure, self._forever = events, failure, forever
        self.current: trace.SpanContext | None = None

    async def stream(self, _: object, __: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        self.current = trace.get_current_span().get_span_context()
        for event in self._events:
            yield event
        if self._failure:
            raise self._failure
        if self._forever:
            await asyncio.Event().wait()


EVENTS = (Started("id", 20.0, "data", own=False), Output("stdout", SECRET), Output("stdout", SECRET), RESULT)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_run_is_a_span_with_two_parts(memory: Memory) -> None:
    secret = Execution(SECRET, stdin=SECRET, args=(SECRET,), caller=Caller("192.0.2.1", SECRET), id="id")
    assert await run(TracedRunner(Scripted(*EVENTS), memory.telemetry), secret) is RESULT
    spans = memory.spans
    whole, queue, sandbox = (spans[name] for name in ("execute python", "queue", "sandbox"))
    assert whole.parent is None
    assert whole.kind is SpanKind.INTERNAL
    assert {part.parent.span_id for part in (queue, sandbox) if part.parent} == {whole.context.span_id}
    assert queue.end_time is not None
    assert sandbox.start_time is not None
    assert queue.end_time <= sandbox.start_time
    assert attributes(whole) == {
        "code_executor.id": "id",
        "code_executor.use": "run",
        "code_executor.status": "error",
        "code_executor.reason": "exit",
        "code_executor.queue_time": 0.0,
        "code_executor.cpu_time": 0.25,
        "code_executor.memory": 0,
        "code_executor.truncated": False,
        process_attributes.PROCESS_EXIT_CODE: 3,
    }
    assert attributes(sandbox) == {"code_executor.kind": "data", "code_executor.own_kind": False}
    assert [event.name for event in sandbox.events] == ["first_output"]
    assert whole.status.status_code is StatusCode.UNSET, "a program's failure is none of the service's"
    told = "".join(span.to_json() for span in spans.values()) + str(memory.measured())
    assert SECRET not in told
    assert "192.0.2.1" not in told


async def test_a_run_is_measured(memory: Memory) -> None:
    await run(TracedRunner(Scripted(*EVENTS), memory.telemetry), Execution("", check_only=True))
    use = {"code_executor.use": "check"}
    outcome = {"code_executor.status": "error", "code_executor.reason": "exit"}
    assert memory.measured() == {
        "code_executor.execution.duration": [(use | outcome, 1.5)],
        "code_executor.queue.duration": [(use, 0.02)],
        "code_executor.cpu.time": [(use, 0.25)],
    }


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (PoolBusyError("busy", 1), StatusCode.ERROR),
        (CodeExecutorError("odd"), StatusCode.ERROR),
        (CallerBusyError("busy", 1), StatusCode.UNSET),
    ],
)
async def test_our_failures_alone_are_errors(memory: Memory, failure: Exception, status: StatusCode) -> None:
    with pytest.raises(type(failure)):
        await run(TracedRunner(Scripted(failure=failure), memory.telemetry), Execution(""))
    assert set(memory.spans) == {"execute python", "queue"}
    whole = memory.spans["execute python"]
    assert (whole.status.status_code, attributes(whole)["error.type"]) == (status, type(failure).__name__)


async def test_a_result_that_is_our_failure_is_an_error(memory: Memory) -> None:
    await run(TracedRunner(Scripted(Result("id", Reason.INTERNAL)), memory.telemetry), Execution(""))
    whole = memory.spans["execute python"]
    assert (whole.status.status_code, attributes(whole)["error.type"]) == (StatusCode.ERROR, "internal")


async def test_a_run_that_nobody_waits_for_is_cancelled_and_its_spans_end(memory: Memory) -> None:
    runner = TracedRunner(Scripted(Started("id", 0.0), forever=True), memory.telemetry)
    async with aclosing(runner.stream(Execution(""))) as events:
        await anext(events)
    assert set(memory.spans) == {"execute python", "queue", "sandbox"}
    assert attributes(memory.spans["execute python"])["code_executor.reason"] == "cancelled"


async def test_cells_are_spans_and_what_runs_a_session_is_none(memory: Memory) -> None:
    await run(TracedRunner(Scripted(*EVENTS), memory.telemetry), Execution("", session=True))
    assert memory.spans == {}

    class Desk:
        def stream(self, *_: object) -> AsyncGenerator[Event, None]:
            return Scripted(Started("cell", 0.0), RESULT).stream("")

    events = TracedDesk(cast("SessionDesk", Desk()), memory.telemetry).stream("secret-name", Caller(), Cell("", id="c"))
    assert [type(event) async for event in events] == [Started, Result]
    assert attributes(memory.spans["execute python"])["code_executor.use"] == "cell"
    assert "secret-name" not in memory.spans["execute python"].to_json()


# ---- exemplars


async def test_the_current_span_is_named_if_it_is_kept(memory: Memory) -> None:
    assert Telemetry.exemplar() is None
    with memory.telemetry.tracer.start_as_current_span("request") as span:
        ids = span.get_span_context()
        named = {"trace_id": f"{ids.trace_id:032x}", "span_id": f"{ids.span_id:016x}"}
        assert Telemetry.exemplar() == named
        carried = Telemetry.carried()
    with Telemetry.under(carried):  # in another process
        assert Telemetry.exemplar() == named
        assert Telemetry.carried() == carried
    assert (Telemetry.exemplar(), Telemetry.carried()) == (None, "")


@pytest.mark.parametrize("trace", ["", "nonsense", f"00-{'4b' * 16}-{'f0' * 8}-00", f"00-{'0' * 32}-{'0' * 16}-01"])
async def test_a_trace_that_is_not_kept_or_is_none_is_not_named(trace: str) -> None:
    with Telemetry.under(trace):
        assert Telemetry.exemplar() is None


async def test_a_run_is_measured_with_the_trace_of_its_request(memory: Memory) -> None:
    metrics = Metrics(exemplar=Telemetry.exemplar)
    app = app_of(memory, cast("Scripted", ObservedRunner(Scripted(*EVENTS), metrics)), metrics=metrics)
    assert (await ask(app, "POST", "/api/execute", json={"code": SECRET})).status_code == 200
    await asyncio.sleep(0)  # it is counted once the answer is on its way
    trace = memory.spans["POST /api/execute"].context.trace_id
    for accept, told in (("*/*", 0), ("application/openmetrics-text", 4)):
        answer = await ask(app, "GET", "/metrics", headers={"Accept": accept})
        assert answer.text.count(f'trace_id="{trace:032x}"') == told
        assert ("openmetrics" in answer.headers["content-type"]) == bool(told)
        assert answer.text.endswith("# EOF\n") == bool(told)


# ---- requests


def app_of(memory: Memory, runner: Scripted, *, rate: str = "off", metrics: Metrics | None = None) -> Traced:
    metrics = metrics or Metrics()
    limiters = {RUNS: RateLimiter(rate), CHECKS: RateLimiter("off"), REQUESTS: RateLimiter("off")}
    health = LocalHealth([cast("Pool", None)], metrics)
    inner = Service(runner, Sessions(runner, SessionLimits()), LocalRates(limiters, metrics), health, cast("Any", None))
    names = HostNames("127.0.0.1", (), ())
    return Traced(create_app(memory.telemetry.around(inner), RequestLimits(), "1", names), memory.telemetry)


async def ask(app: Traced, method: str, path: str, **more: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=("192.0.2.9", 1), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        return await client.request(method, path, **more)


async def test_a_run_is_below_its_request_and_that_below_what_the_client_says(memory: Memory) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    runner = Scripted(*EVENTS)
    headers = {"traceparent": parent, "User-Agent": "a course"}
    answer = await ask(app_of(memory, runner), "POST", "/api/execute?x=1", json={"code": SECRET}, headers=headers)
    assert answer.status_code == 200
    server, whole = memory.spans["POST /api/execute"], memory.spans["execute python"]
    assert server.parent is not None
    assert whole.parent is not None
    assert (f"{server.context.trace_id:x}", f"{server.parent.span_id:x}") == (
        *("af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
    )
    assert whole.parent.span_id == server.context.span_id
    assert runner.current == server.context, "log lines of the run have its ids"
    assert server.kind is SpanKind.SERVER
    assert attributes(server) == {
        "http.request.method": "POST",
        "http.route": "/api/execute",
        "http.response.status_code": 200,
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "server.address": "localhost",
        "server.port": 8000,
        "user_agent.original": "a course",
    }
    assert set(attributes(server)) <= STANDARD
    told = "".join(span.to_json() for span in memory.spans.values())
    assert SECRET not in told
    assert "192.0.2.9" not in told
    (measured,) = memory.measured()[http_metrics.HTTP_SERVER_REQUEST_DURATION]
    assert measured[0] == {k: v for k, v in attributes(server).items() if not k.startswith(("server.", "user_agent"))}
    assert 0 < measured[1] < 5
    assert {name for name in {*attributes(whole)} if not name.startswith("code_executor.")} <= STANDARD


@pytest.mark.parametrize(
    ("method", "path", "name", "status"),
    [
        ("GET", "/api/sessions/secret-id", "GET /api/sessions/{session}", 404),
        ("GET", "/nowhere", "GET", 404),
        ("POST", "/api/execute", "POST /api/execute", 503),
        ("BREW", "/api/execute", "_OTHER /api/execute", 405),
    ],
)
async def test_a_request_is_told_by_its_route_and_never_by_its_path(
    memory: Memory, method: str, path: str, name: str, status: int
) -> None:
    app = app_of(memory, Scripted(failure=PoolBusyError("busy", 1)))
    answer = await ask(app, method, path, json={"code": ""})
    span = next(span for span in memory.spans.values() if span.kind is SpanKind.SERVER)
    assert answer.status_code == status, answer.text
    assert span.name == name
    assert span.status.status_code is (StatusCode.ERROR if status >= 500 else StatusCode.UNSET)
    assert attributes(span)["http.response.status_code"] == status
    assert attributes(span).get("error.type") == ("503" if status == 503 else None)
    assert "secret-id" not in span.to_json() + str(memory.measured())


async def test_a_request_that_is_refused_before_it_is_read_has_a_span(memory: Memory) -> None:
    app = app_of(memory, Scripted(*EVENTS), rate="1/hour")
    assert [(await ask(app, "POST", "/api/execute", json={"code": ""})).status_code for _ in range(2)] == [200, 429]
    measured = memory.measured()[http_metrics.HTTP_SERVER_REQUEST_DURATION]
    assert [(each["http.route"], each["http.response.status_code"]) for each, _ in measured] == [
        ("/api/execute", 200),
        ("/api/execute", 429),
    ]


async def test_what_operators_ask_has_no_span(memory: Memory) -> None:
    for path in ("/healthz", "/metrics"):
        assert (await ask(app_of(memory, Scripted()), "GET", path)).status_code == 200
    assert memory.spans == {}


# ---- configuration


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "exporters"),
    [
        ({}, ("", "")),
        ({"OTEL_SERVICE_NAME": "x"}, ("", "")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, ("otlp_proto_http", "otlp_proto_http")),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, ("otlp_proto_http", "")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_METRICS_EXPORTER": "none"}, ("otlp_proto_http", "")),
        ({"OTEL_TRACES_EXPORTER": "console"}, ("console", "")),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ("otlp_proto_grpc", "")),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "true"}, ("", "")),
    ],
)
def test_the_standard_variables_say_what_is_told(
    variables: pytest.MonkeyPatch, given: dict[str, str], exporters: tuple[str, str]
) -> None:
    for name, value in given.items():
        variables.setenv(name, value)
    assert (configuration._exporter("TRACES"), configuration._exporter("METRICS")) == exporters
    assert configuration.is_configured() is any(exporters)


@pytest.mark.parametrize("name", ["none-such", "otlp"])
def test_what_cannot_be_had_is_logged_and_does_not_stop_the_service(variables: pytest.MonkeyPatch, name: str) -> None:
    variables.setenv("OTEL_TRACES_EXPORTER", name)
    variables.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with capture_logs() as lines:
        assert configuration.from_environment() is None
    assert [line["event"] for line in lines] == ["no_telemetry"]


def test_without_the_extra_it_is_said_to_be_missing(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    variables.setitem(cast("dict[str, object]", sys.modules), "opentelemetry.sdk.metrics", None)
    with capture_logs() as lines:
        assert configuration.from_environment() is None
    assert lines == [
        {
            "event": "no_telemetry",
            "log_level": "warning",
            "why": "the extra is missing: pip install 'code-executor[otel]'",
        }
    ]


async def test_without_the_variables_nothing_is_around_a_service(variables: pytest.MonkeyPatch) -> None:
    service = Service(*(cast("Any", Scripted()) for _ in range(5)))
    settings = Settings.load()
    async with open_desk(settings) as desk:
        assert isinstance(application(service, settings, desk), Identity)


def test_without_the_variables_nothing_is_loaded(variables: pytest.MonkeyPatch) -> None:
    program = (
        "import sys; from code_executor.app import serving, webserver, bootstrap, cli, telemetry\n"
        "assert telemetry.from_environment() is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk') or name.endswith('r.tracing')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
