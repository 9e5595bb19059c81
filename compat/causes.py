"""Why a program behaves in a sandbox as it does not elsewhere: known limits, by what the program says of them."""

from __future__ import annotations

import re

from compat.case import Difference

UNKNOWN = "not explained"

_CAUSES = (
    (r"_execute_child|_posixsubprocess|fork_exec|posix_spawn|execv|exited with code 127|127 !=|failure 127", "no other programs"),
    (r"TestWhich|test_fork_asyncio_subprocess|TestPosixSpawn|SpawnTests|test_json\.test_tool", "no other programs"),
    (r"can only be started by fork|start method|TestStartMethod|FailingInitializerResources|TestResourceTracker|forkserver", "no other programs"),
    (r"requires fd pickling|needs multiprocessing\.reduction|sendmsg|recvmsg|SCM_RIGHTS", "no descriptors through sockets"),
    (r"(?s)socket\.py.*PermissionError: \[Errno 13\]", "no sockets but Unix streams"),
    (r"which no program may do here", "a call that ends the program"),
    (r"memory_limit|MemoryError", "limit of memory"),
    (r"wall_time|cpu_time", "limit of time"),
    (r"can't start new thread|process_limit|Resource temporarily unavailable", "limit of processes and threads"),
    (r"No space left on device|disk_limit|File too large|too large", "limit of disk"),
    (r"output_limit", "limit of output"),
    (r"Read-only file system|EROFS", "read-only system"),
    (r"extended attribute|xattr", "no extended attributes"),
    (r"mkfifo|named_pipe|fifo", "no named pipes"),
    (r"openpty|\bpty\b|ptmx|ptsname|posix_pty|Pseudoterminal", "no terminals"),
    (r"RemoteManager|socket|could not bind on any address|gaierror|herror|test_sock_client_fail|Address family|network|AF_INET", "no sockets but Unix streams"),
    (r"PermissionError|Operation not permitted|Permission denied|EPERM|EACCES", "a call that is refused"),
    (r"ResourceTest", "a limit that is lower already"),
    (r"TestInvalidFD\.test_f(?:data)?sync", "a call that is refused"),
    (r"RWF_HIPRI", "files are in memory"),
    (r"does not support|not supported|Function not implemented", "a call that is refused"),
)
"""Patterns, of which the first that fits counts, and what they are called in the report."""


def cause(difference: Difference) -> str:
    """Return the limit that explains ``difference``, or that none is known."""
    text = f"{difference.ours}\n{difference.part}\n{difference.detail}"
    return next((why for pattern, why in _CAUSES if re.search(pattern, text)), UNKNOWN)
