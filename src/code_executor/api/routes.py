"""The routes: read the request, ask the service, write the answer. Nothing else happens here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, WebSocket
from starlette.responses import JSONResponse, PlainTextResponse, Response

from code_executor.api import interactive
from code_executor.api.errors import Refusal
from code_executor.api.requests import RequestLimits, parse_check, parse_execution, require_json
from code_executor.api.schemas import (
    EXAMPLES,
    PROBLEMS,
    CheckRequest,
    CheckResponse,
    ExecuteResponse,
    problem,
    problem_to_wire,
    request_schema,
)
from code_executor.api.streaming import respond, until_disconnect
from code_executor.executor import run
from code_executor.models import Reason
from code_executor.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

_CHECKED = frozenset({Reason.COMPLETED, Reason.POLICY, Reason.SYNTAX})
_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def make_execute(service: Service, most: RequestLimits) -> Endpoint:
    """Return what answers a request to run: it takes the request and returns the response, or raises."""

    async def execute(request: Request) -> Response:
        """Run a program and answer with its result.

        With `Accept: text/event-stream` the answer is a stream: `started`, then `stdout`, `stderr`, `display`, `file`
        as they come, and last the `result`. Closing the connection stops the run.
        """
        require_json(request.headers.get("content-type", ""))
        client = request.client.host if request.client else ""
        execution = parse_execution(await request.body(), client, service.limits, most)
        return await respond(request, service.stream(execution))

    return execute


def make_router(service: Service, most: RequestLimits, execute: Endpoint, origins: tuple[str, ...]) -> APIRouter:
    """Return the routes over ``service``; ``origins``: whose pages may open WebSockets here, besides its own."""
    router = APIRouter()
    schema = request_schema(service.limits)

    router.post(
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
    )(execute)

    @router.post(
        "/api/check",
        summary="Check a program without running it",
        response_model=CheckResponse,
        responses=PROBLEMS,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": CheckRequest.model_json_schema()}},
            }
        },
        tags=["execute"],
    )
    async def check(request: Request) -> Response:
        """Say what the policy or the compiler refuses. It is counted apart from runs."""
        require_json(request.headers.get("content-type", ""))
        client = request.client.host if request.client else ""
        execution = parse_check(await request.body(), client, most)
        result = await until_disconnect(request.receive, run(service, execution))
        if result.reason not in _CHECKED:
            raise Refusal(422, f"The check did not come to an end: {result.error}", reason=result.reason.value)
        problems = [problem_to_wire(each) for each in result.problems]
        return JSONResponse(
            {"ok": not problems, "reason": result.reason.value if problems else None, "problems": problems}
        )

    @router.websocket("/api/execute/ws")
    async def execute_ws(socket: WebSocket) -> None:
        await interactive.serve(socket, service, most, origins)

    @router.get("/healthz", summary="Is the process alive?", tags=["operations"])
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get(
        "/readyz",
        summary="Can it run programs?",
        tags=["operations"],
        responses={503: problem("Not now; see detail.")},
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
