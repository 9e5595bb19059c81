"""The standard streams of a program: those that Python makes for a terminal, over three pipes.

A line is written whole when it ends: in between, a thread or a process of the program cannot cut it, and a print() of
many pieces costs no more than one. Where there are very many lines, some are written together (`bulk`).

What a call has printed without a line end is written as soon as the call is over. So it is seen in time, and nothing of
it is lost, however the program dies. The text layer asks the interpreter for that whenever it is written to. It has to
do so in C: while code in Python ran between the pieces of a line, another thread could run as well.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import functools
import io
import operator
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from sandbox_agent.child.bulk import Lines
from sandbox_agent.child.pipes import STDERR, STDIN, STDOUT

_ours: list[io.TextIOWrapper] = []
"""The stdout and stderr that the program began with."""

_lines: list[Lines] = []
"""The lines of that stdout."""


class _Rest:
    """What the streams still hold; asking whether there is any writes it, and so there is none."""

    def __bool__(self) -> bool:
        try:
            wrote = [_frames(stream).get(_thread.get_ident()) for stream in _ours]
        finally:  # also where a signal's handler raises something here
            forget()
        try:
            over = _is_over(sys._getframe(1), wrote)  # noqa: SLF001
        finally:
            wrote.clear()  # this very frame is among them: it would keep itself, and all that its callers have made
        if over:  # else it is asked for again, with the next piece
            for stream in _ours:
                try:
                    if not stream.closed:
                        stream.flush()
                except OSError as error:
                    if error.errno is None:  # it comes from a signal's handler, which the program has
                        raise
        return False  # whoever flushes next is told what failed


def _is_over(frame: FrameType, wrote: list[FrameType | None]) -> bool:
    """Whether the calls that wrote are over, seen from ``frame``: it is not one that such a call has called.

    print() asks objects for their texts in the middle of a line, which can be code in Python.
    """
    if frame in wrote:
        return True
    back = frame.f_back
    while back is not None:
        if back in wrote:
            return False
        back = back.f_back
    return True


_REST = _Rest()  # which the interpreter must always find


def _pending_call() -> Any:
    """Return the function that has the interpreter call another one, in the main thread, when a call is over."""
    function = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.py_object)
    return function(("Py_AddPendingCall", ctypes.pythonapi))


_is_true = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p).value

_frames: Any = functools.lru_cache(maxsize=None)(operator.methodcaller("_current_frames"))
"""Returns which frame each thread was in when a stream was written to, from then on the same."""

_asking: Any = functools.lru_cache(maxsize=None)(operator.methodcaller("_choose", 2))
"""Returns the real ``write`` of a stream, and the first time has its rest written when the call is over."""


def forget() -> None:
    """Forget that anything was asked: with the next piece it is asked again."""
    _asking.cache_clear()
    _frames.cache_clear()


class _Text(io.TextIOWrapper):
    """A text stream that asks for its rest to be written when its ``write`` is looked up. Each step is C: see above."""

    # such functions are no methods: they are called without the stream
    _call_later = _pending_call()
    _current_frames = sys._current_frames  # noqa: SLF001  # `_getframe` would fail where there is none
    _write = io.TextIOWrapper.write
    _asked = property(operator.methodcaller("_call_later", _is_true, _REST))
    _marked = property(_frames)
    _prepare = property(operator.attrgetter("_marked", "_asked", "_write"))
    _choose = property(operator.attrgetter("_prepare.__getitem__"))
    write: Any = property(_asking)


class _Output(_Text):
    """The stdout, which does not ask in bulk."""


def open_streams() -> None:
    """Make the standard streams as the interpreter does; they leave their descriptors open, as its own."""
    stdin = io.BufferedReader(_named(io.FileIO(STDIN, "rb", closefd=False), "<stdin>"))
    sys.stdin = sys.__stdin__ = _input(stdin)  # type: ignore[misc]
    out = io.BufferedWriter(_named(io.FileIO(STDOUT, "wb", closefd=False), "<stdout>"))
    err = io.BufferedWriter(_named(io.FileIO(STDERR, "wb", closefd=False), "<stderr>"))
    sys.stdout = sys.__stdout__ = _Output(out, "utf-8", "surrogateescape", newline="\n", line_buffering=True)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _Text(err, "utf-8", "backslashreplace", newline="\n", line_buffering=True)  # type: ignore[misc]
    _ours[:] = sys.stdout, sys.stderr
    for stream in _ours:
        stream.mode = "w"  # type: ignore[misc]
    os.register_at_fork(after_in_child=forget)
    _lines[:] = [Lines(sys.stdout, out, forget, _ask_or_not)]
    err.flush = _after_stdout(err.flush)  # type: ignore[method-assign]


def _ask_or_not(in_bulk: bool) -> None:
    _Output.write = io.TextIOWrapper.write if in_bulk else vars(_Text)["write"]


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


def _input(buffer: io.BufferedReader[io.FileIO]) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(buffer, "utf-8", "surrogateescape", newline="\n")
    stream.mode = "r"  # type: ignore[misc]
    return stream


def is_ours(stream: object) -> bool:
    """Whether it is the stdout or stderr that the program began with."""
    return any(stream is each for each in _ours)


def settle() -> None:
    """Write each line at once from now on, until there are very many again; nothing of ours runs beside that."""
    for lines in _lines:
        lines.end_bulk()


def flush() -> bool:
    """Write out what the streams still hold, those too that the program has replaced.

    Returns False if that failed for ``sys.stdout`` or ``sys.stderr``.
    """
    settle()
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


for _class in (_Text, _Output):
    _class.__name__ = _class.__qualname__ = "TextIOWrapper"
    _class.__module__ = "_io"
