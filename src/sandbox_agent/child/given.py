"""The files that a run is given: checked, written, and noted, so that the collector knows them again.

A run gets back what is new or changed, so somebody must know what its files were, and the program must not be able to
change that. The child writes a note of each file into a pipe of its own and closes it before the program's first
instruction. Nobody else can write to that pipe, and nobody reads it before all of the run is dead; then the collector
does (`supervisor.collector`). The supervisor only holds the descriptor.

A note tells a file by its content. Times and inode numbers are for a program to choose, or to wait for.
"""

from __future__ import annotations

import ast
import base64
import os
import struct
from _blake2 import blake2b  # from where `hashlib` has it, without the OpenSSL that comes with that
from collections.abc import Iterable
from typing import NamedTuple

from sandbox_agent.child.source import deep_and_quiet
from sandbox_agent.contract.policy import Policy, SourceProblem, check

_DIGEST = 16
_NOTE = struct.Struct(f">{_DIGEST}s{_DIGEST}sI")


class GivenFile(NamedTuple):
    """A file of a request: a relative path, and its content."""

    path: str
    data: bytes


class Note(NamedTuple):
    """What is known of a file's content: how long it is, and a digest of it."""

    size: int
    digest: bytes


def read(files: Iterable[Iterable[str]]) -> list[GivenFile]:
    """Read the files of a payload: pairs of a path, and a content in base64."""
    return [GivenFile(path, base64.b64decode(content)) for path, content in files]


def problems(files: Iterable[GivenFile], policy: Policy) -> list[SourceProblem]:
    """Return what ``policy`` refuses in those of the files that can be imported; each problem names its file.

    A file that is not Python is nobody's harm: it cannot be imported.
    """
    if policy.empty:
        return []
    # of two with one path the later is written
    sources = {path: data for path, data in files if path.endswith(".py")}
    return [problem._replace(file=path) for path, data in sources.items() for problem in _problems(data, policy)]


def _problems(source: bytes, policy: Policy) -> list[SourceProblem]:
    try:
        with deep_and_quiet():
            tree = ast.parse(source)  # bytes: an import takes the encoding that they declare, and so does this
        return check(tree, policy)
    except (SyntaxError, ValueError):
        return []
    except (RecursionError, MemoryError):
        return [SourceProblem(1, 1, "The file is too large or too deeply nested to be checked.")]


def put(files: Iterable[GivenFile], notes: int) -> None:
    """Write files into the working directory, and a note of each into the pipe ``notes``, which must not block.

    Raises ``OSError`` with the path as its filename. A file for whose note the pipe has no room (it has for a thousand)
    will count as new.
    """
    room = True
    for path, data in files:
        try:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        room = room and note(notes, path, data)


def note(notes: int, path: str, data: bytes) -> bool:
    """Write the note of a file that is there into the pipe ``notes``, which must not block; False if it has no room."""
    try:
        os.write(notes, packed(name_of(os.fsencode(path)), note_of(data)))
    except BlockingIOError:
        return False
    return True


def note_of(data: bytes) -> Note:
    return Note(len(data), digest_of(data))


def packed(name: bytes, note: Note) -> bytes:
    """Return a note as `notes_in` reads it; ``name``: that of a path."""
    return _NOTE.pack(name, note.digest, note.size)


def notes_in(fd: int) -> dict[bytes, Note]:
    """Read all notes of a pipe that nobody writes to any more: by `name_of` their paths; of two, the later holds."""
    text = b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
    whole = len(text) - len(text) % _NOTE.size
    return {name: Note(size, digest) for name, digest, size in _NOTE.iter_unpack(text[:whole])}


def name_of(path: bytes) -> bytes:
    """Return what a note has in place of a path, which may be long."""
    return digest_of(path)


def digest_of(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST).digest()


def digest_of_pieces(pieces: Iterable[bytes], most: int) -> bytes:
    """Return the digest of the first ``most`` bytes of all the pieces together."""
    digest = blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece[:most])
        most -= len(piece)
        if most <= 0:
            break
    return digest.digest()
