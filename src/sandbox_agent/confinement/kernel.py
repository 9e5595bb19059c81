"""The system calls that Python's standard library does not wrap, through ctypes; errors are ``OSError`` as usual."""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import termios
from typing import Any

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_BIND = 1, 2, 4, 8, 32, 1024, 4096
_MS_KEPT = MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME  # the same bits in what statvfs says of a mount

_CLONE_VM, _CLONE_FS, _CLONE_FILES, _CLONE_PARENT = 0x100, 0x200, 0x400, 0x8000
_HOLDER_STACK = 16 << 10
_holder_stack = mmap.mmap(-1, _HOLDER_STACK, mmap.MAP_PRIVATE)  # every child has a copy of it
_holder_top = ctypes.addressof(ctypes.c_char.from_buffer(_holder_stack)) + _HOLDER_STACK

_SPARE = 256 << 10

_CLOSE_RANGE = 436  # the same number on every architecture
_SECCOMP = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
_CAPSET = {"x86_64": 126, "aarch64": 91}[os.uname().machine]
_MPROTECT = {"x86_64": 10, "aarch64": 226}[os.uname().machine]
_MADVISE = {"x86_64": 28, "aarch64": 233}[os.uname().machine]
_MADV_COLLAPSE = 25
_MSEAL = 462  # the same number on every architecture
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
_CAPABILITY_VERSION_3 = 0x20080522


def syscall(number: int, *arguments: Any) -> int:
    """Make a system call; integers are passed as C longs. Raises ``OSError``."""
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


_libc.syscall.restype = ctypes.c_long


def prctl(option: int, argument: int = 0, third: int = 0) -> int:
    """Set, or return, an attribute of this process; raises ``OSError``."""
    longs = (ctypes.c_ulong(argument), ctypes.c_ulong(third), ctypes.c_ulong(0), ctypes.c_ulong(0))
    result: int = _libc.prctl(ctypes.c_int(option), *longs)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def available(fd: int) -> int:
    """Return how many bytes wait to be read from a pipe or socket."""
    buffer = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, buffer)
    return buffer[0]


def close_from(first: int) -> None:
    """Close every descriptor from ``first`` on. Falls back to a loop where the kernel has no close_range (< 5.9)."""
    try:
        syscall(_CLOSE_RANGE, first, 0x7FFFFFFF, 0)  # descriptors are ints; gVisor refuses more
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def load_seccomp(program: Any) -> None:
    """Install a filter (SECCOMP_SET_MODE_FILTER) on this thread; it can never be taken off again."""
    syscall(_SECCOMP, 1, 0, ctypes.byref(program))


def hold_memory() -> None:
    """Start a process that shares this one's memory and descriptors, and waits for a signal for ever.

    Memory is torn down by whoever is the last to use it, which takes 0.5 to 4 ms. With this holder, the exit of the
    calling process is told to its parent before that, not after. It is a sibling (CLONE_PARENT), so that the caller
    never finds a child it did not make, and inherits everything that confines the caller.
    """
    flags = _CLONE_VM | _CLONE_FS | _CLONE_FILES | _CLONE_PARENT | signal.SIGCHLD
    if _libc.clone(_libc.pause, ctypes.c_void_p(_holder_top), ctypes.c_int(flags), None) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def trim_heap() -> None:
    """Give back what the C library keeps of memory that was freed; does nothing where that is not glibc.

    All but so much at the heap's end that a child need not ask for more (brk) as soon as it runs.
    """
    with contextlib.suppress(AttributeError):
        _libc.malloc_trim(ctypes.c_size_t(_SPARE))


def collapse(start: int, length: int) -> None:
    """Gather memory into huge pages (MADV_COLLAPSE, Linux 6.1); raises ``OSError``."""
    syscall(_MADVISE, start, length, _MADV_COLLAPSE)


def executable_page(code: bytes) -> ctypes.Array[ctypes.c_char]:
    """Map a page of machine code and make it read-only; raises ``OSError``. It stays mapped as long as it is kept.

    The mapping is private: a child that writes to its copy all the same changes nobody else's. From Linux 6.10 on it is
    sealed as well, and no child can make it writable or put another in its place.
    """
    page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    page.write(code)
    mapped = (ctypes.c_char * mmap.PAGESIZE).from_buffer(page)
    syscall(_MPROTECT, ctypes.addressof(mapped), mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC)
    with contextlib.suppress(OSError):
        syscall(_MSEAL, ctypes.addressof(mapped), mmap.PAGESIZE, 0)
    return mapped


def mount_tmpfs(target: str, options: str) -> None:
    """Mount a tmpfs, nosuid, nodev, noexec and noatime, on ``target``."""
    _mount(b"tmpfs", target, MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, options)


def mount_devices(target: str) -> None:
    """Mount a tmpfs on which device nodes can be made; raise ``OSError`` where that needs more rights than ours."""
    _mount(b"tmpfs", target, MS_NOSUID | MS_NOEXEC | MS_NOATIME, "size=64k,nr_inodes=32,mode=0755")


def mount_overlay(target: str, lower: str, empty: str) -> None:
    """Mount on ``target`` what ``lower`` shows, read-only and with inodes of its own. ``empty``: an empty directory."""
    _mount(b"overlay", target, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOATIME, f"lowerdir={lower}:{empty}")


def bind_read_only(source: str, target: str) -> None:
    """Mount ``source`` on ``target`` as well, read-only there."""
    _mount(source.encode(), target, MS_BIND, "")
    make_read_only(target)


def unmount(target: str) -> None:
    """Take off what was mounted last on ``target``."""
    if _libc.umount2(target.encode(), 0) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def make_read_only(target: str) -> None:
    """Let nobody change the file system mounted on ``target``, also not who owns what is in it."""
    kept = os.statvfs(target).f_flag & _MS_KEPT
    _mount(None, target, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, "")


def _mount(source: bytes | None, target: str, flags: int, options: str) -> None:
    """Mount; of a new file system, the source is its kind."""
    if _libc.mount(source, target.encode(), source, ctypes.c_ulong(flags), options.encode()) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def keep_capabilities(mask: int) -> None:
    """Reduce this process's permitted, effective and bounding capabilities to ``mask`` (bit n is capability n)."""
    last = 63
    for capability in range(last + 1):
        if mask >> capability & 1:
            continue
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError as error:
            if error.errno == errno.EINVAL:  # past the last capability of this kernel
                break
            raise
    _set_capabilities(mask)


def drop_capabilities() -> None:
    """Give up every capability; with no_new_privs and no exec to come, the bounding set has no say."""
    _set_capabilities(0)


def _set_capabilities(mask: int) -> None:
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    syscall(_CAPSET, ctypes.byref(header), ctypes.byref(data))
