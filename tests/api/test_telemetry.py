"""A served process sends spans and measurements to a collector, if the standard variables say so."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.api.conftest import execute
from tests.api.test_keys import made
from tests.api.test_webhooks import Receiver
from tests.conftest import Serve


@dataclass
class Collector:
    url: str = ""
    spans: list[tuple[dict[str, Any], Any]] = field(default_factory=list)
    """Each span, and what its process says of itself."""
    metrics: set[str] = field(default_factory=set)

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                about = values(resource.resource.attributes)
                self.spans += [(about, span) for scope in resource.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for told in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name for scope in told.scope_metrics for metric in scope.metrics}

    def named(self, name: str) -> list[Any]:
        return [span for _, span in self.spans if span.name == name]


def values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_spans_of_requests_and_runs_and_measurements_arrive(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "a-course")
        settings = {"rate_limit": "off", "pool_size": 2, "preload": "", "workers": workers}
        with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            name = execute(client, "print(1)")["id"]
            session = client.post("/api/sessions", json={}).json()["id"]
            assert client.post(f"/api/sessions/{session}/cells", json={"code": "1"}).status_code == 200
            client.delete(f"/api/sessions/{session}")
            until(lambda: collector.named("POST /api/sessions/{session}/cells"))
            assert {about["service.name"] for about, _ in collector.spans} == {"a-course"}
            (server_span,) = collector.named("POST /api/execute")
            runs = {values(span.attributes)["code_executor.use"]: span for span in collector.named("execute python")}
            assert runs["run"].parent_span_id == server_span.span_id
            assert values(runs["run"].attributes)["code_executor.id"] == name
            (cells_span,) = collector.named("POST /api/sessions/{session}/cells")
            assert runs["cell"].parent_span_id == cells_span.span_id
            assert len(collector.named("sandbox")) == len(runs) == 2
            assert session not in str(collector.spans)
            assert not [span for span in collector.spans if "/metrics" in str(span)]
        assert {"http.server.request.duration", "code_executor.execution.duration"} <= collector.metrics  # at its end
        (line,) = (line for line in server.log if line["event"] == "execution")
        assert line["trace_id"] == server_span.trace_id.hex()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_histogram_names_the_trace_of_a_run(serve: Serve, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        settings = {"rate_limit": "off", "pool_size": 2, "preload": "", "workers": workers}
        headers = {"traceparent": f"00-{'4b' * 16}-{'f0' * 8}-01"}
        suite = {"tests": [{"kind": "io", "expected": "1\n"}]}
        with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            assert client.post("/api/execute", json={"code": "print(1)"}, headers=headers).status_code == 200
            graded = client.post("/api/grade", json={"code": "print(1)", "suite": suite}, headers=headers)
            assert graded.json()["verdict"] == "passed"
            plain = client.get("/metrics")
            told = client.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "4b4b" not in plain.text
    assert told.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    families = list(text_string_to_metric_families(told.text))  # type: ignore[no-untyped-call]  # the library's
    named = {
        family.name: sample.exemplar.labels["trace_id"]
        for family in families
        for sample in family.samples
        if sample.exemplar is not None
    }
    seconds = ("execution_seconds", "queue_seconds", "total_seconds", "memory_bytes", "grade_seconds")
    assert named == {f"code_executor_{name}": "4b" * 16 for name in seconds}


def test_measurements_alone_name_no_traces(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.url}/v1/metrics")
        settings = {"rate_limit": "off", "pool_size": 1, "preload": ""}
        with serve("native", **settings) as server, httpx.Client(base_url=server.url, timeout=60) as client:
            execute(client, "print(1)")
            told = client.get("/metrics", headers={"Accept": "application/openmetrics-text"}).text
    assert "code_executor_execution_seconds_count 1.0" in told
    assert "trace_id" not in told


def test_the_span_of_a_webhook_is_of_the_trace_that_asked_for_the_job(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = made(tmp_path, "moodle", "--scope", "run,jobs")
    receiver = Receiver()
    asked = {"kind": "execute", "request": {"code": "print(1)"}, "callbackUrl": receiver.url}
    headers = {"Authorization": f"Bearer {key}", "traceparent": f"00-{'4b' * 16}-{'f0' * 8}-01"}
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        settings = {"rate_limit": "off", "pool_size": 2, "preload": "", "data": tmp_path, "webhook_allow": "127.0.0.1"}
        with serve("native", "--workers", "2", **settings) as server:
            assert httpx.post(f"{server.url}/api/jobs", json=asked, headers=headers).status_code == 202
            until(lambda: collector.named("POST"))
            (span,) = collector.named("POST")
    receiver.close()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == ("4b" * 16, "f0" * 8)
    assert values(span.attributes)["http.response.status_code"] == 200
    ((told, _),) = receiver.got
    assert told["traceparent"] == f"00-{'4b' * 16}-{span.span_id.hex()}-01"


def test_a_collector_that_is_not_there_keeps_nobody_from_running(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:8798")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with serve("native", rate_limit="off", pool_size=1, preload="") as server:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(3):
                assert execute(client, "print(1)")["output"] == "1\n"
                time.sleep(0.2)
        assert server.stop() == 0
