"""A learner hands a program in: it is graded as `/api/grade` grades, and the attempt is kept."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from code_executor.api.accept import wants_events
from code_executor.api.answers import object_answer
from code_executor.api.description import STREAM
from code_executor.api.grade import Events, GradeStream, first_of, last_of, noted, signed, size_of
from code_executor.api.identity import caller_of
from code_executor.api.problems import Refusal
from code_executor.api.requests import bounded, invalid
from code_executor.api.streaming import until_disconnect
from code_executor.core import paths
from code_executor.core.apart import apart
from code_executor.core.models import File, Reason
from code_executor.grading import views
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import OURS, Grade, GradeVerdict, Outcome, Submission, Verdict
from code_executor.grading.receipts import Subject
from code_executor.grading.views import Audience
from code_labs.api.desk import BODY_ANSWERS, PREFIX, Desk, LabsRoute, body_of, parsed
from code_labs.api.schemas import Course, Lab, SubmitIn
from code_labs.api.views import moment_object
from code_labs.progress import Attempt
from code_labs.verify.suites import suite_of

SUBMIT = f"{PREFIX}/courses/*/labs/*/submit"

_RAISED = re.compile(r"^([A-Za-z_][\w.]{0,99})(?::|$)")
_EXCEPTION = re.compile(r"([A-Z]\w{0,90}(?:Error|Exception|Interrupt|Exit|Iteration))(?::|$)")


def make_router(desk: Desk) -> APIRouter:
    """Return the route over ``desk``."""
    router = APIRouter(tags=["labs"], prefix=PREFIX, route_class=LabsRoute)
    grader = Grader(desk.service.runs)

    @router.post(
        "/courses/{course}/labs/{lab}/submit",
        summary="Hand a program in",
        responses={200: {"description": "It was graded, whatever came of it.", "content": STREAM}, **BODY_ANSWERS},
        openapi_extra=body_of(SubmitIn),
    )
    async def submit(request: Request, course: Course, lab: Lab) -> Response:
        """Grade a program with the tests of a lab, and keep the attempt.

        The answer is that of `POST /api/grade`, as a learner sees it, with `attempt`, `passed`, and after a failure
        the `moment` of the video to watch. With `Accept: text/event-stream` it is the same stream. It counts as one
        run, however many tests there are.
        """
        who = desk.learner(request)
        asked = await parsed(request, SubmitIn)
        files = _files(asked, desk)
        labs, found = await desk.course(request, course)
        version = await labs.published(found, lab, asked.version)
        policy = desk.policy_of(request, version.lab)
        submission = Submission(asked.code, files, caller_of(request.scope), policy_name=policy)
        suite = await apart(lambda: suite_of(version.lab), sum(len(file.content) for file in version.lab.files))
        began = time.monotonic()

        async def record(grade: Grade) -> dict[str, Any]:
            attempt = attempt_of(grade, asked.code, files, time.monotonic() - began)
            number = await labs.journal.record(who, found, version, attempt)
            moment = None if attempt.passed else await labs.moment(found, lab)
            return {"attempt": str(number), "passed": attempt.passed, "moment": moment and moment_object(moment)}

        more: dict[str, Any] = {}
        events = noted(grader.events(submission, suite), desk.service.health)
        events = _recorded(signed(events, desk.issuer, Subject(submission, suite)), record, more)
        audience = Audience.today(full=False)
        if wants_events(request.headers.getlist("accept")):
            first = await until_disconnect(request.receive, first_of(events))
            return GradeStream(first, events, audience, more)
        grade = await until_disconnect(request.receive, last_of(events))
        told = await apart(lambda: views.grade_object(grade, audience), size_of(grade))
        return object_answer({**told, **more}, size_of(grade))

    return router


def _files(asked: SubmitIn, desk: Desk) -> tuple[File, ...]:
    """Return the files beside a program; raise ``Refusal`` for what is not allowed."""
    bounded("code", asked.code, desk.bounds.code)
    given = asked.files or []
    if clash := paths.clash([file.path for file in given], program=True):
        raise invalid(f"files.{clash.position}.path", clash.message)
    files = tuple(File(paths.normal(file.path), file.data()) for file in given)
    if sum(len(file.data) for file in files) > desk.bounds.files:
        raise Refusal(413, f"files are larger than {desk.bounds.files} bytes together.")
    return files


async def _recorded(
    events: Events, record: Callable[[Grade], Awaitable[dict[str, Any]]], more: dict[str, Any]
) -> Events:
    """Pass on the events of a grade. Before its end is told it is kept, and ``more`` has what is told besides."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Grade):
                more |= await record(event)
            yield event


# ---- what is kept of a grade


def attempt_of(grade: Grade, code: str, files: tuple[File, ...], seconds: float) -> Attempt:
    """Return what is kept of a grade. If we failed, it says nothing of the learner."""
    counts = grade.verdict is not GradeVerdict.ERROR
    failed = [each for each in grade.outcomes if _is_failed(each)]
    return Attempt(
        code,
        grade.verdict.value,
        grade.verdict is GradeVerdict.PASSED,
        grade.score,
        error_of(failed[0]) if failed and counts else "",
        [each.test.id for each in failed] if counts else [],
        {file.path: file.data for file in files},
        seconds,
        counts,
    )


def _is_failed(outcome: Outcome) -> bool:
    return not outcome.is_passed and outcome.verdict not in (Verdict.SKIPPED, *OURS)


def error_of(outcome: Outcome) -> str:
    """Say in a word why a test was not passed: the exception that ended the program, or else the verdict."""
    if outcome.reason is Reason.SYNTAX:
        return "SyntaxError"
    if outcome.reason is Reason.POLICY:
        return "refused by the policy"
    if outcome.verdict is Verdict.WRONG_ANSWER:  # of a call, that may be what it raised
        found = _EXCEPTION.match(outcome.message)
    elif outcome.verdict is Verdict.ERROR:
        lines = outcome.stderr.strip().splitlines()
        found = _RAISED.match(lines[-1]) if lines else None
    else:
        found = None
    return found[1] if found else outcome.verdict.value
