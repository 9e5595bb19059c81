"""What a supervisor says of the sandbox it is in, when it is first ready."""

from __future__ import annotations

import errno
import os
import platform
from typing import Any

from sandbox_agent.confinement import kernel, landlock
from sandbox_agent.contract.protocol import VERSION
from sandbox_agent.supervisor import counters


def describe(missing: list[str], preloaded: int, shared: list[str]) -> dict[str, Any]:
    """Say what this sandbox is, for the log and for doctor. Nothing of any run.

    ``missing``: modules that could not be imported; ``preloaded``: bytes of memory that those take which could;
    ``shared``: paths whose inodes are the machine's.
    """
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return {
        "protocol": VERSION,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "landlock": landlock.abi(),
        "cgroup": counters.limits(),
        "capabilities": status.get("CapPrm", ""),
        "no_new_privs": str(kernel.prctl(kernel.PR_GET_NO_NEW_PRIVS)),  # asked: gVisor does not write it into status
        "seccomp": status.get("Seccomp", ""),
        "read_only_root": _read_only("/"),
        "interfaces": _interfaces(),
        "not_preloaded": missing,
        "preloaded": preloaded,
        "shared": shared,
    }


def _read_only(path: str) -> bool:
    """Whether the file system there is mounted so, found out by trying: gVisor does not show it in statvfs."""
    try:
        os.utime(path)
    except OSError as error:
        return error.errno == errno.EROFS
    return False


def _interfaces() -> list[str]:
    """The network interfaces of this namespace; the first two lines of the file are headings."""
    try:
        with open("/proc/net/dev") as file:
            return sorted(line.partition(":")[0].strip() for line in file.readlines()[2:])
    except OSError:
        return []
