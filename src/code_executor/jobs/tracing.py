"""Webhooks for OpenTelemetry: a span of each attempt. Loaded only where it is configured."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, StatusCode

from code_executor.core.errors import WebhookRefusedError
from code_executor.jobs.guard import take_apart
from code_executor.jobs.sender import Post
from code_executor.jobs.webhooks import Answer
from code_executor.service.telemetry import Telemetry


class TracedPost:
    """A `Post`. Its span is below that of the request for the job, where that is known."""

    def __init__(self, inner: Post, telemetry: Telemetry) -> None:
        self._inner = inner
        self._tracer = telemetry.tracer

    @property
    def timeout(self) -> float:
        return self._inner.timeout

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, attempts: int = 0) -> Answer:
        about: dict[str, str | int] = {"http.request.method": "POST"}
        try:
            place = take_apart(url)
        except WebhookRefusedError:  # which the answer will say
            pass
        else:
            about |= {"server.address": place.host, "server.port": place.port, "url.scheme": place.scheme}
        if attempts:
            about["http.request.resend_count"] = attempts
        above = propagate.extract(headers)
        with self._tracer.start_as_current_span("POST", above, SpanKind.CLIENT, about) as span:
            carried = dict(headers)
            propagate.inject(carried)
            answer = await self._inner.post(url, carried, body, attempts)
            if answer.status is not None:
                span.set_attribute("http.response.status_code", answer.status)
            if not answer.ok:
                span.set_attribute("error.type", "no_answer" if answer.status is None else str(answer.status))
                span.set_status(StatusCode.ERROR)
            return answer
