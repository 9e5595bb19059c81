"""``/api/sessions/{session}/files``: what is in the working directory of a session, between its cells.

A file is answered as bytes and nothing else. A program made it, so no browser may take it for a page or script of ours.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path, Request
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from code_executor.api.answers import Json
from code_executor.api.identity import caller_of
from code_executor.api.requests import parse_content, parse_path
from code_executor.api.schemas import FileEntryOut, FileListResponse, described
from code_executor.api.sessions import UNKNOWN, Name
from code_executor.core.codec import listing_object
from code_executor.core.limits import RequestLimits
from code_executor.core.models import FileAction, FileAnswer, FileEntry, FileOrder
from code_executor.service.ports import Service

FilePath = Annotated[str, Path(description="Relative to the working directory, as in `files` of a request.")]

_BYTES: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "no-store",
}
_MISSING: dict[int | str, dict[str, Any]] = {
    404: described("No such session of yours, or no such file in it; or this service has no sessions.")
}
_COMMON: dict[int | str, dict[str, Any]] = {
    409: described("A cell is running, or the file cannot be had: it is a directory, locked, or too large."),
}
_PATHS: dict[int | str, dict[str, Any]] = {422: described("The path is not a relative path below the directory.")}
_PUT: dict[int | str, dict[str, Any]] = {
    201: {"description": "The file is there; nothing was at its path before.", "model": FileEntryOut},
    408: described("The body did not arrive in time."),
    413: described("The file is too large."),
    507: described("The disk of the session is full."),
}


class _AnyPath(Convertor[str]):
    """What may be a file's path in an address: slashes and line ends as well, which Starlette's own does not take."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


class _Endpoints:
    def __init__(self, service: Service, bounds: RequestLimits) -> None:
        self._sessions = service.sessions
        self._bounds = bounds

    async def show_all(self, session: Name, request: Request) -> Response:
        """Say which files there are, in all directories."""
        return Json(listing_object(await self._do(request, session, FileOrder(FileAction.LIST))))

    async def get(self, session: Name, path: FilePath, request: Request) -> Response:
        """Return what is in a file, byte by byte."""
        path = parse_path(path)
        answer = await self._do(request, session, FileOrder(FileAction.GET, path))
        name = quote(path.rpartition("/")[2], safe="")
        headers = {**_HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return Response(answer.data, headers=headers, media_type="application/octet-stream")

    async def put(self, session: Name, path: FilePath, request: Request) -> Response:
        """Put a file there, whole or not at all; the body is what is in it. Directories are made.

        It takes the place of what was at its path, unless that is a directory. The next cell does not return it in
        `files` unless it changes it.
        """
        path = parse_path(path)
        await self._sessions.info(session, caller_of(request.scope))  # before its body
        data = parse_content(await request.body(), self._bounds)
        answer = await self._do(request, session, FileOrder(FileAction.PUT, path, data))
        (entry,) = listing_object(FileAnswer((FileEntry(path, len(data)),)))["files"]
        return Json(entry, 201 if answer.made else 200)

    async def delete(self, session: Name, path: FilePath, request: Request) -> Response:
        """Delete a file."""
        await self._do(request, session, FileOrder(FileAction.DELETE, parse_path(path)))
        return Response(status_code=204)

    async def _do(self, request: Request, session: str, order: FileOrder) -> FileAnswer:
        return await self._sessions.order(session, caller_of(request.scope), order)


def make_router(service: Service, bounds: RequestLimits) -> APIRouter:
    """Return the routes over ``service``."""
    register_url_convertor("anything", _AnyPath())
    router = APIRouter(prefix="/api/sessions/{session}/files", tags=["sessions"])
    endpoints = _Endpoints(service, bounds)
    router.get(
        "", summary="List the files of a session", response_model=FileListResponse, responses={**UNKNOWN, **_COMMON}
    )(endpoints.show_all)
    router.get(
        "/{path:anything}",
        summary="Read a file of a session",
        response_class=Response,
        responses={200: {"description": "The file.", "content": _BYTES}, **_MISSING, **_COMMON, **_PATHS},
    )(endpoints.get)
    router.put(
        "/{path:anything}",
        summary="Put a file into a session",
        response_model=FileEntryOut,
        responses={200: {"description": "The file took the place of another."}, **_PUT, **UNKNOWN, **_COMMON, **_PATHS},
        openapi_extra={"requestBody": {"required": False, "content": _BYTES}},
    )(endpoints.put)
    router.delete(
        "/{path:anything}",
        status_code=204,
        summary="Delete a file of a session",
        responses={**_MISSING, **_COMMON, **_PATHS},
    )(endpoints.delete)
    return router
