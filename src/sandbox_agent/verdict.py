"""From an outcome to words: the status and reason of a run, and a sentence for a learner."""

from __future__ import annotations

from sandbox_agent import syscalls, wording
from sandbox_agent.protocol import Cause

TIMEOUTS = frozenset({Cause.WALL_TIME, Cause.CPU_TIME, Cause.INPUT_TIME})


def status(cause: Cause) -> str:
    """Return ``success``, ``error`` or ``timeout``."""
    if cause is Cause.COMPLETED:
        return "success"
    return "timeout" if cause in TIMEOUTS else "error"


def forbidden_call(machine: str, number: int) -> str | None:
    """Return the name of a system call that ends a program; None for any other number, which may be made up.

    ``machine``: where it ran, as ``platform.machine()`` calls it.
    """
    column = syscalls.COLUMNS.get(machine)
    if column is None:
        return None
    names = (name for group in syscalls.KILLED for name in group.names.split())
    return next((name for name in names if syscalls.NUMBERS[name][column] == number), None)


def explain(
    cause: Cause,
    *,
    signal: int = 0,
    syscall: str | None = None,
    wall_time: float,
    cpu_time: float,
    memory: int,
    output: int,
    processes: int,
    disk: int,
) -> str:
    """Return a sentence about why a run was stopped, empty where it says so itself. Seconds, bytes, counts."""
    match cause:
        case Cause.WALL_TIME:
            return f"Execution exceeded {wall_time:g} second timeout"
        case Cause.CPU_TIME:
            return f"Your program used more than the {cpu_time:g} seconds of processor time it may use."
        case Cause.INPUT_TIME:
            return "Your program waited too long for input."
        case Cause.MEMORY_LIMIT:
            return f"Your program used more than the {wording.size(memory)} of memory it may use."
        case Cause.OUTPUT_LIMIT:
            return f"Your program wrote more than the {wording.size(output)} it may write; only the beginning is kept."
        case Cause.PROCESS_LIMIT:
            return f"Your program started more than the {processes} processes and threads it may have."
        case Cause.DISK_LIMIT:
            return f"Your program wrote more files than the {wording.size(disk)} of disk it may use."
        case Cause.VIOLATION:
            return wording.violation(syscall)
        case Cause.SIGNAL:
            return wording.signal_death(signal)
        case Cause.CANCELLED:
            return "The run was cancelled."
        case Cause.INTERNAL:
            return "The service failed while it ran your program. It is not your fault, and it is safe to try again."
    return ""
