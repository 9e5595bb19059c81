"""The standard streams of a program."""

from __future__ import annotations

import io
import sys

from sandbox_agent.child.pipes import STDERR, STDIN, STDOUT


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


def _text_input(raw: io.FileIO) -> io.TextIOWrapper:
    raw.name = "<stdin>"
    return io.TextIOWrapper(io.BufferedReader(raw), "utf-8", "surrogateescape", newline="\n")


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
