"""What a program shows beside its output: pictures, and the rich value of its last expression.

Each is a record in a pipe of its own (`protocol.RECORD`), sent as it is made. Used only in a run that asked for it.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from sandbox_agent.contract import protocol

_fd = -1
_left: int | None = 0


def open_on(descriptor: int, most: int) -> None:
    """Send records, ``most`` bytes of them, to ``descriptor``; have matplotlib's ``show`` send its figures."""
    global _fd  # noqa: PLW0603  # one per process
    _fd = descriptor
    allow(most)
    os.environ["MPLBACKEND"] = "module://sandbox_agent.child.figures"
    if (matplotlib := sys.modules.get("matplotlib")) is not None:  # preloaded: it has read the variable already
        matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]


def allow(most: int | None) -> None:
    """From now on send ``most`` bytes of records; None: drop what is shown."""
    global _left  # noqa: PLW0603  # one per process
    _left = most


def send(media_type: str, data: bytes) -> None:
    """Send one record, or say on stderr that it is too much."""
    global _left  # noqa: PLW0603
    if _left is None:
        return
    record = protocol.record(media_type, data)
    if len(record) > _left:
        print("(not shown: this run has shown as much as it may)", file=sys.stderr)
        return
    _left -= len(record)
    view = memoryview(record)
    while view:
        view = view[os.write(_fd, view) :]


def value(result: Any) -> str | None:
    """Show the value of a program's last expression: as HTML where it can be, else as the prompt of Python does.

    Returns its text; None if it is None.
    """
    if result is None:
        return None
    text = repr(result)
    to_html = getattr(result, "_repr_html_", None)
    html = to_html() if callable(to_html) and not isinstance(result, type) else None
    if isinstance(html, str):
        send("text/html", html.encode("utf-8", "replace"))
    else:
        print(text)
    return text


def figures() -> None:
    """Show the figures that the program made and did not show, as a notebook does at the end of a cell."""
    backend = sys.modules.get("sandbox_agent.child.figures")  # which matplotlib has loaded for the first of them
    if backend is not None and _left is not None:
        backend.FigureManager.pyplot_show()
