"""Pipes for tests of the relay."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIPE = 1 << 16


@dataclass
class Pipe:
    read: int
    write: int


Pipes = Callable[[], Pipe]
MemoryOf = Callable[[int], Iterator[bytes]]


def is_open(fd: int, inode: int | None = None) -> bool:
    try:
        return inode in (None, os.fstat(fd).st_ino)
    except OSError:
        return False


def read_all(fd: int) -> bytes:
    """Read what is there now."""
    pieces = []
    while select.select([fd], [], [], 0)[0] and (piece := os.read(fd, PIPE)):
        pieces.append(piece)
    return b"".join(pieces)


def fill(fd: int) -> int:
    """Write until nothing more goes in; return how much went in."""
    count = 0
    while select.select([], [fd], [], 0)[1]:
        count += os.write(fd, b"x" * 4096)
    return count
