"""What OpenTelemetry is told of a webhook: an attempt is a span, below the request for the job if that is known."""

from __future__ import annotations

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from code_executor.jobs.addresses import Allowed
from code_executor.jobs.guard import Guard
from code_executor.jobs.post import Poster
from code_executor.jobs.tracing import TracedPost
from tests.receiver import OK, answer, receiving
from tests.unit.test_telemetry import STANDARD, Memory

pytestmark = pytest.mark.anyio

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def post(memory: Memory) -> TracedPost:
    return TracedPost(Poster(Guard(Allowed(["127.0.0.1"]))), memory.telemetry)


async def test_an_attempt_is_a_span_whose_trace_goes_along(post: TracedPost, memory: Memory) -> None:
    async with receiving(OK) as receiver:
        assert (await post.post(receiver.url(path="/hook?token=hidden"), {"traceparent": TRACE}, b"secret", 2)).ok
    span = memory.spans["POST"]
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.request.resend_count": 2,
        "http.response.status_code": 200,
        "server.address": "127.0.0.1",
        "server.port": receiver.port,
        "url.scheme": "http",
    }
    assert set(span.attributes or {}) <= STANDARD
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == tuple(TRACE.split("-")[1:3])
    assert span.context is not None
    sent = receiver.got[0].headers["traceparent"]
    assert sent == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"
    assert "hidden" not in span.to_json()


async def test_a_failed_attempt_is_an_error(post: TracedPost, memory: Memory) -> None:
    async with receiving(answer(503)) as receiver:
        await post.post(receiver.url(), {}, b"{}")
    span = memory.spans["POST"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "503"
    assert span.parent is None


async def test_an_address_that_is_refused_is_an_error_without_an_answer(post: TracedPost, memory: Memory) -> None:
    assert not (await post.post("nonsense", {}, b"{}")).ok
    assert dict(memory.spans["POST"].attributes or {}) == {"http.request.method": "POST", "error.type": "no_answer"}
