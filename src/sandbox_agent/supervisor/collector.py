"""Reads the files that a run left in its box and writes them, as records, into a pipe.

It is a child of the supervisor like a run's own: under the same uid, confined in the same way, and alone (everything
of the run is dead by then). What it reads ends with it; the supervisor only passes the pipe on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NoReturn

from sandbox_agent.confinement.confine import Confinement, arrange, confine
from sandbox_agent.contract import protocol

_OUT = 1
_MOST_ENTRIES = 2000
"""Directory entries that are looked at."""


def main(state: Confinement, out: int, supervisor: int) -> NoReturn:
    """Confine this process, send the files, and exit; never returns."""
    try:
        null = os.open("/dev/null", os.O_RDWR)
        landlock_fd = arrange([null, out], state.landlock_fd)
        confine(state, landlock_fd, supervisor)
        _send_all(state.config.attachment_files, state.config.limits.attachments)
    finally:
        os._exit(0)


def _send_all(most_files: int, most_bytes: int) -> None:
    omitted = 0
    for path, fd in _files("."):
        try:
            size = os.fstat(fd).st_size
            room = protocol.RECORD.size + len(path.encode()) + size
            if most_files == 0 or room > most_bytes:
                omitted += 1
                continue
            data = b"".join(iter(lambda fd=fd: os.read(fd, 1 << 20), b""))  # type: ignore[misc]
            most_files -= 1
            most_bytes -= room
            _write(protocol.record(path, data))
        finally:
            os.close(fd)
    if omitted:
        _write(protocol.record("", str(omitted).encode()))


def _files(root: str) -> Iterator[tuple[str, int]]:
    """Yield path and descriptor of each regular file below the working directory; never follow a link."""
    directories = [root]
    seen = 0
    while directories:
        directory = directories.pop()
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            names = sorted(os.listdir(fd))
            os.close(fd)
        except OSError:
            continue
        inner = []
        for name in names:
            seen += 1
            if seen > _MOST_ENTRIES:
                return
            path = name if directory == root else f"{directory}/{name}"
            if not _is_text(path):
                continue
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            mode = os.fstat(fd).st_mode
            if stat.S_ISREG(mode):
                yield path, fd
                continue
            os.close(fd)
            if stat.S_ISDIR(mode) and name != "__pycache__":
                inner.append(path)
        directories += reversed(inner)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_OUT, view) :]
