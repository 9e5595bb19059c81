"""How the lines of stdout are written: each at once, or many together where a program prints very many.

A system call for each line costs five times what the line itself does. So a program that prints hundreds of lines in a
moment goes on in bulk: what it prints stays in the buffers of the stream, as in a program whose output is no terminal.
A thread writes every few milliseconds what they hold, and ends when nothing new has come for a while; then each line is
written at once again. What a buffer passes on is always whole lines of the program's threads.

A process that forks, and one that was forked, writes each line at once for good: a buffer that is full is cut anywhere,
and between the halves the other process could write.
"""

from __future__ import annotations

import _thread
import contextlib
import io
import itertools
import os
import time
from collections.abc import Callable

MANY, SOON = 200, 0.02
"""Lines in so many seconds, after which a program goes on in bulk."""

TICK = 0.005
"""Seconds for which a line can wait in bulk."""

_IDLE = 4  # ticks without a new line


class Lines:
    """The lines of ``text``, a stream that is line-buffered, whose buffer is ``writer``.

    ``on_line`` is called when a line has been written at once; ``on_change`` is told when bulk begins (True) and ends.
    """

    def __init__(
        self,
        text: io.TextIOWrapper,
        writer: io.BufferedWriter[io.FileIO],
        on_line: Callable[[], None],
        on_change: Callable[[bool], None],
    ) -> None:
        self.in_bulk = False
        self._allowed = True
        self._on_line = on_line
        self._on_change = on_change
        self._writer = writer
        self._count = itertools.count()  # of the lines in bulk: no code of Python runs for one
        self._write_out: Callable[[], None] = type(writer).flush.__get__(writer)
        self._flush_text: Callable[[], None] = io.TextIOWrapper.flush.__get__(text)
        self._close: Callable[[], None] = type(writer).close.__get__(writer)
        self._lines = 0
        self._since = time.monotonic()
        self._stop = _thread.allocate_lock()  # held while the thread is to go on
        self._running = _thread.allocate_lock()  # held while it is there
        # the text layer calls the writer's `flush` for each line, and its own is what a program calls
        writer.flush = self._line_ended  # type: ignore[method-assign]
        writer.close = self._close_writer  # type: ignore[method-assign]
        text.flush = self.flush  # type: ignore[method-assign]
        os.register_at_fork(before=self._stay_single)

    def flush(self) -> None:
        """Write out everything, as the stream's own method does."""
        self._flush_text()
        if self.in_bulk:
            self._write_out()

    def end_bulk(self) -> None:
        """Write each line at once until there are very many again; the thread is gone afterwards."""
        if self._running.locked():
            with contextlib.suppress(RuntimeError):
                self._stop.release()
            if self._running.acquire(timeout=1.0):
                self._running.release()

    def _stay_single(self) -> None:
        self._allowed = False
        self.end_bulk()

    def _line_ended(self) -> None:
        self._lines += 1
        self._write_out()
        self._on_line()
        if self._lines >= MANY:
            now = time.monotonic()
            if self._allowed and now - self._since < SOON:
                self._begin_bulk()
            self._lines, self._since = 0, now

    def _begin_bulk(self) -> None:
        if not self._running.acquire(blocking=False):
            return
        try:
            self._stop.acquire(blocking=False)
            self._set_bulk(True)
            _thread.start_new_thread(self._tend, ())
        except BaseException as error:
            self._set_bulk(False)
            self._running.release()
            if not isinstance(error, RuntimeError):  # that there are as many threads as there may be
                raise

    def _set_bulk(self, to: bool) -> None:
        self.in_bulk = to
        self._writer.flush = self._count.__next__ if to else self._line_ended  # type: ignore[assignment,method-assign]
        self._on_change(to)

    def _tend(self) -> None:
        """Write what the buffers hold, again and again, until there is nothing new; the body of the thread."""
        try:
            seen, idle = -1, 0
            while idle < _IDLE and not self._stop.acquire(timeout=TICK):
                self.flush()
                count = next(self._count)
                idle = idle + 1 if count == seen + 2 else 0  # which this flush and this look have counted
                seen = count
        except (OSError, ValueError):
            pass  # whoever flushes next is told
        finally:
            self._set_bulk(False)
            with contextlib.suppress(OSError, ValueError):
                self._flush_text()
            self._running.release()

    def _close_writer(self) -> None:
        self.end_bulk()
        self._close()
