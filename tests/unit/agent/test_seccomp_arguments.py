"""Arguments that the filter refuses, and beside each what programs go on doing with the same call: asked of the kernel.

What the filter answers as done is asked with an argument that the kernel would refuse: only then is it the filter's
answer.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.filtered import call, confined, mine

pytestmark = mine

SOME = ctypes.create_string_buffer(4096)
NO_FILE = -1
NO_ADDRESS = mmap.PAGESIZE  # nothing is mapped so low
PRIVATE, REALTIME = 128, 256  # flags of a futex call
ENOTSUP = 95


def clock(pid: int, which: int) -> int:
    """The number of a process's clock, as clock_getcpuclockid makes it."""
    return ~pid << 3 | which


# ---- what goes on working


def _thread() -> int:
    found: list[int] = []
    condition = threading.Condition()
    with condition:
        thread = threading.Thread(target=_notify, args=(condition, found))
        thread.start()
        condition.wait(10)
    thread.join()
    return found[0]


def _notify(condition: threading.Condition, found: list[int]) -> None:
    with condition:
        found.append(7)
        condition.notify()


def _exchange() -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        one, other = Path(directory, "one"), Path(directory, "other")
        one.write_text("one")
        other.write_text("other")
        at = -100
        call("renameat2", at, ctypes.c_char_p(os.fsencode(one)), at, ctypes.c_char_p(os.fsencode(other)), 2)()
        return [one.read_text(), other.read_text()]


def _map_and_flush() -> str:
    with tempfile.TemporaryFile() as file:
        file.truncate(4096)
        with mmap.mmap(file.fileno(), 4096) as pages:
            pages[:5] = b"bytes"
            pages.flush()
            return os.pread(file.fileno(), 5, 0).decode()


def _advise() -> int:
    with mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as pages:
        pages[0] = 7
        for advice in (mmap.MADV_WILLNEED, mmap.MADV_NOHUGEPAGE, mmap.MADV_DONTDUMP, mmap.MADV_DONTNEED):
            pages.madvise(advice)
        return pages[0]


def _open_directory() -> bool:
    fd = os.open("/usr", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    return bool(os.listdir(fd))


def _own_clocks() -> bool:
    own = (time.pthread_getcpuclockid(threading.get_ident()), clock(os.getpid(), 2), time.CLOCK_PROCESS_CPUTIME_ID)
    return all(time.clock_gettime(number) >= 0 for number in own)


def _flags() -> list[bool]:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) | os.O_APPEND)
    return [os.get_blocking(reader), os.get_blocking(writer)]


def _locks() -> bool:
    with tempfile.NamedTemporaryFile() as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open(file.name) as again:
            try:
                fcntl.flock(again, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    return False


def _mutex(protocol: int) -> int:
    """Make a mutex of glibc's, lock and unlock it; return the first error."""
    libc = ctypes.CDLL(None)
    attributes, mutex = ctypes.create_string_buffer(64), ctypes.create_string_buffer(128)
    libc.pthread_mutexattr_init(attributes)
    libc.pthread_mutexattr_setprotocol(attributes, protocol)
    if error := libc.pthread_mutex_init(mutex, attributes):
        return int(error)
    return int(libc.pthread_mutex_lock(mutex) or libc.pthread_mutex_unlock(mutex))


@pytest.mark.parametrize(
    ("work", "value"),
    [
        pytest.param(_thread, 7, id="clone, futex: a thread and a condition"),
        pytest.param(_exchange, ["other", "one"], id="renameat2: RENAME_EXCHANGE"),
        pytest.param(_map_and_flush, "bytes", id="mmap, msync"),
        pytest.param(_advise, 0, id="madvise"),
        pytest.param(_open_directory, True, id="open: O_DIRECTORY, which is O_DIRECT elsewhere"),
        pytest.param(_own_clocks, True, id="clock_gettime: of oneself"),
        pytest.param(_flags, [False, True], id="fcntl: F_SETFL"),
        pytest.param(_locks, True, id="flock, record locks"),
        pytest.param(lambda: _mutex(0), 0, id="a mutex"),
        pytest.param(lambda: _mutex(1), ENOTSUP, id="a mutex that inherits priority, which glibc says is not there"),
    ],
)
def test_what_programs_do_with_these_calls_is_allowed(in_child: Any, work: Callable[[], Any], value: Any) -> None:
    assert in_child(confined(work)) == value


# ---- what is answered as done


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(call("fsync", NO_FILE), id="fsync"),
        pytest.param(call("fdatasync", NO_FILE), id="fdatasync"),
        pytest.param(call("syncfs", NO_FILE), id="syncfs"),
        pytest.param(call("sync_file_range", NO_FILE, 0, 0, 0), id="sync_file_range"),
        pytest.param(call("msync", NO_ADDRESS, mmap.PAGESIZE, 4), id="msync: MS_SYNC"),
        pytest.param(call("fadvise64", NO_FILE, 0, 0, 4), id="fadvise64: DONTNEED"),
        pytest.param(call("readahead", NO_FILE, 0, 1 << 20), id="readahead"),
        pytest.param(call("madvise", NO_ADDRESS, mmap.PAGESIZE, 20), id="madvise: COLD"),
        pytest.param(call("madvise", NO_ADDRESS, mmap.PAGESIZE, 21), id="madvise: PAGEOUT"),
    ],
)
def test_what_reaches_the_machines_disk_or_cache_is_said_to_be_done(in_child: Any, work: Callable[[], Any]) -> None:
    assert in_child(confined(work)) == 0


