"""System calls under the filter, asked of the kernel: in a process that is spoiled by it (`in_child`)."""

from __future__ import annotations

import platform
import resource
import signal
from collections.abc import Callable
from typing import Any

import pytest

from sandbox_agent.confinement import kernel, seccomp
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS

here = platform.machine()
mine = pytest.mark.skipif(here not in COLUMNS, reason=f"no filter for {here}")


def confined(work: Callable[[], Any]) -> Callable[[], Any]:
    def confine_and_work() -> Any:
        signal.signal(signal.SIGSYS, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        program, buffer = seccomp.sock_fprog(seccomp.program(sockets=True))
        kernel.load_seccomp(program)
        del buffer
        return work()

    return confine_and_work


def call(name: str, *arguments: Any) -> Callable[[], Any]:
    number = NUMBERS[name][COLUMNS[here]] if here in COLUMNS else 0
    return lambda: kernel.syscall(number or -1, *arguments)
