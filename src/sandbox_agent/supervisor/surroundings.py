"""What a run could change around its own directories, though it stays when the run is gone.

Landlock has no say in who changes times, modes and owners, only in who opens. So anybody may give the time of now to a
file that everybody may write to, and to any symbolic link, and leave word for the next run by it. Most of a sandbox is
mounted read-only, the devices included, and there nobody can. What is left, such as the links of /proc, is looked for
once, held open so that it is never made anew, and has to be as it was after every run.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

from sandbox_agent.contract.config import DEVICES
from sandbox_agent.supervisor import mounts
from sandbox_agent.supervisor.reset import ResetError

_ROUNDS, _ROUND = 15, 0.002


class _Inode(NamedTuple):
    uid: int
    gid: int
    mode: int
    times: tuple[int, int, int]


def _look(fd: int) -> _Inode:
    found = os.fstat(fd)
    return _Inode(found.st_uid, found.st_gid, found.st_mode, (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns))


class Surroundings:
    """Inodes of ``trees`` that ``uid`` (None: this process's own) could change, without ``own``; and the devices."""

    def __init__(self, trees: tuple[str, ...], own: tuple[str, ...], uid: int | None) -> None:
        uid = os.getuid() if uid is None else uid
        found = [*DEVICES, *changeable(trees, own, uid)] if trees else []
        self._held = {path: os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC) for path in found}
        _read_links(found)
        self._clean = {path: _look(fd) for path, fd in self._held.items()}

    def prove_unchanged(self) -> None:
        """Raise ``ResetError`` if one of them is not as it was."""
        changed = [path for path, fd in self._held.items() if _look(fd) != self._clean[path]]
        if changed:
            raise ResetError(f"changed by a run: {', '.join(changed)}")


def _read_links(paths: list[str]) -> None:
    """Read the links among them, until reading changes nothing: it is noted once after a change (relatime).

    Both times are those of a clock that stands still for some milliseconds.
    """
    unread = [path for path in paths if os.path.islink(path)]
    for _ in range(_ROUNDS):
        for path in unread:
            os.readlink(path)
        unread = [path for path in unread if (found := os.lstat(path)).st_atime_ns <= found.st_mtime_ns]
        if not unread:
            break
        time.sleep(_ROUND)


def changeable(trees: tuple[str, ...], own: tuple[str, ...], uid: int) -> Iterator[str]:
    """Find what ``uid`` could change in the file systems mounted at or below ``trees``, those at ``own`` left out."""
    tops = [path for path in mounts.points() if mounts.below(path, trees) and not mounts.below(path, own)]
    for top in tops:
        try:
            if not os.statvfs(top).f_flag & os.ST_RDONLY:
                yield from _walk(top, frozenset(tops), uid)
        except OSError:  # nobody can reach it: something is mounted above
            continue


def _walk(top: str, mounted: frozenset[str], uid: int) -> Iterator[str]:
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
            names = os.listdir(path) if stat.S_ISDIR(found.st_mode) and _may(found, uid, 0o1) else []
        except OSError:  # a process that is gone, or nobody's to read
            continue
        if stat.S_ISLNK(found.st_mode) or found.st_uid == uid or _may(found, uid, 0o2):
            yield path
        if path == "/proc":  # of processes, only this one outlives a run
            names = [name for name in names if not name.isdigit() or int(name) == os.getpid()]
        inner = (f"{path.rstrip('/')}/{name}" for name in names)
        waiting += [each for each in inner if each not in mounted]


def _may(found: os.stat_result, uid: int, bit: int) -> bool:
    """Whether the mode grants ``uid`` a right, as its owner, its group, or anybody (the run's group is its uid)."""
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == uid else 0
    return bool(found.st_mode & bit << shift)
