"""What goes in and what comes out: executions, inputs, events, results. Plain frozen values."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from code_executor.core import paths, world
from code_executor.core.caller import LOCAL, Caller
from code_executor.core.limits import RunLimits
from code_executor.core.world import Entry, Excerpt
from sandbox_agent.contract.policy import SourceProblem
from sandbox_agent.contract.report import Raised
from sandbox_agent.contract.verdict import Reason, Status

__all__ = [
    "Allowance",
    "Cancel",
    "Cell",
    "CellDone",
    "Display",
    "Entry",
    "Event",
    "Excerpt",
    "Execution",
    "File",
    "FileAction",
    "FileAnswer",
    "FileEntry",
    "FileOrder",
    "Input",
    "Interrupt",
    "Output",
    "Raised",
    "Readiness",
    "Reason",
    "Result",
    "RunLimits",
    "SessionInfo",
    "SessionState",
    "SourceProblem",
    "Started",
    "Status",
    "Stdin",
    "Waiting",
]


SHOWN_PICTURES = frozenset({"image/png", "image/jpeg"})
SHOWN_TEXTS = frozenset({"image/svg+xml", "text/html", "text/markdown", "text/latex", "application/json"})
SHOWN = SHOWN_PICTURES | SHOWN_TEXTS
"""The media types of what a program can show; the texts are UTF-8."""


def _require_positive(timeout: float | None) -> None:
    if timeout is not None and not timeout > 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout}")


@dataclass(frozen=True, slots=True)
class File:
    """A file that a run is given, or (as an event) one that it left: a relative path, and what is in it."""

    path: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Execution:
    """One piece of code to run.

    ``session`` True: no code, but an interpreter that runs the `Cell` inputs one after another until it is ended.

    ``stdin`` is text, or bytes as they are. ``files`` are put into its working directory. ``display`` True makes events
    of what it shows: a `Display` for each figure, for the value of its last expression, and for what it gives to
    ``display()``.

    ``timeout`` in seconds (wall clock; None: as many as the limits allow). ``policy`` False runs the code without
    the check of its source, which no request can ask for; ``check_only`` True checks and compiles it without running
    it, in as many seconds as the limits give to a check. ``batch``: nobody waits for it. ``environment``: on which
    interpreter, with which libraries; empty: the default. ``policy_name``: by which policy its source is checked, of
    those that the service offers; empty: by the service's own. ``caller``: who asked.

    ``limits``: what it is to be held to, below what holds anyway; the result then has what it was held to. ``name``:
    what the program's file is called. ``entry``: what is run instead of the code, which may be empty then: there is no
    file of it. ``env``: variables beside those that every program has. ``raw`` True: output and result have the bytes
    that it wrote as well. ``excerpt``: how much of a long output the result has. ``trusted`` True: it is no learner's
    program, and gets a sandbox that no learner's program ever has; no request can say so. Raises ``ValueError`` for
    what cannot be; a `core.world.WorldError` or a `core.limits.LimitError` says which field it is.
    """

    code: str
    stdin: str | bytes = ""
    args: tuple[str, ...] = ()
    timeout: float | None = None
    policy: bool = True
    check_only: bool = False
    files: tuple[File, ...] = ()
    display: bool = False
    session: bool = False
    batch: bool = False
    environment: str = ""
    policy_name: str = ""
    caller: Caller = LOCAL
    limits: RunLimits | None = None
    name: str = paths.PROGRAM
    entry: Entry | None = None
    env: Mapping[str, str] | None = field(default=None, hash=False)
    raw: bool = False
    excerpt: Excerpt | None = None
    trusted: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        _require_positive(self.timeout)
        if self.files:
            spelled = [file.path for file in self.files]
            if clash := paths.clash(spelled, program=self.has_program, name=self.name):
                raise ValueError(clash.message)
        if self.is_plain:
            return
        world.require_name(self.name)
        if self.env:
            world.require_environment(self.env)
        if self.session:
            raise ValueError("limits, name, entry and env are of a program, not of a session")
        if self.entry is not None and self.entry.path and self._file(self.entry.path) is None:
            raise world.WorldError("entry.path", f"no file of the request has the path {self.entry.path!r}")

    @property
    def has_program(self) -> bool:
        """Whether its code is put into a file."""
        return not self.session and (self.entry is None or bool(self.code))

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing that few do, of what a sandbox has to know."""
        return self.limits is None and self.name == paths.PROGRAM and self.entry is None and not self.env

    @property
    def source(self) -> str:
        """Return the text of what is run, as far as it is known here: of a module, nothing."""
        if self.entry is None or not self.entry.path:
            return self.code
        file = self._file(self.entry.path)
        return file.data.decode("utf-8", "replace") if file is not None else ""

    def _file(self, path: str) -> File | None:
        return next((file for file in reversed(self.files) if paths.normal(file.path) == path), None)


