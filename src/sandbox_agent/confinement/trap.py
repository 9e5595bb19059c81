"""Lets a program that is ended for a forbidden system call say which one it was.

The kernel's own end (SECCOMP_RET_KILL_PROCESS) tells nobody the call. So the filter answers with a signal instead
(SECCOMP_RET_TRAP), which goes before the plain refusal of a container's filter as well, and the signal meets a handler:

    1.  writes ``UNIT * (number + 1)`` bytes to the hint pipe, whose bytes the supervisor counts and never reads
    2.  makes a forbidden call again

By then the handler is no longer installed (SA_RESETHAND) and its signal is blocked, so that the kernel ends the process
by SIGSYS, as if there had been no handler. The filter refuses to have another one put in its place.

Nothing depends on it but the name. The call is not made, whatever becomes of the handler, and without one (a kernel
that lets no page be made executable) the process dies at once, of the same signal. Only the run's first process, which
leads its session, says anything: what dies of a forbidden call in its children is not how the run ends.

The handler is machine code because a signal handler in Python would be the program's own interpreter, long after.
"""

from __future__ import annotations

import ctypes
import platform
import signal
import struct
from typing import Any

from sandbox_agent.confinement import kernel
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS

UNIT = 8
"""Hints of another kind are fewer bytes than this, so that a pipe can hold one of each."""

_SA_SIGINFO, _SA_RESTORER, _SA_RESETHAND = 0x4, 0x04000000, 0x80000000
_EVERY_SIGNAL = (1 << 64) - 1


def _x86_64(report: int) -> bytes:
    """Siginfo is in rsi; system calls spoil rax, rcx and r11."""
    return bytes.fromhex(
        "837e0801"  #             start: cmp dword [rsi+8], 1      si_code: SYS_SECCOMP, or somebody sent the signal
        "7537"  #                        jne die
        "448b6618"  #                    mov r12d, [rsi+24]        si_syscall
        "b827000000"  #                  mov eax, 39               getpid
        "0f05"  #                        syscall
        "4189c5"  #                      mov r13d, eax
        "31ff"  #                        xor edi, edi
        "b87c000000"  #                  mov eax, 124              getsid
        "0f05"  #                        syscall
        "4439e8"  #                      cmp eax, r13d
        "751b"  #                        jne die
        "428d14e508000000"  #            lea edx, [r12*8+8]        UNIT * (number + 1)
        "488d35cfffffff"  #              lea rsi, [rip-49]         start: some memory that can be read
        f"bf{report.to_bytes(4, 'little').hex()}"  # mov edi, report
        "b801000000"  #                  mov eax, 1                write
        "0f05"  #                        syscall
        "b865000000"  #             die: mov eax, 101              ptrace
        "0f05"  #                        syscall
        "ebf7"  #                        jmp die
    )


def _aarch64(report: int) -> bytes:
    """Siginfo is in x1; system calls spoil x0."""
    return struct.pack(
        "<21I",
        0xB9400829,  #          start: ldr w9, [x1, #8]      si_code
        0x7100053F,  #                 cmp w9, #1            SYS_SECCOMP
        0x54000201,  #                 b.ne die
        0xB9401829,  #                 ldr w9, [x1, #24]     si_syscall
        0xD2801588,  #                 mov x8, #172          getpid
        0xD4000001,  #                 svc #0
        0xAA0003EA,  #                 mov x10, x0
        0xD2800000,  #                 mov x0, #0
        0xD2801388,  #                 mov x8, #156          getsid
        0xD4000001,  #                 svc #0
        0xEB0A001F,  #                 cmp x0, x10
        0x540000E1,  #                 b.ne die
        0x11000529,  #                 add w9, w9, #1
        0x531D7122,  #                 lsl w2, w9, #3        UNIT * (number + 1)
        0x10FFFE41,  #                 adr x1, start
        0xD2800000 | report << 5,  #   mov x0, #report
        0xD2800808,  #                 mov x8, #64           write
        0xD4000001,  #                 svc #0
        0xD2800EA8,  #            die: mov x8, #117          ptrace
        0xD4000001,  #                 svc #0
        0x17FFFFFE,  #                 b die
    )


_HANDLERS = {"x86_64": _x86_64, "aarch64": _aarch64}


def handler(report: int, machine: str | None = None) -> bytes:
    """Return the handler's instructions for ``machine`` (default: this one), which write to descriptor ``report``."""
    return _HANDLERS[machine or platform.machine()](report)


def prepare(report: int) -> Any:
    """Map the handler, once, for every process that is forked later; None where no page can be made executable."""
    try:
        return kernel.executable_page(handler(report))
    except OSError:
        return None


def install(page: Any) -> None:
    """Have SIGSYS handled by what `prepare` returned, once, with every other signal held back meanwhile."""
    address = ctypes.addressof(page)
    flags = _SA_SIGINFO | _SA_RESETHAND | _SA_RESTORER  # x86-64 asks for a restorer, also where nothing ever returns
    action = struct.pack("=QQQQ", address, flags, address, _EVERY_SIGNAL)
    number = NUMBERS["rt_sigaction"][COLUMNS[platform.machine()]]
    kernel.syscall(number or 0, int(signal.SIGSYS), ctypes.c_char_p(action), None, 8)


def read(hint: int) -> tuple[int, int | None]:
    """Split the bytes of a hint pipe into a hint of another kind and the number of a forbidden call, if one is told."""
    calls, kind = divmod(hint, UNIT)
    return kind, calls - 1 if calls else None
