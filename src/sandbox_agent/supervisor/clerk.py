"""The clerk of a session: a process that puts, lists, reads and deletes files in the box while the session lives.

It is a child of the supervisor, confined as the session's own interpreter is and under the same uid. So it can reach
nothing that a cell cannot reach. It does one order and exits; what it read ends with it, and the supervisor only passes
its pipes on.

The session may have threads and processes that go on between its cells, and they may change anything at any moment.
Therefore the clerk

* goes from directory to directory by descriptor, never through a link, and opens what is no regular file without
  waiting for it;
* reads no more of a file than its size was, and no file that is larger than an answer may be;
* writes a file beside its place first and then renames it, so that whoever reads it sees the old one or the new one;
* is not waited for: after the time of its order the supervisor kills it.

After a cell it looks for what is new or changed, and sends that. What it saw last time is in its notes (`child.given`),
in a file of memory that no process of the session has a descriptor of. The notes of the files that the session was
opened with come through a pipe, whose end also says that these files are there.

A program can still lie to its own client about its own files. It can do that anyway.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from sandbox_agent.child import given
from sandbox_agent.child.given import GivenFile, Note
from sandbox_agent.confinement.confine import Confinement, arrange, confine
from sandbox_agent.contract import protocol, report
from sandbox_agent.contract.policy import Policy
from sandbox_agent.contract.verdict import Reason

NO_FILE, TOO_LARGE, CHANGED = "NO_FILE", "TOO_LARGE", "CHANGED"
"""Faults that have no number in ``errno``: it is no regular file; it is too large; it changed while it was read."""

SEEN_WITHIN = 1.0
"""Seconds that looking through the box may take."""

REFUSED = "REFUSED"
"""The policy refuses what is in it; the answer's ``why`` says what."""

_ORDER, _ANSWER, _NOTES, _GIVEN = range(4)
_DEEPEST = 256  # levels of directories; each costs an open descriptor
_CACHE = b"__pycache__"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_AROUND = 64  # bytes of an answer around a file's name and content


class Fault(Exception):  # noqa: N818  # it is one
    """Nothing was done; the argument says why, as the answer does."""


class Entry(NamedTuple):
    """What is at a path: ``directory`` is open while it is looked at."""

    path: bytes
    directory: int
    name: bytes
    status: os.stat_result

    @property
    def size(self) -> int | None:
        """Bytes; None if it is no regular file."""
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else None


class Notes:
    """What is known of the files, by `given.name_of` their paths."""

    def __init__(self) -> None:
        self._known = given.notes_in(_GIVEN)  # waits for whoever puts those files there
        os.lseek(_NOTES, 0, os.SEEK_SET)
        self._known.update(given.notes_in(_NOTES))

    def is_known(self, path: bytes, note: Note) -> bool:
        return self._known.get(given.name_of(path)) == note

    def save(self) -> None:
        """Keep them for the next clerk."""
        text = b"".join(given.packed(name, note) for name, note in self._known.items())
        os.ftruncate(_NOTES, 0)
        os.lseek(_NOTES, 0, os.SEEK_SET)
        write(text, _NOTES)

    def replace(self, seen: dict[bytes, Note]) -> None:
        self._known = seen

    def add(self, path: str, data: bytes) -> None:
        self._known[given.name_of(os.fsencode(path))] = Note(len(data), given.digest_of(data))

    def drop(self, path: str) -> None:
        self._known.pop(given.name_of(os.fsencode(path)), None)


def main(state: Confinement, policies: Mapping[str, Policy], descriptors: list[int], supervisor: int) -> NoReturn:
    """Confine this process, do an order, and exit.

    The descriptors: of a pipe that the order comes in (if it is empty, what is new or changed is wanted), of another
    for the answer, of the notes, and of a pipe of notes of what the session was given.
    """
    try:
        landlock_fd = arrange(descriptors, state.landlock_fd)
        confine(state, landlock_fd, supervisor)
        order = b"".join(iter(lambda: os.read(_ORDER, 1 << 20), b""))
        notes = Notes()
        box = os.open(state.config.box, _DIRECTORY)
        config, most = state.config, state.config.limits.attachments
        answer = (
            _answered(box, json.loads(order), notes, policies, most)
            if order
            else _changes(box, notes, config.attachment_files, most)
        )
        notes.save()
        for record in answer:
            write(record)
    finally:
        os._exit(0)


