"""The routes of sessions: an interpreter that lives on between requests, and runs one cell after another."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse, Response

from code_executor.api.errors import Refusal
from code_executor.api.interactive import is_allowed
from code_executor.api.requests import RequestLimits, parse_cell, parse_input, parse_session, require_json
from code_executor.api.schemas import (
    PROBLEMS,
    CellRequest,
    ExecuteResponse,
    InputRequest,
    SessionRequest,
    SessionResponse,
    problem,
    request_schema,
    session_to_wire,
)
from code_executor.api.streaming import respond, until_disconnect
from code_executor.models import Interrupt
from code_executor.ratelimit import client_key
from code_executor.service import Service

Name = Annotated[str, Path(description="The session's `id`.")]

_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: problem("No such session of yours, or it has ended; or this service has none.")
}
_BUSY: dict[int | str, dict[str, Any]] = {409: problem("A cell is running, or none is where one must be.")}
_EXAMPLES = {
    "assign": {"summary": "Keep a value", "value": {"code": "x = 41"}},
    "show": {"summary": "Use it in the next cell", "value": {"code": "x + 1", "timeout": 5}},
}


def _body(schema: dict[str, Any], *, required: bool = True, examples: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"schema": schema, **({"examples": examples} if examples else {})}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def _without(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: described for code, described in PROBLEMS.items() if code not in codes}


def make_router(service: Service, most: RequestLimits, origins: tuple[str, ...]) -> APIRouter:
    """Return the routes over ``service``; ``origins``: whose pages may open sessions here, besides its own."""
    router = APIRouter(prefix="/api/sessions", tags=["sessions"])

    @router.post(
        "",
        status_code=201,
        summary="Open a session",
        response_model=SessionResponse,
        responses={403: problem("A page of another site asks."), **_UNKNOWN, **PROBLEMS},
        openapi_extra=_body(request_schema(service.limits, SessionRequest), required=False),
    )
    async def open_session(request: Request) -> Response:
        """Take a sandbox for yourself, with an interpreter that runs one cell after another.

        It ends when you end it, when no cell ran for a while, and when it is old; its sandbox is then destroyed.
        It counts as a run.
        """
        # needs no body, and so browsers would let any page ask for one without asking us
        if not is_allowed(request.headers.get("origin"), request.headers.get("host", ""), origins):
            raise Refusal(403, "Pages of other sites may not open sessions here.")
        body = await request.body()
        if body:
            require_json(request.headers.get("content-type", ""))
        files = parse_session(body, most)
        info = await until_disconnect(request.receive, service.open_session(_client(request), files))
        return JSONResponse(session_to_wire(info), 201, {"Location": f"/api/sessions/{info.id}"})

    @router.get("/{session}", summary="How does it stand?", response_model=SessionResponse, responses={**_UNKNOWN})
    async def show_session(session: Name, request: Request) -> Response:
        """Say whether a cell runs or waits for input, and how long the session may live."""
        return JSONResponse(session_to_wire(await service.session(session, _client(request))))

    @router.post(
        "/{session}/cells",
        summary="Run a cell",
        response_model=ExecuteResponse,
        responses={
            200: {
                "description": "The cell was run, whatever came of it.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **_UNKNOWN,
            **_BUSY,
            **PROBLEMS,
        },
        openapi_extra=_body(request_schema(service.limits, CellRequest), examples=_EXAMPLES),
    )
    async def run_cell(session: Name, request: Request) -> Response:
        """Run a cell in what the cells before have left, and answer as `/api/execute` does.

        With `Accept: text/event-stream` the answer is a stream of the same events, and of `waiting` when the cell waits
        for input. Closing the connection interrupts the cell. It counts as a run.
        """
        require_json(request.headers.get("content-type", ""))
        client = _client(request)
        cell = parse_cell(await request.body(), client, service.limits, most)
        return await respond(request, service.stream_cell(session, client, cell))

    @router.post(
        "/{session}/stdin",
        status_code=204,
        summary="Give the running cell input",
        responses={**_UNKNOWN, **_BUSY, **_without(429, 500, 503)},
        openapi_extra=_body(InputRequest.model_json_schema()),
    )
    async def give_input(session: Name, request: Request) -> Response:
        """Send it a piece of its standard input."""
        require_json(request.headers.get("content-type", ""))
        await service.send(session, _client(request), parse_input(await request.body(), most))
        return Response(status_code=204)

    @router.post(
        "/{session}/interrupt",
        status_code=204,
        summary="Interrupt the running cell",
        responses={**_UNKNOWN, **_BUSY},
    )
    async def interrupt(session: Name, request: Request) -> Response:
        """Do what Ctrl-C does: the cell ends, if it does not catch it, and the session goes on."""
        await service.send(session, _client(request), Interrupt())
        return Response(status_code=204)

    @router.delete("/{session}", status_code=204, summary="End a session", responses={**_UNKNOWN})
    async def end_session(session: Name, request: Request) -> Response:
        """End it, and the cell that it runs; its sandbox is destroyed."""
        await service.end_session(session, _client(request))
        return Response(status_code=204)

    return router


def _client(request: Request) -> str:
    return client_key(request.client.host if request.client else "unknown")