# ---- what is refused


def _whiteout() -> None:
    with tempfile.TemporaryDirectory() as directory:
        one, other = (ctypes.c_char_p(os.fsencode(f"{directory}/{name}")) for name in ("one", "other"))
        Path(directory, "one").touch()
        call("renameat2", -100, one, -100, other, 4)()


def _direct() -> int:
    with tempfile.NamedTemporaryFile(dir=".") as file:
        return os.open(file.name, os.O_RDONLY | os.O_DIRECT)


def _direct_afterwards() -> int:
    return fcntl.fcntl(os.open("/usr/lib/os-release", os.O_RDONLY), fcntl.F_SETFL, os.O_DIRECT)


@pytest.mark.parametrize(
    ("work", "code"),
    [
        pytest.param(call("clone", 0x1000 | signal.SIGCHLD, 0, SOME, 0, 0), errno.EPERM, id="clone: PIDFD"),
        pytest.param(call("clone", 0x2000 | signal.SIGCHLD, 0, 0, 0, 0), errno.EPERM, id="clone: PTRACE"),
        pytest.param(call("clone", 0x80000000 | signal.SIGCHLD, 0, 0, 0, 0), errno.EPERM, id="clone: IO"),
        pytest.param(_whiteout, errno.EINVAL, id="renameat2: WHITEOUT"),
        pytest.param(call("mmap", 0, 2 << 20, 3, 0x40022, -1, 0), errno.ENOMEM, id="mmap: HUGETLB"),
        pytest.param(call("madvise", NO_ADDRESS, mmap.PAGESIZE, 12), errno.EINVAL, id="madvise: MERGEABLE"),
        pytest.param(call("madvise", NO_ADDRESS, mmap.PAGESIZE, 25), errno.EINVAL, id="madvise: COLLAPSE"),
        pytest.param(call("madvise", NO_ADDRESS, mmap.PAGESIZE, 101), errno.EINVAL, id="madvise: SOFT_OFFLINE"),
        *[
            pytest.param(call("futex", SOME, command | flags, 0, 0, SOME, 0), errno.ENOSYS, id=f"futex: {name}")
            for command, name in (
                (6, "LOCK_PI"),
                (7, "UNLOCK_PI"),
                (8, "TRYLOCK_PI"),
                (11, "WAIT_REQUEUE_PI"),
                (12, "CMP_REQUEUE_PI"),
                (13, "LOCK_PI2"),
            )
            for flags in (0, PRIVATE, PRIVATE | REALTIME)
        ],
        pytest.param(_direct, errno.EINVAL, id="openat: O_DIRECT"),
        pytest.param(_direct_afterwards, errno.EINVAL, id="fcntl: F_SETFL O_DIRECT"),
        pytest.param(call("fcntl", 0, fcntl.F_SETFL, 0x2000), errno.EINVAL, id="fcntl: F_SETFL O_ASYNC"),
        *[
            pytest.param(
                call(name, clock(1, which), *rest), errno.EINVAL, id=f"{name}: clock {which} of the supervisor"
            )
            for name, rest in (
                ("clock_gettime", (SOME,)),
                ("clock_getres", (SOME,)),
                ("clock_nanosleep", (0, SOME, None)),
            )
            for which in (0, 2)
        ],
        pytest.param(call("mincore", NO_ADDRESS, mmap.PAGESIZE, SOME), errno.ENOSYS, id="mincore"),
        pytest.param(call("membarrier", 0, 0, 0), errno.ENOSYS, id="membarrier"),
    ],
)
def test_what_nobody_needs_of_these_calls_is_refused(in_child: Any, work: Callable[[], Any], code: int) -> None:
    with pytest.raises(OSError) as caught:
        in_child(confined(work))
    assert caught.value.errno == code
