"""The program's source as a file: ``main.py`` in the box, as ``python main.py`` would find it.

It is made before there is anything to run, so that a run only has to write into it. At a run's end it is taken away
again, if it is as it was: a program that leaves nothing behind then leaves the box as clean as it found it, and nobody
has to look through it or wipe it. Where this does not happen (the program was killed), that is done as for other files.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re

from sandbox_agent.contract.protocol import MAIN

_DECLARATION = re.compile(r"coding[:=][ \t]*([-\w.]+)")
_SPELLINGS = {"utf-8": ("utf-8-",), "latin-1": ("latin-1-", "iso-8859-1-", "iso-latin-1-")}


class Script:
    """The file, in the working directory of now."""

    def __init__(self) -> None:
        box = os.getcwd()
        self.path = os.path.join(box, MAIN)
        self.content = b""
        self._box = box
        before = os.stat(box)
        self._box_times = before.st_atime_ns, before.st_mtime_ns
        self._fd: int | None = None
        self._written = before
        with contextlib.suppress(OSError):  # a box in which this user cannot write: there is no file then
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            self._written = os.fstat(self._fd)
            os.utime(box, ns=self._box_times)  # which tell a program nothing about when this was

    def rename(self, name: str) -> None:
        """Call the file something else, in the same directory; raise ``OSError`` where it cannot be called so."""
        path = os.path.join(self._box, name)
        if self._fd is not None:
            os.rename(self.path, path)
        self.path = path

    def write(self, source: str) -> None:
        """Fill the file, and close it; raise ``OSError`` where it has no room."""
        self.content = encoded(source)
        if self._fd is None:
            return
        try:
            data = memoryview(self.content)
            while data:
                data = data[os.write(self._fd, data) :]
            self._written = os.fstat(self._fd)
        finally:
            os.close(self._fd)

    def drop(self) -> None:
        """There is no program: close the file and take it away."""
        if self._fd is not None:
            os.close(self._fd)
        self.remove()

    def remove(self) -> None:
        """Take the file away if it is as it was written, and with it what the box's times tell of it."""
        try:
            if self._fd is not None and _same(os.lstat(self.path), self._written):
                os.unlink(self.path)
                os.utime(self._box, ns=self._box_times)
        except OSError:
            pass  # the program has moved things about: they are wiped


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) == (
        other.st_dev,
        other.st_ino,
        other.st_size,
        other.st_mtime_ns,
    )


def encoded(source: str) -> bytes:
    """Return a source as bytes that Python reads as this same text, or does not read at all.

    A program runs as the text that was sent, and was checked as that. But its file can be imported, and Python then
    believes the text about its encoding. If no bytes come out the same, they are UTF-8 with a mark that says so: Python
    refuses a file that has such a mark and declares another encoding.
    """
    names = [*_declared(source), "utf-8"]
    for name in names:
        data = _encode(source, name)
        if data is not None and all(_reads_as(data, other) in (source, None) for other in names):
            return data
    return codecs.BOM_UTF8 + source.encode("utf-8", "surrogatepass")


def _declared(source: str) -> list[str]:
    """Return every encoding that a reader could take the first two lines of a source to declare (PEP 263)."""
    end = source.find("\n", source.find("\n") + 1)
    head = source if end < 0 else source[:end]
    if "coding" not in head:  # as in most
        return []
    return [_normal(name) for name in _DECLARATION.findall(head)]


def _normal(name: str) -> str:
    """Spell an encoding as Python's own reader does, which knows more names of these than its codecs."""
    plain = name.lower().replace("_", "-")
    return next((known for known, names in _SPELLINGS.items() if f"{plain}-".startswith(names)), name)


def _encode(source: str, name: str) -> bytes | None:
    try:
        return source.encode(name)
    except (LookupError, ValueError):
        return None


def _reads_as(data: bytes, name: str) -> str | None:
    """Return as what a reader takes ``data`` that believes in an encoding; None where it fails."""
    try:
        return data.decode(name)
    except (LookupError, ValueError):
        return None
