"""The filter does what the tables say: by an interpreter of its own for both machines, and by the kernel for this one.

The interpreter is written from the kernel's documentation of classic BPF, and shares nothing with what it tests.
"""

from __future__ import annotations

import errno
import functools
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_agent.confinement import seccomp
from sandbox_agent.contract import syscalls
from sandbox_agent.contract.syscall_numbers import NUMBERS

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, AUDIT_ARCH
I386, ARM = 0x40000003, 0x40000028
X32 = 0x40000000

KILL, TRAP, ALLOW = 0x80000000, 0x00030000, 0x7FFF0000


def refuse(number: int) -> int:
    return 0x00050000 | number


REACHABLE = {"x86_64": (166, 160), "aarch64": (135, 129)}
"""System calls that a program can make, at least with some arguments; and without Unix streams. More is a decision: see
syscalls.py."""

machines = pytest.mark.parametrize("machine", ARCHITECTURES)


# ---- an interpreter of classic BPF, as far as seccomp allows and we use it


@functools.cache
def decoded(program: bytes) -> list[tuple[int, int, int, int]]:
    return [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]


def run(program: bytes, data: bytes) -> int:
    """Return the verdict of a filter on a ``struct seccomp_data``."""
    instructions = decoded(program)
    accumulator, index, counter = 0, 0, 0
    memory: dict[int, int] = {}
    while True:
        code, if_true, if_false, k = instructions[counter]
        counter += 1
        match code:
            case 0x20:  # ld [k]
                assert k % 4 == 0
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x00:  # ld #k
                accumulator = k
            case 0x02:  # st M[k]
                memory[k] = accumulator
            case 0x61:  # ldx M[k]
                index = memory[k]
            case 0x54:  # and #k
                accumulator &= k
            case 0x64:  # lsh #k
                accumulator = accumulator << k & 0xFFFFFFFF
            case 0x74:  # rsh #k
                accumulator >>= k
            case 0x7C:  # rsh x
                accumulator >>= index
            case 0x05:  # ja
                counter += k
            case 0x15:  # jeq
                counter += if_true if accumulator == k else if_false
            case 0x35:  # jge
                counter += if_true if accumulator >= k else if_false
            case 0x45:  # jset
                counter += if_true if accumulator & k else if_false
            case 0x06:  # ret
                return int(k)
            case _:
                raise AssertionError(f"instruction {code:#x}")


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None, sockets: bool = True) -> int:
    column_arch = ARCHITECTURES[machine][1] if arch is None else arch
    padded = [argument & (1 << 64) - 1 for argument in (*arguments, 0, 0, 0, 0, 0, 0)][:6]
    program = (PROGRAMS if sockets else WITHOUT_SOCKETS)[machine]
    return run(program, struct.pack("=iIQ6Q", number, column_arch, 0, *padded))


PROGRAMS = {machine: seccomp.program(machine, sockets=True) for machine in ARCHITECTURES}
WITHOUT_SOCKETS = {machine: seccomp.program(machine) for machine in ARCHITECTURES}


def numbers(machine: str, names: str) -> dict[str, int]:
    column = ARCHITECTURES[machine][0]
    listed = {name: NUMBERS[name][column] for name in names.split()}
    return {name: number for name, number in listed.items() if number is not None}


Verdict = int | tuple[syscalls.Argument, ...]


def table(machine: str) -> dict[int, Verdict]:
    """The tables again, read in the order in which their text says who wins: what is by argument is by argument."""
    verdicts: dict[int, Verdict] = {}
    for groups, action in ((syscalls.ALLOWED, ALLOW), (syscalls.KILLED, TRAP)):
        for group in groups:
            verdicts |= dict.fromkeys(numbers(machine, group.names).values(), action)
    for refusal in syscalls.REFUSED:
        verdicts |= dict.fromkeys(numbers(machine, refusal.names).values(), refuse(refusal.errno))
    for name, number in numbers(machine, " ".join(syscalls.BY_ARGUMENT)).items():
        verdicts[number] = arguments_of(machine, name)
    return verdicts


def arguments_of(machine: str, name: str) -> tuple[syscalls.Argument, ...]:
    return tuple(test for test in syscalls.BY_ARGUMENT[name] if test.machine in ("", machine))


def judged(tests: tuple[syscalls.Argument, ...], arguments: list[int]) -> int:
    """The verdict on a call of the tables' text: the first test that it does not pass says what is answered."""
    low = [argument & 0xFFFFFFFF for argument in arguments]
    for test in tests:
        if test.when is not None and low[test.when[0]] != test.when[1]:
            continue
        if not _passes(test, low[test.position]):
            return refuse(test.errno)
    return ALLOW


