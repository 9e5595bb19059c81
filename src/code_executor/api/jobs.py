"""``/api/jobs``: what is run when there is time for it, and asked for again later."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response

from code_executor.accounts.keys import Scope
from code_executor.api.answers import Json, object_answer
from code_executor.api.description import request_body
from code_executor.api.follow import Following, Item
from code_executor.api.grade import sees_all
from code_executor.api.identity import caller_of, known_of
from code_executor.api.job_requests import Reader, Reading, cursor, job_object, parse_cursor, whole_object
from code_executor.api.job_schemas import JobListResponse, JobPosted, JobRequest, JobResponse, WebhookOut
from code_executor.api.requests import require_json
from code_executor.api.schemas import PROBLEMS, described
from code_executor.api.streaming import until_disconnect
from code_executor.core.models import Execution
from code_executor.jobs.desk import JobDesk
from code_executor.jobs.models import LONGEST_LABEL, Job, Kind, NewJob, State, Wanted
from code_executor.jobs.packing import packed
from code_executor.service.ports import Service

PATH = "/api/jobs"
LONGEST_WAIT = 60
MOST_LISTED = 200

SCOPES = {Kind.EXECUTE: Scope.RUN, Kind.CHECK: Scope.CHECK, Kind.GRADE: Scope.GRADE}
"""What a key needs for a job of each kind, beside `Scope.JOBS`."""

Name = Annotated[str, Path(description="The job's `id`.")]
Wait = Annotated[
    float,
    Query(
        ge=0,
        le=LONGEST_WAIT,
        allow_inf_nan=False,
        description="Seconds to wait for its end, before the answer says how it stands.",
    ),
]
Limit = Annotated[int, Query(ge=1, le=MOST_LISTED, description="How many to list.")]
After = Annotated[
    str | None,
    Query(
        description="`next` of the answer before.",
        json_schema_extra={"pattern": r"^[0-9]{1,12}(\.[0-9]{1,12})?~[A-Za-z0-9_-]{22}$"},
    ),
]
LastEvent = Annotated[
    int,
    Header(
        alias="Last-Event-ID",
        ge=0,
        le=1 << 31,
        description="The `id` of the last event that you have; what came after it is sent.",
    ),
]

UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: described("No such job or batch of yours, or it is not kept any more; or this service has no jobs.")
}
STORAGE: dict[int | str, dict[str, Any]] = {503: described("The database cannot be used now; see Retry-After.")}
WRONG: dict[int | str, dict[str, Any]] = {422: described("A parameter is out of range.")}
FULL: dict[int | str, dict[str, Any]] = {
    404: described("This service has no jobs."),
    409: described("A request with this Idempotency-Key is still being answered."),
}

_APPLIED = {"Preference-Applied": "respond-async"}
_TEXT = {"type": "string"}
_EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "description": "Server-sent events: `event` is the state of the job, `data` a `JobResponse` in JSON.",
            "properties": {"id": _TEXT, "event": _TEXT, "data": _TEXT},
        }
    }
}

_EXAMPLES = {
    "execute": {"summary": "A program", "value": {"kind": "execute", "request": {"code": "print(6 * 7)"}}},
    "check": {"summary": "A check", "value": {"kind": "check", "request": {"code": "import os"}, "labels": ["cs1"]}},
    "grade": {
        "summary": "A grade",
        "value": {
            "kind": "grade",
            "request": {"code": "print(42)", "suite": {"tests": [{"kind": "io", "expected": "42"}]}},
        },
    },
}


def posted(job: str, before: int, **headers: str) -> Response:
    """Answer that a job was taken."""
    answer = {"id": job, "state": State.QUEUED.value, "position": before}
    return Json(answer, 202, {"Location": f"{PATH}/{job}", **headers})


class Endpoints:
    """What answers each route."""

    def __init__(self, service: Service, desk: JobDesk, reading: Reading) -> None:
        self._service = service
        self._desk = desk
        self._reading = reading

    def reader(self, request: Request) -> Reader:
        return self._reading.of(request)

    async def post(self, request: Request) -> Response:
        """Keep a job, and answer at once. It is run when there is time for it, which it gets as others do.

        It counts as a run. It survives a restart of the service, and has one result, even if it had to run twice.
        """
        require_json(request.headers.get("content-type", ""))
        job = await self.reader(request).job(await request.body())
        known_of(request.scope).require(SCOPES[job.kind])
        taken = await self._desk.post(caller_of(request.scope), job)
        return posted(taken.ids[0], taken.before)

    async def post_execution(self, request: Request, execution: Execution) -> Response:
        """Make a job of what was to be run at once."""
        known_of(request.scope).require(Scope.JOBS)
        self.reader(request).require(execution.environment, execution.policy_name)
        taken = await self._desk.post(
            caller_of(request.scope),
            NewJob(Kind.EXECUTE, await packed(execution), trace=request.headers.get("traceparent", "")),
        )
        return posted(taken.ids[0], taken.before, **_APPLIED)

    async def post_grade(self, request: Request) -> Response:
        """Make a job of what was to be graded at once."""
        known_of(request.scope).require(Scope.JOBS)
        submission = await self.reader(request).submission(await request.body())
        job = NewJob(Kind.GRADE, submission, trace=request.headers.get("traceparent", ""))
        taken = await self._desk.post(caller_of(request.scope), job)
        return posted(taken.ids[0], taken.before, **_APPLIED)

    async def show(self, job: Name, request: Request, wait: Wait = 0) -> Response:
        """Say how a job stands, with its result once it is done."""
        finding = self._desk.find(caller_of(request.scope), job, wait)
        found = await (until_disconnect(request.receive, finding) if wait else finding)
        content, size = await whole_object(found, self._reading.bounds, full=sees_all(request))
        webhook = await self._desk.webhook(found)
        return object_answer({**content, "webhook": webhook and webhook.as_object()}, size)

    async def send_again(self, job: Name, request: Request) -> Response:
        """Send the webhook of a job that is over once more, whatever came of it. Its `webhook-id` stays the same."""
        standing = await self._desk.send_again(caller_of(request.scope), job)
        return Json(standing.as_object(), 202)

    async def follow(self, job: Name, request: Request, last: LastEvent = 0) -> Response:
        """Send an event whenever the state of a job is another one, and last the one with its result.

        Each event has an `id`. What has ended before the last event that you have is answered with 204, so that a
        browser does not ask again.
        """
        caller = caller_of(request.scope)
        found = await self._desk.find(caller, job)
        if found.state.is_over and found.version <= last:
            return Response(status_code=204)
        return Following(
            self._events(self._desk.follow(caller, job, last), full=sees_all(request)),
            "text/event-stream",
            alive=b":\n\n",
        )

    async def _events(self, jobs: AsyncGenerator[Job, None], *, full: bool) -> AsyncGenerator[Item, None]:
        async with aclosing(jobs) as changes:
            async for job in changes:
                content, size = await whole_object(job, self._reading.bounds, full=full)
                before = f"id: {job.version}\nevent: {job.state.value}\ndata: ".encode()
                yield Item(content, size, before, b"\n\n")

    async def cancel(self, job: Name, request: Request) -> Response:
        """Cancel a job that is queued or running. The answer says how it stands then."""
        found = await self._desk.cancel(caller_of(request.scope), job)
        return object_answer(*await whole_object(found, self._reading.bounds, full=sees_all(request)))

    async def list(
        self,
        request: Request,
        label: Annotated[str | None, Query(max_length=LONGEST_LABEL, description="Only those that have it.")] = None,
        state: Annotated[State | None, Query(description="Only those in this state.")] = None,
        after: After = None,
        limit: Limit = 50,
    ) -> Response:
        """List your jobs, the newest first, without their results."""
        wanted = Wanted(label or "", state, after=parse_cursor(after), limit=limit)
        found = await self._desk.list(caller_of(request.scope), wanted)
        more = cursor(found[-1], batch=False) if len(found) == limit else None
        return Json({"jobs": [job_object(job) for job in found], "next": more})


def make_router(endpoints: Endpoints) -> APIRouter:
    """Return the routes."""
    router = APIRouter(prefix=PATH, tags=["jobs"])
    router.post(
        "",
        status_code=202,
        summary="Post a job",
        response_model=JobPosted,
        responses={**FULL, **PROBLEMS},
        openapi_extra=request_body(JobRequest, examples=_EXAMPLES),
    )(endpoints.post)
    router.get(
        "",
        summary="List your jobs",
        response_model=JobListResponse,
        responses={404: described("This service has no jobs."), **WRONG, **STORAGE},
    )(endpoints.list)
    router.get("/{job}", summary="Show a job", response_model=JobResponse, responses={**UNKNOWN, **WRONG, **STORAGE})(
        endpoints.show
    )
    router.get(
        "/{job}/events",
        summary="Follow a job",
        response_class=Response,
        responses={
            200: {"description": "Server-sent events.", "content": _EVENTS},
            204: {"description": "It is over, and you have its last event."},
            **UNKNOWN,
            **WRONG,
            **STORAGE,
        },
    )(endpoints.follow)
    router.post(
        "/{job}/webhook",
        status_code=202,
        summary="Send a webhook again",
        response_model=WebhookOut,
        responses={**UNKNOWN, 409: described("The job has no webhook, or has not ended yet."), **STORAGE},
    )(endpoints.send_again)
    router.delete("/{job}", summary="Cancel a job", response_model=JobResponse, responses={**UNKNOWN, **STORAGE})(
        endpoints.cancel
    )
    return router
