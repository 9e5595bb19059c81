"""``/api/batches``: many jobs in one request, and their results as they come."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from code_executor.api import allowance
from code_executor.api.accept import wants_lines
from code_executor.api.answers import Json
from code_executor.api.description import request_body
from code_executor.api.follow import Following, Item
from code_executor.api.grade import sees_all
from code_executor.api.identity import caller_of, known_of
from code_executor.api.job_requests import Reading, batch_object, cursor, job_object, parse_cursor, whole_object
from code_executor.api.job_schemas import BatchOut, BatchPosted, BatchRequest, BatchResponse
from code_executor.api.jobs import FULL, SCOPES, STORAGE, UNKNOWN, WRONG, After, Limit
from code_executor.api.problems import Refusal
from code_executor.api.requests import require_json
from code_executor.api.schemas import PROBLEMS
from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError
from code_executor.jobs.desk import JobDesk
from code_executor.jobs.models import State, Wanted
from code_executor.service.ports import RUNS, Service

PATH = "/api/batches"
_LINES = "application/x-ndjson"

Name = Annotated[str, Path(description="The batch's `id`.")]

_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "With `Accept: application/x-ndjson`: a line for each job, as it ends.",
        "content": {_LINES: {"schema": {"type": "string", "description": "Each line is a `JobResponse`."}}},
    }
}
_EXAMPLES = {
    "batch": {
        "summary": "Two programs",
        "value": {
            "jobs": [
                {"kind": "execute", "request": {"code": "print(input())", "stdin": "one"}},
                {"kind": "execute", "request": {"code": "print(input())", "stdin": "two"}},
            ],
            "defaults": {"labels": ["course:cs1"], "request": {"timeout": 5}},
        },
    }
}


class Endpoints:
    """What answers each route."""

    def __init__(self, service: Service, desk: JobDesk, reading: Reading) -> None:
        self._service = service
        self._desk = desk
        self._reading = reading

    async def post(self, request: Request) -> Response:
        """Keep many jobs, or none of them if there is no room for all. They count as so many runs.

        With `Accept: application/x-ndjson` the answer has a line for each job as it ends, with its result. Closing the
        connection cancels what is not over.
        """
        require_json(request.headers.get("content-type", ""))
        caller = caller_of(request.scope)
        reader = self._reading.of(request)
        jobs, stop_after = await reader.batch(await request.body())
        for kind in sorted({job.kind for job in jobs}):
            known_of(request.scope).require(SCOPES[kind])
        await self._count(caller, len(jobs))
        batch, taken = await self._desk.post_batch(caller, jobs, stop_after)
        location = {"Location": f"{PATH}/{batch}"}
        if not wants_lines(request.headers.getlist("accept")):
            return Json({"id": batch, "jobs": list(taken.ids), "position": taken.before}, 202, location)

        async def ended(whole: bool) -> None:
            if not whole:
                with contextlib.suppress(CodeExecutorError):
                    await self._desk.cancel_batch(caller, batch)

        following = Following(self._lines(batch, full=sees_all(request)), _LINES, ended=ended)
        following.headers.update(location)
        return following

    async def _count(self, caller: Caller, jobs: int) -> None:
        standing = await self._service.rates.hit(caller, RUNS, jobs)
        if standing is not None and not standing.allowed:
            refusal = allowance.refusal(standing)
            detail = f"{refusal.detail} This batch counts as {jobs} runs."
            raise Refusal(refusal.status, detail, refusal.headers)

    async def _lines(self, batch: str, *, full: bool) -> AsyncGenerator[Item, None]:
        async with aclosing(self._desk.results(batch)) as jobs:
            async for job in jobs:
                yield Item(*await whole_object(job, self._reading.bounds, full=full))

    async def show(
        self,
        batch: Name,
        request: Request,
        state: Annotated[State | None, Query(description="List only jobs in this state.")] = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Response:
        """Say how a batch stands, and list some of its jobs, in its order and without their results."""
        caller = caller_of(request.scope)
        found = await self._desk.find_batch(caller, batch)
        wanted = Wanted(state=state, batch=batch, after=parse_cursor(after), limit=limit)
        jobs = await self._desk.list(caller, wanted)
        more = cursor(jobs[-1], batch=True) if len(jobs) == limit else None
        return Json({**batch_object(found), "jobs": [job_object(job) for job in jobs], "next": more})

    async def cancel(self, batch: Name, request: Request) -> Response:
        """Cancel all jobs of a batch that are queued or running. The answer says how it stands then."""
        return Json(batch_object(await self._desk.cancel_batch(caller_of(request.scope), batch)))


def make_router(endpoints: Endpoints) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PATH, tags=["jobs"])
    router.post(
        "",
        status_code=202,
        summary="Post many jobs",
        response_model=BatchPosted,
        responses={**_STREAMED, **FULL, **PROBLEMS},
        openapi_extra=request_body(BatchRequest, examples=_EXAMPLES),
    )(endpoints.post)
    router.get(
        "/{batch}", summary="Show a batch", response_model=BatchResponse, responses={**UNKNOWN, **WRONG, **STORAGE}
    )(endpoints.show)
    router.delete("/{batch}", summary="Cancel a batch", response_model=BatchOut, responses={**UNKNOWN, **STORAGE})(
        endpoints.cancel
    )
    return router
