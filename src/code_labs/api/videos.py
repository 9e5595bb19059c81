"""Videos of a course (scope ``teach``): what is said in them is brought by a teacher, or fetched from YouTube."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import structlog
from fastapi import APIRouter, Request
from starlette.responses import Response

from code_executor.api.answers import Json
from code_executor.api.requests import invalid
from code_executor.core.apart import apart
from code_executor.core.errors import CodeExecutorError
from code_labs.api import views
from code_labs.api.desk import ANSWERS, BODY_ANSWERS, CONFLICT, FULL, Desk, LabsRoute, body_of, parsed
from code_labs.api.schemas import Course, FetchIn, Video, VideoIn
from code_labs.api.teachers import TEACH
from code_labs.errors import LabsError, UnknownError
from code_labs.progress import Course as CourseKept
from code_labs.progress import Labs
from code_labs.progress import Video as VideoKept
from code_labs.progress.fetches import DONE, FAILED
from code_labs.progress.models import Said
from code_labs.transcripts import parse_transcript
from code_labs.transcripts.youtube import fetch_youtube

log = structlog.get_logger()

_YOUTUBE = re.compile(
    r"(?:(?:https?://)?(?:(?:www\.|m\.)?youtube(?:-nocookie)?\.com/"
    r"(?:watch\?(?:[^#]*&)?v=|embed/|shorts/|live/)|youtu\.be/))?"
    r"([A-Za-z0-9_-]{11})(?:[?&#].*)?"
)


def make_router(desk: Desk) -> APIRouter:
    """Return the routes over ``desk``."""
    router = APIRouter(tags=["labs for teachers"], prefix=TEACH, route_class=LabsRoute)
    path = "/courses/{course}/videos/{video}"

    @router.put(
        path,
        summary="Keep a video and its transcript",
        responses={201: {"description": "The video is new."}, **BODY_ANSWERS, 507: FULL},
        openapi_extra=body_of(VideoIn),
    )
    async def put_video(request: Request, course: Course, video: Video) -> Response:
        """Keep a video, and what is said in it: a transcript of any format that is read, or as it was pasted."""
        asked = await parsed(request, VideoIn)
        labs, found = await desk.course(request, course)
        kept = VideoKept(
            video, asked.title, youtube_of(asked.youtube), asked.url, asked.language or found.language, 0.0
        )
        if asked.transcript is None or not asked.transcript.strip():
            made = await labs.catalog.put_video(found, kept, None)
            kept, said = await labs.catalog.video(found, video), (await labs.catalog.said(found, video))[video]
            notes = [] if said.cues else ["There is no transcript yet, so no lab can be matched with this video."]
        else:
            kept, said, notes = await _read(kept, asked.transcript, asked.language)
            made = await labs.catalog.put_video(found, kept, said)
        return Json({**_told(kept, said), "notes": notes}, 201 if made else 200)

    @router.delete(path, summary="Delete a video", status_code=204, responses=ANSWERS)
    async def delete_video(request: Request, course: Course, video: Video) -> Response:
        """Delete a video, what is said in it, and its pins."""
        labs, found = await desk.course(request, course)
        await labs.catalog.delete_video(found, video)
        return Response(status_code=204)

    _add_fetching(router, desk, f"{path}/fetch")
    return router


def _add_fetching(router: APIRouter, desk: Desk, path: str) -> None:
    fetching = _Fetching()

    @router.post(
        path,
        summary="Fetch a transcript from YouTube",
        status_code=202,
        responses={**BODY_ANSWERS, 409: CONFLICT, 507: FULL},
        openapi_extra=body_of(FetchIn),
    )
    async def fetch(request: Request, course: Course, video: Video) -> Response:
        """Begin to fetch the captions of a video. YouTube often refuses: then `GET` of the same path says so."""
        asked = await parsed(request, FetchIn)
        labs, found = await desk.course(request, course)
        youtube = youtube_of(asked.youtube) or ""
        name = await labs.fetches.begin(found, video)
        fetching.start(labs, found, name, VideoKept(video, youtube, youtube, None, asked.language, 0.0))
        return Json({"fetch": name}, 202)

    @router.get(path, summary="Say what became of fetching", responses=ANSWERS)
    async def fetched(request: Request, course: Course, video: Video) -> Response:
        """Say whether the captions are there: `running`, `done`, or `failed` and `why`."""
        labs, found = await desk.course(request, course)
        last = await labs.fetches.last(found, video)
        return Json({"fetch": last.id, "state": last.state, "why": last.why or None})


class _Fetching:
    """Fetches captions one after the other, after the requests for them were answered."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, labs: Labs, course: CourseKept, name: str, video: VideoKept) -> None:
        task = asyncio.create_task(self._fetch(labs, course, name, video))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fetch(self, labs: Labs, course: CourseKept, name: str, video: VideoKept) -> None:
        state, why = FAILED, "The service failed."
        try:
            async with self._turn:
                text = await asyncio.to_thread(fetch_youtube, video.youtube or "", video.language)
            read, said, _ = await _read(video, text, video.language)
            title = await _title(labs, course, video)
            await labs.catalog.put_video(course, VideoKept(read.name, title, *_rest(read)), said)
            state, why = DONE, ""
        except (LabsError, CodeExecutorError) as error:
            why = f"{str(error)[:1].upper()}{str(error)[1:]}"
        except Exception:
            log.exception("labs_fetch_failed")
        try:
            await labs.fetches.end(course, name, state, why)
        except CodeExecutorError as error:
            log.warning("labs_fetch_not_noted", why=str(error))


def _rest(video: VideoKept) -> tuple[Any, ...]:
    return video.youtube, video.url, video.language, video.duration, video.chapters


async def _title(labs: Labs, course: CourseKept, video: VideoKept) -> str:
    """Return the title that the video has here, or its id."""
    try:
        return (await labs.catalog.video(course, video.name)).title
    except UnknownError:
        return video.title


async def _read(video: VideoKept, text: str, language: str | None) -> tuple[VideoKept, Said, list[str]]:
    """Read a transcript; return the video, what is said in it, and what the teacher should know."""
    read = await apart(lambda: parse_transcript(text, language=language or ""), len(text))
    chapters = tuple((chapter.start, chapter.title) for chapter in read.chapters)
    spoken = read.language or video.language
    notes = [f"The transcript was read as {read.format.value}."]
    if not read.language:
        notes.append("Its language was not recognised: say which it is.")
    kept = VideoKept(video.name, video.title, video.youtube, video.url, spoken, read.end, chapters)
    return kept, Said(tuple((cue.start, cue.end, cue.text) for cue in read.cues), read.format.value), notes


def _told(video: VideoKept, said: Said) -> dict[str, Any]:
    return {
        "segments": len(said.cues),
        "duration": video.duration,
        "chapters": views.chapters_object(video.chapters),
        "language": video.language,
    }


def youtube_of(said: str | None) -> str | None:
    """Return the id of a video; raise ``Refusal``."""
    if not said:
        return None
    found = _YOUTUBE.fullmatch(said.strip())
    if found is None:
        raise invalid("youtube", "Should be the id of a video, as dQw4w9WgXcQ, or its address")
    return found[1]
