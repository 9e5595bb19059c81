"""What teachers have done by the service (scope ``teach``): labs are matched, verified, made, imported and exported."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from code_executor.api.answers import Json
from code_executor.api.identity import caller_of
from code_executor.api.streaming import until_disconnect
from code_labs.api import exchange, views
from code_labs.api.desk import ANSWERS, BODY_ANSWERS, CONFLICT, FULL, Desk, LabsRoute, body_of, parsed
from code_labs.api.events import EventAnswer
from code_labs.api.making import Maker
from code_labs.api.running import verifier_for
from code_labs.api.schemas import Course, GenerateIn, Lab, MatchIn
from code_labs.api.teachers import TEACH
from code_labs.errors import StateError
from code_labs.matching import Course as Index
from code_labs.matching import Label, Pin, evaluate
from code_labs.matching import Query as Asked
from code_labs.matching.align import align
from code_labs.progress import Labs
from code_labs.progress.models import Course as CourseKept
from code_labs.progress.places import Places, query_of

COUNTED = (f"{TEACH}/courses/*/labs/*/verify", f"{TEACH}/courses/*/generate")
"""What counts as a run for the rate limit."""

_MINUTE = 60.0

Import = Annotated[Literal["json", "coderunner", "nbgrader", "exercism"], Query(alias="format")]
Export = Annotated[Literal["json", "coderunner", "nbgrader"], Query(alias="format")]


def make_router(desk: Desk) -> APIRouter:
    """Return the routes over ``desk``."""
    router = APIRouter(tags=["labs for teachers"], prefix=TEACH, route_class=LabsRoute)
    _add_matching(router, desk)
    _add_running(router, desk)
    _add_exchange(router, desk)
    return router


def _add_matching(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/courses/{course}/match",
        summary="Match labs with videos",
        responses=BODY_ANSWERS,
        openapi_extra=body_of(MatchIn),
    )
    async def match(request: Request, course: Course) -> Response:
        """Say which seconds of which video belong to a lab, or to a text; or to all labs, in their order.

        A teacher's pin comes first. `confident`: whether the best one may be shown to learners.
        """
        asked = await parsed(request, MatchIn)
        labs, found = await desk.course(request, course)
        places = await labs.matcher.places(found)
        pins = await labs.catalog.pins(found)
        if asked.all:
            placed = [each.name for each in await labs.catalog.labs(found)]
            queries = [places.labs[name].query for name in placed if name in places.labs]
            aligned = await asyncio.to_thread(align, _pinned(places, pins), queries)
            matches = [match for match in aligned if match is not None]
        else:
            if asked.lab is None:
                query = query_of(asked.text or "", asked.solution)
            else:
                query = (await labs.catalog.newest([await labs.catalog.lab(found, asked.lab)]))[0].lab.query
            matches = await asyncio.to_thread(_pinned(places, pins).rank, query)
        told = [views.match_object(each) for each in matches]
        return Json({"matches": told, "confident": bool(matches) and matches[0].good})

    @router.get("/courses/{course}/evaluate", summary="Say how good the matching is", responses=ANSWERS)
    async def measure(request: Request, course: Course) -> Response:
        """Compare what the matcher finds with the course's own pins."""
        labs, found = await desk.course(request, course)
        places = await labs.matcher.places(found)
        labels = [
            Label(pin.lab, pin.lecture, pin.start, pin.end if pin.end is not None else pin.start + _MINUTE)
            for pin in await labs.catalog.pins(found)
            if pin.lecture in places.index.lectures and pin.lab in places.labs
        ]
        return Json(await asyncio.to_thread(_measured, places, labels))


def _pinned(places: Places, pins: Sequence[Pin]) -> Index:
    """Return the index with the teacher's pins, of videos in which something is said."""
    index = places.index.without_pins()
    index.pins = {pin.lab: pin for pin in reversed(pins) if pin.lecture in index.lectures}
    return index


def _measured(places: Places, labels: Sequence[Label]) -> dict[str, Any]:
    queries: list[Asked] = [lab.query for lab in places.labs.values()]
    measures = evaluate(places.index, queries, labels)
    return {
        "pins": measures.labs,
        "recallAt1": measures.first,
        "recallAt3": measures.third,
        "recallAt5": measures.fifth,
        "recallAt3InVideo": measures.third_in_video,
        "startError": measures.start_error,
        "answered": measures.answered,
        "right": measures.right,
    }


def _add_running(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/courses/{course}/labs/{lab}/verify",
        summary="Verify a lab",
        responses={**ANSWERS, 409: CONFLICT},
    )
    async def verify(request: Request, course: Course, lab: Lab) -> Response:
        """Run the newest version of a lab, and say what is wrong with it. It counts as one run for the rate limit."""
        labs, found = await desk.course(request, course)
        placed = await labs.catalog.lab(found, lab)
        version = await labs.catalog.version(placed, placed.newest)
        desk.policy_of(request, version.lab)
        work = verifier_for(desk.service.runs, caller_of(request.scope)).verify(version.lab)
        report = await until_disconnect(request.receive, work)
        told = views.verified_object(report)
        await labs.catalog.put_report(version, told, verified=report.is_verified)
        return Json(told)

    @router.post(
        "/courses/{course}/generate",
        summary="Make labs",
        response_class=Response,
        responses={
            200: {
                "description": "Events: `step`, `lab`, `failed`, and last `done`.",
                "content": {"text/event-stream": {}},
            },
            **BODY_ANSWERS,
            507: FULL,
        },
        openapi_extra=body_of(GenerateIn),
    )
    async def make(request: Request, course: Course) -> Response:
        """Make labs, and keep each as a draft. It counts as one run for the rate limit."""
        asked = await parsed(request, GenerateIn)
        labs, found = await desk.course(request, course)
        maker = Maker(
            labs, found, desk.service.runs, caller_of(request.scope), lambda lab: desk.policy_of(request, lab)
        )
        return EventAnswer(maker.told(asked))


def _add_exchange(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/courses/{course}/import",
        summary="Import labs",
        responses={**BODY_ANSWERS, 507: FULL},
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {}}}},
    )
    async def bring(request: Request, course: Course, kind: Import = "json") -> Response:
        """Keep the labs of a file as drafts. A lab of a name that is there already is a new version of that."""
        body = await request.body()
        labs, found = await desk.course(request, course)
        read = await asyncio.to_thread(exchange.read_labs, body, kind)
        for lab in read.labs:
            await labs.catalog.put_lab(found, lab)
        return Json({"labs": [lab.id for lab in read.labs], "notes": list(read.dropped)})

    @router.get(
        "/courses/{course}/export",
        summary="Export labs",
        response_class=Response,
        responses={
            200: {
                "description": "A file.",
                "content": {"application/json": {}, "application/xml": {}, "application/zip": {}},
            },
            **ANSWERS,
            409: CONFLICT,
        },
    )
    async def take(request: Request, course: Course, kind: Export = "json") -> Response:
        """Return the newest versions of all labs that are not retired, with their solutions, as a file."""
        labs, found = await desk.course(request, course)
        data, media, name = await asyncio.to_thread(exchange.written, await _labs(labs, found), kind)
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(data, media_type=media, headers=headers)


async def _labs(labs: Labs, course: CourseKept) -> list[Any]:
    placed = [each for each in await labs.catalog.labs(course) if each.status != "retired"]
    if not placed:
        raise StateError(f"the course {course.name} has no labs to export")
    return [version.lab for version in await labs.catalog.newest(placed)]
