"""The HTTP server: the app, on uvicorn.

Apart from `serving`, which imports it while a first sandbox is being made: the two take about as long.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from code_executor._version import __version__
from code_executor.api.app import create_app
from code_executor.app.settings import Settings
from code_executor.app.wire import HttpConnection, WebSocketConnection
from code_executor.service.ports import Service

_GRACE = 10.0


def application(service: Service, settings: Settings) -> ASGIApp:
    """Return the app, behind the middleware that reads ``X-Forwarded-For`` of trusted proxies."""
    app = create_app(service, settings.request_limits(), __version__, settings.allowed_origins, settings.send_limits())
    if settings.trusted_proxies:
        return ProxyHeadersMiddleware(app, list(settings.trusted_proxies))  # type: ignore[arg-type, return-value]
    return app


class WebServer(uvicorn.Server):
    """uvicorn's, except that it does not raise the signal that ended it again: the pool has still to be closed."""

    when_answering: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.when_answering is not None:
            self.when_answering()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def web_server(service: Service, settings: Settings) -> WebServer:
    """Return a server of ``service``, which is to be given its listening socket."""
    config = uvicorn.Config(
        application(service, settings),
        http=HttpConnection,
        ws=WebSocketConnection,
        ws_per_message_deflate=False,  # 15 KB could be 15 MB
        ws_max_size=settings.request_limits().body,
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=int(settings.max_timeout + _GRACE),
        timeout_keep_alive=75,
        backlog=2048,
    )
    return WebServer(config)
