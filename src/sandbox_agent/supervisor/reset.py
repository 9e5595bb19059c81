"""Bringing a sandbox back to where it was before a run, and proving it.

Kill, prove empty, wipe, prove clean. A failure of any step is an exception: the sandbox must then be destroyed.

* **Kill.** ``kill(-1, SIGKILL)`` reaches every process of the PID namespace but PID 1 in one call, so a fork storm
  cannot outrun it, and ``ECHILD`` from ``waitpid(-1)`` proves that nobody is left. A loop over /proc proves nothing.
* **Wipe.** The supervisor has no DAC override, so a helper under the run's uid does it: relative to descriptors, never
  following a link, never opening what is not a directory, without recursion (a program can nest directories deeper than
  any stack).
* **Prove clean.** ``statvfs``: free blocks and inodes of every writable file system are back at their baseline, and so
  are the owner, mode and times of its root directory. The same check tells, before, that there is nothing to wipe. And
  what the run could have changed beside them was not changed (`surroundings`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass
from typing import NamedTuple

EMPTY_WITHIN = 2.0
"""Seconds after the kill in which every process must be gone."""

WIPE_WITHIN = 10.0
"""Seconds the wipe may take."""


class ResetError(Exception):
    """The sandbox could not be proved clean."""


@dataclass(frozen=True)
class Exit:
    """How a process ended: ``status`` as ``waitpid`` gives it, CPU time in microseconds, peak memory in bytes."""

    status: int
    cpu_us: int
    memory: int


def reap(leader: int, most: int = 64) -> tuple[Exit | None, bool, bool]:
    """Collect up to ``most`` dead children without waiting.

    Returns the leader's exit if it was among them, whether any child is left, and whether there may be more to collect.
    """
    found: Exit | None = None
    for _ in range(most):
        try:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return found, False, False
        if pid == 0:
            return found, True, False
        if pid == leader:
            cpu = usage.ru_utime + usage.ru_stime
            found = Exit(status, int(cpu * 1e6), usage.ru_maxrss * 1024)
    return found, True, True


def kill() -> None:
    """Kill every process but this one. Nothing is proved by it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)


def kill_all(leader: int, wake: int) -> Exit | None:
    """Kill every process but this one and collect them; return the leader's exit if it had not been collected yet.

    ``wake`` becomes readable when a child dies. Raises ``ResetError`` when somebody is left after ``EMPTY_WITHIN``.
    """
    found: Exit | None = None
    deadline = time.monotonic() + EMPTY_WITHIN
    while True:
        kill()
        exit_, left, more = reap(leader)
        found = found or exit_
        if not left:
            return found
        if time.monotonic() > deadline:
            raise ResetError("processes of the run are still there after they were killed")
        if not more:
            select.select([wake], [], [], 0.01)
            drain(wake)


def prove_empty(wake: int) -> None:
    """As `kill_all`, for when the leader has been collected already."""
    kill_all(-1, wake)


def drain(wake: int) -> None:
    """Empty the (non-blocking) wake-up pipe. What it holds are signal numbers."""
    with contextlib.suppress(BlockingIOError):
        while len(os.read(wake, 512)) == 512:
            pass


class _State(NamedTuple):
    """What a file system looks like from outside: what is free of it, and its root directory."""

    blocks: int
    inodes: int
    uid: int
    gid: int
    mode: int
    times: tuple[int, int]
    links: int


def _state(path: str) -> _State:
    usage = os.statvfs(path)
    root = os.stat(path)
    times = root.st_atime_ns, root.st_mtime_ns  # both are a program's to set; reading changes neither (noatime)
    return _State(usage.f_bfree, usage.f_ffree, root.st_uid, root.st_gid, root.st_mode, times, root.st_nlink)


class Box:
    """The writable file systems of a sandbox, and their state when they were clean."""

    def __init__(self, paths: tuple[str, ...], uid: int | None) -> None:
        self._paths = tuple(path for path in paths if os.path.isdir(path))
        self._uid = uid
        self._owned = tuple(path for path in self._paths if uid is None or os.stat(path).st_uid == uid)
        self._clean = {path: _state(path) for path in self._paths}

    def dirty(self) -> list[str]:
        """Return the paths whose state is not the clean one."""
        return [path for path in self._paths if _state(path) != self._clean[path]]

    def is_dirty(self, path: str) -> bool:
        """Whether the state of one of the paths is not the clean one."""
        return path in self._clean and _state(path) != self._clean[path]

    def used(self) -> int:
        """Return the bytes that are taken of the file systems beyond what was when they were clean."""
        used = 0
        for path in self._paths:
            usage = os.statvfs(path)
            used += (self._clean[path].blocks - usage.f_bfree) * usage.f_frsize
        return used

    def wipe(self) -> None:
        """Empty what is dirty, through a helper under the run's uid; raise ``ResetError`` if something stays."""
        dirty = self.dirty()
        if not dirty:
            return
        helper = os.fork()
        if helper == 0:
            self._wipe_and_exit(dirty)
        deadline = time.monotonic() + WIPE_WITHIN
        while os.waitpid(helper, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(helper, signal.SIGKILL)
                os.waitpid(helper, 0)
                raise ResetError("wiping took too long")
            time.sleep(0.0005)
        left = self.dirty()
        if left:
            raise ResetError(f"not empty after the wipe: {', '.join(left)}")

    def _wipe_and_exit(self, paths: list[str]) -> None:
        try:
            if self._uid is not None:
                os.setgroups([])
                os.setresgid(self._uid, self._uid, self._uid)
                os.setresuid(self._uid, self._uid, self._uid)
            for path in paths:
                clean = self._clean[path]
                if path in self._owned:
                    os.chmod(path, clean.mode & 0o7777)
                empty(path)
                if path in self._owned:
                    os.utime(path, ns=clean.times)
        finally:
            os._exit(0)  # what it did not manage is seen by `dirty`


def empty(root: str) -> None:
    """Remove everything below ``root``. Iterative; holds one descriptor at a time, so depth costs nothing.

    Sub-directories are first renamed up into ``root``, which flattens any nesting without ever walking it.
    """
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while names := os.listdir(root_fd):
            for name in names:
                try:
                    os.unlink(name, dir_fd=root_fd)
                except (IsADirectoryError, PermissionError):
                    _flatten(name, root_fd)
    finally:
        os.close(root_fd)


def _flatten(name: str, root_fd: int) -> None:
    """Empty one directory of ``root_fd``, moving its sub-directories up, and remove it."""
    os.chmod(name, 0o700, dir_fd=root_fd)  # a directory of the run's own uid; its program may have locked it
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root_fd)
    try:
        for inner in os.listdir(fd):
            try:
                os.unlink(inner, dir_fd=fd)
            except (IsADirectoryError, PermissionError):
                os.chmod(inner, 0o700, dir_fd=fd)  # moving a directory rewrites its "..", which needs write access
                new = f".wipe-{os.urandom(8).hex()}"  # a name that the program cannot have taken
                os.rename(inner, new, src_dir_fd=fd, dst_dir_fd=root_fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=root_fd)
