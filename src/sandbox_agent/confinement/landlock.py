"""Landlock: what a child may touch in the file system. The ruleset is made once; children only restrict themselves.

Bits and structures: Documentation/userspace-api/landlock.rst of the kernel.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import stat
import struct

from sandbox_agent.confinement import kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

_FS_RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # later ones: as 5
_NET_RIGHTS = 0b11  # bind and connect of TCP, from ABI 4
_SCOPES = 0b11  # abstract Unix sockets and signals, from ABI 6
_FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_NET_ABI, _SCOPE_ABI, _LOG_ABI = 4, 6, 7
_LOG_NOTHING = 0b001  # of this program; of others there are none: LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF

READ = EXECUTE | READ_FILE | READ_DIR
BOX = (
    WRITE_FILE | READ_FILE | READ_DIR | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SYM | REFER | TRUNCATE
)  # no execution, no devices or FIFOs, and no sockets unless there may be some
DEVICE = READ_FILE | WRITE_FILE


@functools.cache
def abi() -> int:
    """Return the kernel's Landlock ABI version, 0 where it has none."""
    try:
        return kernel.syscall(kernel.LANDLOCK_CREATE_RULESET, None, 0, 1)
    except OSError:
        return 0


def ruleset(readable: list[str], writable: list[str], devices: list[str], *, sockets: bool = False) -> int | None:
    """Return a descriptor of a ruleset that handles every right the kernel knows and grants these paths.

    ``readable`` trees may be read and executed, ``writable`` ones read and written but not executed; paths that do not
    exist are left out. ``sockets``: Unix sockets may be made in ``writable``. None where the kernel has no Landlock.
    """
    version = abi()
    if version == 0:
        return None
    handled = (1 << _FS_RIGHTS_OF_ABI.get(version, 16)) - 1
    attributes = struct.pack(
        "=QQQ", handled, _NET_RIGHTS if version >= _NET_ABI else 0, _SCOPES if version >= _SCOPE_ABI else 0
    )
    size = 24 if version >= _SCOPE_ABI else 16 if version >= _NET_ABI else 8
    descriptor = kernel.syscall(kernel.LANDLOCK_CREATE_RULESET, ctypes.c_char_p(attributes), size, 0)
    box = BOX | MAKE_SOCK if sockets else BOX
    for paths, rights in ((readable, READ), (writable, box), (devices, DEVICE)):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                _allow(descriptor, path, rights & handled)
    return descriptor


def _allow(ruleset_fd: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _FOR_FILES
        rule = ctypes.c_char_p(struct.pack("=Qi", rights, descriptor))
        kernel.syscall(kernel.LANDLOCK_ADD_RULE, ruleset_fd, 1, rule, 0)
    finally:
        os.close(descriptor)


def restrict_self(ruleset_fd: int) -> None:
    """Confine this thread and all it will start; needs no_new_privs.

    What is refused is not written into the audit log of the machine, which a program could fill.
    """
    kernel.syscall(kernel.LANDLOCK_RESTRICT_SELF, ruleset_fd, _LOG_NOTHING if abi() >= _LOG_ABI else 0)
