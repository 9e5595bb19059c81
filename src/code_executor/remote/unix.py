"""A Unix socket between processes of one machine, which has no name.

It loses its name as soon as it listens: workers inherit a descriptor that leads to it. So nobody else can find it, and
a server that is killed leaves nothing.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile

BACKLOG = 2048
"""A worker makes a connection for each of its requests. Refused, it would take the service for gone."""


def listen() -> tuple[socket.socket, int]:
    """Return a Unix socket that listens, and a descriptor that leads to it (``O_PATH``) now that its name is gone."""
    with tempfile.TemporaryDirectory(prefix="code-executor-") as directory:
        path = os.path.join(directory, "service.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        return listener, os.open(path, os.O_PATH | os.O_CLOEXEC)


async def connect(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the socket that ``descriptor`` leads to; raise ``OSError``."""
    return await asyncio.open_unix_connection(f"/proc/self/fd/{descriptor}")
