"""``/api/suites``: tests that are stored once, under a name, and graded with many times."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from code_executor.api.answers import Json, object_answer
from code_executor.api.description import request_body
from code_executor.api.grade import owner_of
from code_executor.api.identity import caller_of
from code_executor.api.requests import require_json
from code_executor.api.schemas import PROBLEMS, described
from code_executor.api.suite_requests import parse_suite
from code_executor.api.suite_schemas import SuiteIn, SuiteResponse, SuiteStored
from code_executor.core.codec import Object
from code_executor.core.limits import RequestLimits
from code_executor.grading.store import Kept, Suites
from code_executor.grading.suite import NAME
from code_executor.service.ports import Service

Name = Annotated[str, Path(description="What the suite is called.", pattern=rf"^{NAME.pattern}$")]
Reference = Annotated[
    str,
    Path(
        description="What the suite is called; with `@` and a version, that version instead of the newest.",
        pattern=rf"^{NAME.pattern}(@[0-9a-f]{{64}})?$",
    ),
]


def make_router(service: Service, suites: Suites, bounds: RequestLimits) -> APIRouter:
    """Return the routes over ``suites``."""
    router = APIRouter(tags=["grade"], prefix="/api/suites")

    @router.put(
        "/{name}",
        summary="Store a suite",
        response_model=SuiteStored,
        responses={
            201: {"description": "The version is new.", "model": SuiteStored},
            **PROBLEMS,
            507: described("There is no room for more suites."),
        },
        openapi_extra=request_body(SuiteIn),
    )
    async def put(request: Request, name: Name) -> Response:
        """Store a version of a suite, which is the newest then. What is stored never changes.

        The same content is the same version, whoever stores it, however often, and whatever its JSON looks like.
        """
        require_json(request.headers.get("content-type", ""))
        caller = caller_of(request.scope)
        suite = await parse_suite(await request.body(), caller, service.runs.limits, bounds)
        kept, made = await suites.put(owner_of(request), name, suite)
        return Json(_stored(kept, len(suite.tests)), 201 if made else 200)

    @router.get(
        "/{name}",
        summary="Return a suite",
        response_model=SuiteResponse,
        responses={404: described("There is no such suite."), 422: PROBLEMS[422], 503: PROBLEMS[503]},
    )
    async def get(request: Request, name: Reference) -> Response:
        """Return a version of a suite, with everything that was left out of it."""
        kept = await suites.get(owner_of(request), name)
        said = json.loads(kept.text)
        return object_answer({**_stored(kept, len(said["tests"])), "suite": said}, len(kept.text))

    return router


def _stored(kept: Kept, tests: int) -> Object:
    return {"id": kept.id, "version": kept.version, "tests": tests}
