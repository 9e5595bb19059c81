"""The HTTP server: the app, on uvicorn, behind the door.

Apart from `serving`, which imports it while a first sandbox is being made: the two take about as long.
"""

from __future__ import annotations

import functools
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from code_executor._version import __version__
from code_executor.api.app import create_app
from code_executor.api.hosts import HostNames
from code_executor.api.identity import Proxies
from code_executor.app import environments
from code_executor.app.door import Door, Head
from code_executor.app.guests import Guests, raise_descriptors, room
from code_executor.app.jobs import Desk
from code_executor.app.logs import Seldom
from code_executor.app.mounts import mounts
from code_executor.app.settings import Settings
from code_executor.app.wire import WebSocketConnection
from code_executor.core.proxies import TrustedProxies
from code_executor.service.ports import Service

_GRACE = 10.0


def application(service: Service, settings: Settings, desk: Desk) -> ASGIApp:
    """Return the app, behind the middleware that reads ``X-Forwarded-For`` of trusted proxies.

    If OpenTelemetry is configured, observers are around the service and around the whole.
    """
    observer = desk.observer
    if observer is not None:
        service = observer.around(service)
    names = HostNames(settings.host, settings.allowed_hosts, settings.allowed_origins)
    app = create_app(
        service,
        settings.request_limits(),
        __version__,
        names,
        origins=settings.allowed_origins,
        sending=settings.send_limits(),
        described=[each.name for each in environments.load(settings)],
        offered=settings.offered_policies,
        accounts=desk.accounts,
        desk=desk.jobs,
        answers=desk.answers,
        kept_suites=desk.suites,
        receipt_keys=desk.receipt_keys,
        mounts=mounts(settings, desk.kept),
    )
    trusted = TrustedProxies(settings.trusted_proxies)
    app = Proxies(app, trusted) if trusted else app
    if observer is None:
        return app
    from code_executor.api.tracing import Traced  # noqa: PLC0415  # not without the extra

    return Traced(app, observer)


def guests(settings: Settings) -> Guests:
    """Return the book of connections, with as much room as this process's descriptors leave."""
    most = min(settings.connections, room(raise_descriptors(), settings.pool_size, settings.workers))
    return Guests(most, min(settings.connections_per_client, max(1, most // 4)))


def _door(settings: Settings, book: Guests) -> Any:
    head = Head(within=min(Head().within, settings.body_timeout))
    return functools.partial(Door, head, book, TrustedProxies(settings.trusted_proxies).include, Seldom())


class WebServer(uvicorn.Server):
    """uvicorn's, except that it does not raise the signal that ended it again: the pool has still to be closed."""

    when_answering: Callable[[], None] | None = None
    when_stopping: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.when_answering is not None:
            self.when_answering()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.when_stopping is not None:
            self.when_stopping()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def web_server(service: Service, settings: Settings, desk: Desk) -> WebServer:
    """Return a server of ``service``, which is to be given its listening socket.

    Who waits for a job is answered when the server stops.
    """
    book = guests(settings)
    config = uvicorn.Config(
        application(service, settings, desk),
        http=_door(settings, book),
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
        backlog=min(2048, book.most),
    )
    server = WebServer(config)
    server.when_stopping = desk.jobs.board.close
    return server
