"""The pipes of a child, and what it says over them to its supervisor.

Both the program and the supervisor hold the other ends, so a program can write to all that is open while it runs. What
that can change is said beside each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from sandbox_agent.confinement.kernel import available

STDIN, STDOUT, STDERR, PAYLOAD, READY, REPORT, HINT, DISPLAY, PROMPT, LINE, GIVEN = range(11)
"""The descriptors of a child, in the order `life.main` takes them. A session goes on using ``READY``, for its cells."""

HINT_EXCEPTION, HINT_MEMORY, HINT_DISK, HINT_PROCESSES = 1, 2, 3, 4
"""How many bytes a child leaves in its hint pipe. The supervisor counts them and never reads them; a program that
forges them can only change which kind of ``error`` its own failure is called. A forbidden system call leaves more
(`trap`)."""

_leader = 0
"""The pid of the run's first process, known to what it forks as well."""


def lead() -> None:
    """Make this process the run's first."""
    global _leader  # noqa: PLW0603  # one per process, and this is a process of one purpose
    _leader = os.getpid()


def is_leader() -> bool:
    """Whether this is the run's first process, and not one that the program forked."""
    return os.getpid() == _leader


def hint(kind: int) -> None:
    """Leave as many bytes as the kind of the failure has; only the run's first process has a say."""
    if is_leader():
        try:
            os.write(HINT, bytes(kind))
        except OSError:
            pass  # the program closed it; it loses nothing but the name of its failure


def send_line(line: int | None) -> None:
    """Tell the host in which line the program failed. The program can write there too: to whoever wrote it."""
    if line is not None and is_leader():
        try:
            os.write(LINE, b"%d" % line)
        except OSError:
            pass  # the program closed it


def send_report(**report: Any) -> None:
    """Write a report, whole, for the host."""
    data = memoryview(json.dumps(report, ensure_ascii=False).encode("utf-8", "replace"))
    while data:
        data = data[os.write(REPORT, data) :]


class Messages:
    """What comes in ``fd``, up to each line end and to the end of the pipe: JSON has no line ends of its own."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._rest = b""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        pieces: list[bytes] = []
        while piece := self._rest or os.read(self.fd, 1 << 16):
            before, end, self._rest = piece.partition(b"\n")
            pieces.append(before)
            if end:
                return b"".join(pieces)
        if pieces:
            return b"".join(pieces)
        raise StopIteration

    def is_next_there(self) -> bool:
        """Whether something of the next one has come."""
        return bool(self._rest) or available(self.fd) > 0
