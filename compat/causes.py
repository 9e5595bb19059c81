"""Why a program behaves in a sandbox as it does not elsewhere: known limits, by what the program says of them."""

from __future__ import annotations

import re

from compat.case import Difference

UNKNOWN = "not explained"

_NO_EXEC, _NO_SOCKETS = "no other programs", "no sockets but Unix streams"

_CAUSES = (
    (r"_execute_child|_posixsubprocess|fork_exec|posix_spawn|execv|exited with code 127|127 !=|failure 127", _NO_EXEC),
    (r"TestWhich|TestPosixSpawn|SpawnTests|test_json\.test_tool", _NO_EXEC),
    (r"test_fork_asyncio_subprocess|test_doctest\.test_CLI", _NO_EXEC),
    (r"can only be started by fork|start method|forkserver|TestStartMethod", _NO_EXEC),
    (r"TestResourceTracker|FailingInitializerResources", _NO_EXEC),
    (
        r"requires fd pickling|needs multiprocessing\.reduction|sendmsg|recvmsg|SCM_RIGHTS",
        "no messages with descriptors",
    ),
    (r"(?s)socket\.py.*PermissionError: \[Errno 13\]", _NO_SOCKETS),
    (r"which no program may do here", "a call that ends the program"),
    (r"memory_limit|MemoryError", "limit of memory"),
    (r"wall_time|cpu_time", "limit of time"),
    (r"can't start new thread|process_limit|Resource temporarily unavailable", "limit of processes and threads"),
    (r"No space left on device|disk_limit|File too large|too large|largefile support", "limit of disk"),
    (r"output_limit", "limit of output"),
    (r"Read-only file system|EROFS", "read-only system"),
    (r"extended attribute|xattr", "no extended attributes"),
    (r"mkfifo|named_pipe|fifo", "no named pipes"),
    (r"openpty|\bpty\b|ptmx|ptsname|posix_pty|Pseudoterminal", "no terminals"),
    (r"socket|Address family|network|AF_INET|gaierror|herror", _NO_SOCKETS),
    (r"RemoteManager|could not bind on any address|test_sock_client_fail", _NO_SOCKETS),
    (r"PermissionError|Operation not permitted|Permission denied|EPERM|EACCES", "a call that is refused"),
    (r"ResourceTest", "a limit that is lower already"),
    (r"TestInvalidFD\.test_f(?:data)?sync|not raised by flush", "flushes do nothing"),
    (r"RWF_HIPRI", "files are in memory"),
    (r"does not support|not supported|Function not implemented", "a call that is refused"),
)
"""Patterns, of which the first that fits counts, and what they are called in the report."""


def cause(difference: Difference) -> str:
    """Return the limit that explains ``difference``, or that none is known."""
    text = f"{difference.ours}\n{difference.part}\n{difference.detail}"
    return next((why for pattern, why in _CAUSES if re.search(pattern, text)), UNKNOWN)
