"""Why a program behaves in a sandbox as it does not elsewhere: known limits, by what the program says of them."""

from __future__ import annotations

import re

from compat.case import Difference

UNKNOWN = "not explained"

_CAUSES: tuple[tuple[str, str], ...] = (
    (
        r"cannot start other programs|start other programs|_posixsubprocess|_execute_child|fork_exec|posix_spawn|execv",
        "no other programs",
    ),
    (r"start method|forkserver|spawn", "no other programs"),
    (r"memory_limit|MemoryError", "limit of memory"),
    (r"wall_time|cpu_time", "limit of time"),
    (r"can't start new thread|process_limit|Resource temporarily unavailable", "limit of processes and threads"),
    (r"No space left on device|disk_limit|File too large|too large", "limit of disk"),
    (r"output_limit", "limit of output"),
    (r"Read-only file system|EROFS", "read-only system"),
    (r"violation|SIGSYS", "forbidden system call"),
    (r"socket|Address family|network|AF_INET", "no network"),
    (r"pty|ptmx|terminal", "no terminals"),
    (r"PermissionError|Operation not permitted|Permission denied|EPERM|EACCES", "forbidden system call"),
)


def cause(difference: Difference) -> str:
    """Return the limit that explains ``difference``, or that none is known."""
    text = f"{difference.ours}\n{difference.detail}"
    return next((why for pattern, why in _CAUSES if re.search(pattern, text)), UNKNOWN)
