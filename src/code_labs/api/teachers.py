"""What teachers may do (scope ``teach``): courses, pins, and the states of labs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from code_executor.api.answers import Json, object_answer
from code_executor.api.grade import owner_of
from code_executor.api.problems import Refusal
from code_executor.api.requests import invalid
from code_executor.core.apart import apart
from code_labs.api import views
from code_labs.api.desk import ANSWERS, BODY_ANSWERS, CONFLICT, FULL, PREFIX, Desk, LabsRoute, body_of, parsed
from code_labs.api.schemas import Course, CourseIn, Lab, LabIn, Learner, PinIn, Video
from code_labs.errors import UnknownError
from code_labs.labs import lab_of
from code_labs.progress.models import Who

TEACH = f"{PREFIX}/teach"
MOST_VALUES = 50_000
"""Values in a body with a lab, about."""

Confirmed = Annotated[str, Query(description="The name of the course, once more.")]


def make_router(desk: Desk) -> APIRouter:
    """Return the routes over ``desk``, but those that run programs and those that read what learners did."""
    router = APIRouter(tags=["labs for teachers"], prefix=TEACH, route_class=LabsRoute)
    _add_courses(router, desk)
    _add_pins(router, desk)
    _add_labs(router, desk)
    _add_learners(router, desk)
    return router


def _add_courses(router: APIRouter, desk: Desk) -> None:
    @router.get("/courses", summary="List a teacher's courses", responses=ANSWERS)
    async def courses(request: Request) -> Response:
        """List all courses of the key, and how much there is in each."""
        listed = await (await desk.labs()).catalog.courses(owner_of(request))
        return Json(
            {
                "courses": [
                    {
                        "course": each.course.name,
                        "title": each.course.title,
                        "language": each.course.language,
                        "videos": each.videos,
                        "labs": each.labs,
                        "learners": each.learners,
                    }
                    for each in listed
                ]
            }
        )

    @router.put(
        "/courses/{course}",
        summary="Make or rename a course",
        responses={201: {"description": "The course is new."}, **BODY_ANSWERS, 507: FULL},
        openapi_extra=body_of(CourseIn),
    )
    async def put_course(request: Request, course: Course) -> Response:
        """Make a course, or change its title and language."""
        asked = await parsed(request, CourseIn)
        labs = await desk.labs()
        made = await labs.catalog.put_course(owner_of(request), course, asked.title, asked.language)
        told = {"course": course, "title": asked.title, "language": asked.language}
        return Json(told, 201 if made else 200)

    @router.get("/courses/{course}", summary="Return a course as a teacher sees it", responses=ANSWERS)
    async def get_course(request: Request, course: Course) -> Response:
        """Return a course's videos, and all its labs, with the moments that learners get."""
        labs, found = await desk.course(request, course)
        videos = await labs.catalog.videos(found)
        newest = await labs.catalog.newest(await labs.catalog.labs(found))
        places = await labs.matcher.places(found)
        told = {
            "course": found.name,
            "title": found.title,
            "language": found.language,
            "videos": [views.video_object(video) for video in videos],
            "labs": [
                {
                    "lab": each.placed.name,
                    "title": each.lab.title,
                    "status": each.placed.status,
                    "version": each.number,
                    "verified": each.is_verified,
                    "moments": views.moments_object(places.moments.get(each.placed.name, ())),
                }
                for each in newest
            ],
        }
        return object_answer(told, 1000 * (len(videos) + len(newest)))

    @router.delete(
        "/courses/{course}", summary="Delete a course", status_code=204, responses={**ANSWERS, 409: CONFLICT}
    )
    async def delete_course(request: Request, course: Course, confirm: Confirmed = "") -> Response:
        """Delete a course with its videos, its labs and all that learners did there. `confirm` must name it."""
        labs, found = await desk.course(request, course)
        if confirm != course:
            raise Refusal(409, f"This deletes all that learners did in the course. To do it, add ?confirm={course}")
        await labs.catalog.delete_course(found)
        return Response(status_code=204)


