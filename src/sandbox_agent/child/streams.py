"""The standard streams of a program: those that Python makes for a terminal, over three pipes.

A line is written whole when it ends: in between, a thread or a process of the program cannot cut it, and a print() of
many pieces costs no more than one. Where there are very many lines, some are written together (`bulk`). What has no
line end yet is written before a program waits for input that somebody types, when it is stopped (`LastWords`), and
before it kills itself (`_Flushing`). Other than that it waits for a line end, for its buffer to be full, or for
flush(), as it does on a terminal.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, Self

from sandbox_agent.child.bulk import Lines
from sandbox_agent.child.pipes import PROMPT, STDERR, STDIN, STDOUT
from sandbox_agent.confinement.kernel import available

STOP = 62
"""The signal that asks a program for its last words: a realtime one, which nobody sends by mistake."""

_set_handler = sys.modules["_signal"].signal
"""As ``signal.signal``, which makes a plain number of a handler that is one."""

_ours: list[io.TextIOWrapper] = []
"""The stdout and stderr that the program began with."""

_lines: list[Lines] = []
"""The lines of that stdout."""


def open_streams() -> None:
    """Make the standard streams as the interpreter does; they leave their descriptors open, as its own."""
    stdin = io.BufferedReader(_named(io.FileIO(STDIN, "rb", closefd=False), "<stdin>"))
    sys.stdin = sys.__stdin__ = _text(stdin, "r", "surrogateescape")  # type: ignore[misc]
    out = io.BufferedWriter(_named(io.FileIO(STDOUT, "wb", closefd=False), "<stdout>"))
    err = io.BufferedWriter(_named(io.FileIO(STDERR, "wb", closefd=False), "<stderr>"))
    sys.stdout = sys.__stdout__ = _text(out, "w", "surrogateescape")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _text(err, "w", "backslashreplace")  # type: ignore[misc]
    _ours[:] = sys.stdout, sys.stderr
    _lines[:] = [Lines(sys.stdout, out)]
    err.flush = _after_stdout(err.flush)  # type: ignore[method-assign]
    for number, dies_of in ((STOP, signal.SIGKILL), (signal.SIGXCPU, signal.SIGXCPU)):
        _set_handler(number, LastWords(dies_of))
    for module, name in (os, "kill"), (os, "killpg"), (os, "abort"), (os, "_exit"), (signal, "raise_signal"):
        setattr(module, name, _Flushing(getattr(module, name)))


def _after_stdout(write_out: Callable[[], None]) -> Callable[[], None]:
    """Return what writes a line of stderr, after the lines of stdout that were printed before it."""

    def flush_both() -> None:
        for lines in _lines:
            if lines.in_bulk:
                lines.flush()
        write_out()

    return flush_both


def _named(raw: io.FileIO, name: str) -> io.FileIO:
    raw.name = name
    return raw


def _text(buffer: Any, mode: str, errors: str) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=mode == "w")
    stream.mode = mode  # type: ignore[misc]
    return stream


class LastWords(int):
    """A signal handler that writes what the streams still hold, and then has the process die of a signal.

    A program that asks what happens on the signal is told the truth, which is the default: this is the number that
    stands for it (``signal.SIG_DFL``).
    """

    def __new__(cls, dies_of: int) -> Self:
        handler = super().__new__(cls, signal.SIG_DFL)
        handler._dies_of = dies_of
        return handler

    _dies_of: int

    def __call__(self, _number: int, _frame: object) -> None:
        with contextlib.suppress(BaseException):  # the program may be in the middle of writing to one of them
            flush()
        if self._dies_of != signal.SIGKILL:
            signal.signal(self._dies_of, signal.SIG_DFL)
        os.kill(os.getpid(), self._dies_of)


class _Flushing:
    """A function of C before whose call the streams are flushed: the program may be about to kill itself.

    That is done when the method is looked up. So no frame of ours is on the stack when the function itself is called.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @property
    def __call__(self) -> Callable[..., Any]:
        with contextlib.suppress(Exception):
            flush()
        return self._function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __repr__(self) -> str:
        return repr(self._function)


def prompt_for_input() -> None:
    """Have whatever reads stdin say so beforehand."""
    stdin = io.BufferedReader(_named(_PromptingFile(STDIN, "rb", closefd=False), "<stdin>"))
    sys.stdin = sys.__stdin__ = _text(stdin, "r", "surrogateescape")  # type: ignore[misc]


class _PromptingFile(io.FileIO):
    """A stdin that tells the supervisor, with a byte in the prompt pipe, when the program is about to wait for it."""

    def readinto(self, buffer: Any) -> int | None:
        self._prompt()
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            return self.readall()
        self._prompt()
        return super().read(size) or b""

    def readall(self) -> bytes:
        return b"".join(iter(lambda: self.read(1 << 16), b""))

    @staticmethod
    def _prompt() -> None:
        with contextlib.suppress(OSError):
            if not available(STDIN):
                flush()  # what it asks comes before the news that it waits
                os.write(PROMPT, b"\0")


def flush() -> bool:
    """Write out what the streams still hold, those too that the program has replaced.

    Returns False if that failed for ``sys.stdout`` or ``sys.stderr``.
    """
    for lines in _lines:
        lines.end_bulk()
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ValueError, AttributeError):
            pass  # closed or replaced by the program
        except OSError:
            whole = False
    for stream in _ours:
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return whole
