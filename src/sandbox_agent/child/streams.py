"""The standard streams of a program: those that Python makes for a terminal, over three pipes.

A line is written whole when it ends: in between, a thread or a process of the program cannot cut it, and a print() of
many pieces costs no more than one. Where there are very many lines, some are written together (`bulk`).

What a call has printed without a line end is written as soon as the call is over. So it is seen in time, and nothing of
it is lost, however the program dies. The text layer asks the interpreter for that whenever it is written to. It has to
do so in C: while code in Python ran between the pieces of a line, another thread could run as well.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import operator
import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from sandbox_agent.child.bulk import Lines
from sandbox_agent.child.pipes import STDERR, STDIN, STDOUT

_ours: list[io.TextIOWrapper] = []
"""The stdout and stderr that the program began with."""

_lines: list[Lines] = []
"""The lines of that stdout."""


class _Rest:
    """What the streams still hold; asking whether there is any writes it, and so there is none."""

    def __bool__(self) -> bool:
        _ask.cache_clear()
        for stream in _ours:
            try:
                if not stream.closed:
                    stream.flush()
            except OSError as error:
                if error.errno is None:  # it comes from a signal's handler, which the program has
                    raise
        return False  # whoever flushes next is told what failed


_REST = _Rest()  # which the interpreter must always find


def _pending_call() -> Any:
    """Return the function that has the interpreter call another one, in the main thread, when a call is over."""
    function = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.py_object)
    return function(("Py_AddPendingCall", ctypes.pythonapi))


_is_true = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p).value

_ask = functools.lru_cache(maxsize=None)(operator.methodcaller("_call_later", _is_true, _REST))
"""Has the rest of a stream written, when the call is over; asked again before that, it only remembers the answer."""


class _Text(io.TextIOWrapper):
    """A text stream that asks for its rest to be written when its ``write`` is looked up. Each step is C: see above."""

    _call_later = _pending_call()  # such a function is no method: it is called without the stream
    _write = io.TextIOWrapper.write
    _asked = property(_ask)
    _ask_and_write = property(operator.attrgetter("_asked", "_write"))
    _choose = property(operator.attrgetter("_ask_and_write.__getitem__"))
    write: Any = property(operator.methodcaller("_choose", 1))


class _Output(_Text):
    """The stdout, which does not ask in bulk."""

    plain: ClassVar = io.TextIOWrapper.write


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
    os.register_at_fork(after_in_child=_ask.cache_clear)
    _lines[:] = [Lines(sys.stdout, out, _ask_or_not)]
    err.flush = _after_stdout(err.flush)  # type: ignore[method-assign]


def _ask_or_not(in_bulk: bool) -> None:
    if in_bulk:
        _Output.write = _Output.plain
    else:
        del _Output.write


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
