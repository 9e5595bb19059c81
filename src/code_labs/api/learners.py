"""What learners may ask (scope ``labs``): courses, labs as a learner sees them, drafts, hints, and what is kept.

No answer has a solution, a hint that was not taken, or anything of a hidden test: `views` chooses what is told.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from code_executor.api.answers import Json, object_answer
from code_executor.api.grade import owner_of
from code_executor.api.problems import Refusal
from code_executor.api.requests import bounded
from code_executor.api.schemas import described
from code_labs.api import views
from code_labs.api.desk import (
    ANSWERS,
    BODY_ANSWERS,
    CONFLICT,
    PREFIX,
    Desk,
    LabsRoute,
    body_of,
    draft_object,
    parsed,
)
from code_labs.api.schemas import Course, DraftIn, EventsIn, Lab, Video
from code_labs.errors import UnknownError
from code_labs.progress import Happening
from code_labs.verify.suites import suite_of

_REVISION = re.compile(r'"([0-9]{1,9})"')

Second = Annotated[float, Query(description="A second of the video.", ge=0, le=12 * 3600, allow_inf_nan=False)]
Number = Annotated[int, Path(description="Which hint, from 1.", ge=1, le=100)]


def make_router(desk: Desk) -> APIRouter:
    """Return the routes over ``desk``, but that which grades."""
    router = APIRouter(tags=["labs"], prefix=PREFIX, route_class=LabsRoute)
    _add_courses(router, desk)
    _add_labs(router, desk)
    _add_events(router, desk)
    _add_me(router, desk)
    return router


def _add_courses(router: APIRouter, desk: Desk) -> None:
    @router.get("/courses", summary="List courses", responses=ANSWERS)
    async def courses(request: Request) -> Response:
        """List the courses that have labs, with how many of them the learner has passed."""
        who = desk.learner(request)
        labs = await desk.labs()
        listed = await labs.catalog.courses(owner_of(request))
        passed = await labs.journal.passed(who)
        return Json(
            {
                "courses": [
                    {
                        "course": each.course.name,
                        "title": each.course.title,
                        "labs": each.published,
                        "passed": passed.get(each.course.id, 0),
                    }
                    for each in listed
                    if each.published
                ]
            }
        )

    @router.get("/courses/{course}", summary="Return a course", responses=ANSWERS)
    async def course(request: Request, course: Course) -> Response:
        """Return a course's videos, and its labs with how the learner stands with each."""
        who = desk.learner(request)
        labs, found = await desk.course(request, course)
        videos = await labs.catalog.videos(found)
        _, entries = await labs.entries(who, found)
        told = {
            "course": found.name,
            "title": found.title,
            "language": found.language,
            "videos": [views.video_object(video) for video in videos],
            "labs": [views.entry_object(entry) for entry in entries],
        }
        return object_answer(told, 1000 * (len(videos) + len(entries)))

    @router.get(
        "/courses/{course}/videos/{video}/segments", summary="Return what is said in a video", responses=ANSWERS
    )
    async def segments(request: Request, course: Course, video: Video) -> Response:
        """Return what is said in a video, piece by piece, with the seconds of each."""
        labs, found = await desk.course(request, course)
        said = (await labs.catalog.said(found, video))[video]
        told = [{"start": start, "end": end, "text": text} for start, end, text in said.cues]
        return object_answer({"segments": told}, sum(60 + len(text) for _, _, text in said.cues))

    @router.get(
        "/courses/{course}/videos/{video}/suggestions", summary="Suggest labs at a second of a video", responses=ANSWERS
    )
    async def suggestions(request: Request, course: Course, video: Video, t: Second) -> Response:
        """Return up to three labs that fit what was just explained."""
        labs, found = await desk.course(request, course)
        await labs.catalog.video(found, video)
        places = await labs.matcher.places(found)
        names = [each.name for each in await labs.catalog.labs(found) if each.published is not None]
        told = []
        for name, moment in places.at(video, t, names):
            said = views.moment_object(moment)
            del said["video"]
            told.append({"lab": name, "title": places.labs[name].title, **said})
        return Json({"labs": told})


