"""Builds the seccomp filter of ``syscalls.py`` as classic BPF, once, before any child is forked.

Every child loads it, and the kernel checks, converts and compiles it each time, so it is short. What happens to most
numbers is one of three things (`_COMMON`), and stands in a table of two bits for each number: words of sixteen numbers,
found in a binary tree. The rest has the fourth pattern, and a tree of its own.
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

_LD_ABS, _LD_IMM, _JEQ, _JGE, _JSET, _JA, _RET = 0x20, 0x00, 0x15, 0x35, 0x45, 0x05, 0x06
_ST, _LDX, _AND, _LSH, _RSH, _RSH_X = 0x02, 0x61, 0x54, 0x64, 0x74, 0x7C
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data
_ALL_BITS = 0xFFFFFFFF
_X32_BIT = 0x40000000
_FIRST_NEW = 424  # from here on numbers are the same everywhere, and unknown means new

_REFUSED, _UNKNOWN = RET_ERRNO | syscalls.EPERM, RET_ERRNO | syscalls.ENOSYS
_COMMON = (ALLOW, _REFUSED, _UNKNOWN)
_OTHER = len(_COMMON)  # the pattern of two bits for what is none of these
_IN_A_WORD = 16

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class SockFprog(ctypes.Structure):
    """``struct sock_fprog``: what the kernel takes. Keep it alive as long as it is used."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Instruction(NamedTuple):
    code: int
    jt: int
    jf: int
    k: int


_END = Instruction(_JA, 0, 0, 0)

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
    verdicts = [
        table.get(number, _REFUSED if number < _FIRST_NEW else _UNKNOWN)
        for number in range(max(*table, _FIRST_NEW) + 1)
    ]
    code = [
        Instruction(_LD_ABS, 0, 0, _ARCH),
        Instruction(_JEQ, 1, 0, audit_arch),
        Instruction(_RET, 0, 0, KILL_PROCESS),
        Instruction(_LD_ABS, 0, 0, _NR),
        Instruction(_JGE, 0, 1, len(verdicts)),  # also the numbers of x32
        Instruction(_RET, 0, 0, _UNKNOWN),
        *_common(verdicts),
        *_search([(number, _leaf(action)) for number, action in enumerate(verdicts) if action not in _COMMON]),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _common(verdicts: list[Action]) -> list[Instruction]:
    """Answer what is common; go on behind these instructions, with the number loaded, if it is something else."""
    patterns = [_COMMON.index(action) if action in _COMMON else _OTHER for action in verdicts]
    words = [
        (start // _IN_A_WORD, sum(pattern << 2 * i for i, pattern in enumerate(patterns[start : start + _IN_A_WORD])))
        for start in range(0, len(patterns), _IN_A_WORD)
    ]
    return [
        Instruction(_AND, 0, 0, _IN_A_WORD - 1),
        Instruction(_LSH, 0, 0, 1),
        Instruction(_ST, 0, 0, 0),
        Instruction(_LDX, 0, 0, 0),  # not TAX, by way of no memory: gVisor has it the wrong way round
        Instruction(_LD_ABS, 0, 0, _NR),
        Instruction(_RSH, 0, 0, _IN_A_WORD.bit_length() - 1),
        *_joined(_search([(position, [Instruction(_LD_IMM, 0, 0, word), _END]) for position, word in words])),
        Instruction(_RSH_X, 0, 0, 0),
        Instruction(_AND, 0, 0, 3),
        *(
            instruction
            for pattern, action in enumerate(_COMMON)
            for instruction in (Instruction(_JEQ, 0, 1, pattern), Instruction(_RET, 0, 0, action))
        ),
        Instruction(_LD_ABS, 0, 0, _NR),
    ]


def _search(leaves: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Find the leaf of the largest number that is not above the one that is loaded: a binary tree.

    Neighbours that are the same are one leaf.
    """
    distinct = [leaf for i, leaf in enumerate(leaves) if i == 0 or leaf[1] != leaves[i - 1][1]]
    return _tree(distinct)


def _tree(leaves: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    if len(leaves) == 1:
        return leaves[0][1]
    middle = len(leaves) // 2
    low, high = _tree(leaves[:middle]), _tree(leaves[middle:])
    return [Instruction(_JGE, len(low), 0, leaves[middle][0]), *low, *high]


def _joined(code: list[Instruction]) -> list[Instruction]:
    """Have every `_END` in a piece of code lead behind it."""
    last = len(code) - 1
    return [Instruction(_JA, 0, 0, last - i) if each is _END else each for i, each in enumerate(code)]


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
