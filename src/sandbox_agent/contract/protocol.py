"""The wire contract between the host and the supervisor inside a sandbox.

Two byte streams, both of them frames. All integers are unsigned and big-endian.

Host to supervisor, a *command*: a header of 20 bytes, then ``length`` bytes of body::

    B type | B flags | H run | I length | I wall_ms | I cpu_ms | I output_bytes

============ ======================================================================
``RUN``      start the waiting child; the body is the payload below. ``run`` is the
             number that every later frame about this execution carries. ``wall_ms``
             and ``output_bytes`` are limits. Flag ``STDIN_OPEN``: stdin follows in
             ``STDIN`` commands; without it the program reads end-of-file. Flag
             ``INTERACTIVE``: say ``WAITING`` when the program waits for stdin, and let
             that time not count. Flag ``COLLECT``: send the files it leaves behind. Flag
             ``SESSION``: the run goes on, without a limit of time, and is given cells.
``CELL``     a session runs this next; the body is the cell below. ``wall_ms``,
             ``cpu_ms`` and ``output_bytes`` are limits of the cell. Flag ``COLLECT``: send
             the files that are new or changed since this was last asked for. Flag
             ``INTERACTIVE``: stdin may follow in ``STDIN`` commands; say ``WAITING`` when
             the cell waits for it. Flag ``PATIENT``: let that time not count. One at a
             time: while a cell or an order is under way another one is dropped.
``FILES``    the clerk of a session does this with its files; the body is the order below.
             ``wall_ms`` and ``output_bytes`` are limits of the order. One at a time: while
             a cell or an order is under way another one is dropped.
``STDIN``    the body is the next piece of stdin; an empty one closes it.
             In a session it is dropped while no cell is under way.
``EOF``      the stdin of the cell under way ends here; the body, a line end, goes to the child.
``CANCEL``   stop the run now.
``INTERRUPT`` send the program SIGINT, as Ctrl-C does; in a session, the cell under way.
``HOLD``     before a ``RUN``: hold that run to less than the sandbox may use. In place of
             the last three fields of the header stand KB of memory, KB of disk, and
             processes and threads at once (`Hold`); 0: nothing less. Flag ``HOLD_CPU``: see
             that it keeps to its ``cpu_ms`` as well. The body is empty.
============ ======================================================================

End-of-file on the command stream ends the supervisor and all that it started.

Supervisor to host, an *event*: a header of 8 bytes, then ``length`` bytes of body::

    B type | B flags | H run | I length

============ ======================================================================
``READY``    a confined child waits. The body is empty, or (the first time) a JSON
             object that describes the sandbox.
``STDOUT``   bytes the program wrote, at most ``MAX_BODY`` of them.
``STDERR``   likewise.
``REPORT``   a piece of the child's JSON report of why it did not start the program
             (``policy`` or ``syntax``), or of a check; in a session, of a cell.
``WAITING``  the program waits for stdin that has not come. The body is empty.
``DISPLAY``  a piece of a stream of records: what the program shows beside its output,
             each record's name being its media type.
``FILE``     a piece of a stream of records: what is new or changed in its working
             directory, compared with the files that it was given. The first record has
             no name and holds, in digits, how much that is: files, and whatever else is
             no directory. Then come files, each record's name being a relative path, as
             many as there is room for. What does not come was left out.
``LINE``     in digits, the line in which the program failed, as its child says: the
             program can forge it. Before the ``RESULT``, if at all.
``CELL_DONE`` the end of a cell; the body is an ``Outcome``. Its cause is ``REPORTED``, where
             the child's report says what came of the cell, or what the supervisor did.
             Everything that the cell wrote comes before.
``FILES_DONE`` the end of an order; the body is an ``Outcome``. Where its cause is ``REPORTED``,
             the ``FILE`` stream before it is the answer, whole.
``RESULT``   the end of the run: a ``Outcome`` (fixed, binary). Nothing of this run
             follows, and the next ``READY`` says that the sandbox is clean.
``FATAL``    the sandbox can no longer be used; the body is a sentence for the log.
============ ======================================================================

A record is ``H name_length | I data_length``, the name in UTF-8, and the data.

The payload of ``RUN`` is JSON: ``{"code": str, "args": [str], "policy": str | null, "check": bool,
"cpu": seconds | null, "display": bool, "interactive": bool, "files": [[path, base64], …]}``. ``policy`` is the name of
the one that checks the source, empty for the sandbox's own; null: none does. What few runs have comes beside these, in
``"more"``: ``{"name": str, "entry": {"path": str} | {"module": str} | null, "env": {str: str},
"hold": {"memory": bytes, "disk": bytes, "tasks": int} | null}``. ``name`` is that of the program's file. With an
``entry``, that is what is run, and ``code`` can be null. ``hold`` is that of `Hold`.
For a session it is ``{"session": true, "policy": str, "files": …}`` and a line end, and that of a cell
``{"code": str, "number": int, "policy": bool, "cpu": seconds, "display": bool, "stdin": str | null}`` and a line end;
its stdin is null if it comes in ``STDIN`` commands. The supervisor may put a line with a number before a cell: so many
bytes of earlier stdin nobody has read.
Only the child reads it. The supervisor reads headers, never bodies: see ``supervisor.py``.

An order is JSON, ``{"action": "list" | "get" | "put" | "delete", "path": str, "content": base64,
"policy": str | null}``. The clerk alone reads it. Its answer is a stream of records, of which the first has no name and
is JSON. ``{"fault": str}`` says why nothing was done, as ``errno`` names it or as the clerk does (`supervisor.clerk`).
Otherwise it is, for ``list``,
``{"entries": [[path, size], …], "omitted": int}``, for ``put`` ``{"made": bool}``, and for ``get`` ``{"size": int}``: a
second record is the file then.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

VERSION = 6
"""Of this contract. The first ``READY`` carries it as ``protocol``; the host refuses a sandbox of another."""

MAIN = "main.py"
"""The file of a program in its working directory: its child writes the ``code`` of the payload there."""

COMMAND = struct.Struct(">BBHIIII")
EVENT = struct.Struct(">BBHI")
RECORD = struct.Struct(">HI")
_OUTCOME = struct.Struct(">BBBBIQQQ")

MAX_BODY = 1 << 20
"""No event body is larger than this, in bytes; a larger one is a broken or hostile sandbox."""

MAX_REPORT = 1 << 20
"""All ``REPORT`` bodies of a run together are not larger than this, in bytes."""

MAX_LINE = 9
"""The body of a ``LINE`` is not longer than this, in bytes."""

MAX_LISTING = 1 << 20
"""Bytes of the answer that lists the files of a session."""

ANSWER_SLACK = 1 << 16
"""Bytes that the answer of an order may have beside a file, or a listing."""

MOST_RECORDS = 10_000
"""Records of a stream that are read; each costs its reader more than its bytes."""

CELL_GRACE_MS = 2000
"""What a cell may take to end once the supervisor has interrupted it because its time is over."""

STDIN_OPEN, INTERACTIVE, COLLECT, SESSION, PATIENT = 1, 2, 4, 8, 16
"""Flags of ``RUN``, and some of ``CELL``."""

HOLD_CPU = 1
"""Flag of ``HOLD``."""

NO_SYSCALL = 0xFFFFFFFF


class Command(IntEnum):
    RUN = 1
    STDIN = 2
    CANCEL = 3
    INTERRUPT = 4
    CELL = 5
    EOF = 6
    FILES = 7
    HOLD = 8


class EventType(IntEnum):
    READY = 1
    STDOUT = 2
    STDERR = 3
    REPORT = 4
    RESULT = 5
    FATAL = 6
    WAITING = 7
    DISPLAY = 8
    FILE = 9
    CELL_DONE = 10
    LINE = 11
    FILES_DONE = 12


class Cause(IntEnum):
    """Why a run ended, as far as the supervisor can know without reading anything of the run's."""

    COMPLETED = 0
    EXCEPTION = 1
    EXIT = 2
    REPORTED = 3
    SIGNAL = 4
    MEMORY_LIMIT = 5
    OUTPUT_LIMIT = 6
    PROCESS_LIMIT = 7
    DISK_LIMIT = 8
    VIOLATION = 9
    CANCELLED = 10
    INTERNAL = 11
    WALL_TIME = 12
    CPU_TIME = 13
    INPUT_TIME = 14


