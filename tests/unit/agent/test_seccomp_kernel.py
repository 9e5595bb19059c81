"""The filter, asked of the kernel: what programs need is allowed, and what nobody needs is not."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_agent.confinement import kernel
from sandbox_agent.contract import syscalls
from tests.unit.agent.filtered import call, confined, here, mine
from tests.unit.agent.test_seccomp import X32, numbers


def _fork() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _socketpair() -> bool:
    one, other = socket.socketpair(socket.AF_UNIX)
    one.send(b"x")
    return other.recv(1) == b"x"


def _stream() -> str:
    """Serve a byte over a Unix stream of this process's own, as multiprocessing does."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(f"{directory}/socket")
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(server.getsockname())
            accepted, _ = server.accept()
            with accepted:
                client.sendall(b"x")
                return accepted.recv(1).decode() + os.path.basename(str(client.getpeername()))


def _chown_to_oneself() -> None:
    with tempfile.NamedTemporaryFile() as file:
        shutil.chown(file.name, os.getuid(), os.getgid())
        os.chown(file.fileno(), -1, -1)
        os.chown(file.name, os.getuid(), -1, follow_symlinks=False)


def _copystat() -> None:
    with tempfile.NamedTemporaryFile() as one, tempfile.NamedTemporaryFile() as other:
        shutil.copystat(one.name, other.name)


def _preadv() -> str:
    with tempfile.TemporaryFile() as file:
        os.pwritev(file.fileno(), [b"by", b"tes"], 0)
        buffer = bytearray(5)
        os.preadv(file.fileno(), [buffer], 0)
        return buffer.decode()


def _limits_of_a_child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft - 1, hard))
    now, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return soft - now


def _write_and_read() -> str:
    reader, writer = os.pipe()
    os.write(writer, b"bytes")
    return os.read(reader, 9).decode()


@mine
@pytest.mark.parametrize(
    ("work", "value"),
    [
        pytest.param(_write_and_read, "bytes", id="files"),
        pytest.param(lambda: len(mmap.mmap(-1, 4096)), 4096, id="memory"),
        pytest.param(_fork, 7, id="processes, clone"),
        pytest.param(lambda: os.kill(os.getpid(), 0), None, id="signals"),
        pytest.param(_socketpair, True, id="events, socketpair"),
        pytest.param(lambda: os.isatty(0), False, id="ioctl"),
        pytest.param(lambda: kernel.prctl(3) in (0, 1, 2), True, id="prctl"),
        pytest.param(lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN), 0, id="rt_sigaction"),
        pytest.param(lambda: len(resource.prlimit(0, resource.RLIMIT_CPU)), 2, id="prlimit64"),
        pytest.param(lambda: os.get_blocking(2) in (True, False), True, id="fcntl"),
        pytest.param(_stream, "xsocket", id="a Unix stream"),
        pytest.param(_chown_to_oneself, None, id="chown to oneself"),
        pytest.param(_copystat, None, id="shutil.copystat"),
        pytest.param(_preadv, "bytes", id="preadv, which falls back"),
        pytest.param(lambda: os.nice(0) == os.getpriority(os.PRIO_PROCESS, 0), True, id="nice"),
        pytest.param(lambda: os.setpriority(os.PRIO_PROCESS, os.getpid(), 19), None, id="setpriority"),
        pytest.param(lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)), None, id="sched_setaffinity"),
        pytest.param(lambda: os.sched_rr_get_interval(0) >= 0, True, id="sched_rr_get_interval"),
        pytest.param(_limits_of_a_child, 1, id="prlimit64 of a child"),
    ],
)
def test_what_programs_need_is_allowed(in_child: Any, work: Callable[[], Any], value: Any) -> None:
    assert in_child(confined(work)) == value


SOME = ctypes.create_string_buffer(256)


