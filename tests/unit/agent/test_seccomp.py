"""The filter does what the tables say: by an interpreter of its own for both machines, and by the kernel for this one.

The interpreter is written from the kernel's documentation of classic BPF, and shares nothing with what it tests.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import re
import resource
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_agent.confinement import kernel, seccomp
from sandbox_agent.contract import syscalls
from sandbox_agent.contract.syscall_numbers import NUMBERS
from tests.unit.agent.filtered import call, confined, here, mine

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


# ---- the same, asked of the kernel


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
