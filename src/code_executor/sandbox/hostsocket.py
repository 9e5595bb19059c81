"""A Unix socket from this machine into one container: a stream without the engine's two relays on it.

What goes over the attach stream is copied by the Docker daemon and by the container's shim, each of them a wake-up each
way. Where the daemon is on this machine, a directory with a listening socket is mounted into the container instead. Its
supervisor connects before it forks for the first time, and from then on neither the socket nor the directory exists
any more: no program ever finds something to connect to. Whoever cannot connect (another machine, a virtual one, a
remapped root) talks over the attach stream as ever.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Self, cast

from code_executor.sandbox import owner
from code_executor.sandbox.owner import Owner
from code_executor.sandbox.sandbox import Sandbox

MOUNTED_AT = "/run/host"
"""Where the directory is inside. The program's Landlock rules do not have it."""

_NAME = "socket"
_PREFIX = "code-executor-"
PATH_INSIDE = f"{MOUNTED_AT}/{_NAME}"


def _places() -> list[str]:
    """Where a directory may be made: where systemd gives a service one, in the place for such, or in /tmp."""
    places = (os.environ.get("RUNTIME_DIRECTORY"), os.environ.get("XDG_RUNTIME_DIR"), "/run", tempfile.gettempdir())
    return [place for place in places if place and os.access(place, os.W_OK)]


def remove_strays() -> None:
    """Remove the directories of servers that were killed just when a sandbox of theirs was about to connect."""
    for place in _places():
        for path in Path(place).glob(f"{_PREFIX}*-socket-*"):
            if owner.is_gone(path.name.removeprefix(_PREFIX).partition("-")[0]):
                shutil.rmtree(path, ignore_errors=True)


class HostSocket(asyncio.Protocol):
    """Listens until the one supervisor has connected, and is then the stream to it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.directory = tempfile.mkdtemp(prefix=f"{_PREFIX}{Owner.this().tag}-socket-", dir=_places()[0])
        self._sandbox = sandbox
        self._server: asyncio.Server | None = None
        self._transport: asyncio.Transport | None = None
        self._room = asyncio.Event()
        self._room.set()

    @classmethod
    async def listen(cls, sandbox: Sandbox) -> Self:
        """Raises ``OSError`` where there is no place for a socket."""
        host_socket = cls(sandbox)
        try:
            loop = asyncio.get_running_loop()
            host_socket._server = await loop.create_unix_server(
                lambda: host_socket, os.path.join(host_socket.directory, _NAME)
            )
        except BaseException:
            host_socket.close()
            raise
        return host_socket

    @property
    def connected(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast("asyncio.Transport", transport)  # uvloop's are none by class
        if self.connected:
            stream.set_protocol(asyncio.Protocol())  # what it says, and its end, are nothing to us
            stream.close()
            return
        self._transport = stream
        self._stop_listening()

    def data_received(self, data: bytes) -> None:
        self._sandbox.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sandbox.ended(f"the container ended{f' ({exc})' if exc else ''}")
        self._room.set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    async def write(self, data: bytes) -> None:
        """As ``Link.write``; raises ``ConnectionError`` when nobody is there."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the socket is closed")
        self._transport.write(data)
        await self._room.wait()

    def close(self) -> None:
        """Let go of everything; idempotent."""
        self._stop_listening()
        if self._transport is not None:
            self._transport.abort()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        shutil.rmtree(self.directory, ignore_errors=True)
