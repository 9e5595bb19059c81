"""Room for the stacks of threads, on top of what a program's data may be.

The kernel counts the whole stack of a thread as data (RLIMIT_DATA) when it is reserved, though most of it is never
used: 8 MB for each, or what `threading.stack_size` says, which for programs that recurse deeply is 512 MB. That limit
is below the memory of the sandbox, so that ``MemoryError`` comes before the control group's kill. So it is moved, with
every thread that starts or ends, to where it always was plus the stacks that are reserved. What is used of them still
counts for the control group.

glibc keeps the stacks of threads that have ended, for others: 40 MB of them, or any number of larger ones until the
next thread ends. So the limit goes down again by little, or, where larger stacks were asked for, not at all. From
Python 3.13 on, a thread that has ended also keeps its stack until it is joined, or nobody has it any more. Nothing
tells of that, so 40 MB have to do for those as well, however many there were at once.

The table of threads that are being started (`threading._limbo`) and that of those that run tell of them, because
nothing that stands on the stack while a thread is started may be of another file than Python's own.
"""

from __future__ import annotations

import _thread
import contextlib
import mmap
import resource
import sys
import threading
from typing import Any

_USUAL = 8 << 20
"""Bytes of a stack of which nothing else was said. It is what glibc takes from RLIMIT_STACK, if not less."""

_KEPT = 40 << 20
"""Bytes of the stacks of threads that have ended that glibc keeps."""


_KEPT_UNTIL_JOINED = sys.version_info >= (3, 13)
"""Whether a thread that has ended can still have its stack."""

_rooms: list[_Room] = []
"""The one of this process, once there is one."""


def install() -> bool:
    """Have the limit moved from now on; False where it cannot be, since only the limit itself holds the memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft in (hard, resource.RLIM_INFINITY):
        return False
    room = _Room(soft, hard)
    _rooms[:] = [room]
    tables = vars(threading)
    room.starting = tables["_limbo"] = _Starting(room)
    room.running = tables["_active"] = _Running(room, tables["_active"])
    return True


def lower(less: int) -> bool:
    """Have the limit lowered by so many bytes, with all that is moved later; False if it is not moved here."""
    for room in _rooms:
        room.lower(less)
    return bool(_rooms)


def fits() -> bool:
    """Whether another stack could be reserved now; if not, it is for want of memory that no thread can be started."""
    try:
        mmap.mmap(-1, _stack_size(), mmap.MAP_PRIVATE).close()
    except (OSError, ValueError, MemoryError):
        return False
    return True


def _stack_size() -> int:
    """Return the size that the next stack will have. To ask for it sets it to 0, so it is put back at once."""
    size = _thread.stack_size()
    _thread.stack_size(size)
    return size or _USUAL


class _Room:
    """The limit as it is without stacks, and as this last set it: a program that sets it has its own way from then."""

    def __init__(self, soft: int, hard: int) -> None:
        self._without = self._set = soft
        self._hard = hard
        self._stack = _USUAL
        self._most = 0  # threads at once
        self._begun = 0  # threads in all
        self.starting: dict[Any, Any] = {}
        self.running: dict[Any, Any] = {}

    def fit(self) -> None:
        """Move the limit to what the threads need that are there now, but the first."""
        self._stack = max(self._stack, _stack_size())
        threads = len(self.starting) + len(self.running) - 1
        self._most = max(self._most, threads)
        most = self._begun if _KEPT_UNTIL_JOINED and self._stack <= _USUAL else self._most
        ended = max(0, most - threads) * self._stack
        kept = ended if self._stack > _USUAL else min(ended, _KEPT)
        wanted = min(self._without + threads * self._stack + kept, self._hard)
        if wanted == self._set:
            return
        with contextlib.suppress(ValueError, OSError):
            if resource.getrlimit(resource.RLIMIT_DATA) == (self._set, self._hard):
                resource.setrlimit(resource.RLIMIT_DATA, (wanted, self._hard))
                self._set = wanted

    def begin(self) -> None:
        """Make room for one that is about to start."""
        self._begun += 1
        self.fit()

    def lower(self, less: int) -> None:
        self._without = max(0, self._without - less)
        self.fit()


class _Starting(dict[Any, Any]):
    """The table of threads that are being started: tells of each."""

    def __init__(self, room: _Room) -> None:
        super().__init__()
        self._room = room

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self._room.begin()


class _Running(dict[Any, Any]):
    """The table of threads that run: tells of each that is gone."""

    def __init__(self, room: _Room, threads: dict[Any, Any]) -> None:
        super().__init__(threads)
        self._room = room

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._room.fit()
