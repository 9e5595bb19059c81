"""Reads what a run left in its box and writes what is new or changed, as records, into a pipe.

It is a child of the supervisor like a run's own: under the same uid, confined in the same way, and alone (everything
of the run is dead by then). What it reads ends with it; the supervisor only passes the pipe on.

It looks at everything before it sends anything. So its first record can say how many there are in all, and whatever
does not follow counts as left out: what has no room, what cannot be read, what is no file. It goes from directory to
directory by `chdir`, because a program can nest them deeper than any path may be long.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn

from sandbox_agent.child import given
from sandbox_agent.child.given import Note
from sandbox_agent.confinement.confine import Confinement, arrange, confine
from sandbox_agent.contract import protocol
from sandbox_agent.contract.config import AgentConfig

COUNTED_WITHIN = 1.0
"""Seconds that looking may take. What it has not seen by then is not counted. A box of the usual size takes 20 ms."""

_OUT, _NOTES = 1, 2
_LONGEST_PATH = 4095  # of what `open` takes
_CACHE = b"__pycache__"


def main(state: Confinement, out: int, notes: int, supervisor: int) -> NoReturn:
    """Confine this process, send the files, and exit; never returns. ``notes``: the pipe that `given.put` filled."""
    try:
        _unlock_box(state.config)
        null = os.open("/dev/null", os.O_RDWR)
        landlock_fd = arrange([null, out, notes], state.landlock_fd)
        confine(state, landlock_fd, supervisor)
        _send_all(state.config.attachment_files, state.config.limits.attachments, given.notes_in(_NOTES))
    finally:
        os._exit(0)


def _unlock_box(config: AgentConfig) -> None:
    """Let the run's user into its own directory again, whose mode the program may have changed."""
    if os.stat(config.box).st_mode & stat.S_IRWXU == stat.S_IRWXU:
        return
    if config.uid is not None and "uid" not in config.layers_off:
        os.seteuid(config.uid)
    os.chmod(config.box, stat.S_IRWXU)
    os.seteuid(os.getuid())


class _Entry(NamedTuple):
    """What a run left. ``size`` None: it is no file, or none that can be had."""

    path: bytes
    size: int | None = None


def _send_all(most_files: int, most_bytes: int, notes: Mapping[bytes, Note]) -> None:
    box = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    chosen: list[str] = []
    found = 0
    for path, size in _changed(notes):
        found += 1
        name = _text(path)
        if size is None or not name or len(chosen) == most_files:
            continue
        room = protocol.RECORD.size + len(path) + size
        if room <= most_bytes:
            most_bytes -= room
            chosen.append(name)
    os.fchdir(box)
    if found:
        _write(protocol.record("", str(found).encode()))
    for name in chosen:
        _write(protocol.record(name, _content(name)))


def _changed(notes: Mapping[bytes, Note]) -> Iterator[_Entry]:
    """Yield all that is below the working directory, but directories and files that are as they were given.

    The working directory is another one afterwards.
    """
    deadline = time.monotonic() + COUNTED_WITHIN
    for directory, names in _directories(deadline):
        if names is None:
            yield _Entry(directory)
            continue
        for name in names:
            if time.monotonic() > deadline:
                return
            entry = _looked_at(name, directory + name)
            if not _is_as_given(name, entry, notes):
                yield entry


def _directories(deadline: float) -> Iterator[tuple[bytes, list[bytes] | None]]:
    """Yield each directory, as what paths in it begin with, and the names of what is in it, but of directories.

    Meanwhile it is the working directory. The names are None of one that cannot be entered.
    """
    names, inner = _listed(deadline)
    yield b"", names
    levels = [(b"", inner)]  # of each directory on the way here: as above, and what is still to be entered in it
    while levels:
        path, inner = levels[-1]
        if not inner:
            levels.pop()
            if levels:
                os.chdir("..")
            continue
        name = inner.pop()
        path = (path + name + b"/")[: _LONGEST_PATH + 1]  # how much longer it is does not matter
        try:
            _enter(name)
        except OSError:
            yield path, None
            continue
        names, inner = _listed(deadline)
        yield path, names
        levels.append((path, inner))


def _enter(directory: bytes) -> None:
    """Make a directory the working one, whatever its mode is."""
    if os.lstat(directory).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(directory, stat.S_IRWXU)
    os.chdir(directory)


def _listed(deadline: float) -> tuple[list[bytes], list[bytes]]:
    """Return what is in the working directory, as far as there is time: sorted, and directories in reverse order."""
    names: list[bytes] = []
    directories: list[bytes] = []
    with os.scandir(b".") as entries:
        for entry in entries:
            if time.monotonic() > deadline:
                break
            (directories if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
    if _CACHE in directories:  # it comes of every import, and nobody asks for it
        directories.remove(_CACHE)
    return sorted(names), sorted(directories, reverse=True)


def _looked_at(name: bytes, path: bytes) -> _Entry:
    status = os.lstat(name)
    if not stat.S_ISREG(status.st_mode):
        return _Entry(path)
    if not status.st_mode & stat.S_IRUSR:
        os.chmod(name, stat.S_IRUSR)
    return _Entry(path, status.st_size)


def _is_as_given(name: bytes, entry: _Entry, notes: Mapping[bytes, Note]) -> bool:
    note = notes.get(given.name_of(entry.path)) if notes else None
    # no more is read than was given, however large a program makes its files
    return note is not None and note.size == entry.size and note.digest == given.digest_of(_content(name))


def _text(path: bytes) -> str:
    """Return a path that can be sent; empty if it cannot."""
    try:
        return path.decode() if len(path) <= _LONGEST_PATH else ""
    except UnicodeDecodeError:
        return ""


def _content(path: str | bytes) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
    finally:
        os.close(fd)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(_OUT, view) :]
