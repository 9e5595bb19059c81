"""Where a program shows things: a pipe of its own, in which each is a record (`protocol.RECORD`)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading

from sandbox_agent.contract import protocol

_fd = -1
_most = 0
_left: int | None = None
_omitted = 0
_turn = 0
_lock = threading.RLock()
os.register_at_fork(after_in_child=_lock._at_fork_reinit)  # type: ignore[attr-defined]  # noqa: SLF001  # no other thread is there


def open_on(descriptor: int, most: int) -> None:
    """Send records, ``most`` bytes of them, to ``descriptor``."""
    global _fd  # noqa: PLW0603  # one per process
    _fd = descriptor
    allow(most)


def allow(most: int | None) -> None:
    """From now on send ``most`` bytes of records; None: drop what is shown."""
    global _most, _left, _omitted, _turn  # noqa: PLW0603  # one per process
    _most, _left = most or 0, most
    _omitted = 0
    _turn += 1


def is_on() -> bool:
    """Whether what is shown is sent, and not dropped."""
    return _left is not None


def turn() -> int:
    """Which run or cell this is: another number for each."""
    return _turn


def send(media_type: str, data: bytes) -> None:
    """Send one record, or say on stderr that it is too much."""
    global _left, _omitted  # noqa: PLW0603
    if _left is None:
        return
    record = protocol.record(media_type, data)
    with _lock:
        if len(record) <= _left:
            _left -= len(record)
            _write(record)
            return
        _omitted += 1
        first = _omitted == 1
    if first:
        say(f"(not shown: {media_type} of {len(data):,} bytes; a run or a cell may show {_most:,} bytes in all)\n")


def finish() -> None:
    """Say how much was too much, unless that was said when it was left out."""
    global _omitted  # noqa: PLW0603
    if _omitted > 1:
        say(f"({_omitted} were not shown in all)\n")
    _omitted = 0


def _write(record: bytes) -> None:
    """Write a record, whole, and no process of the program another within: nobody could read what follows."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with contextlib.suppress(OSError):  # a kernel that locks no pipes; one process alone needs no lock
            fcntl.lockf(_fd, fcntl.LOCK_EX)
        view = memoryview(record)
        while view:
            view = view[os.write(_fd, view) :]
    finally:
        with contextlib.suppress(OSError):
            fcntl.lockf(_fd, fcntl.LOCK_UN)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def say(text: str) -> None:
    """Write to the program's stderr, if it left one that can be written to."""
    try:
        sys.stderr.write(text)
    except Exception:
        pass