def _answered(box: int, order: dict[str, Any], notes: Notes, policies: Mapping[str, Policy], most: int) -> list[bytes]:
    """Do an order; return the records of its answer."""
    path = order["path"]
    try:
        match order["action"]:
            case "list":
                return [_head(_listing(box))]
            case "get":
                data = content(box, path, most)
                return [_head({"size": len(data)}), protocol.record(path, data)]
            case "put":
                data = base64.b64decode(order["content"])
                name = order["policy"]
                refused = [] if name is None else given.problems([GivenFile(path, data)], policies[name])
                if refused:
                    return [_head({"fault": REFUSED, "why": report.describe(refused, Reason.POLICY)})]
                made = _put(box, path, data)
                notes.add(path, data)
                return [_head({"made": made})]
            case _:
                _delete(box, path)
                notes.drop(path)
                return [_head({})]
    except Fault as fault:
        return [_head({"fault": str(fault)})]
    except UnicodeError:  # a path that is no text
        return [_head({"fault": "EINVAL"})]
    except OSError as error:
        return [_head({"fault": errno.errorcode.get(error.errno or 0, "EIO")})]


def _head(answer: dict[str, Any]) -> bytes:
    return protocol.record("", json.dumps(answer).encode())


# ---- what is there


def _listing(box: int) -> dict[str, Any]:
    entries, omitted, room = [], 0, protocol.MAX_LISTING
    for entry in seen(box):
        path = text(entry.path)
        room -= len(json.dumps(path)) + _AROUND
        if path is None or entry.size is None or room < 0:
            omitted += 1
        else:
            entries.append([path, entry.size])
    return {"entries": entries, "omitted": omitted}


def seen(box: int) -> Iterator[Entry]:
    """Yield everything below a directory, in order, but directories that can be entered.

    What is not reached within `SEEN_WITHIN` is not seen.
    """
    deadline = time.monotonic() + SEEN_WITHIN
    levels: list[tuple[int, bytes, list[bytes]]] = [(box, b"", _names(box, deadline))]
    try:
        while levels and time.monotonic() < deadline:
            directory, path, names = levels[-1]
            if not names:
                if len(levels) > 1:
                    os.close(directory)
                levels.pop()
                continue
            name = names.pop()
            entry, inner = _look_at(directory, name, path + name)
            if inner is None:
                if entry is not None:
                    yield entry
            elif len(levels) < _DEEPEST:
                levels.append((inner, path + name + b"/", _names(inner, deadline)))
            else:
                yield Entry(path + name, directory, name, os.fstat(inner))
                os.close(inner)
    finally:
        for directory, _, _ in levels[1:]:
            os.close(directory)


def _names(directory: int, deadline: float) -> list[bytes]:
    """Return the names in a directory, the first of them last."""
    names = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if time.monotonic() > deadline:
                break
            names.append(os.fsencode(entry.name))
    return sorted(names, reverse=True)


