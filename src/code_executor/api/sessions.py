"""``/api/sessions``: an interpreter that lives on between requests, and runs one cell after another."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from code_executor.api.answers import Json, object_answer, result_fields
from code_executor.api.description import STREAM, request_body
from code_executor.api.identity import caller_of, is_allowed, origins_of
from code_executor.api.problems import Refusal
from code_executor.api.requests import parse_cell, parse_input, parse_key, parse_session, require_json
from code_executor.api.schemas import (
    PROBLEMS,
    CellRequest,
    ExecuteResponse,
    InputRequest,
    SessionListResponse,
    SessionRequest,
    SessionResponse,
    described,
)
from code_executor.api.streaming import respond, until_disconnect
from code_executor.core.codec import session_object
from code_executor.core.limits import RequestLimits, limits_of
from code_executor.core.models import Interrupt
from code_executor.service.ports import Service

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern="^[ -~]+$",
        description="Up to 255 characters of your choice that make it safe to ask again after a lost answer: while the "
        "session that you opened with this key lives, the answer is that one.",
    ),
]
Name = Annotated[str, Path(description="The session's `id`.")]

Number = Annotated[int, Path(ge=1, description="Of the cell: `cells` of the session, which is the last one's.")]

UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: described("No such session of yours, or it has ended; or this service has none.")
}
_NO_LIST = "This service has no sessions, or does not list them."
_BUSY: dict[int | str, dict[str, Any]] = {
    409: described("A cell is already running; or, for input and interrupt, none is, or it takes no more input.")
}
_EXAMPLES = {
    "assign": {"summary": "Keep a value", "value": {"code": "x = 41"}},
    "show": {"summary": "Use it in the next cell", "value": {"code": "x + 1", "timeout": 5}},
}


def _without(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: description for code, description in PROBLEMS.items() if code not in codes}


class _Endpoints:
    """What answers each route. ``origins``: whose pages may open sessions here, besides its own."""

    def __init__(self, service: Service, bounds: RequestLimits, origins: tuple[str, ...]) -> None:
        self._runs = service.runs
        self._sessions = service.sessions
        self._bounds = bounds
        self._origins = origins

    async def list(self, request: Request) -> Response:
        """Say which sessions you have: those that were opened from your address."""
        infos = await self._sessions.list(caller_of(request.scope))
        return Json({"sessions": [session_object(info) for info in infos]})

    async def open(self, request: Request, key: Key = None) -> Response:
        """Take a sandbox for yourself, with an interpreter that runs one cell after another.

        It ends when you end it, when no cell ran for a while, and when it is old; its sandbox is then destroyed.
        While nothing was done in it, it ends after 30 seconds, and makes room for your next one. It counts as a run.
        """
        # needs no body, and so browsers would let any page ask for one without asking us
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if not is_allowed(origin, host, (*self._origins, *origins_of(request.scope)), request.scope["scheme"]):
            raise Refusal(403, "Pages of other sites may not open sessions here.")
        body = await request.body()
        if body:
            require_json(request.headers.get("content-type", ""))
        asked = parse_session(body, self._bounds)
        opening = self._sessions.open(
            caller_of(request.scope),
            asked.files,
            parse_key(key),
            interactive=asked.interactive,
            environment=asked.environment,
            policy=asked.policy,
        )
        info = await until_disconnect(request.receive, opening)
        if key is None and await request.is_disconnected():  # with a key, the next request is for this one
            await self._sessions.end(info.id, caller_of(request.scope))
            raise ClientDisconnect
        return Json(session_object(info), 201, {"Location": f"/api/sessions/{info.id}"})

    async def show(self, session: Name, request: Request) -> Response:
        """Say whether a cell runs or waits for input, and how long the session may live."""
        return Json(session_object(await self._sessions.info(session, caller_of(request.scope))))

    async def restart(self, session: Name, request: Request) -> Response:
        """Give it a new interpreter in a new sandbox, under the same `id`; a cell that runs is ended.

        The files that it was opened with are put there again. All else is gone: variables, the files that were made or
        put later, and the count of cells. Its time begins anew. It counts as a run.
        """
        await self._sessions.info(session, caller_of(request.scope))
        restarting = self._sessions.restart(session, caller_of(request.scope))
        return Json(session_object(await until_disconnect(request.receive, restarting)))

    async def show_result(self, session: Name, number: Number, request: Request) -> Response:
        """Answer again what the last cell was answered with, for you if you lost it."""
        return object_answer(*result_fields(await self._sessions.result(session, caller_of(request.scope), number)))

    async def run_cell(self, session: Name, request: Request) -> Response:
        """Run a cell in what the cells before have left, and answer as `/api/execute` does.

        With `Accept: text/event-stream` the answer is a stream of the same events, and of `waiting` when the cell waits
        for input. Closing the connection interrupts the cell. It counts as a run.
        """
        require_json(request.headers.get("content-type", ""))
        await self._sessions.info(session, caller_of(request.scope))  # nobody sends a body to a session that is not
        limits = limits_of(caller_of(request.scope), self._runs.limits)
        cell = parse_cell(await request.body(), limits, self._bounds)
        return await respond(request, self._sessions.stream(session, caller_of(request.scope), cell))

    async def give_input(self, session: Name, request: Request) -> Response:
        """Send it a piece of its standard input, or say that it ends here."""
        require_json(request.headers.get("content-type", ""))
        await self._sessions.info(session, caller_of(request.scope))
        for piece in parse_input(await request.body(), self._bounds):
            await self._sessions.send(session, caller_of(request.scope), piece)
        return Response(status_code=204)

    async def interrupt(self, session: Name, request: Request) -> Response:
        """Do what Ctrl-C does: the cell ends, if it does not catch it, and the session goes on."""
        await self._sessions.send(session, caller_of(request.scope), Interrupt())
        return Response(status_code=204)

    async def end(self, session: Name, request: Request) -> Response:
        """End it, and the cell that it runs; its sandbox is destroyed."""
        await self._sessions.end(session, caller_of(request.scope))
        return Response(status_code=204)


def make_router(service: Service, bounds: RequestLimits, origins: tuple[str, ...]) -> APIRouter:
    """Return the routes over ``service``; ``origins``: whose pages may open sessions here, besides its own."""
    router = APIRouter(prefix="/api/sessions", tags=["sessions"])
    endpoints = _Endpoints(service, bounds, origins)
    router.post(
        "",
        status_code=201,
        summary="Open a session",
        response_model=SessionResponse,
        responses={
            403: described("The request comes from a page of another site."),
            409: described("A session is being opened with this key, or was opened with it and another body."),
            **UNKNOWN,
            **PROBLEMS,
        },
        openapi_extra=request_body(SessionRequest, required=False),
    )(endpoints.open)
    router.get(
        "", summary="List your sessions", response_model=SessionListResponse, responses={404: described(_NO_LIST)}
    )(endpoints.list)
    router.post(
        "/{session}/restart",
        summary="Restart a session",
        response_model=SessionResponse,
        responses={409: described("It is being restarted already."), **UNKNOWN, **_without(400, 408, 413, 415, 422)},
    )(endpoints.restart)
    router.get(
        "/{session}/cells/{number}",
        summary="Show the result of the last cell again",
        response_model=ExecuteResponse,
        responses={
            404: described("No such session of yours, or not its last cell; or this service has no sessions."),
            409: described("The cell is still running."),
            422: described("The number is none."),
        },
    )(endpoints.show_result)
    router.get("/{session}", summary="Show a session", response_model=SessionResponse, responses=UNKNOWN)(
        endpoints.show
    )
    router.post(
        "/{session}/cells",
        summary="Run a cell",
        response_model=ExecuteResponse,
        responses={
            200: {"description": "The cell was run, whatever came of it.", "content": STREAM},
            **UNKNOWN,
            **_BUSY,
            **PROBLEMS,
        },
        openapi_extra=request_body(CellRequest, examples=_EXAMPLES),
    )(endpoints.run_cell)
    router.post(
        "/{session}/stdin",
        status_code=204,
        summary="Give the running cell input",
        responses={**UNKNOWN, **_BUSY, **_without(429, 500, 503)},
        openapi_extra=request_body(InputRequest),
    )(endpoints.give_input)
    router.post(
        "/{session}/interrupt",
        status_code=204,
        summary="Interrupt the running cell",
        responses={**UNKNOWN, **_BUSY},
    )(endpoints.interrupt)
    router.delete("/{session}", status_code=204, summary="End a session", responses=UNKNOWN)(endpoints.end)
    return router
