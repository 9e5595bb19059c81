"""Other ways to standard input than ``sys.stdin``, where somebody may type: they too say so before they wait.

In such a run, ``open(0)``, ``open("/dev/stdin")``, ``os.read(0, n)`` and ``select.select([0], …)`` are called through
functions of ours. Whatever else reads descriptor 0 says nothing: poll, C, a library that is given the path.
"""

from __future__ import annotations

import builtins
import io
import os
import select
import sys
from typing import Any

from sandbox_agent.child import stdin
from sandbox_agent.child.pipes import STDIN

_PATHS = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})

_open, _read, _select = io.open, os.read, select.select


class _Open:
    """``open``, whose own frame is on the stack only in code that names descriptor 0 or its paths."""

    @property
    def __call__(self) -> Any:
        constants = sys._getframe(1).f_code.co_consts  # noqa: SLF001  # who calls it
        return _asking_open if 0 in constants or not _PATHS.isdisjoint(filter(_is_text, constants)) else _open

    def __getattr__(self, name: str) -> Any:
        return getattr(_open, name)

    def __repr__(self) -> str:
        return repr(_open)


def install() -> None:
    """Put them in place, for the rest of this process."""
    builtins.open = io.open = _Open()
    os.read = _asking_read
    select.select = _asking_select


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_stdin(file: object) -> bool:
    return (type(file) is int and file == STDIN) or (isinstance(file, str) and file in _PATHS)


def _asking_open(  # noqa: PLR0917  # as `open` has them
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    if not _is_stdin(file) or opener is not None or mode not in ("r", "rt", "tr", "rb", "br"):
        return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
    raw = stdin.PromptingFile(STDIN, "rb", closefd=closefd and file == STDIN)
    raw.name = file
    if "b" in mode:
        return raw if buffering == 0 else io.BufferedReader(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
    text = io.TextIOWrapper(io.BufferedReader(raw), encoding, errors, newline)
    text.mode = mode  # type: ignore[misc]
    return text


def _asking_read(fd: int, length: int, /) -> bytes:
    if fd == STDIN:
        stdin.wait()
    return _read(fd, length)


def _asking_select(rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
    rlist = list(rlist)
    if not any(each == STDIN if isinstance(each, int) else each is sys.stdin for each in rlist) or not stdin.announce():
        return _select(rlist, wlist, xlist, timeout)
    try:
        return _select(rlist, wlist, xlist, timeout)
    finally:
        stdin.take_back()