def _add_labs(router: APIRouter, desk: Desk) -> None:
    @router.get("/courses/{course}/labs/{lab}", summary="Return a lab", responses=ANSWERS)
    async def lab_view(request: Request, course: Course, lab: Lab) -> Response:
        """Return a lab as a learner sees it, with the learner's draft and the hints that were taken."""
        who = desk.learner(request)
        labs, found = await desk.course(request, course)
        version = await labs.published(found, lab)
        places = await labs.matcher.places(found)
        work = (await labs.journal.works(who, found)).get(version.placed.id)
        draft = await labs.journal.draft(who, version.placed)
        told = views.lab_view(version, suite_of(version.lab), work, draft, places.moments.get(lab, ()))
        size = len(version.lab.task) + sum(len(file.content) for file in version.lab.files)
        return object_answer(told, 4 * size + 4 * (len(draft.code) if draft else 0) + 20_000)

    @router.put(
        "/courses/{course}/labs/{lab}/draft",
        summary="Keep a draft",
        responses={**BODY_ANSWERS, 409: CONFLICT, 428: described("Neither If-Match nor If-None-Match is given.")},
        openapi_extra=body_of(DraftIn),
    )
    async def put_draft(request: Request, course: Course, lab: Lab) -> Response:
        """Keep what a learner has written, in place of the revision in `If-Match`.

        `If-None-Match: *` says that there is none yet. If another window was faster, the answer is 409 with its draft,
        and nothing is changed.
        """
        who = desk.learner(request)
        revision = _revision(request)
        asked = await parsed(request, DraftIn)
        bounded("code", asked.code, desk.bounds.code)
        labs, found = await desk.course(request, course)
        placed = (await labs.published(found, lab)).placed
        draft = await labs.journal.put_draft(who, found, placed, asked.code, revision)
        told = draft_object(draft)
        del told["code"]
        return Json(told, headers={"ETag": f'"{draft.revision}"'})

    @router.post(
        "/courses/{course}/labs/{lab}/hints/{number}", summary="Take a hint", responses={**ANSWERS, 409: CONFLICT}
    )
    async def hint(request: Request, course: Course, lab: Lab, number: Number) -> Response:
        """Return a hint, and note that it was taken. The one before it must have been."""
        who = desk.learner(request)
        labs, found = await desk.course(request, course)
        version = await labs.published(found, lab)
        hints = version.lab.hints
        if number > len(hints):
            raise UnknownError(f"the lab {lab} has {len(hints)} hints")
        await labs.journal.take_hint(who, found, version.placed, number)
        return Json({"number": number, "text": hints[number - 1]})


def _revision(request: Request) -> int | None:
    """Return the revision that a draft replaces, None of a first one; raise ``Refusal``."""
    match, none = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is None and none is not None and none.strip() == "*":
        return None
    if match is None:
        raise Refusal(428, 'Say which revision this replaces, with If-Match: "3", or If-None-Match: * for the first.')
    found = _REVISION.fullmatch(match.strip().removeprefix("W/"))
    if found is None:
        raise Refusal(400, 'If-Match must be one revision in quotes, as "3".')
    return int(found[1])


def _add_events(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/courses/{course}/events",
        summary="Tell what happened",
        status_code=204,
        responses=BODY_ANSWERS,
        openapi_extra=body_of(EventsIn),
    )
    async def events(request: Request, course: Course) -> Response:
        """Keep what happened in a page. What names a lab that learners do not get is dropped."""
        who = desk.learner(request)
        asked = await parsed(request, EventsIn)
        labs, found = await desk.course(request, course)
        ids = {each.name: each.id for each in await labs.catalog.labs(found) if each.published is not None}
        told = [Happening(each.type, float(each.at), each.lab, each.data) for each in asked.events]
        await labs.journal.note(who, found, ids, told)
        return Response(status_code=204)


def _add_me(router: APIRouter, desk: Desk) -> None:
    @router.get("/me", summary="Say how the learner stands", responses=ANSWERS)
    async def me(request: Request) -> Response:
        """Say how the learner stands with each course that was begun."""
        who = desk.learner(request)
        labs = await desk.labs()
        told = [
            {
                "course": each.course,
                "title": each.title,
                "passed": each.passed,
                "labs": each.labs,
                "attempts": each.attempts,
                "seconds": round(each.seconds),
            }
            for each in await labs.journal.summaries(who)
        ]
        return Json({"learner": who.pseudonym, "courses": told})

    @router.get(
        "/me/export",
        summary="Return all that is kept of the learner",
        response_class=Response,
        responses={200: {"description": "A zip.", "content": {"application/zip": {}}}, **ANSWERS},
    )
    async def export(request: Request) -> Response:
        """Return all that is kept of the learner, as a zip: `data.json`, and each program as a file."""
        who = desk.learner(request)
        data = await (await desk.labs()).privacy.export(who)
        headers = {"Content-Disposition": 'attachment; filename="labs.zip"', "Cache-Control": "no-store"}
        return Response(data, media_type="application/zip", headers=headers)

    @router.delete("/me", summary="Erase the learner", status_code=204, responses=ANSWERS)
    async def erase(request: Request) -> Response:
        """Erase all that is kept of the learner, and programs that nobody else has handed in."""
        who = desk.learner(request)
        await (await desk.labs()).privacy.erase(who)
        return Response(status_code=204)
