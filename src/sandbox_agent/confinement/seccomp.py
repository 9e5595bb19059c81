"""Builds the seccomp filter of ``syscalls.py`` as classic BPF, once, before any child is forked.

The numbers are sorted into runs that share one action and searched as a binary tree: about eight comparisons for any
call, and a short program loads faster (the kernel walks it once per system call number when it fills its cache of
always-allowed calls; see seccomp_cache_prepare in kernel/seccomp.c).
"""

from __future__ import annotations

import ctypes
import platform
import struct
from typing import NamedTuple

from sandbox_agent.contract import syscalls
from sandbox_agent.contract.syscalls import Argument

KILL_PROCESS = 0x80000000
TRAP = 0x00030000  # SIGSYS: see trap.py
RET_ERRNO = 0x00050000
ALLOW = 0x7FFF0000

_LD_ABS, _JEQ, _JGE, _JSET, _JA, _RET = 0x20, 0x15, 0x35, 0x45, 0x05, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data
_X32_BIT = 0x40000000
_FIRST_NEW = 424  # from here on numbers are the same everywhere, and unknown means new

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class SockFprog(ctypes.Structure):
    """``struct sock_fprog``: what the kernel takes. Keep it alive as long as it is used."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Instruction(NamedTuple):
    code: int
    jt: int
    jf: int
    k: int


Action = int | Argument


def actions(machine: str, forbidden: int) -> dict[int, Action]:
    """Return what happens to each listed system call number of ``machine`` ("x86_64" or "aarch64")."""
    column = syscalls.COLUMNS[machine]
    named: dict[str, Action] = {}
    for group in syscalls.KILLED:
        named.update(dict.fromkeys(group.names.split(), forbidden))
    for group in syscalls.ALLOWED:
        named.update(dict.fromkeys(group.names.split(), ALLOW))
    named.update({name: RET_ERRNO | errno for name, errno in syscalls.ERRNO.items()})
    named.update(syscalls.BY_ARGUMENT)
    numbers = ((syscalls.NUMBERS[name][column], action) for name, action in named.items())
    return {number: action for number, action in numbers if number is not None}


def program(machine: str | None = None, forbidden: int = TRAP) -> bytes:
    """Assemble the filter for ``machine`` (default: this one); raise ``KeyError`` where no table exists for it.

    ``forbidden``: what happens to a call that is answered with death, `TRAP` or `KILL_PROCESS`.
    """
    machine = machine or platform.machine()
    audit_arch = _AUDIT_ARCH[machine]
    table = actions(machine, forbidden)
    runs: list[tuple[int, Action]] = []
    for number in range(max(*table, _FIRST_NEW) + 2):
        default = RET_ERRNO | (syscalls.EPERM if number < _FIRST_NEW else syscalls.ENOSYS)
        action = table.get(number, default)
        if not runs or runs[-1][1] != action:
            runs.append((number, action))
    code = [
        Instruction(_LD_ABS, 0, 0, _ARCH),
        Instruction(_JEQ, 1, 0, audit_arch),
        Instruction(_RET, 0, 0, KILL_PROCESS),
        Instruction(_LD_ABS, 0, 0, _NR),
        Instruction(_JGE, 0, 1, _X32_BIT),  # on aarch64 no number is that large
        Instruction(_RET, 0, 0, RET_ERRNO | syscalls.ENOSYS),
        *_search(runs),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _search(runs: list[tuple[int, Action]]) -> list[Instruction]:
    if len(runs) == 1:
        return _leaf(runs[0][1])
    middle = len(runs) // 2
    low, high = _search(runs[:middle]), _search(runs[middle:])
    return [
        Instruction(_JGE, 0, 1, runs[middle][0]),
        Instruction(_JA, 0, 0, len(low)),
        *low,
        *high,
    ]


def _leaf(action: Action) -> list[Instruction]:
    if isinstance(action, int):
        return [Instruction(_RET, 0, 0, action)]
    allow, deny = Instruction(_RET, 0, 0, ALLOW), Instruction(_RET, 0, 0, RET_ERRNO | syscalls.EPERM)
    load = Instruction(_LD_ABS, 0, 0, _ARGS + 8 * action.position)  # the low half: both architectures are little-endian
    if action.test == "clear":
        return [load, Instruction(_JSET, 0, 1, action.values[0]), deny, allow]
    count = len(action.values)
    tests = [Instruction(_JEQ, count - i, 0, value) for i, value in enumerate(action.values)]
    # every match jumps past the "no match" return to the "match" one
    return [load, *tests, *((deny, allow) if action.test == "in" else (allow, deny))]


def sock_fprog(code: bytes) -> tuple[SockFprog, ctypes.Array[ctypes.c_char]]:
    """Return the kernel's view of ``code`` and the buffer that it points into."""
    buffer = ctypes.create_string_buffer(code, len(code))
    return SockFprog(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p)), buffer
