"""Paths of files in a working directory, as clients spell them: which are right, and which are in each other's way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sandbox_agent.contract.protocol import MAIN

MAX_PATH = 1024
"""Characters of a path. With names of at most 255 bytes, these are always fewer bytes than a system call takes."""

MAX_NAME_BYTES = 255
"""Bytes of a name in a path, in UTF-8: no file system takes more."""

PROGRAM = MAIN
"""Where the program of a run is; a session has none."""

_SHOWN = 40


class PathError(ValueError):
    """No path of a file below the working directory; the text says why."""


class Clash(NamedTuple):
    """The path at ``position`` is in the way of another one; ``message`` says how."""

    position: int
    message: str


def normal(path: str) -> str:
    """Return a relative path without its ``.`` and empty names; raise ``PathError``."""
    if "\0" in path:
        raise PathError("not a relative path: it contains a null character")
    if path.startswith("/"):
        raise PathError('not a relative path below the working directory: it must not begin with "/"')
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise PathError('not a relative path below the working directory: it must not contain ".."')
    if not names or path.endswith(("/", "/.")):
        raise PathError("not the path of a file: it must end with the file's name")
    for name in names:
        if (size := _size(name)) > MAX_NAME_BYTES:
            raise PathError(
                f"the name {_shown(name)} has {size} bytes in UTF-8; a file's or directory's name may have "
                f"{MAX_NAME_BYTES}"
            )
    clean = "/".join(names)
    if len(clean) > MAX_PATH:
        raise PathError(f"the path has {len(clean)} characters; it may have {MAX_PATH}")
    return clean


def clash(spelled: Sequence[str], *, program: bool, name: str = PROGRAM) -> Clash | None:
    """Return the first of the paths that cannot be there beside those before it, if one cannot.

    Two that are spelled alike are no clash: the later file replaces the earlier. ``program``: there is one too, in the
    file ``name``.
    """
    files: dict[str, str] = {name: name} if program else {}  # of each file, how it is spelled
    directories: dict[str, str] = {}  # of each directory, a path in it
    for position, path in enumerate(spelled):
        clean = normal(path)
        above = list(_above(clean))
        if program and name in (clean, *above):
            return Clash(position, f"{name} is the program itself, which comes in `code`; another name is needed")
        if files.get(clean, path) != path:
            return Clash(position, f"{_shown(path)} and {_shown(files[clean])} are the same file")
        if clean in directories:
            other = directories[clean]
            return Clash(position, f"{_shown(path)} cannot be a file, as {_shown(other)} makes a directory of it")
        for directory in above:
            if directory in files:
                return Clash(position, f"{_shown(path)} cannot be made, as {_shown(files[directory])} is a file")
            directories[directory] = path
        files[clean] = path
    return None


def _above(path: str) -> Iterator[str]:
    """Yield the directories that a normal path is in."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _shown(path: str) -> str:
    return repr(path if len(path) <= _SHOWN else f"{path[:_SHOWN]}…")
