"""``/api/check``: what the policy or the compiler refuses of a program, without running it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from code_executor.api.answers import Json
from code_executor.api.description import request_body
from code_executor.api.identity import caller_of
from code_executor.api.problems import Refusal
from code_executor.api.requests import parse_check, require_json
from code_executor.api.schemas import PROBLEMS, CheckRequest, CheckResponse
from code_executor.api.streaming import until_disconnect
from code_executor.core.codec import Object, check_object
from code_executor.core.limits import RequestLimits
from code_executor.core.models import Reason, Result
from code_executor.core.runner import run
from code_executor.service.ports import Service

_OUT_OF_TIME = frozenset({Reason.WALL_TIME, Reason.CPU_TIME})
_CHECKED = frozenset({Reason.COMPLETED, Reason.POLICY, Reason.SYNTAX})


def make_router(service: Service, bounds: RequestLimits) -> APIRouter:
    """Return the route over ``service``."""
    router = APIRouter(tags=["execute"])

    @router.post(
        "/api/check",
        summary="Check a program without running it",
        response_model=CheckResponse,
        responses=PROBLEMS,
        openapi_extra=request_body(CheckRequest),
    )
    async def check(request: Request) -> Response:
        """Say what the policy or the compiler refuses. It is counted apart from runs, and has two seconds."""
        require_json(request.headers.get("content-type", ""))
        execution = parse_check(await request.body(), caller_of(request.scope), bounds)
        result = await until_disconnect(request.receive, run(service.runs, execution))
        return Json(checked(result, bounds))

    return router


def checked(result: Result, bounds: RequestLimits) -> Object:
    """Return the object of a check; raise ``Refusal`` for one that did not come to its end."""
    if result.reason in _OUT_OF_TIME:
        raise Refusal(
            422,
            f"The check was stopped after {bounds.check:g} seconds, the maximum: the source takes too long to compile.",
            reason=result.reason.value,
        )
    if result.reason not in _CHECKED:
        raise Refusal(422, f"The check did not finish: {result.error}", reason=result.reason.value)
    return check_object(result)
