"""Serving HTTP: one process that does it all, or one with the pool and several that answer.

With one worker, everything is in this process. With more, this process keeps the pool, the rate limit and the metrics
and starts the workers, which share one listening socket and reach it through `remote`. Either way SIGTERM and Ctrl-C
stop accepting, let what is under way finish, and leave nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import structlog

from code_executor.app.bootstrap import open_service
from code_executor.app.guests import raise_descriptors
from code_executor.app.jobs import open_desk
from code_executor.app.kept import warn_of_exposure
from code_executor.app.logs import configure_logging
from code_executor.app.settings import PREFIX, Settings
from code_executor.core.errors import CodeExecutorError, ConfigurationError
from code_executor.remote import host
from code_executor.remote.client import Connections, remote_service
from code_executor.service.ports import Service

if TYPE_CHECKING:
    from code_executor.app.webserver import WebServer

log = structlog.get_logger()

WORKER = "CODE_EXECUTOR_WORKER"
"""The one variable of a worker: JSON with two descriptors, of the listening socket and of the way to the service, and
the settings as this process has resolved them."""

_RESTART_AFTER = 0.5
_KERNEL_GRACE = 10.0
_UNSENT = 128 << 10
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGE_BLOCK = 256 << 10
_WORKER_GRACE = 20.0
"""Seconds beyond its longest run that a worker may take to end: more than its server gives those under way."""


def listen(settings: Settings) -> socket.socket:
    """Bind the address; raise ``ConfigurationError`` where it is taken or is not this machine's."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from None
    # what is in the kernel alone it does not keep for ever either; connections have this from their listener. It is
    # longer than what `api.outbox` waits, which tells the client
    listener.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((settings.send_timeout + _KERNEL_GRACE) * 1000)
    )
    # the kernel takes little at once: where it has megabytes, a slow client seems to stand still for long
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)
    return listener


def _webserver() -> ModuleType:
    from code_executor.app import webserver  # noqa: PLC0415  # takes as long as making a first sandbox: see `serve`

    return webserver


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raise ``CodeExecutorError`` where it cannot begin."""
    configure_logging(settings)
    raise_descriptors()
    listener = listen(settings)
    try:
        # while the sandboxes start; with more workers than one, they answer and not this process
        importing = asyncio.create_task(asyncio.to_thread(_webserver)) if settings.workers == 1 else None
        async with open_desk(settings) as desk:
            warn_of_exposure(settings, desk.accounts)
            async with open_service(settings, desk) as service:
                listener.listen(2048)
                if importing is not None:
                    server = (await importing).web_server(service, settings, desk)
                    server.when_answering = lambda: _announce(listener, settings)
                    # what uvicorn puts back: a second cuts no closing short
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    await server.serve([listener])
                else:
                    under = None if desk.observer is None else desk.observer.under
                    await _serve_by_workers(service, settings, listener, under)
                log.info("stopping")
    finally:
        listener.close()


def _announce(listener: socket.socket, settings: Settings) -> None:
    host, port = listener.getsockname()[:2]
    log.info("serving", url=f"http://{f'[{host}]' if ':' in host else host}:{port}", workers=settings.workers)


async def _serve_by_workers(
    service: Service, settings: Settings, listener: socket.socket, under: host.Under | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with host.serve(service, under) as way, asyncio.TaskGroup() as workers:
        answering = [asyncio.Event() for _ in range(settings.workers)]
        for event in answering:
            workers.create_task(_keep_worker((listener.fileno(), way), settings, stop, event))
        announcing = workers.create_task(_announce_when(answering, listener, settings))
        await stop.wait()
        listener.close()  # else new connections would wait in it until the last worker has ended
        announcing.cancel()


async def _announce_when(answering: list[asyncio.Event], listener: socket.socket, settings: Settings) -> None:
    for event in answering:
        await event.wait()
    _announce(listener, settings)


async def _keep_worker(
    sockets: tuple[int, int], settings: Settings, stop: asyncio.Event, answering: asyncio.Event
) -> None:
    """Run one worker until ``stop``, and start it again where it ends before; set ``answering`` once it answers."""
    while not stop.is_set():
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "code_executor.app.serving",
            env=_worker_environment(sockets, settings),
            stdin=asyncio.subprocess.PIPE,  # see `_work`
            stdout=asyncio.subprocess.PIPE,  # a line, once it answers
            pass_fds=sockets,
            start_new_session=True,  # Ctrl-C reaches this process alone, which tells the workers
        )
        heard = asyncio.create_task(_hear(process, answering))
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        heard.cancel()
        if not ended.done():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(asyncio.shield(ended), settings.max_timeout + _WORKER_GRACE)
            except TimeoutError:
                process.kill()
                await ended
        else:
            log.error("worker_ended", status=process.returncode)
            await asyncio.sleep(_RESTART_AFTER)


async def _hear(process: asyncio.subprocess.Process, answering: asyncio.Event) -> None:
    if process.stdout is not None and await process.stdout.readline():
        answering.set()


def _worker_environment(sockets: tuple[int, int], settings: Settings) -> dict[str, str]:
    """Return a worker's environment: this process's, with our settings in one variable instead of in one each."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**rest, WORKER: json.dumps({"sockets": sockets, "settings": settings.model_dump(mode="json")})}


async def _work(settings: Settings, fd: int, way: int) -> None:
    configure_logging(settings)
    async with open_desk(settings) as desk:
        connections = Connections(way, None if desk.observer is None else desk.observer.carried)
        service = remote_service(connections, settings.limits())
        server = _webserver().web_server(service, settings, desk)
        await _answer(server, fd)
        connections.close()


async def _answer(server: WebServer, fd: int) -> None:
    loop = asyncio.get_running_loop()

    def orphaned() -> None:
        loop.remove_reader(sys.stdin)
        server.should_exit = True

    # nothing is ever written to it: its end is that of the main process, which has no time to say so when it is killed
    loop.add_reader(sys.stdin, orphaned)
    server.when_answering = lambda: print("answering", flush=True)  # noqa: T201  # to the main process
    with socket.socket(fileno=fd) as listener:
        await server.serve([listener])


def _give_memory_back() -> None:
    """Have glibc return large blocks to the system when they are freed; by itself it keeps more and more of them."""
    with contextlib.suppress(AttributeError, OSError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BLOCK)


def run(settings: Settings) -> None:
    """`serve`, on the fastest event loop there is."""
    _run(serve(settings))


def _run(main: object) -> None:
    _give_memory_back()
    try:
        import uvloop  # noqa: PLC0415  # not on every platform
    except ImportError:
        asyncio.run(main)  # type: ignore[arg-type]
    else:
        uvloop.run(main)  # type: ignore[arg-type]


def _worker() -> int:
    given = json.loads(os.environ.pop(WORKER))
    fd, way = given["sockets"]
    try:
        _run(_work(Settings.resolved(given["settings"]), fd, way))
    except CodeExecutorError as error:
        print(f"code-executor: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_worker())