@machines
def test_every_number_gets_the_verdict_of_the_table(machine: str) -> None:
    expected = table(machine)
    for number in range(2000):
        action = expected.get(number, refuse(errno.EPERM) if number < 424 else refuse(errno.ENOSYS))
        if isinstance(action, int):
            assert verdict(machine, number) == action, number


@machines
def test_what_is_trapped_can_be_killed_instead(machine: str) -> None:
    killing = seccomp.program(machine, seccomp.KILL_PROCESS, sockets=True)
    for number in range(2000):
        data = struct.pack("=iIQ6Q", number, ARCHITECTURES[machine][1], 0, *[0] * 6)
        trapped = run(PROGRAMS[machine], data)
        assert run(killing, data) == (KILL if trapped == TRAP else trapped), number


@machines
def test_no_call_stands_in_two_tables(machine: str) -> None:
    groups = (*syscalls.ALLOWED, *syscalls.KILLED, *syscalls.REFUSED)
    listed = [*(name for group in groups for name in group.names.split()), *syscalls.BY_ARGUMENT]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(NUMBERS), "a number that no rule uses, or a rule without a number"
    given_ = numbers(machine, " ".join(listed))
    assert len(set(given_.values())) == len(given_)


def passing(argument: syscalls.Argument) -> int:
    """A value with which an argument passes its test."""
    return {"in": argument.values[0], "not in": 0xDEAD, "clear": 0}[argument.test]


ARGUMENTS = [
    (machine, name, place)
    for machine in ARCHITECTURES
    for name in numbers(machine, " ".join(syscalls.BY_ARGUMENT))
    for place in range(len(arguments_of(machine, name)))
]


@pytest.mark.parametrize(("machine", "name", "place"), ARGUMENTS)
def test_an_argument_decides(machine: str, name: str, place: int) -> None:
    tests = arguments_of(machine, name)
    rule, others = tests[place], (*tests[:place], *tests[place + 1 :])
    number = numbers(machine, name)[name]
    bits = [1 << bit for bit in range(32)]
    values = {*range(64), *bits, *(bit - 1 for bit in bits), 0xFFFFFFFF, *range(1020, 1040), *range(0x5400, 0x5460)}
    values |= {
        *range(0xFFFFFFE8, 1 << 32),
        *rule.values,
        *(value | bit for value in rule.values for bit in (128, 256, 512)),
    }
    met = set()
    for value in values:
        for high in (0, 1 << 32, 0xFFFFFFFF << 32):  # the kernel does not look at it in these calls, nor may we
            arguments = [0xDEAD] * 6
            for other in others:
                arguments[other.position] = passing(other)
            if rule.when is not None:
                arguments[rule.when[0]] = rule.when[1]
            arguments[rule.position] = value | high
            expected = judged(tests, arguments)
            assert verdict(machine, number, *arguments) == expected, hex(value)
            met.add(expected)
    assert met >= {ALLOW, refuse(rule.errno)}, "a test that every value passes, or none"


@pytest.mark.parametrize(
    ("machine", "name", "place"), [(m, n, p) for m, n, p in ARGUMENTS if arguments_of(m, n)[p].when]
)
def test_a_test_under_a_condition_is_none_without_it(machine: str, name: str, place: int) -> None:
    tests = arguments_of(machine, name)
    condition = tests[place].when
    assert condition is not None
    position, value = condition
    for elsewhere in (test for test in tests if test.position == position):
        for other in set(elsewhere.values) - {value}:
            arguments = [0xDEAD] * 6
            arguments[position], arguments[tests[place].position] = other, 0xFFFFFFFF
            assert verdict(machine, numbers(machine, name)[name], *arguments) == ALLOW, hex(other)


def _passes(argument: syscalls.Argument, value: int) -> bool:
    if argument.test == "clear":
        return not value & argument.values[0]
    return (value & argument.mask in argument.values) == (argument.test == "in")


@machines
def test_the_first_argument_that_does_not_pass_says_what_is_answered(machine: str) -> None:
    number = numbers(machine, "setpriority")["setpriority"]
    user, supervisor = 2, 1
    assert verdict(machine, number, 0, 0) == ALLOW
    assert verdict(machine, number, user, supervisor) == refuse(errno.EPERM)
    number = numbers(machine, "ioctl")["ioctl"]
    assert verdict(machine, number, 0, 0x40049409) == refuse(errno.EOPNOTSUPP)
    assert verdict(machine, number, 0, 0x5412) == refuse(errno.ENOTTY)


