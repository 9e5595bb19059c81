"""The mounts that a supervisor makes itself, before it gives up the right to (native engine only).

bubblewrap binds files of the machine. Read-only or not, those are the machine's own inodes: a lock that a program takes
on one (flock needs no more than reading) is met by everybody else. So every directory is covered by an overlay of
itself, whose inodes are this sandbox's alone, every single file by a copy, and the devices by nodes of its own. Where
the kernel does not allow one of these (a user namespace makes no device nodes), the machine's stays, and is named.

What then could still be changed and outlives a run is PID 1's own directory of /proc, which becomes read-only.
"""

from __future__ import annotations

import os
import re
import stat

from sandbox_agent.confinement import kernel
from sandbox_agent.contract.config import DEVICES, AgentConfig
from sandbox_agent.supervisor import accounts

_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 1 << 5, 1 << 6, 1 << 7
_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_MOST_COPIED = 1 << 20
_ESCAPED = re.compile(r"\\([0-7]{3})")


def make(config: AgentConfig) -> list[str]:
    """Mount what ``config`` says and write the accounts; return the paths whose inodes stayed the machine's."""
    own = bool(config.mounts)
    shared = _overlay(config.private, config.mounts[0].path) if own else []
    if own and config.private:
        shared += _devices(config.mounts[0].path)
    for mount in config.mounts:
        kernel.mount_tmpfs(mount.path, mount.options)
    if config.accounts:
        accounts.write(config.accounts, config.uid, config.box)
    if own:
        shared = [path for path in shared if not _copy(path, config.accounts)]
        if config.accounts:
            kernel.make_read_only(config.accounts)
        if config.private:
            kernel.bind_read_only(f"/proc/{os.getpid()}", f"/proc/{os.getpid()}")
        kernel.keep_capabilities(_CAP_KILL | _CAP_SETGID | _CAP_SETUID)
    return shared


def points() -> list[str]:
    """Return where something is mounted, outer mounts before inner ones."""
    with open("/proc/self/mountinfo", errors="surrogateescape") as file:
        found = {line.split(" ")[4] for line in file}
    return sorted(_ESCAPED.sub(lambda octal: chr(int(octal[1], 8)), path) for path in found)


def below(path: str, trees: tuple[str, ...]) -> bool:
    """Whether a path is one of the trees or in one."""
    return any(path == tree or path.startswith(f"{tree}/") for tree in trees)


def _overlay(paths: tuple[str, ...], empty: str) -> list[str]:
    """Cover the directories; return what could not be covered. Mounts inside are covered one by one."""
    places = {path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in points() if below(path, paths)}
    shared = []
    for path, fd in places.items():
        try:
            kernel.mount_overlay(path, f"/proc/self/fd/{fd}", empty)
        except OSError:
            shared.append(path)
        os.close(fd)
    return shared


def _devices(empty: str) -> list[str]:
    """Make a read-only /dev of this sandbox's own, in the directory ``empty``; return what stayed the machine's.

    A device on a read-only mount can be written to as before. What cannot be changed are its times, mode and owner.
    """
    umask = os.umask(0)
    kernel.mount_devices(empty)
    try:
        for path in DEVICES:
            os.mknod(f"{empty}/{os.path.basename(path)}", stat.S_IFCHR | 0o666, os.stat(path).st_rdev)
        for name, target in _LINKS.items():
            os.symlink(target, f"{empty}/{name}")
        os.mkdir(f"{empty}/shm", 0o755)
        kernel.bind_read_only(empty, "/dev")
    except PermissionError:
        for path in DEVICES:
            kernel.make_read_only(path)
        return list(DEVICES)
    finally:
        kernel.unmount(empty)
        os.umask(umask)
    return []


def _copy(path: str, directory: str) -> bool:
    """Cover a file by a copy in ``directory``; False if it is none, or too much."""
    if not directory or not os.path.isfile(path) or os.path.getsize(path) > _MOST_COPIED:
        return False
    copy = f"{directory}/{path.strip('/').replace('/', '-')}"
    with open(path, "rb") as source, open(copy, "wb") as file:
        file.write(source.read())
        os.fchmod(file.fileno(), stat.S_IMODE(os.fstat(source.fileno()).st_mode))
    kernel.bind_read_only(copy, path)
    return True
