"""The pages, as `make web` built them: `/`, `/notebook`, `/tokens`, `/embed` for other sites' frames, and their assets.

Where labs are on, there are `/labs`, `/teach` and `/dashboard` too. They are read once, when the app is made: what is
not among them does not exist, whatever a path says. Where there is no build, `/` says so, and the API works all the
same.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

BUILD = os.path.join(os.path.dirname(__file__), "web")

_HASHED = re.compile(r"-[\w-]{10}\.\w+$")
"""Names that change with the contents, as web/build.mjs makes them."""

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types dompurify; "
    "frame-ancestors {ancestors}"
)
"""Nothing from elsewhere, no inline script or style, no string becomes markup but by the sanitizer. Pictures that a
program draws are blobs; those inside its tables are data."""

DOCS_ASSETS = "/docs-assets"

_DOCS_POLICY = (
    "default-src 'none'; script-src 'self' '{script}'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI styles its elements one by one; of scripts inside the page there is one, which is the same for ever."""

_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)

_PAGES = ("index.html", "notebook.html", "tokens.html", "embed.html", "labs.html", "teach.html", "dashboard.html")

_VIDEOS = "; frame-src https://www.youtube-nocookie.com; media-src 'self' https: blob:"
"""What the page of labs may show besides, after a click: a video, of YouTube or in a file of the course. Captions of a
file are made of the transcript, as a blob."""

_NO_BUILD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Code Executor</title>
<h1>The page has not been built</h1>
<p>The service runs; only this page is missing. To build it, install Node.js with npm (18 or newer), type
<code>make web</code> in the project's directory, and start the service again.</p>
<p>The API works all the same: see its <a href="docs">documentation</a>.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class Page:
    """One file of the build; ``packed`` is the same, gzipped."""

    content: bytes
    packed: bytes
    media_type: str
    headers: dict[str, str]

    def answer(self, request: Request) -> Response:
        packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {**self.headers, "Vary": "Accept-Encoding"}
        if packed:  # another representation, so another tag
            headers["ETag"] = f'{headers["ETag"][:-1]}-gzip"'
            headers["Content-Encoding"] = "gzip"
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if headers["ETag"] in known:
            return Response(status_code=304, headers=headers)
        return Response(self.packed if packed else self.content, 200, headers, self.media_type)


def _read(path: str) -> Page:
    with open(path, "rb") as file, open(f"{path}.gz", "rb") as packed:
        content = file.read()
        return Page(
            content,
            packed.read(),
            mimetypes.guess_type(path)[0] or "application/octet-stream",
            {"ETag": f'"{hashlib.sha256(content).hexdigest()[:20]}"', "X-Content-Type-Options": "nosniff"},
        )


def _page(name: str, directory: str, ancestors: Iterable[str]) -> Page:
    page = _read(os.path.join(directory, name))
    page.headers.update(
        {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": _POLICY.format(ancestors=" ".join(ancestors)),
            "Referrer-Policy": "no-referrer",
        }
    )
    return page


def _assets(directory: str) -> dict[str, Page]:
    assets = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".gz"):
            continue
        asset = assets[name] = _read(os.path.join(directory, name))
        hashed = _HASHED.search(name)
        asset.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "public, max-age=300"
        # any site may load the component, which is a module, so that its browser asks for leave
        asset.headers.update({"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"})
    return assets


def redirect_slashes(app: FastAPI) -> None:
    """Send ``/docs/`` to ``/docs``, and the like, by a path: Starlette would name the host that the client named."""
    app.router.redirect_slashes = False
    not_found = app.router.default

    async def redirect(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        shorter = {**scope, "path": path}
        if (
            scope["type"] != "http"
            or path in ("", scope["path"])
            or not any(route.matches(shorter)[0] is not Match.NONE for route in app.routes)
        ):
            await not_found(scope, receive, send)
            return
        query = scope["query_string"].decode("latin-1")
        target = "/" + quote(scope.get("root_path", "") + path).lstrip("/") + ("?" + query) * bool(query)
        await RedirectResponse(target)(scope, receive, send)

    app.router.default = redirect


def install_docs(app: FastAPI) -> None:
    """Serve the description of the API for people, as FastAPI does but with a policy, and in nobody's frame."""

    async def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=f"{app.title} - Swagger UI",
            swagger_js_url=f"{root}{DOCS_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{root}{DOCS_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{root}{DOCS_ASSETS}/favicon.png",
        )
        (script,) = _INLINE.findall(bytes(page.body).decode())
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        page.headers["Content-Security-Policy"] = _DOCS_POLICY.format(script=f"sha256-{digest}")
        page.headers["Referrer-Policy"] = "no-referrer"
        page.headers["X-Content-Type-Options"] = "nosniff"
        return page

    app.add_route("/docs", docs, include_in_schema=False)


def install(app: Starlette, *, embedders: Iterable[str] = ("*",), directory: str = BUILD, labs: bool = False) -> None:
    """Serve the build in ``directory``. ``embedders`` are the origins that may show `/embed` in a frame.

    ``labs``: whether there are the pages of labs too, whose API is another package's.
    """
    # a build of before an update, which lacks a page, is none
    if not all(os.path.exists(os.path.join(directory, name)) for name in _PAGES):

        async def missing(_: Request) -> Response:
            return HTMLResponse(_NO_BUILD, headers={"Cache-Control": "no-store"})

        app.add_route("/", missing, include_in_schema=False)
        return

    whole, embedded = _page("index.html", directory, ["'self'"]), _page("embed.html", directory, embedders)
    cells, links = (_page(name, directory, ["'self'"]) for name in ("notebook.html", "tokens.html"))
    assets = _assets(os.path.join(directory, "assets"))

    async def index(request: Request) -> Response:
        return whole.answer(request)

    async def notebook(request: Request) -> Response:
        return cells.answer(request)

    async def tokens(request: Request) -> Response:
        return links.answer(request)

    async def embed(request: Request) -> Response:
        return embedded.answer(request)

    async def asset(request: Request) -> Response:
        found = assets.get(request.path_params["name"])
        if found is None:
            raise HTTPException(404)
        return found.answer(request)

    app.add_route("/", index, include_in_schema=False)
    app.add_route("/notebook", notebook, include_in_schema=False)
    app.add_route("/tokens", tokens, include_in_schema=False)
    app.add_route("/embed", embed, include_in_schema=False)
    app.add_route("/assets/{name}", asset, include_in_schema=False)
    if labs:
        _install_labs(app, directory)


def _install_labs(app: Starlette, directory: str) -> None:
    """Serve `/labs`, `/teach` and `/dashboard`."""
    for name in ("labs", "teach", "dashboard"):
        page = _page(f"{name}.html", directory, ["'self'"])
        if name == "labs":
            page.headers["Content-Security-Policy"] += _VIDEOS
        app.add_route(f"/{name}", _answering(page), include_in_schema=False)


def _answering(page: Page) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return page.answer(request)

    return answer
