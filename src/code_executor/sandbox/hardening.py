"""The hardening of a sandbox as data: what the engines hand to Docker or bubblewrap, and to the agent inside."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from code_executor.core.limits import Limits
from sandbox_agent.contract.config import ACCOUNTS, DEVICES, READABLE, AgentConfig

BOX = "/work"
AGENT = "/opt/agent/sandbox_agent"
START = ("-c", "import sys; sys.path[0] = '/opt/agent'; import sandbox_agent.__main__ as agent; sys.exit(agent.main())")
"""What the interpreter is given to start the agent: see there. The Dockerfile has the same."""

INTERPRETER = "/opt/sandbox/bin/python"
_LIBRARIES = "/opt/sandbox"

SUPERVISOR_CAPABILITIES = ("SETUID", "SETGID", "KILL")

_OUR_PROCESSES = (
    2  # the supervisor, and the holder of a child's memory (`sandbox_agent.confinement.kernel.hold_memory`)
)
_GVISOR_THREADS, _GVISOR_THREADS_EACH = 64, 16  # for itself and for each process in it: 45 and 4 when all is calm
_UIDS = range(52000, 59000)  # above people's accounts, below what Debian and systemd hand out (uid 0-65535 for remaps)


@dataclass(frozen=True)
class WritableFs:
    """A tmpfs that programs may write: where, what share of the disk limit it has, and of the inode limit."""

    path: str
    share: float


WRITABLE = (WritableFs(BOX, 0.5), WritableFs("/tmp", 0.25), WritableFs("/dev/shm", 0.25))  # noqa: S108

ACCOUNTS_OPTIONS = "size=2m,nr_inodes=32,mode=0755"
"""Of the tmpfs on `ACCOUNTS`, which is the supervisor's: nothing of a program's is ever in it."""

READ_ONLY = (
    *("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"),  # what Docker has by itself
    *("/dev", "/dev/pts", "/dev/mqueue"),
    *(*DEVICES, "/dev/tty"),  # mounts of their own in a user namespace: the host's nodes
)
"""Paths of a container on which nothing can be changed. A device there can be written to, but keeps its times."""

WATCHED = ("/dev", "/proc", "/sys")
"""Where there are inodes that outlive a run and that a program could change; all else is read-only, or its own."""

ENVIRONMENT = {
    "PATH": "/opt/sandbox/bin:/usr/local/bin:/usr/bin:/bin",
    "HOME": BOX,
    "USER": "coderunner",
    "LOGNAME": "coderunner",
    "LANG": "C.UTF-8",
    "TMPDIR": "/tmp",  # noqa: S108
    "MPLBACKEND": "agg",
    "MPLCONFIGDIR": "/tmp/matplotlib",  # noqa: S108
    # one thread: half a core runs no more, the process limit counts threads, and a forking supervisor must have one
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
"""The whole environment of a program: nothing of the server's, nothing secret."""


def tmpfs_options(fs: WritableFs, limits: Limits, uid: int | None) -> str:
    """Return the mount options that size one writable file system and give it to the run's uid."""
    owner = "" if uid is None else f",uid={uid},gid={uid}"
    return f"size={int(limits.disk * fs.share)},nr_inodes={max(16, int(limits.files * fs.share))},mode=0700{owner}"


def process_limit(limits: Limits, runtime: str = "") -> int:
    """The cgroup's limit: the user's processes and threads, and ours; around gVisor, what it makes of them.

    Of its threads there are 16 for each of the workers that a program can count on, which is room for all its helpers.
    """
    if is_gvisor(runtime):
        return (limits.processes + _OUR_PROCESSES) * _GVISOR_THREADS_EACH + _GVISOR_THREADS
    return limits.tasks + _OUR_PROCESSES


def is_gvisor(runtime: str) -> bool:
    """Whether an OCI runtime is gVisor, by its name: its own, or one that begins so."""
    return runtime.startswith("runsc")


BOOT_ROOM = 1 << 30
"""Bytes that a sandbox may have beyond its memory while it imports what is preloaded: nothing of a program runs yet."""


def memory_of(limits: Limits, introduction: Mapping[str, Any]) -> int:
    """Return the bytes of memory that a sandbox gets: what preloaded modules take is not taken from a program."""
    preloaded: int = introduction.get("preloaded", 0)
    return limits.memory + min(preloaded, BOOT_ROOM)


def readable_for(interpreter: str) -> tuple[str, ...]:
    """Return what a program may read of an image, if this is its interpreter there: of the others, nothing.

    An interpreter and all of its libraries must be in one directory, or in /usr.
    """
    of_its_own = str(PurePosixPath(interpreter).parent.parent)
    if of_its_own == _LIBRARIES:
        return READABLE
    elsewhere = tuple(path for path in READABLE if path != _LIBRARIES)
    return elsewhere if f"{of_its_own}/".startswith("/usr/") else (*elsewhere, of_its_own)


NO_POLICY: Mapping[str, Mapping[str, Any]] = {"": {"extends": "off"}}
"""The policies of sandboxes that refuse no source."""


def agent_config(
    limits: Limits,
    uid: int | None,
    preload: tuple[str, ...],
    policies: Mapping[str, Mapping[str, Any]],
    standard: tuple[str, ...] = (),
) -> AgentConfig:
    """What the supervisor is told. A uid may have more processes than a program: the control group counts those."""
    return AgentConfig(
        uid=uid,
        box=BOX,
        writable=tuple(fs.path for fs in WRITABLE),
        limits=limits,
        uid_processes=2 * limits.tasks,
        preload=preload,
        standard=standard,
        boot_room=BOOT_ROOM if preload else 0,
        policies={name: dict(table) for name, table in policies.items()},
        sockets=True,  # both engines make a network namespace for each sandbox
        accounts=ACCOUNTS,
        watched=WATCHED,
    )


def for_gvisor(config: AgentConfig) -> AgentConfig:
    """Its kernel has no Landlock: uid, seccomp and gVisor itself carry it there.

    A program that blocks SIGSYS outlives SECCOMP_RET_TRAP there, so what is forbidden is ended at once, unnamed. Its
    /proc is made anew by its own rules, so that nothing is proved of it. Its limits stay as they were at the start.
    """
    return dataclasses.replace(config, require_landlock=False, name_violations=False, watched=(), boot_room=0)


class Uids:
    """Hands out uids that no other sandbox has: quotas of the kernel are per uid of the whole host."""

    def __init__(self) -> None:
        self._free = list(_UIDS)
        random.shuffle(self._free)  # two servers on one host rarely meet

    def take(self) -> int:
        return self._free.pop(0)

    def give_back(self, uid: int) -> None:
        """Only once the sandbox is proved gone."""
        self._free.append(uid)
