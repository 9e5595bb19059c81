"""The span of a request, the outermost of all middleware. Loaded only where OpenTelemetry is configured.

Neither the path nor the query is told, but the route: the path of a session has its id, which is a secret. Requests of
operators and their machines have no span.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from code_executor.api import execute
from code_executor.service.telemetry import Telemetry

_UNTOLD = frozenset({"/metrics", "/healthz", "/readyz"})
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})
_SERVER_ERROR = 500


class Traced:
    """Middleware: a span, and a measurement, for each request and WebSocket."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app = app
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in _UNTOLD:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        about, status = _about(scope), 0
        headers = Headers(scope=scope)
        span = self._telemetry.tracer.start_span(
            about["http.request.method"],
            propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes={**about, **_more(scope, headers)},
        )

        async def sending(message: Message) -> None:
            nonlocal status
            status = status or _status(message)
            await send(message)

        token = context.attach(trace.set_span_in_context(span))
        try:
            await self._app(scope, receive, sending)
        except BaseException as error:
            about["error.type"] = type(error).__name__
            raise
        finally:
            context.detach(token)
            self._end(span, scope, about, status)
            if scope["type"] == "http":
                self._telemetry.requests.record(time.perf_counter() - began, about)

    @staticmethod
    def _end(span: Span, scope: Scope, about: dict[str, Any], status: int) -> None:
        route = _route(scope)
        if route:
            about["http.route"] = route
            span.update_name(f"{about['http.request.method']} {route}")
        if status:
            about["http.response.status_code"] = status
        if status >= _SERVER_ERROR:
            about.setdefault("error.type", str(status))
        if "error.type" in about:
            span.set_status(StatusCode.ERROR)
        span.set_attributes(about)
        span.end()


def _about(scope: Scope) -> dict[str, Any]:
    """Return what few values have, so that it can be told with measurements as well."""
    method = scope.get("method", "GET")  # a WebSocket begins with that
    return {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "url.scheme": scope.get("scheme", "http"),
        "network.protocol.version": scope.get("http_version", "1.1"),
    }


def _more(scope: Scope, headers: Headers) -> dict[str, Any]:
    more: dict[str, Any] = {}
    try:
        server = urlsplit(f"//{headers.get('host', '')}")
        if server.hostname:
            more["server.address"] = server.hostname
            more["server.port"] = server.port or (443 if scope.get("scheme") in ("https", "wss") else 80)
    except ValueError:  # whatever a client calls us
        pass
    if "user-agent" in headers:
        more["user_agent.original"] = headers["user-agent"]
    return more


def _status(message: Message) -> int:
    match message["type"]:
        case "http.response.start":
            return int(message["status"])
        case "websocket.accept":
            return 101
        case "websocket.close":
            return 403
    return 0


def _route(scope: Scope) -> str:
    """Return the template of the path; empty if there is none, or the request was refused before one was looked for."""
    if scope["path"] == execute.PATH:  # which takes a shortcut
        return execute.PATH
    return str(getattr(scope.get("route"), "path", ""))
