"""OpenTelemetry: spans and measurements of runs, by an observer around a service. Loaded only where it is configured.

    POST /api/execute            api.tracing
      └─ execute python          with what came of it
           ├─ queue              until there is a sandbox
           └─ sandbox            until there is a result

A program that fails is no error of the service: only our own failures make a span one. Code, input and output are in no
span, and neither are clients.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from code_executor.core.caller import Caller
from code_executor.core.errors import CallerBusyError, CodeExecutorError, SessionError
from code_executor.core.limits import Limits
from code_executor.core.models import (
    Cell,
    Event,
    Execution,
    File,
    FileAnswer,
    FileOrder,
    Input,
    Interrupt,
    Output,
    Reason,
    Result,
    SessionInfo,
    Started,
    Stdin,
)
from code_executor.core.runner import Runner
from code_executor.service.ports import Service, SessionDesk

_NAME = "code_executor"
_SCHEMA = "https://opentelemetry.io/schemas/1.41.0"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)
_BETWEEN_PROCESSES = TraceContextTextMapPropagator()
_THEIRS = (CallerBusyError, SessionError)
"""Failures that the client can help, which HTTP answers with a 4xx."""


class Telemetry:
    """The tracer and the instruments of one process."""

    def __init__(self, tracers: trace.TracerProvider, meters: metrics.MeterProvider, version: str) -> None:
        self.tracer = tracers.get_tracer(_NAME, version, schema_url=_SCHEMA)
        meter = meters.get_meter(_NAME, version, schema_url=_SCHEMA)

        def seconds(name: str, description: str) -> metrics.Histogram:
            return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_SECONDS)

        self.requests = seconds("http.server.request.duration", "Duration of HTTP server requests.")
        self._executions = seconds("code_executor.execution.duration", "Time of the run alone.")
        self._queued = seconds("code_executor.queue.duration", "Time of waiting for a sandbox.")
        self._cpu = meter.create_counter("code_executor.cpu.time", "s", "Processor time of runs.")

    def around(self, service: Service) -> Service:
        """Return the service with its runs and cells observed."""
        runs, sessions = TracedRunner(service.runs, self), TracedDesk(service.sessions, self)
        return Service(runs, sessions, service.rates, service.health, service.environments)

    @staticmethod
    def exemplar() -> dict[str, str] | None:
        """Return the ids of the current span, if it is kept: so that a histogram can name it."""
        current = trace.get_current_span().get_span_context()
        if not (current.is_valid and current.trace_flags.sampled):
            return None
        return {"trace_id": trace.format_trace_id(current.trace_id), "span_id": trace.format_span_id(current.span_id)}

    @staticmethod
    def carried() -> str:
        """Return the current span as a ``traceparent``, for another process; empty where there is none."""
        carrier: dict[str, str] = {}
        _BETWEEN_PROCESSES.inject(carrier)
        return carrier.get("traceparent", "")

    @staticmethod
    @contextmanager
    def under(traceparent: str) -> Iterator[None]:
        """Let the span of another process be the current one, for the length of the block."""
        token = context.attach(_BETWEEN_PROCESSES.extract({"traceparent": traceparent}))
        try:
            yield
        finally:
            context.detach(token)

    async def follow(self, run: AsyncGenerator[Event, None], name: str, use: str) -> AsyncGenerator[Event, None]:
        """Pass on the events of a run or cell, with this id, in a span with two parts below the current one."""
        span = self.tracer.start_span("execute python", attributes={"code_executor.id": name, "code_executor.use": use})
        below = trace.set_span_in_context(span)
        part = self.tracer.start_span("queue", below)
        silent, ended = True, False
        try:
            async with aclosing(run) as events:
                async for event in events:
                    if isinstance(event, Started):
                        part = self._lent(part, below, event, use)
                    elif isinstance(event, Output) and silent:
                        silent = False
                        part.add_event("first_output")
                    elif isinstance(event, Result):
                        ended = True
                        self._tell(span, event, use)
                    yield event
        except CodeExecutorError as error:
            _failed(span, error)
            raise
        except (GeneratorExit, asyncio.CancelledError):
            if not ended:  # else whoever had the result has left
                span.set_attribute("code_executor.reason", Reason.CANCELLED.value)
            raise
        finally:
            part.end()
            span.end()

    def _lent(self, queue: Span, below: Context, event: Started, use: str) -> Span:
        """End the one part and begin the other."""
        queue.end()
        self._queued.record(event.queue_time / 1000, {"code_executor.use": use})
        part = self.tracer.start_span("sandbox", below)
        if event.kind:  # in the process that has the pools
            part.set_attributes({"code_executor.kind": event.kind, "code_executor.own_kind": event.own})
        if event.environment:
            part.set_attribute("code_executor.environment", event.environment)
        return part

    def _tell(self, span: Span, result: Result, use: str) -> None:
        outcome = {
            "code_executor.use": use,
            "code_executor.status": result.status.value,
            "code_executor.reason": result.reason.value,
        }
        self._executions.record(result.execution_time / 1000, outcome)
        self._cpu.add(result.cpu_time / 1000, {"code_executor.use": use})
        span.set_attributes(
            {
                **outcome,
                "code_executor.queue_time": result.queue_time / 1000,
                "code_executor.cpu_time": result.cpu_time / 1000,
                "code_executor.memory": result.memory,
                "code_executor.truncated": result.truncated,
                **({} if result.exit_code is None else {"process.exit.code": result.exit_code}),
            }
        )
        if result.reason is Reason.INTERNAL:
            span.set_attribute("error.type", Reason.INTERNAL.value)
            span.set_status(StatusCode.ERROR)


def _failed(span: Span, error: CodeExecutorError) -> None:
    span.set_attribute("error.type", type(error).__name__)
    if not isinstance(error, _THEIRS):
        span.set_status(StatusCode.ERROR)


class TracedRunner:
    """A `Runner`. What runs a session is no run of its own: its cells are."""

    def __init__(self, inner: Runner, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        run = self._inner.stream(execution, inputs)
        if execution.session:
            return run
        return self._telemetry.follow(run, execution.id, "check" if execution.check_only else "run")


class TracedDesk:
    """A `SessionDesk` whose cells are observed."""

    def __init__(self, inner: SessionDesk, telemetry: Telemetry) -> None:
        self._inner = inner
        self._telemetry = telemetry

    def stream(self, name: str, caller: Caller, cell: Cell) -> AsyncGenerator[Event, None]:
        return self._telemetry.follow(self._inner.stream(name, caller, cell), cell.id, "cell")

    async def open(
        self,
        caller: Caller,
        files: tuple[File, ...] = (),
        key: str = "",
        *,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> SessionInfo:
        how: dict[str, Any] = {"interactive": interactive, "environment": environment, "policy": policy}
        return await self._inner.open(caller, files, key, **how)

    async def restart(self, name: str, caller: Caller) -> SessionInfo:
        return await self._inner.restart(name, caller)

    async def list(self, caller: Caller) -> Sequence[SessionInfo]:
        return await self._inner.list(caller)

    async def info(self, name: str, caller: Caller) -> SessionInfo:
        return await self._inner.info(name, caller)

    async def result(self, name: str, caller: Caller, number: int) -> Result:
        return await self._inner.result(name, caller, number)

    async def send(self, name: str, caller: Caller, item: Stdin | Interrupt) -> None:
        await self._inner.send(name, caller, item)

    async def order(self, name: str, caller: Caller, order: FileOrder) -> FileAnswer:
        return await self._inner.order(name, caller, order)

    async def end(self, name: str, caller: Caller) -> None:
        await self._inner.end(name, caller)
