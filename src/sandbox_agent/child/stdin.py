"""Standard input where somebody may type: what reads it says so beforehand. And that of a cell, which begins anew.

A cell that was given its input has it, and its end, on descriptor 0: all that is in a pipe or, where that is too small,
in a file without a name. Any other cell has the pipe of the session there, into which the supervisor passes what comes
while the cell runs. The end of that is a message (a line without anything) where otherwise the next cell would come:
the pipe must stay open for later cells. Who waits for input waits for both.
"""

from __future__ import annotations

import _thread
import contextlib
import io
import os
import select
import sys
from typing import Any

from sandbox_agent.child import streams
from sandbox_agent.child.pipes import PROMPT, STDIN, Messages
from sandbox_agent.child.source import RefusedError
from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract.policy import SourceProblem

_HELD = 1 << 16
"""Bytes that a pipe holds."""

_DIRECTORY = "/dev/shm"  # one of the run's own file systems

_SOON = 2
"""Milliseconds in which another program answers: who types takes longer, and is told so much later."""

_read = os.read  # `asking` puts another in its place

_messages: Messages | None = None
"""Where a session hears of the end of its stdin."""


def prompt() -> tuple[Any, Any, Any]:
    """Have whatever reads stdin say so beforehand; return the layers of what is ``sys.stdin`` now."""
    raw = PromptingFile(STDIN, "rb", closefd=False)
    raw.name = "<stdin>"
    buffer = io.BufferedReader(raw)
    text = io.TextIOWrapper(buffer, "utf-8", "surrogateescape", newline="\n")
    text.mode = "r"  # type: ignore[misc]
    sys.stdin = sys.__stdin__ = text  # type: ignore[misc]
    return raw, buffer, text


class PromptingFile(io.FileIO):
    """A stdin that tells the supervisor when the program is about to wait for it."""

    def readinto(self, buffer: Any) -> int | None:
        wait()
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        wait()
        return super().read(size)  # None where nothing may wait and nothing is there

    def readall(self) -> bytes:
        pieces: list[bytes] = []
        while piece := self.read(1 << 16):
            pieces.append(piece)
        return b"".join(pieces) if pieces else piece


def wait() -> None:
    """Tell the supervisor if reading stdin will wait for long, and do so here; let the end of a cell's be seen."""
    if announce(_SOON):
        try:
            _await(_messages)
        finally:
            take_back()


def announce(within: int = 0) -> bool:
    """Tell the supervisor, with a byte in the prompt pipe, if nothing is there to read; return whether it is so.

    ``within``: milliseconds in which it may still come.
    """
    with contextlib.suppress(OSError):
        if not available(STDIN) and os.get_blocking(STDIN):
            streams.flush()  # what a thread asks comes before the news that it waits
            if within and _comes(within):
                return False
            os.write(PROMPT, b"\0")
            return True
    return False


def take_back() -> None:
    """Unask what the supervisor may not have heard yet, for there is an answer: it must not hear of it any more."""
    with contextlib.suppress(OSError):
        _read(PROMPT, _HELD)


def _comes(within: int) -> bool:
    events = select.poll()
    events.register(STDIN, select.POLLIN)
    return bool(events.poll(within))


def _await(messages: Messages | None) -> None:
    """Wait for stdin, or for the news of its end."""
    with contextlib.suppress(OSError):
        events = select.poll()
        events.register(STDIN, select.POLLIN)
        if messages is None:
            events.poll()
            return
        events.register(messages.fd, select.POLLIN)
        while not messages.is_next_there():
            if STDIN in dict(events.poll()):
                return
        if not available(STDIN):
            _close()


def _close() -> None:
    """Let there be nothing more to read."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)
    os.close(nothing)


class CellInput:
    """The stdin of one cell after another. What a cell left of its own, or broke, does not reach the next."""

    def __init__(self, messages: Messages) -> None:
        global _messages  # noqa: PLW0603  # one per process
        _messages = messages
        self._pipe = os.dup(STDIN)
        self._raw, self._buffer, self._text = prompt()

    def begin(self, given: str | None) -> None:
        """A cell begins, with what it is ``given``, or (None) with what comes; raise ``RefusedError`` if that fails."""
        with contextlib.suppress(OSError):
            os.dup2(self._pipe, STDIN)
        if given is not None:
            self._give(given.encode("utf-8", "replace"))
        if _thread._count():  # noqa: SLF001  # a thread may be reading it in this moment
            self._make_anew(given)
        else:
            self._renew(given)

    def end(self) -> None:
        """The cell is over: nothing is left to read."""
        with contextlib.suppress(OSError):
            _close()

    def skip(self, size: int) -> None:
        """Drop what earlier cells were sent and did not read."""
        while (size := min(size, available(self._pipe))) > 0:
            size -= len(os.read(self._pipe, size))

    def _give(self, data: bytes) -> None:
        try:
            descriptor = _held(data)
            os.dup2(descriptor, STDIN)
            os.close(descriptor)
        except OSError as error:
            text = f"The cell's stdin could not be written: {error.strerror}."
            raise RefusedError("disk_limit", [SourceProblem(1, 1, text)]) from None

    def _make_anew(self, given: str | None) -> None:
        before, own = getattr(sys, "stdin", None), self._text
        self._raw, self._buffer, self._text = prompt()
        if given is None and before is not own and _is_open(before):
            sys.stdin = before

    def _renew(self, given: str | None) -> None:
        """Make the same objects read descriptor 0 from its beginning: earlier cells may have names for them."""
        for layer in (self._raw, self._buffer, self._text):
            vars(layer).pop("__IOBase_closed", None)  # how io remembers that one was closed
        io.FileIO.__init__(self._raw, STDIN, "rb", closefd=False)
        self._raw.name = "<stdin>"
        io.BufferedReader.__init__(self._buffer, self._raw)
        io.TextIOWrapper.__init__(self._text, self._buffer, "utf-8", "surrogateescape", newline="\n")
        self._text.mode = "r"
        sys.__stdin__ = self._text  # type: ignore[misc]
        if given is not None or not _is_open(getattr(sys, "stdin", None)):
            sys.stdin = self._text


def _is_open(stream: Any) -> bool:
    try:
        return stream is not None and not getattr(stream, "closed", False)
    except Exception:  # it is the program's
        return False


def _held(data: bytes) -> int:
    """Return a descriptor from which ``data`` can be read, and then its end."""
    if len(data) <= _HELD:
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(reader, True)
        try:
            if not data or os.write(writer, data) == len(data):
                return reader
        except BlockingIOError:
            pass
        finally:
            os.close(writer)
        os.close(reader)
    path = os.path.join(_DIRECTORY, f".stdin-{os.getpid()}")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(path)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
