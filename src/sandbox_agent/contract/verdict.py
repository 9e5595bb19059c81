"""From an outcome to words: the status and reason of a run, and a sentence for a learner."""

from __future__ import annotations

from enum import StrEnum

from sandbox_agent.contract import syscalls, wording
from sandbox_agent.contract.limits import Limits
from sandbox_agent.contract.protocol import Cause
from sandbox_agent.contract.syscall_numbers import COLUMNS, NUMBERS


class Status(StrEnum):
    """The outcome in three words."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"


class Reason(StrEnum):
    """Precisely why; each belongs to one `Status`."""

    COMPLETED = "completed"
    EXCEPTION = "exception"
    EXIT = "exit"
    SYNTAX = "syntax"
    POLICY = "policy"
    SIGNAL = "signal"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    PROCESS_LIMIT = "process_limit"
    DISK_LIMIT = "disk_limit"
    VIOLATION = "violation"
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    WALL_TIME = "wall_time"
    CPU_TIME = "cpu_time"
    INPUT_TIME = "input_time"

    @property
    def status(self) -> Status:
        if self is Reason.COMPLETED:
            return Status.SUCCESS
        return Status.TIMEOUT if self in _TIMEOUTS else Status.ERROR


_TIMEOUTS = frozenset({Reason.WALL_TIME, Reason.CPU_TIME, Reason.INPUT_TIME})

REASONS = {
    Cause.COMPLETED: Reason.COMPLETED,
    Cause.EXCEPTION: Reason.EXCEPTION,
    Cause.EXIT: Reason.EXIT,
    Cause.SIGNAL: Reason.SIGNAL,
    Cause.MEMORY_LIMIT: Reason.MEMORY_LIMIT,
    Cause.OUTPUT_LIMIT: Reason.OUTPUT_LIMIT,
    Cause.PROCESS_LIMIT: Reason.PROCESS_LIMIT,
    Cause.DISK_LIMIT: Reason.DISK_LIMIT,
    Cause.VIOLATION: Reason.VIOLATION,
    Cause.CANCELLED: Reason.CANCELLED,
    Cause.INTERNAL: Reason.INTERNAL,
    Cause.WALL_TIME: Reason.WALL_TIME,
    Cause.CPU_TIME: Reason.CPU_TIME,
    Cause.INPUT_TIME: Reason.INPUT_TIME,
}
"""The reason that each cause is; of ``REPORTED`` the child's report says it (`report.read`)."""


def forbidden_call(machine: str, number: int) -> str | None:
    """Return the name of a system call that ends a program; None for any other number, which may be made up.

    ``machine``: where it ran, as ``platform.machine()`` calls it.
    """
    column = COLUMNS.get(machine)
    if column is None:
        return None
    names = (name for group in syscalls.KILLED for name in group.names.split())
    return next((name for name in names if NUMBERS[name][column] == number), None)


def explain(reason: Reason, limits: Limits, *, signal: int = 0, syscall: str | None = None) -> str:
    """Return a sentence about why a run was stopped, empty where it says so itself. ``limits``: those of the run."""
    match reason:
        case Reason.WALL_TIME:
            return f"Execution exceeded {limits.wall_time:g} second timeout"
        case Reason.CPU_TIME:
            return f"Your program used more than the {limits.cpu_time:g} seconds of processor time it may use."
        case Reason.INPUT_TIME:
            return "Your program waited too long for input."
        case Reason.MEMORY_LIMIT:
            return f"Your program used more than the {wording.size(limits.memory)} of memory it may use."
        case Reason.OUTPUT_LIMIT:
            most = wording.size(limits.output)
            return f"Your program wrote more than the {most} it may write; only the beginning is kept."
        case Reason.PROCESS_LIMIT:
            return f"Your program started more than the {limits.tasks} processes and threads it may have at once."
        case Reason.DISK_LIMIT:
            return f"Your program filled the {wording.size(limits.disk)} of disk that it may use."
        case Reason.VIOLATION:
            return wording.violation(syscall)
        case Reason.SIGNAL:
            return wording.signal_death(signal)
        case Reason.CANCELLED:
            return "The run was cancelled."
        case Reason.INTERNAL:
            return "The service failed while it ran your program. It is not your fault, and it is safe to try again."
    return ""
