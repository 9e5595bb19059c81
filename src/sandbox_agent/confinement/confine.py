"""Confinement of a child, in the one order that works.

What costs time is prepared once by the supervisor (`prepare`): the Landlock ruleset is a descriptor that every child
inherits and the seccomp filter is a buffer. What a child does itself, between its birth and the first byte that is
anybody's (`confine`), and why in this order:

 1.  its own pipes on 0, 1, 2; every other descriptor closed (`arrange`). What is open here is open to the program for
     good, so this precedes everything that could fail half-way.
 2.  oom_score_adj, while still root: when the sandbox runs out of memory, the child dies and never the supervisor;
     nice, so that a busy program cannot keep the supervisor from its clock; a session of its own.
 3.  default signal handlers, nothing blocked but SIGINT until the program begins (the supervisor's are, but for
     SIGCHLD), umask 022 as everywhere: who may not enter the box learns nothing of its files' modes.
 4.  groups, gid, uid: this drops every capability. From here on its /proc entries belong to root.
 5.  a death signal from the supervisor (setuid clears it, so after), and a check that the supervisor is still there;
     no core dump (setuid decides that again, so after), neither a file nor one that a helper of the host is given.
 6.  no_new_privs, without which an unprivileged process may not do 8 and 9.
 7.  rlimits, hard and soft.
 8.  Landlock, while the file system is still the one that the ruleset was made for.
 9.  seccomp, last: it forbids the calls that all the rest needed, among them the one that says where a forbidden call
     is told of (`trap`).

Any failure is an exception, and the caller ends the child: a child that is not confined in full never reads code.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
from dataclasses import dataclass
from typing import Any

from sandbox_agent.confinement import kernel, landlock, seccomp, trap
from sandbox_agent.contract.config import DEVICES, AgentConfig

NICENESS = 5

_ADDRESSES = 8 << 30
"""Bytes of addresses that a process may have beyond its data: for libraries, stacks, and what is only reserved.

Empty addresses cost page tables, which fill the memory limit like anything else. But they are freed so slowly when the
program is killed for it that the kernel, still short of memory, kills the supervisor next.
"""


class ConfinementError(Exception):
    """A layer could not be applied."""


@dataclass(frozen=True)
class Confinement:
    """What `prepare` made (see the module's text). ``landlock_fd`` None: the kernel has none and that is accepted."""

    config: AgentConfig
    limits: tuple[tuple[int, int, int], ...]  # resource, soft and hard value
    landlock_fd: int | None
    filter: Any
    filter_buffer: Any  # kept alive: ``filter`` points into it
    trap_page: Any  # None: what is forbidden ends a program unnamed


def prepare(config: AgentConfig, hint: int, *, memory_held: bool = False, inherited: int = 0) -> Confinement:
    """Make the ruleset and the filter; raise ``ConfinementError`` where a required layer does not exist here.

    ``hint``: the descriptor of a child that is told of a forbidden call. ``memory_held``: a control group holds all
    processes together to the limit of memory. ``inherited``: bytes of data that a child has before its program does
    anything, and that the program is not to lack.
    """
    landlock_fd = None
    if "landlock" not in config.layers_off:
        landlock_fd = landlock.ruleset(
            list(config.readable), list(config.writable), list(DEVICES), sockets=config.sockets
        )
        if landlock_fd is None and config.require_landlock:
            raise ConfinementError("this kernel has no Landlock (Linux 5.13 or newer, with it switched on)")
    try:
        forbidden = seccomp.TRAP if config.name_violations else seccomp.KILL_PROCESS
        code = seccomp.program(forbidden=forbidden, sockets=config.sockets)
    except KeyError as error:
        raise ConfinementError(f"no system call table for {error}") from None
    program, buffer = seccomp.sock_fprog(code)
    trap_page = trap.prepare(hint) if config.name_violations else None
    limits = _limits(config, config.data_bytes + inherited, memory_held=memory_held)
    return Confinement(config, limits, landlock_fd, program, buffer, trap_page)


def confine(confinement: Confinement, landlock_fd: int | None, supervisor: int) -> None:
    """Confine this process for good, its descriptors having been arranged.

    ``landlock_fd`` is where the ruleset's descriptor is now, ``supervisor`` the parent's pid. Raises ``OSError`` or
    ``ConfinementError``.
    """
    config = confinement.config
    off = config.layers_off
    with contextlib.suppress(FileNotFoundError):
        _write("/proc/self/oom_score_adj", b"1000")
    os.nice(NICENESS)
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(0o022)
    if config.uid is not None and "uid" not in off:
        os.setgroups([])
        os.setresgid(config.uid, config.uid, config.uid)
        os.setresuid(config.uid, config.uid, config.uid)
    else:
        kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor:
        raise ConfinementError("the supervisor is gone")
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if kernel.prctl(kernel.PR_GET_DUMPABLE) != 0:
        raise ConfinementError("this process would still leave a core dump")
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir(config.box)
    if "rlimits" not in off:
        _limit(confinement.limits)
    if landlock_fd is not None:
        landlock.restrict_self(landlock_fd)
        os.close(landlock_fd)
    if "seccomp" not in off:
        if confinement.trap_page is not None:
            trap.install(confinement.trap_page)
        kernel.load_seccomp(confinement.filter)


def arrange(descriptors: list[int], landlock_fd: int | None) -> int | None:
    """Move the descriptors to 0, 1, 2, … and close every other; return where the ruleset's is now."""
    wanted = [*descriptors, landlock_fd] if landlock_fd is not None else descriptors
    most = len(wanted)
    # out of the way of the numbers that they are going to
    aside = [fd if fd >= most else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, most) for fd in wanted]
    for target, fd in enumerate(aside):
        os.dup2(fd, target, inheritable=True)
    kernel.close_from(len(aside))
    return len(descriptors) if landlock_fd is not None else None


def default_signals() -> None:
    """Give this process the handlers that a Python program starts with, whatever it was started with; block nothing."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as CPython: BrokenPipeError
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def _limits(config: AgentConfig, data: int, *, memory_held: bool) -> tuple[tuple[int, int, int], ...]:
    """Return what a child's limits are to be (which, soft, hard), none of them more than this process's own.

    ``data``, in bytes, is a soft limit below the sandbox's memory, so that ``MemoryError`` comes before a kill. Where
    that memory is held by a control group anyway, a program may go beyond: `child.stacks` does, for stacks that are
    only reserved.
    """
    addresses = data + _ADDRESSES
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: addresses if memory_held else data,
        resource.RLIMIT_AS: addresses,
        resource.RLIMIT_FSIZE: config.limits.disk,
        resource.RLIMIT_NOFILE: config.open_files,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_CPU: max(config.cpu_seconds, int(config.limits.session_cpu_time)),
    }
    if config.uid is not None:  # counted per uid on the whole host, so only with a uid of one's own
        limits[resource.RLIMIT_NPROC] = config.uid_processes
    # of processor time, a run lowers the hard limit as well, unless it is a session
    soft = {**limits, resource.RLIMIT_DATA: data, resource.RLIMIT_CPU: config.cpu_seconds}
    hard = {name: _at_most_ours(name, value) for name, value in limits.items()}
    return tuple((name, min(soft[name], most), most) for name, most in hard.items())


def _at_most_ours(name: int, value: int) -> int:
    hard = resource.getrlimit(name)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def _limit(limits: tuple[tuple[int, int, int], ...]) -> None:
    for name, soft, hard in limits:
        resource.setrlimit(name, (soft, hard))
    with contextlib.suppress(ValueError):  # gVisor, which has no message queues, does not let it be set
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