@mine
@pytest.mark.parametrize(
    ("work", "code"),
    [
        pytest.param(call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0), errno.EPERM, id="clone: a user namespace"),
        pytest.param(call("clone", 0x40000000 | signal.SIGCHLD, 0, 0, 0, 0), errno.EPERM, id="clone: a net namespace"),
        pytest.param(call("socketpair", socket.AF_TIPC, 1, 0, SOME), errno.EOPNOTSUPP, id="socketpair: another family"),
        pytest.param(call("ioctl", 0, 0x5412, SOME), errno.ENOTTY, id="ioctl: TIOCSTI types into a terminal"),
        pytest.param(call("prctl", 4, 1, 0, 0, 0), errno.EINVAL, id="prctl: SET_DUMPABLE"),
        pytest.param(call("prctl", 1, 0, 0, 0, 0), errno.EINVAL, id="prctl: SET_PDEATHSIG"),
        pytest.param(call("rt_sigaction", 31, SOME, None, 8), errno.EINVAL, id="rt_sigaction: of SIGSYS"),
        pytest.param(call("prlimit64", 1, 0, 0, SOME), errno.EPERM, id="prlimit64: of the supervisor"),
        pytest.param(call("fcntl", 0, 8, 1), errno.EPERM, id="fcntl: SETOWN"),
        pytest.param(call("fcntl", 0, 1031, 1 << 20), errno.EPERM, id="fcntl: SETPIPE_SZ"),
        pytest.param(call("socket", socket.AF_INET, socket.SOCK_STREAM, 0), errno.EACCES, id="socket: inet"),
        pytest.param(call("socket", socket.AF_UNIX, socket.SOCK_DGRAM, 0), errno.EACCES, id="socket: unix datagrams"),
        pytest.param(
            lambda: socket.socketpair()[0].send(b"x", socket.MSG_OOB), errno.EOPNOTSUPP, id="sendto: out of band"
        ),
        pytest.param(
            lambda: socket.socketpair()[0].recv(1, socket.MSG_OOB), errno.EOPNOTSUPP, id="recvfrom: out of band"
        ),
        pytest.param(
            lambda: socket.socketpair()[0].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED),
            errno.ENOPROTOOPT,
            id="getsockopt: a peer's credentials",
        ),
        pytest.param(
            lambda: socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20),
            errno.ENOPROTOOPT,
            id="setsockopt: a larger buffer",
        ),
        pytest.param(lambda: socket.send_fds(socket.socketpair()[0], [b"x"], [0]), errno.EPERM, id="sendmsg"),
        pytest.param(call("setpriority", 0, 1, 19), errno.EPERM, id="setpriority: of the supervisor"),
        pytest.param(call("setpriority", 2, 0, 19), errno.EPERM, id="setpriority: of all of a user"),
        pytest.param(call("sched_setaffinity", 1, 8, SOME), errno.EPERM, id="sched_setaffinity: of the supervisor"),
        pytest.param(call("ioctl", 0, 0x40049409, 0), errno.EOPNOTSUPP, id="ioctl: FICLONE"),
        pytest.param(lambda: os.listxattr("/"), errno.ENOTSUP, id="listxattr"),
        pytest.param(call("inotify_init1", 0), errno.ENOSYS, id="inotify"),
        pytest.param(call("mbind", 0, 0, 0, 0, 0, 0), errno.ENOSYS, id="mbind"),
        pytest.param(call("shmget", 0, 4096, 0o1600), errno.ENOSYS, id="shmget"),
        pytest.param(call("socket", socket.AF_NETLINK, socket.SOCK_RAW, 0), errno.EACCES, id="socket: netlink"),
        pytest.param(call("clone3", SOME, 88), errno.ENOSYS, id="clone3"),
        pytest.param(call("openat2", -100, SOME, SOME, 24), errno.ENOSYS, id="openat2"),
        pytest.param(lambda: os.execv("/bin/true", ["true"]), errno.EPERM, id="execve"),
        pytest.param(lambda: os.memfd_create("x"), errno.EPERM, id="memfd_create"),
        pytest.param(lambda: os.splice(0, 1, 1), errno.EPERM, id="splice"),
        pytest.param(lambda: os.setuid(0), errno.EPERM, id="setuid"),
        pytest.param(lambda: os.mkfifo("/tmp/fifo"), errno.EPERM, id="mknod"),
        pytest.param(lambda: kernel.syscall(424, 0, 0, 0, 0), errno.ENOSYS, id="pidfd_send_signal"),
        pytest.param(lambda: kernel.syscall(1999), errno.ENOSYS, id="a number that means nothing"),
        pytest.param(lambda: kernel.syscall(X32 | 39), errno.ENOSYS, id="getpid by its x32 number"),
    ],
)
def test_what_nobody_needs_is_refused(in_child: Any, work: Callable[[], Any], code: int) -> None:
    with pytest.raises(OSError) as caught:
        in_child(confined(work))
    assert caught.value.errno == code


@mine
@pytest.mark.parametrize("name", [name for group in syscalls.KILLED for name in group.names.split()])
def test_what_nobody_calls_by_accident_kills(in_child: Any, name: str) -> None:
    if not numbers(here, name):
        pytest.skip(f"{here} has no {name}")
    with pytest.raises(Exception, match="SIGSYS"):
        in_child(confined(call(name, 0, 0, 0, 0, 0, 0)))


@pytest.mark.skipif(here != "x86_64", reason="i386 system calls are x86-64's")
def test_an_i386_system_call_kills(in_child: Any) -> None:
    def int_0x80() -> int:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())

    assert in_child(int_0x80) > 0, "this kernel runs no i386 calls, and the test would show nothing"
    with pytest.raises(Exception, match="SIGSYS"):
        in_child(confined(int_0x80))


@mine
def test_a_filter_stays_on_whatever_a_program_starts(in_child: Any) -> None:
    def grandchild() -> int:
        pid = os.fork()
        if pid == 0:
            try:
                os.setuid(0)
            except OSError as error:
                os._exit(error.errno or 0)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert in_child(confined(grandchild)) == errno.EPERM