@machines
def test_without_sockets_none_is_made_and_all_else_is_as_it_was(machine: str) -> None:
    sockets = set(numbers(machine, syscalls.SOCKETS).values())
    for number in range(2000):
        for arguments in ((), (1, 1), (1, 0x80001), (0xDEAD,) * 6):
            expected = refuse(errno.EACCES) if number in sockets else verdict(machine, number, *arguments)
            assert verdict(machine, number, *arguments, sockets=False) == expected, number


@machines
def test_another_architecture_is_killed_whatever_it_calls(machine: str) -> None:
    others = {I386, ARM, *(arch for _, arch in ARCHITECTURES.values())} - {ARCHITECTURES[machine][1]}
    for arch in others:
        for number in (0, 1, 20, 60, 231, 1000):
            assert verdict(machine, number, arch=arch) == KILL


@machines
def test_the_x32_numbers_do_not_exist(machine: str) -> None:
    for number in range(1024):
        assert verdict(machine, X32 | number) == refuse(errno.ENOSYS)


@machines
@pytest.mark.parametrize("number", [-1, -(2**31), 2**31 - 1, X32 - 1, 2000, 424 + 10_000])
def test_a_number_that_means_nothing_is_refused(machine: str, number: int) -> None:
    assert verdict(machine, number) == refuse(errno.ENOSYS)


@machines
def test_a_new_call_is_missing_and_an_old_one_forbidden(machine: str) -> None:
    assert verdict(machine, 423) == refuse(errno.EPERM)
    assert verdict(machine, 424) == refuse(errno.ENOSYS)  # pidfd_send_signal
    assert verdict(machine, 449) == refuse(errno.ENOSYS)  # futex_waitv: programs probe for it


@machines
def test_as_many_calls_are_reachable_as_were_decided(machine: str) -> None:
    reachable = {number for number, rule in table(machine).items() if rule == ALLOW or isinstance(rule, tuple)}
    assert reachable >= {number for number in range(2000) if verdict(machine, number) == ALLOW}
    sockets = set(numbers(machine, syscalls.SOCKETS).values())
    assert (len(reachable), len(reachable - sockets)) == REACHABLE[machine]


@pytest.mark.fuzz
@machines
@given(data=st.binary(min_size=64, max_size=64))
def test_any_call_at_all_gets_one_of_the_verdicts(machine: str, data: bytes) -> None:
    errnos = {refusal.errno for refusal in syscalls.REFUSED}
    errnos |= {argument.errno for tests in syscalls.BY_ARGUMENT.values() for argument in tests}
    known = {KILL, TRAP, ALLOW, *map(refuse, errnos)}
    assert run(PROGRAMS[machine], data) in known


@machines
def test_the_program_fits_the_kernel_and_only_jumps_forward_and_inside(machine: str) -> None:
    program = PROGRAMS[machine]
    count = len(program) // 8
    assert count <= 4096  # BPF_MAXINSNS
    for at in range(count):
        code, if_true, if_false, k = struct.unpack_from("=HBBI", program, 8 * at)
        jumps = [k] if code == 0x05 else [if_true, if_false] if code & 0x07 == 0x05 else [0]
        assert all(at + 1 + jump < count for jump in jumps) or code == 0x06


def test_a_machine_without_a_table_has_no_program() -> None:
    with pytest.raises(KeyError):
        seccomp.program("riscv64")


_HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@machines
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not _HEADERS[machine].exists():
        pytest.skip(f"no {_HEADERS[machine]} here (linux-libc-dev)")
    text = _HEADERS[machine].read_text()
    theirs = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    theirs |= {
        name: theirs[same] for name, same in re.findall(r"#define __NR_(\w+) __NR3264_(\w+)", text) if same in theirs
    }
    column = ARCHITECTURES[machine][0]
    known = {name: pair[column] for name, pair in NUMBERS.items() if name in theirs}
    assert len(known) > 250
    assert known == {name: theirs[name] for name in known}
    decided = {pair[column] for pair in NUMBERS.values()}
    other_machines = {*range(403, 424), 244}  # 32-bit ones' times, and a place for a call of each machine's own
    assert {n: t for n, t in theirs.items() if t < 424} == {
        n: t for n, t in theirs.items() if t in decided | other_machines and t < 424
    }, "a call that no table knows"
