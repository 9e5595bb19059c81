"""The standard streams of a program."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

from sandbox_agent.child.pipes import PROMPT, STDERR, STDIN, STDOUT
from sandbox_agent.confinement.kernel import available


def open_streams() -> None:
    """Fresh text streams that leave their descriptors open, as the interpreter's own do.

    Written through, so that what was printed before a kill is never lost.
    """
    sys.stdin = sys.__stdin__ = _text_input(io.FileIO(STDIN, closefd=False))  # type: ignore[misc]
    out = io.FileIO(STDOUT, "wb", closefd=False)
    err = io.FileIO(STDERR, "wb", closefd=False)
    # open() refuses unbuffered text; TextIOWrapper over the raw file with write_through is what `python -u` makes
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(out, "utf-8", "surrogateescape", write_through=True)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(err, "utf-8", "backslashreplace", write_through=True)  # type: ignore[misc]
    out.name, err.name = "<stdout>", "<stderr>"


def prompt_for_input() -> None:
    """Have whatever reads stdin say so beforehand."""
    sys.stdin = sys.__stdin__ = _text_input(_PromptingFile(STDIN, closefd=False))  # type: ignore[misc]


def _text_input(raw: io.FileIO) -> io.TextIOWrapper:
    raw.name = "<stdin>"
    return io.TextIOWrapper(io.BufferedReader(raw), "utf-8", "surrogateescape", newline="\n")


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
                os.write(PROMPT, b"\0")


def flush() -> bool:
    """Write out what the streams still hold; False if that failed."""
    whole = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ValueError, AttributeError):
            pass  # closed or replaced by the program
        except OSError:
            whole = False
    return whole