@dataclass(frozen=True, slots=True)
class Started:
    """Event, always the first: a sandbox has been found. ``queue_time`` in milliseconds.

    For observers in the process that has the pools, and sent nowhere: ``kind``, the name of the sandbox's kind,
    ``own`` False if it is a larger one than was asked for, because that was busy, and the name of its ``environment``.
    """

    id: str
    queue_time: float
    kind: str = ""
    own: bool = True
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """Event: a piece of what the program wrote, as soon as it wrote it. ``stream``: "stdout" or "stderr".

    ``raw``: its bytes, if they were asked for. They may end within a character, whose text comes with the next piece.
    """

    stream: str
    data: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Event of an interactive run: it waits for stdin that has not come."""


@dataclass(frozen=True, slots=True)
class Display:
    """Event: something the program shows beside its output. ``media_type``: one of ``SHOWN``."""

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
    its working directory; ``files_omitted`` more were too many or too large. Of a cell alone: ``value``, the text of
    the last expression's value, and ``exception``, what it ended with; None where there is none.

    Where it was asked for: ``environment``, in which it ran; ``limits``, what it was held to; ``stdout`` and
    ``stderr``, the bytes that it wrote; ``left_out``, how many bytes of each are not in ``output`` and ``error``,
    between beginning and end.
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
    problems: tuple[SourceProblem, ...] = ()
    displays: tuple[Display, ...] = ()
    files: tuple[File, ...] = ()
    files_omitted: int = 0
    value: str | None = None
    exception: Raised | None = None
    limits: RunLimits | None = None
    stdout: bytes | None = None
    stderr: bytes | None = None
    left_out: tuple[int, int] | None = None
    environment: str = ""

    @property
    def status(self) -> Status:
        return self.reason.status


@dataclass(frozen=True, slots=True)
class CellDone:
    """Event of a session: a cell is over, and what came of it. All events since the one before are the cell's."""

    result: Result


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a session: a relative path, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """Event of a session: what came of a `FileOrder`.

    ``entries`` are the files that it has, and ``omitted`` how many things more cannot be listed. ``data`` is what is
    in a file. ``made``: there was nothing at the path before. ``fault``: why nothing was done (`core.files`), or empty.
    ``why``: of what the policy refuses, what that is.
    """

    entries: tuple[FileEntry, ...] = ()
    omitted: int = 0
    data: bytes = b""
    made: bool = False
    fault: str = ""
    why: str = ""


Event = Started | Output | Waiting | Display | File | CellDone | FileAnswer | Result


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

    The fields are those of an `Execution`, and ``interactive``: whether somebody types while it runs. False: its stdin
    ends after ``stdin``. True: `Stdin` follows on ``stdin``, and waiting for it does not count as its time. None: as
    False if there is a ``stdin``; else as True, except that waiting counts as its time if it has a ``timeout``.
    """

    code: str
    stdin: str | None = None
    timeout: float | None = None
    policy: bool = True
    display: bool = True
    interactive: bool | None = None
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        _require_positive(self.timeout)

    @property
    def reads(self) -> bool:
        """Whether it may wait for `Stdin`."""
        return self.stdin is None if self.interactive is None else self.interactive

    @property
    def is_patient(self) -> bool:
        """Whether the time for which it waits does not count."""
        return self.reads and (self.interactive is True or self.timeout is None)


class FileAction(StrEnum):
    LIST = "list"
    GET = "get"
    PUT = "put"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FileOrder:
    """Input of a session: something to do with its files while no cell runs, answered with a `FileAnswer`.

    ``path`` is relative to the working directory; ``data`` is what a file gets. ``policy`` False puts a Python file
    there without the check of its source.
    """

    action: FileAction
    path: str = ""
    data: bytes = b""
    policy: bool = True


Input = Stdin | Interrupt | Cancel | Cell | FileOrder


class SessionState(StrEnum):
    """What a session does now; ``waiting`` for input, in a cell."""

    IDLE = "idle"
    RUNNING = "running"
    WAITING = "waiting"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What a client is told of its session; ``idle``, ``left`` and ``age`` are seconds.

    ``environment`` and ``policy``: that were asked for, if any were.
    """

    id: str
    state: SessionState
    cells: int
    idle: float
    left: float
    age: float = 0.0
    environment: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How a caller stands under a rate limit: ``limit`` and ``remaining`` are requests per ``window`` (seconds).

    ``allowed``: whether the request that was just counted is within it. ``reset``: whole seconds until another is free.
    ``name``: which of several limits it is; empty where there is one.
    """

    allowed: bool
    limit: int
    remaining: int
    reset: int
    window: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether programs can be run now, on which engine. ``why``: what is wrong; empty while the service is ready."""

    ready: bool
    engine: str
    why: str = ""
