"""What goes in and what comes out: executions, limits, events, results. Plain frozen values."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """The outcome in the brief's three words."""

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
        if self in (Reason.WALL_TIME, Reason.CPU_TIME, Reason.INPUT_TIME):
            return Status.TIMEOUT
        return Status.ERROR


@dataclass(frozen=True, slots=True)
class Limits:
    """What every sandbox is held to. Bytes, seconds, cores, counts."""

    memory: int = 512 << 20
    cpus: float = 0.5
    processes: int = 10
    disk: int = 64 << 20
    files: int = 2048
    output: int = 1 << 20
    wall_time: float = 30.0
    cpu_time: float = 30.0
    input_time: float = 300.0
    attachments: int = 8 << 20
    session_cpu_time: float = 600.0


@dataclass(frozen=True, slots=True)
class File:
    """A file that a run is given, or (as an event) one that it left: a relative path, and what is in it."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Execution:
    """One piece of code to run.

    ``session`` True: no code, but an interpreter that runs the `Cell` inputs one after another until it is ended.

    ``files`` are put into its working directory. ``display`` True makes events of what it shows: a `Display` for each
    figure of ``plt.show()`` and for the value of its last expression.

    ``timeout`` in seconds (wall clock; None: the most that the limits allow). ``policy`` False runs the code without
    the check of its source; ``check_only`` True checks and compiles it without running it. ``client``: who asked, for
    the log.
    """

    code: str
    stdin: str = ""
    args: tuple[str, ...] = ()
    timeout: float | None = None
    policy: bool = True
    check_only: bool = False
    files: tuple[File, ...] = ()
    display: bool = False
    session: bool = False
    client: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {self.timeout}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing the policy or the compiler refuses; ``line`` and ``column`` count from 1."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Started:
    """Event, always the first: a sandbox has been found. ``queue_time`` in milliseconds."""

    id: str
    queue_time: float


@dataclass(frozen=True, slots=True)
class Output:
    """Event: a piece of what the program wrote, as soon as it wrote it. ``stream``: "stdout" or "stderr"."""

    stream: str
    data: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Event of an interactive run: it waits for stdin that has not come."""


@dataclass(frozen=True, slots=True)
class Display:
    """Event: something the program shows beside its output. ``media_type``: "image/png" or "text/html"."""

    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """Event, always the last: what came of an execution.

    ``output`` is its stdout; ``error`` its stderr, followed where it was stopped by a sentence that says why.
    ``exit_code`` is None where it did not exit by itself, ``signal`` the name of what killed it. ``syscall``: the
    system call that it was killed for, where that is known (a program can lie about it). Times in milliseconds:
    ``execution_time`` of the run alone, ``queue_time`` of waiting for a sandbox before it, ``cpu_time`` of the
    processor. ``memory`` in bytes, at its peak. ``truncated``: it wrote more than is kept.
    ``line`` and ``column`` (from 1): where it went wrong, where that is known. ``files``: what it made or changed in
    its working directory; ``files_omitted`` more were too many or too large.
    """

    id: str
    reason: Reason
    output: str = ""
    error: str = ""
    exit_code: int | None = None
    signal: str | None = None
    syscall: str | None = None
    execution_time: float = 0.0
    queue_time: float = 0.0
    cpu_time: float = 0.0
    memory: int = 0
    truncated: bool = False
    line: int | None = None
    column: int | None = None
    problems: tuple[Problem, ...] = ()
    displays: tuple[Display, ...] = ()
    files: tuple[File, ...] = ()
    files_omitted: int = 0

    @property
    def status(self) -> Status:
        return self.reason.status


@dataclass(frozen=True, slots=True)
class CellDone:
    """Event of a session: a cell is over, and what came of it. All events since the one before are the cell's."""

    result: Result


Event = Started | Output | Waiting | Display | File | CellDone | Result


@dataclass(frozen=True, slots=True)
class Stdin:
    """Input of an interactive run: the next piece of its stdin; None closes it."""

    data: str | None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Input of an interactive run: what Ctrl-C does (SIGINT)."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Input of an interactive run: end it now; its result says so."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Input of a session: the next piece of code to run, once the one before is done (`CellDone`).

    The fields are those of an `Execution`. ``stdin`` is put before whatever `Stdin` follows.
    """

    code: str
    stdin: str = ""
    timeout: float | None = None
    policy: bool = True
    display: bool = True
    client: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, not {self.timeout}")


Input = Stdin | Interrupt | Cancel | Cell


class SessionState(StrEnum):
    """What a session does now; ``waiting`` for input, in a cell."""

    IDLE = "idle"
    RUNNING = "running"
    WAITING = "waiting"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many may be open, in all (0: there are none) and of one client; seconds without a cell, and in all.

    ``input``: bytes of stdin that may be sent to one cell while it runs.
    """

    most: int = 2
    per_client: int = 1
    idle: float = 600.0
    age: float = 3600.0
    input: int = 1 << 20


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What a client is told of its session; ``idle`` and ``left`` are seconds."""

    id: str
    state: SessionState
    cells: int
    idle: float
    left: float