class ProtocolError(Exception):
    """The other side broke this contract; nothing it says later can be believed."""


class CommandHeader(NamedTuple):
    type: int
    flags: int
    run: int
    length: int
    wall_ms: int
    cpu_ms: int
    output_bytes: int


class Hold(NamedTuple):
    """What one run is held to: bytes of memory and of disk, processes and threads at once; 0: to the sandbox's limit.

    ``cpu``: whether the supervisor sees to its processor time, beside the kernel, which counts whole seconds.
    """

    memory: int = 0
    disk: int = 0
    tasks: int = 0
    cpu: bool = False

    @classmethod
    def of_header(cls, header: CommandHeader) -> Hold:
        return cls(header.wall_ms << 10, header.cpu_ms << 10, header.output_bytes, bool(header.flags & HOLD_CPU))

    def pack(self, run: int) -> bytes:
        """Return the frame that goes before the ``RUN`` of this number."""
        kilobytes = [-(-each >> 10) for each in (self.memory, self.disk)]
        flags = HOLD_CPU if self.cpu else 0
        return COMMAND.pack(Command.HOLD, flags, run, 0, *kilobytes, self.tasks)

    def object(self) -> dict[str, int]:
        """Return what a child is told of it."""
        return {"memory": self.memory, "disk": self.disk, "tasks": self.tasks}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The body of ``RESULT``, ``CELL_DONE`` and ``FILES_DONE``. Times in microseconds, memory in bytes.

    ``signal`` 0 means none. ``syscall``: the number of the call that a program was ended for. The program can forge it.
    """

    cause: Cause
    exit_code: int = 0
    signal: int = 0
    truncated: bool = False
    syscall: int = NO_SYSCALL
    wall_us: int = 0
    cpu_us: int = 0
    memory: int = 0

    def pack(self) -> bytes:
        return _OUTCOME.pack(
            self.cause,
            self.exit_code,
            self.signal,
            self.truncated,
            self.syscall,
            self.wall_us,
            self.cpu_us,
            self.memory,
        )

    @classmethod
    def unpack(cls, body: bytes) -> Outcome:
        """Raise ``ProtocolError`` unless ``body`` is exactly one well-formed outcome."""
        try:
            cause, exit_code, signal, truncated, syscall, wall_us, cpu_us, memory = _OUTCOME.unpack(body)
            return cls(Cause(cause), exit_code, signal, bool(truncated), syscall, wall_us, cpu_us, memory)
        except (struct.error, ValueError) as error:
            raise ProtocolError(f"malformed result: {error}") from None


class Event(NamedTuple):
    type: EventType
    run: int
    body: bytes


def command(
    kind: Command,
    run: int,
    body: bytes = b"",
    *,
    flags: int = 0,
    wall_ms: int = 0,
    cpu_ms: int = 0,
    output_bytes: int = 0,
) -> bytes:
    """Return one command frame; ``run`` must be in 0..65535 and the rest in 0..2**32-1."""
    return COMMAND.pack(kind, flags, run, len(body), wall_ms, cpu_ms, output_bytes) + body


def event(kind: EventType, run: int, body: bytes = b"") -> bytes:
    """Return one event frame."""
    return EVENT.pack(kind, 0, run, len(body)) + body


class EventReader:
    """Turns received bytes into events, whatever the pieces they arrive in (no I/O here).

    It never holds more than one frame: ``MAX_BODY`` bytes and a header.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that ``data`` completes; raise ``ProtocolError`` on anything else than frames."""
        buffer = self._buffer
        buffer += data
        events: list[Event] = []
        start = 0
        while len(buffer) - start >= EVENT.size:
            kind, _flags, run, length = EVENT.unpack_from(buffer, start)
            if length > MAX_BODY:
                raise ProtocolError(f"frame of {length} bytes")
            try:
                kind = EventType(kind)
            except ValueError:
                raise ProtocolError(f"unknown frame type {kind}") from None
            end = start + EVENT.size + length
            if len(buffer) < end:
                break
            events.append(Event(kind, run, bytes(buffer[start + EVENT.size : end])))
            start = end
        del buffer[:start]
        return events


def record(name: str, data: bytes) -> bytes:
    """Return one record of a ``DISPLAY`` or ``FILE`` stream; ``name`` of at most 65,535 bytes."""
    encoded = name.encode()
    return RECORD.pack(len(encoded), len(data)) + encoded + data


class Record(NamedTuple):
    name: str
    data: bytes


class RecordReader:
    """Turns the pieces of a stream into records. A program can write to such a stream, so nothing in it is believed.

    From the first thing on that is no record, or goes beyond ``limit`` bytes or `MOST_RECORDS` in all, everything is
    dropped.
    """

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray()
        self._left = limit
        self._records_left = MOST_RECORDS

    def feed(self, data: bytes) -> list[Record]:
        """Return the records that ``data`` completes."""
        self._left -= len(data)
        if self._left < 0:
            self._buffer.clear()
            return []
        self._buffer += data
        records: list[Record] = []
        start = 0
        while len(self._buffer) - start >= RECORD.size:
            name_length, data_length = RECORD.unpack_from(self._buffer, start)
            body = start + RECORD.size + name_length
            end = body + data_length
            if len(self._buffer) < end:
                break
            try:
                name = self._buffer[start + RECORD.size : body].decode()
            except UnicodeDecodeError:
                self._left = -1
                break
            with memoryview(self._buffer) as buffer:  # a slice of it would be another copy
                records.append(Record(name, bytes(buffer[body:end])))
            start = end
            self._records_left -= 1
            if not self._records_left:
                self._left = -1
                break
        del self._buffer[:start]
        return records
