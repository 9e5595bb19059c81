"""``/api/grade``: what a program is worth under the tests of a suite."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import structlog
from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from code_executor.accounts.keys import Scope as KeyScope
from code_executor.api.accept import GRADESCOPE, JUNIT, export_wanted, prefers_async, wants_events
from code_executor.api.answers import object_answer
from code_executor.api.description import STREAM, request_body
from code_executor.api.identity import caller_of, known_of
from code_executor.api.job_schemas import POSTED
from code_executor.api.outbox import debt_of
from code_executor.api.pieces import pieces
from code_executor.api.problems import Refusal, from_failure
from code_executor.api.receipts import choose
from code_executor.api.requests import require_json
from code_executor.api.schemas import PROBLEMS, described
from code_executor.api.streaming import until_disconnect
from code_executor.api.suite_requests import parse_grade
from code_executor.api.suite_schemas import GradeRequest, GradeResponse
from code_executor.core.codec import Object
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RequestLimits
from code_executor.grading import exports, views
from code_executor.grading.grader import Grader
from code_executor.grading.issuer import Issuer
from code_executor.grading.outcomes import Grade, Outcome
from code_executor.grading.receipts import Subject
from code_executor.grading.store import Suites
from code_executor.grading.views import Audience
from code_executor.service.ports import Health, Service

PATH = "/api/grade"

EXAMPLES = {
    "io": {
        "summary": "Programs that read and print",
        "value": {
            "code": "print(int(input()) * 2)",
            "suite": {"tests": [{"kind": "io", "stdin": "21\n", "expected": "42\n"}]},
        },
    },
    "call": {
        "summary": "Functions",
        "value": {
            "code": "def double(x):\n    return 2 * x\n",
            "suite": {
                "tests": [
                    {"kind": "call", "call": "double", "args": [21], "expected": 42},
                    {"kind": "call", "call": "double", "args": ["ab"], "expected": "abab", "visibility": "hidden"},
                ]
            },
        },
    },
    "pytest": {
        "summary": "Unit tests",
        "value": {
            "code": "def double(x):\n    return 2 * x\n",
            "suite": {
                "tests": [
                    {
                        "kind": "pytest",
                        "files": [
                            {
                                "path": "test_double.py",
                                "content": "from solution import double\n\ndef test_it():\n    assert double(2) == 4\n",
                            }
                        ],
                    }
                ]
            },
        },
    },
}

EXPORTS = {
    "/".join(GRADESCOPE): {"schema": {"type": "object", "description": "`results.json`, as Gradescope reads it."}},
    "/".join(JUNIT): {"schema": {"type": "string", "description": "XML, as readers of JUnit's reports read it."}},
}
"""The contents of answers for others."""

log = structlog.get_logger()

Events = AsyncGenerator[Outcome | Grade, None]
PostJob = Callable[[Request], Awaitable[Response]]


def make_router(service: Service, suites: Suites, bounds: RequestLimits, issuer: Issuer, post: PostJob) -> APIRouter:
    """Return the route over ``service``; ``suites``: those that are stored; ``issuer``: of receipts.

    ``post``: makes a job of a request.
    """
    router = APIRouter(tags=["grade"])
    grader = Grader(service.runs)

    @router.post(
        PATH,
        summary="Grade a program",
        response_model=GradeResponse,
        responses={
            200: {"description": "The program was graded, whatever came of it.", "content": STREAM | EXPORTS},
            404: described("There is no such suite."),
            **POSTED,
            **PROBLEMS,
        },
        openapi_extra=request_body(GradeRequest, examples=EXAMPLES),
    )
    async def grade(request: Request) -> Response:
        """Run the tests of a suite, and answer with what came of each.

        With `Accept: text/event-stream` the answer is a stream: a `test` for each test that may be seen, and last the
        `grade`, without its tests. Closing the connection stops the grade. With `Accept: application/junit+xml`, or
        `application/vnd.gradescope+json`, the answer is what these read. With `Prefer: respond-async` the answer is
        202, and the grade is a job (`/api/jobs`).
        """
        require_json(request.headers.get("content-type", ""))
        if prefers_async(request.headers):
            return await post(request)
        caller = caller_of(request.scope)
        asked = await parse_grade(await request.body(), caller, service.runs.limits, bounds)
        suite, reference, previous = await choose(asked, suites, owner_of(request), issuer)
        audience = Audience.today(full=sees_all(request))
        events = noted(grader.events(asked.submission, suite), service.health)
        events = signed(events, issuer, Subject(asked.submission, suite, reference, previous))
        accepted = request.headers.getlist("accept")
        export = export_wanted(accepted)
        if export is None and wants_events(accepted):
            return GradeStream(await until_disconnect(request.receive, first_of(events)), events, audience)
        found = await until_disconnect(request.receive, last_of(events))
        if export is not None:
            return await exported(found, audience, export)
        told = await asyncio.to_thread(views.grade_object, found, audience)
        return object_answer(told, size_of(found))

    return router


async def exported(grade: Grade, audience: Audience, media: tuple[str, str]) -> Response:
    """Answer with a grade as others read it."""
    name = "/".join(media)
    if media == JUNIT:
        return Response(await asyncio.to_thread(exports.junit, [("code-executor", grade)], audience), media_type=name)
    told = await asyncio.to_thread(exports.gradescope, grade, audience)
    return object_answer(told, size_of(grade), media_type=name)


def size_of(grade: Grade) -> int:
    """Return about how many bytes it takes to hold what is told of a grade."""
    return sum(map(views.cost, grade.outcomes))


def sees_all(request: Request) -> bool:
    """Whether everything is told to whoever asks: no key is needed, or the key has the scope for it."""
    scopes = known_of(request.scope).scopes
    return scopes is None or KeyScope.GRADE_FULL in scopes


def owner_of(request: Request) -> str:
    """Return whose suites are meant: those of the key; of a server without keys there is one owner."""
    return "" if known_of(request.scope).scopes is None else caller_of(request.scope).id


async def noted(events: Events, health: Health) -> Events:
    """Pass on the events of a grade, and note its end."""
    began = time.monotonic()
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Grade):
                with contextlib.suppress(CodeExecutorError):  # it is a grade all the same
                    await health.note_grade(event.verdict.value, time.monotonic() - began, event.tally)
            yield event


async def signed(events: Events, issuer: Issuer, subject: Subject) -> Events:
    """Pass on the events of a grade, which gets its receipts at the end."""
    async with aclosing(events):
        async for event in events:
            yield await issuer.issue(event, subject) if isinstance(event, Grade) else event


async def first_of(events: Events) -> Outcome | Grade:
    """Wait for the first test: whoever goes away meanwhile leaves the queue."""
    return await anext(events)


async def last_of(events: Events) -> Grade:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Grade):
                return event
    raise AssertionError("a grade ends with a Grade")


class GradeStream(Response):
    """Streams what came of each test as server-sent events. The client going away stops the grade.

    What is to be sent is made and held when its turn comes. Tests that are over meanwhile wait as they are: there is a
    bound of their output, and of their number. ``more``: what the last event has besides, once it is known.
    """

    media_type = "text/event-stream"

    def __init__(
        self, first: Outcome | Grade, events: Events, audience: Audience, more: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._first = first
        self._events = events
        self._audience = audience
        self._more = {} if more is None else more  # as it will be at the end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._events):
            with contextlib.suppress(ClientDisconnect):
                await until_disconnect(receive, self._stream(scope, send))

    async def _stream(self, scope: Scope, send: Send) -> None:
        debt = debt_of(scope)
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for name, told, size in self._told():
            debt.hold(size)
            try:
                for piece in pieces(told, before=b"event: " + name + b"\ndata: ", after=b"\n\n"):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            finally:
                debt.release(size)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _told(self) -> AsyncGenerator[tuple[bytes, Object, int], None]:
        try:
            event: Outcome | Grade = self._first
            while isinstance(event, Outcome):
                told = views.test_object(event, self._audience)
                if told is not None:
                    yield b"test", told, views.cost(event)
                event = await anext(self._events)
            receipt = views.receipt_of(event, self._audience)
            size = views.MOST_TEXT + len(receipt.text if receipt else "")
            yield b"grade", {**views.grade_object(event, self._audience, tests=False), **self._more}, size
        except CodeExecutorError as error:
            yield b"problem", from_failure(error).body(), views.MOST_TEXT
        except Exception:
            log.exception("grade_failed")
            yield b"problem", Refusal(500, "The service failed.").body(), views.MOST_TEXT
