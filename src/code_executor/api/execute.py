"""``/api/execute``: run a program, whole or as it goes, or over a WebSocket with its input."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Request, WebSocket
from starlette.responses import Response

from code_executor.api import allowance as told
from code_executor.api import interactive
from code_executor.api.accept import prefers_async, wants_events
from code_executor.api.answers import object_answer, result_fields
from code_executor.api.description import STREAM, request_body
from code_executor.api.identity import caller_of
from code_executor.api.job_schemas import POSTED
from code_executor.api.pieces import cost
from code_executor.api.problems import Refusal
from code_executor.api.requests import parse_executions, require_json
from code_executor.api.schemas import EXAMPLES, PROBLEMS, ExecuteRequest, ExecuteResponse, ResultsResponse
from code_executor.api.streaming import respond, until_disconnect
from code_executor.core.limits import RequestLimits, largest_answer
from code_executor.core.models import Execution
from code_executor.service.ports import Service
from code_executor.service.several import run_each

PATH = "/api/execute"

Endpoint = Callable[[Request], Awaitable[Response]]
PostJob = Callable[[Request, Execution], Awaitable[Response]]


def make_endpoint(service: Service, bounds: RequestLimits, post: PostJob) -> Endpoint:
    """Return what answers a request to run: it takes the request and returns the response, or raises.

    ``post``: makes a job of an execution instead, for a client that prefers not to wait.
    """

    async def execute(request: Request) -> Response:
        """Run a program and answer with its result.

        With `Accept: text/event-stream` the answer is a stream: `started`, then `stdout`, `stderr`, `display`, `file`
        as they come, and last the `result`. Closing the connection stops the run.

        With `Prefer: respond-async` the answer is 202, and the program is a job (`/api/jobs`).
        """
        require_json(request.headers.get("content-type", ""))
        asked = parse_executions(await request.body(), caller_of(request.scope), service.runs.limits, bounds)
        execution = asked.executions[0]
        unusual = asked.several or execution.excerpt is not None
        if unusual and wants_events(request.headers.getlist("accept")):
            asked.require_events()
        if any(name == b"prefer" for name, _ in request.scope["headers"]) and prefers_async(request.headers):
            return await post(request, asked.require_one())
        if asked.several:
            return await _each(request, service, asked.executions)
        return await respond(request, service.runs.stream(execution))

    return execute


async def _each(request: Request, service: Service, executions: Sequence[Execution]) -> Response:
    """Answer with the results of several runs, each of which counts as one."""
    allowance = None
    for _ in executions[1:]:
        allowance = await service.rates.hit(executions[0].caller)
        if allowance is None:
            break
        request.scope[told.LATER] = True
        if not allowance.allowed:
            raise told.refusal(allowance)
    results = await until_disconnect(request.receive, run_each(service.runs, executions))
    most = largest_answer(service.runs.limits)
    size = sum(map(cost, results))
    if size > most:
        raise Refusal(422, f"The results take more than {most} bytes together. Send fewer stdins, or an excerpt.")
    headers = told.headers(allowance) if allowance is not None else None
    return object_answer({"results": [result_fields(each)[0] for each in results]}, size, headers=headers)


def make_router(service: Service, bounds: RequestLimits, execute: Endpoint, origins: tuple[str, ...]) -> APIRouter:
    """Return the routes over ``service``; ``origins``: whose pages may open WebSockets here, besides its own."""
    router = APIRouter(tags=["execute"])
    router.add_api_route(
        PATH,
        execute,
        methods=["POST"],
        summary="Run a program",
        response_model=ExecuteResponse | ResultsResponse,
        responses={
            200: {"description": "The program was run, whatever came of it.", "content": STREAM},
            **POSTED,
            **PROBLEMS,
        },
        openapi_extra=request_body(ExecuteRequest, examples=EXAMPLES),
    )

    @router.websocket(f"{PATH}/ws")
    async def execute_ws(socket: WebSocket) -> None:
        await interactive.serve(socket, service, bounds, origins)

    return router