def _look_at(directory: int, name: bytes, path: bytes) -> tuple[Entry | None, int | None]:
    """Return what is there, or a descriptor of it if it is a directory; neither if it is gone or of no interest."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return None, None
    if stat.S_ISREG(status.st_mode):
        return Entry(path, directory, name, status), None
    if stat.S_ISDIR(status.st_mode):
        if name == _CACHE:  # it comes of every import
            return None, None
        try:
            return None, os.open(name, _DIRECTORY, dir_fd=directory)
        except OSError:
            pass  # it is locked, or not what it was
    return Entry(path, directory, name, status), None


def text(path: bytes) -> str | None:
    """Return a path as text; None if it is none."""
    try:
        return path.decode()
    except UnicodeDecodeError:
        return None


# ---- what is new or changed


def _changes(box: int, notes: Notes, most_files: int, most_bytes: int) -> list[bytes]:
    """Return the records of what is not as it was noted: how much there is in all, and as much of it as has room."""
    known: dict[bytes, Note] = {}
    records: list[bytes] = []
    found = 0
    for entry in seen(box):
        note, data = _noted(entry, most_bytes if len(records) < most_files else 0)
        known[given.name_of(entry.path)] = note
        if notes.is_known(entry.path, note):
            continue
        found += 1
        path = text(entry.path)
        if data is not None and path is not None and len(records) < most_files:
            record = protocol.record(path, data)
            if len(record) <= most_bytes:
                most_bytes -= len(record)
                records.append(record)
    notes.replace(known)
    return [protocol.record("", str(found).encode()), *records] if found else []


def _noted(entry: Entry, most: int) -> tuple[Note, bytes | None]:
    """Return the note of what is there, and its content unless that is no file or larger than ``most``."""
    status = entry.status
    try:
        if entry.size is not None and entry.size <= most:
            data = read(entry.directory, entry.name, most)
            return Note(len(data), given.digest_of(data)), data
        if entry.size is not None:
            return Note(entry.size, _digest(entry.directory, entry.name, entry.size)), None
    except (Fault, OSError):
        pass
    what = f"{status.st_mode} {status.st_ino} {status.st_size} {status.st_ctime_ns}"  # as well as it can be told
    return Note(0, given.digest_of(what.encode())), None


def _digest(directory: int, name: bytes, size: int) -> bytes:
    """Return the digest of the first ``size`` bytes of a file."""
    fd = os.open(name, _FILE, dir_fd=directory)
    try:
        return given.digest_of_pieces(iter(lambda: os.read(fd, 1 << 20), b""), size)
    finally:
        os.close(fd)


# ---- one file


def content(box: int, path: str, most: int) -> bytes:
    """Return what is in a file of at most ``most`` bytes; raise ``Fault`` or ``OSError``."""
    directory, name = _parent(box, path, make=False)
    try:
        return read(directory, name, most)
    finally:
        os.close(directory)


def read(directory: int, name: str | bytes, most: int) -> bytes:
    """Return what is in the file ``name`` of a directory, as `content` does."""
    try:
        fd = os.open(name, _FILE, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link, or something like a socket
            raise Fault(NO_FILE) from None
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise Fault("EISDIR" if stat.S_ISDIR(status.st_mode) else NO_FILE)
        if status.st_size > most:
            raise Fault(TOO_LARGE)
        data = bytearray()
        while len(data) < status.st_size and (piece := os.read(fd, status.st_size - len(data))):
            data += piece
        if len(data) < status.st_size:
            raise Fault(CHANGED)
        return bytes(data)
    finally:
        os.close(fd)


def _put(box: int, path: str, data: bytes) -> bool:
    """Write a file, whole or not at all; return whether there was nothing at its path."""
    directory, name = _parent(box, path, make=True)
    try:
        made = _kind(directory, name) is None
        beside = f".{os.urandom(12).hex()}.part"
        fd = os.open(
            beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=directory
        )
        try:
            write(data, fd)
            os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            os.unlink(beside, dir_fd=directory)
            raise
        finally:
            os.close(fd)
        return made
    finally:
        os.close(directory)


def _delete(box: int, path: str) -> None:
    """Delete what is at a path, unless it is a directory; of a link, the link."""
    directory, name = _parent(box, path, make=False)
    try:
        if _kind(directory, name) == stat.S_IFDIR:
            raise Fault("EISDIR")  # unlink would say something else of it
        os.unlink(name, dir_fd=directory)
    finally:
        os.close(directory)


def _kind(directory: int, name: str) -> int | None:
    """Return what kind of thing is there, as `stat` names it; None if nothing is."""
    try:
        return stat.S_IFMT(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def _parent(box: int, path: str, *, make: bool) -> tuple[int, str]:
    """Open the directory that a path is in, following no link; return it, to be closed, and the last name.

    ``make``: make the directories that are not there.
    """
    *names, last = path.split("/")
    if {"", ".", ".."}.intersection((*names, last)):
        raise Fault("EINVAL")  # the host lets none through
    directory = os.dup(box)
    for name in names:
        try:
            if make:
                _make(directory, name)
            inner = os.open(name, _DIRECTORY, dir_fd=directory)
        finally:
            os.close(directory)
        directory = inner
    return directory, last


def _make(directory: int, name: str) -> None:
    try:
        os.mkdir(name, dir_fd=directory)
    except FileExistsError:
        pass


def write(data: bytes, fd: int = _ANSWER) -> None:
    """Write all of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
