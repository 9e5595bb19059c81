"""Runs inside a sandbox and tries what must not work; prints what happened as JSON. Standard library only."""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
from collections.abc import Callable

PR_GET_DUMPABLE = 3
MARKER = "left-by-the-probe"
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
PATHS = ("/work", "/tmp", "/dev/shm")  # noqa: S108
KNOWN = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_CTYPE", "TMPDIR", "MPLBACKEND", "MPLCONFIGDIR", "HOSTNAME", "PWD",
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
}  # fmt: skip


def attempt(action: Callable[..., object], *arguments: object) -> str:
    """Return "done", or the name of the error."""
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def fatal(action: Callable[[], object]) -> str:
    """Try something in a child; return how that child ended."""
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}"
    return "done"


def is_open(descriptor: int) -> bool:
    """Whether a descriptor is open."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def disk() -> dict[str, int]:
    """Sum up the writable file systems."""
    found = [os.statvfs(path) for path in PATHS]
    flags = os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC
    return {
        "bytes": sum(f.f_blocks * f.f_frsize for f in found),
        "files": sum(f.f_files for f in found),
        "flags_held": all(f.f_flag & flags == flags for f in found),
    }


left = [path for path in PATHS if any(os.path.join(path, name) != __file__ for name in os.listdir(path))]
answer = {
    "left_behind": left,
    "uid": os.getuid(),
    "ptrace": fatal(lambda: ctypes.CDLL(None).ptrace(0, 0, 0, 0)),
    "socket": attempt(socket.socket),
    "listdir_root": attempt(os.listdir, "/"),
    "open_proc": attempt(open, "/proc/self/status"),
    "exec": attempt(os.execv, "/bin/true", ["true"]),
    "ppid": os.getppid(),
    "disk": disk(),
    "core": resource.getrlimit(resource.RLIMIT_CORE)[1],
    "dumpable": ctypes.CDLL(None).prctl(PR_GET_DUMPABLE, 0, 0, 0, 0),
    "touch_devices": sorted({attempt(os.utime, path) for path in DEVICES}),
    "descriptors": sum(is_open(n) for n in range(1024)),
    "foreign_environment": sorted(set(os.environ) - KNOWN),
}
for path in PATHS:
    with open(os.path.join(path, MARKER), "w") as file:
        file.write("x")
print(json.dumps(answer))