def _add_pins(router: APIRouter, desk: Desk) -> None:
    path = "/courses/{course}/labs/{lab}/pins/{video}"

    @router.put(path, summary="Pin a lab", status_code=204, responses=BODY_ANSWERS, openapi_extra=body_of(PinIn))
    async def put_pin(request: Request, course: Course, lab: Lab, video: Video) -> Response:
        """Say where in a video a lab belongs. This counts more than any match."""
        asked = await parsed(request, PinIn)
        labs, found = await desk.course(request, course)
        placed, where = await labs.catalog.lab(found, lab), await labs.catalog.video(found, video)
        await labs.catalog.put_pin(found, placed, where, asked.start, asked.end)
        return Response(status_code=204)

    @router.delete(path, summary="Take a pin away", status_code=204, responses=ANSWERS)
    async def delete_pin(request: Request, course: Course, lab: Lab, video: Video) -> Response:
        """Take a pin away: the lab is matched again."""
        labs, found = await desk.course(request, course)
        placed, where = await labs.catalog.lab(found, lab), await labs.catalog.video(found, video)
        await labs.catalog.delete_pin(found, placed, where)
        return Response(status_code=204)


def _add_labs(router: APIRouter, desk: Desk) -> None:
    @router.get("/courses/{course}/labs/{lab}", summary="Return a lab with its solution", responses=ANSWERS)
    async def get_lab(request: Request, course: Course, lab: Lab) -> Response:
        """Return the newest version of a lab, whole, and what verifying it said."""
        labs, found = await desk.course(request, course)
        placed = await labs.catalog.lab(found, lab)
        told = views.taught_object(await labs.catalog.version(placed, placed.newest))
        return object_answer(told, _size(told))

    @router.put(
        "/courses/{course}/labs/{lab}",
        summary="Keep a new version of a lab",
        responses={**BODY_ANSWERS, 507: FULL},
        openapi_extra=body_of(LabIn),
    )
    async def put_lab(request: Request, course: Course, lab: Lab) -> Response:
        """Keep a version of a lab, which is a draft. Learners get what they got before until it is published."""
        asked = await parsed(request, LabIn, MOST_VALUES)
        said: dict[str, Any] = {"id": lab, **asked.lab}
        if said["id"] != lab:
            raise invalid("lab.id", f"Should be {lab!r}, as in the address")
        labs, found = await desk.course(request, course)
        made = await apart(lambda: lab_of(said), _size(said))
        told = views.taught_object(await labs.catalog.put_lab(found, made))
        return object_answer(told, _size(told))

    @router.delete("/courses/{course}/labs/{lab}", summary="Delete a lab", status_code=204, responses=ANSWERS)
    async def delete_lab(request: Request, course: Course, lab: Lab) -> Response:
        """Delete a lab, and all that learners did with it. To keep that, retire it instead."""
        labs, found = await desk.course(request, course)
        await labs.catalog.delete_lab(found, await labs.catalog.lab(found, lab))
        return Response(status_code=204)

    @router.post("/courses/{course}/labs/{lab}/publish", summary="Publish a lab", responses={**ANSWERS, 409: CONFLICT})
    async def publish(request: Request, course: Course, lab: Lab) -> Response:
        """Give learners the newest version of a lab, which must be verified."""
        labs, found = await desk.course(request, course)
        await labs.catalog.publish(found, await labs.catalog.lab(found, lab))
        placed = await labs.catalog.lab(found, lab)
        return Json({"status": placed.status, "version": placed.published})

    @router.post("/courses/{course}/labs/{lab}/retire", summary="Retire a lab", responses=ANSWERS)
    async def retire(request: Request, course: Course, lab: Lab) -> Response:
        """Give learners the lab no more. What they did with it is kept."""
        labs, found = await desk.course(request, course)
        placed = await labs.catalog.lab(found, lab)
        await labs.catalog.retire(found, placed)
        return Json({"status": "retired", "version": placed.newest})


def _add_learners(router: APIRouter, desk: Desk) -> None:
    @router.delete("/learners/{learner}", summary="Erase a learner", status_code=204, responses=ANSWERS)
    async def erase(request: Request, learner: Learner) -> Response:
        """Erase all that is kept of a learner, in all courses of the key."""
        labs = await desk.labs()
        if not await labs.privacy.erase(Who(owner_of(request), learner)):
            raise UnknownError(f"there is no learner {learner!r}")
        return Response(status_code=204)


def _size(said: dict[str, Any]) -> int:
    """Return about how many bytes a lab takes."""
    return sum(len(each) if isinstance(each, str) else 200 for each in _leaves(said))


def _leaves(value: Any) -> list[Any]:
    found: list[Any] = []
    left = [value]
    while left:
        each = left.pop()
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple) else None
        if inner is None:
            found.append(each)
        else:
            left.extend(inner)
    return found
