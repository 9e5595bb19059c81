"""The routes: read the request, ask the service, write the answer. Nothing else happens here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse, PlainTextResponse, Response

from code_executor.api.errors import MEDIA_TYPE, Refusal, from_validation
from code_executor.api.schemas import (
    EXAMPLES,
    ExecuteRequest,
    ExecuteResponse,
    ProblemDetails,
    request_schema,
    result_to_wire,
)
from code_executor.api.streaming import EventStream, until_disconnect
from code_executor.executor import run
from code_executor.models import Execution, Reason
from code_executor.service import Service

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class RequestLimits:
    """Bytes of source and of stdin that a request may have."""

    code: int = 256 << 10
    stdin: int = 1 << 20

    @property
    def body(self) -> int:
        """Bytes of a body: JSON may spell one byte with six (an escape), and there are the arguments and the rest."""
        return 6 * (self.code + self.stdin) + (1 << 20)


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {"description": description, "model": ProblemDetails, "content": {MEDIA_TYPE: {"schema": schema}}}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: _problem("The body is not JSON."),
    408: _problem("The body took too long to arrive."),
    413: _problem("The body, the code or the stdin is too large."),
    415: _problem("The body is not declared as JSON."),
    422: _problem("The JSON is not a request: something is missing, unknown or out of range."),
    429: _problem("Rate limit exceeded; see Retry-After."),
    500: _problem("The service failed; a retry is safe. What the program had written is in `output` and `error`."),
    503: _problem("Every sandbox is busy; see Retry-After."),
}


def execution_of(body: bytes, request: Request, service: Service, most: RequestLimits) -> Execution:
    """Read and check a body; raise ``Refusal``."""
    declared = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Refusal(415, f"Content-Type must be application/json, not {declared or 'missing'}.")
    try:
        asked = ExecuteRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None
    for name, text, limit in (("code", asked.code, most.code), ("stdin", asked.stdin, most.stdin)):
        if len(text) > limit or len(text.encode("utf-8", "surrogatepass")) > limit:
            raise Refusal(413, f"{name} is larger than {limit} bytes.")
    longest = service.limits.wall_time
    if asked.timeout is not None and asked.timeout > longest:
        message = f"Input should be less than or equal to {longest:g}"
        raise Refusal(422, f"timeout: {message}", errors=[{"field": "timeout", "message": message}])
    client = request.client.host if request.client else ""
    return Execution(asked.code, asked.stdin, tuple(asked.args), asked.timeout, client=client)


def make_router(service: Service, most: RequestLimits) -> APIRouter:
    """Return the routes over ``service``."""
    router = APIRouter()
    schema = request_schema(service.limits)

    @router.post(
        "/api/execute",
        summary="Run a program",
        response_model=ExecuteResponse,
        responses={
            200: {
                "description": "The program was run, whatever came of it.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **PROBLEMS,
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "examples": EXAMPLES}},
            }
        },
        tags=["execute"],
    )
    async def execute(request: Request) -> Response:
        """Run a program and answer with its result.

        With `Accept: text/event-stream` the answer is a stream: `started`, then `stdout` and `stderr` as they are
        written, and last the `result`. Closing the connection stops the run.
        """
        execution = execution_of(await request.body(), request, service, most)
        if "text/event-stream" in request.headers.get("accept", ""):
            events = service.stream(execution)
            return EventStream(await anext(events), events)
        result = await until_disconnect(request.receive, run(service, execution))
        wire = result_to_wire(result)
        if result.reason is Reason.INTERNAL:
            raise Refusal(500, result.error.rpartition("\n")[2], **{k: v for k, v in wire.items() if k != "status"})
        return JSONResponse(wire)

    @router.get("/healthz", summary="Is the process alive?", tags=["operations"])
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it run programs?",
        tags=["operations"],
        responses={503: _problem("Not now; see detail.")},
    )
    async def readyz() -> dict[str, str]:
        readiness = await service.readiness()
        if not readiness.ready:
            raise Refusal(503, readiness.why, {"Retry-After": "5"})
        return {"status": "ready", "engine": readiness.engine}

    @router.get(
        "/metrics",
        summary="Prometheus metrics",
        tags=["operations"],
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        return Response(await service.metrics(), media_type=_PROMETHEUS)

    return router
