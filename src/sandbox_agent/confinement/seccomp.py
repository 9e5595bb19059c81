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
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS
from sandbox_agent.contract.syscalls import Argument

KILL_PROCESS = 0x80000000
TRAP = 0x00030000  # SIGSYS: see trap.py
RET_ERRNO = 0x00050000
ALLOW = 0x7FFF0000

_LD_ABS, _AND, _JEQ, _JGE, _JSET, _JA, _RET = 0x20, 0x54, 0x15, 0x35, 0x45, 0x05, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data
_ALL_BITS = 0xFFFFFFFF
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


Action = int | tuple[Argument, ...]


def actions(machine: str, forbidden: int, *, sockets: bool) -> dict[int, Action]:
    """Return what happens to each listed system call number of ``machine`` ("x86_64" or "aarch64")."""
    column = COLUMNS[machine]
    named: dict[str, Action] = {}
    for group in syscalls.KILLED:
        named.update(dict.fromkeys(group.names.split(), forbidden))
    for group in syscalls.ALLOWED:
        named.update(dict.fromkeys(group.names.split(), ALLOW))
    for refusal in syscalls.REFUSED:
        named.update(dict.fromkeys(refusal.names.split(), RET_ERRNO | refusal.errno))
    for name, tests in syscalls.BY_ARGUMENT.items():
        named[name] = tuple(test for test in tests if test.machine in ("", machine))
    if not sockets:
        named.update(dict.fromkeys(syscalls.SOCKETS.split(), RET_ERRNO | syscalls.EACCES))
    numbers = ((NUMBERS[name][column], action) for name, action in named.items())
    return {number: action for number, action in numbers if number is not None}


def program(machine: str | None = None, forbidden: int = TRAP, *, sockets: bool = False) -> bytes:
    """Assemble the filter for ``machine`` (default: this one); raise ``KeyError`` where no table exists for it.

    ``forbidden``: what happens to a call that is answered with death, `TRAP` or `KILL_PROCESS`. ``sockets``: whether
    Unix streams can be made (`syscalls.SOCKETS`).
    """
    machine = machine or platform.machine()
    audit_arch = _AUDIT_ARCH[machine]
    table = actions(machine, forbidden, sockets=sockets)
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
    return [*(instruction for argument in action for instruction in _test(argument)), Instruction(_RET, 0, 0, ALLOW)]


def _test(argument: Argument) -> list[Instruction]:
    """Return from the filter if the argument does not pass; go on behind these instructions if it does."""
    test = [_load(argument.position), *_comparison(argument)]
    if argument.when is None:
        return test
    position, value = argument.when
    return [_load(position), Instruction(_JEQ, 0, len(test), value), *test]


def _load(position: int) -> Instruction:
    """Load the low half of an argument: both machines are little-endian."""
    return Instruction(_LD_ABS, 0, 0, _ARGS + 8 * position)


def _comparison(argument: Argument) -> list[Instruction]:
    refuse = Instruction(_RET, 0, 0, RET_ERRNO | argument.errno)
    if argument.test == "clear":
        return [Instruction(_JSET, 0, 1, argument.values[0]), refuse]
    masked = [] if argument.mask == _ALL_BITS else [Instruction(_AND, 0, 0, argument.mask)]
    count = len(argument.values)
    # a match jumps past the next instruction after the tests: the refusal, or what leads past the refusal
    tests = [Instruction(_JEQ, count - i, 0, value) for i, value in enumerate(argument.values)]
    past = [Instruction(_JA, 0, 0, 1)] if argument.test == "not in" else []
    return [*masked, *tests, *past, refuse]


def sock_fprog(code: bytes) -> tuple[SockFprog, ctypes.Array[ctypes.c_char]]:
    """Return the kernel's view of ``code`` and the buffer that it points into."""
    buffer = ctypes.create_string_buffer(code, len(code))
    return SockFprog(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p)), buffer
