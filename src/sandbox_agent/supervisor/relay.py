"""Moves bytes between the host and a child without reading them.

Frame headers are ours and are read and written; bodies are spliced from pipe to pipe inside the kernel, so that no byte
of a run ever enters the memory that later children are copied from. (A relay that read them was tried: the next run
found the previous one's stdin in freed heap.)

What a pipe of a child holds can change at any moment: where the supervisor has the program's uid, the program can open
both ends of its pipes (/proc/self/fd) and read from them, too. So no decision rests on how much there *is*, only on how
much was *moved*. What is announced to the host has been moved first, into a pipe that nobody else has.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import time
from dataclasses import dataclass

from sandbox_agent.confinement.kernel import available
from sandbox_agent.contract.protocol import COMMAND, EVENT, MAX_BODY, CommandHeader, EventType

_NONBLOCK = os.SPLICE_F_NONBLOCK

REST = 0.002
"""Seconds that output can wait after other output, and after the start. A program that writes a line at a time must not
cost a wake-up for each, nor a small one any but that for its end. The pipe holds what comes meanwhile."""


def discard(fd: int) -> int:
    """Drop what a pipe holds, unread; return how many bytes that were."""
    return move(fd, _null(), MAX_BODY) or 0


def move(source: int, sink: int, most: int) -> int | None:
    """Move what can be moved now, ``most`` bytes at most; return how many that were.

    None: there is nothing, or the sink takes nothing. 0: nothing will ever come, for nobody can write to the source.
    """
    try:
        return os.splice(source, sink, most, flags=_NONBLOCK)
    except BlockingIOError:
        return None


@functools.cache
def _null() -> int:
    return os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)


def both_ends(end: int) -> int:
    """Exchange one end of a pipe for a descriptor that has both, and of which nobody waits."""
    try:
        return os.open(f"/proc/self/fd/{end}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.close(end)


def close(fd: int | None) -> None:
    if fd is not None:
        with contextlib.suppress(OSError):
            os.close(fd)


class HostGoneError(Exception):
    """The host closed its side: nobody waits for anything any more."""


class Inbound:
    """Commands from the host: headers into here, bodies onward into a pipe of the child or into /dev/null."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._waste = os.pipe2(os.O_CLOEXEC)
        self._header = bytearray()
        self._sink: int | None = None
        self._remaining = 0
        self._last = False  # close the sink once the body is through; until then it is its owner's to close
        self._sink_full = False

    @property
    def busy(self) -> bool:
        """Whether a body is under way, and so no header can be read."""
        return self._remaining > 0

    def wanted(self) -> tuple[int, int]:
        """Return the descriptor, and the poll events on it, that this waits for."""
        if self.busy and self._sink_full and self._sink is not None:
            return self._sink, select.POLLOUT
        return self._source, select.POLLIN

    def read_header(self) -> CommandHeader | None:
        """Read what is there of the next header; None until it is whole. Raises ``HostGoneError`` at end-of-file."""
        piece = os.read(self._source, COMMAND.size - len(self._header))
        if not piece:
            raise HostGoneError
        self._header += piece
        if len(self._header) < COMMAND.size:
            return None
        header = CommandHeader._make(COMMAND.unpack(self._header))
        self._header.clear()
        return header

    def forward(self, length: int, sink: int | None, *, last: bool) -> None:
        """Send the next ``length`` bytes to ``sink`` (None: nowhere), and close it after the last of them."""
        self._sink, self._remaining, self._last, self._sink_full = sink, length, last, False
        if length == 0:
            self._done()

    def is_awaited(self, stdin: int | None, prompt: int) -> bool:
        """Whether a child waits for more stdin than has come: it asks in ``prompt``, which is empty afterwards.

        A child takes back what it asks before it reads (`sandbox_agent.child.stdin`). So stdin has to be looked at
        first: where it is empty because the child has read it, there is no question any more.
        """
        nothing_came = stdin is not None and not self.busy and not available(stdin)
        return discard(prompt) > 0 and nothing_came

    def pump(self) -> None:
        """Move what can be moved now. Raises ``HostGoneError`` when the host closes in the middle of a body."""
        while self._remaining:
            try:
                moved = self._drop() if self._sink is None else move(self._source, self._sink, self._remaining)
            except BrokenPipeError:  # the program closed its stdin: every piece that still comes is dropped
                self.discard()
                continue
            if moved is None:
                self._sink_full = self._sink is not None and available(self._source) > 0
                return
            if moved == 0:
                raise HostGoneError
            self._remaining -= moved
        self._done()

    def _drop(self) -> int | None:
        """Drop what is there, by way of a pipe: one end of a splice must be one, and the source may be a socket."""
        moved = move(self._source, self._waste[1], self._remaining)
        discard(self._waste[0])
        return moved

    def discard(self) -> None:
        """From now on, drop what is still to come of the current body; its reader is gone."""
        self._done()
        self._sink_full = False

    def _done(self) -> None:
        if self._last:
            close(self._sink)
        self._sink = None
        self._last = False


@dataclass
class Budget:
    """Bytes that may still be sent; sources can share one."""

    left: int


@dataclass
class Source:
    """A pipe whose bytes go to the host as frames of one type, as many as its budget has."""

    fd: int
    type: EventType
    budget: Budget


@dataclass(frozen=True)
class ReadyChild:
    """A confined child that waits for its run, and the supervisor's ends of its pipes."""

    pid: int
    stdin: int
    payload: int
    ready: int
    hint: int
    prompt: int
    line: int
    given: int
    output: Budget
    sources: list[Source]


class Outbound:
    """Events to the host. At most one frame is under way at a time; nothing here waits unless it says so.

    The body of a frame under way is in a pipe of this class's own. So it is there whatever the program does, and who
    waits for the end of the frame waits for the host alone.
    """

    def __init__(self, sink: int) -> None:
        self._sink = sink
        self._taken, self._take_in = os.pipe2(os.O_CLOEXEC)
        self._header = b""  # of the frame under way, if it is not sent yet
        self._remaining = 0  # bytes of its body
        self._rests_until = 0.0
        self.run = 0
        self.truncated = False
        self.report_bytes = 0
        self.sources: list[Source] = []

    def begin(self, run: int, sources: list[Source], rest: float = 0.0) -> None:
        """Start relaying a run's pipes; at first, for ``rest`` seconds, they need not be waited for."""
        self.run, self.sources, self.truncated, self.report_bytes = run, sources, False, 0
        self._rests_until = time.monotonic() + rest

    def wanted(self) -> list[tuple[int, int]]:
        """Return the descriptors, and the poll events on them, that this waits for."""
        if self._remaining:
            return [(self._sink, select.POLLOUT)]
        return [(source.fd, select.POLLIN) for source in self.sources]

    def hasten(self) -> None:
        """Let what is written next not rest: it may answer somebody."""
        self._rests_until = 0.0

    def rest(self) -> float:
        """Return for how many seconds nothing of `wanted` needs to be waited for; 0 or less: it is time."""
        return 0.0 if self._remaining else self._rests_until - time.monotonic()

    def pump(self) -> None:
        """Move what can be moved without waiting; drop the sources that have ended."""
        if not self._continue():
            return
        for source in tuple(self.sources):
            if self._take_or_drop(source) and not self._continue():
                return

    def flush(self) -> None:
        """Send what is in the pipes now. May wait for the host, but not for writers."""
        self._finish_frame()
        for source in tuple(self.sources):
            self._take_or_drop(source)
            self._finish_frame()

    def drain(self) -> list[int]:
        """Send everything that is left in the pipes. May wait for the host, but not for writers: they are dead.

        Returns the pipes, which are the caller's to close: the host need not wait for that.
        """
        self._finish_frame()
        for source in self.sources:
            while self._take(source):
                self._finish_frame()
        pipes = [source.fd for source in self.sources]
        self.sources = []
        return pipes

    def send(self, frame: bytes) -> None:
        """Write a frame of the supervisor's own. Waits for the host if need be."""
        self._finish_frame()
        view = memoryview(frame)
        while view:
            view = view[os.write(self._sink, view) :]

    def _take_or_drop(self, source: Source) -> bool:
        """Begin a frame with what ``source`` has; False if there is none to send. One that has ended is closed."""
        taken = self._take(source)
        if taken == 0:
            close(source.fd)
            self.sources.remove(source)
        return bool(taken)

    def _take(self, source: Source) -> int | None:
        """Begin a frame with what ``source`` has, within its budget; return as `move` does."""
        if source.budget.left == 0:
            return self._look_for_more(source)
        taken = move(source.fd, self._take_in, min(source.budget.left, MAX_BODY))
        if not taken:
            return taken
        source.budget.left -= taken
        if source.budget.left == 0 and available(source.fd):
            self.truncated = True
        if source.type is EventType.REPORT:
            self.report_bytes += taken
        self._header, self._remaining = EVENT.pack(source.type, 0, self.run, taken), taken
        self._rests_until = time.monotonic() + REST
        return taken

    def _look_for_more(self, source: Source) -> int | None:
        """Of a source that may send nothing more, notice what it holds, or (0) that it has ended."""
        events = select.poll()
        events.register(source.fd, select.POLLIN)
        for _, found in events.poll(0):
            if not found & select.POLLIN:
                return 0
            self.truncated = True
        return None

    def _continue(self) -> bool:
        """Go on with the frame under way; True when there is none (any more)."""
        if self._header:
            if not select.select([], [self._sink], [], 0)[1]:
                return False
            os.write(self._sink, self._header)
            self._header = b""
        while self._remaining:
            moved = move(self._taken, self._sink, self._remaining)
            if moved is None:
                return False
            self._remaining -= moved
        return True

    def _finish_frame(self) -> None:
        while not self._continue():
            select.select([], [self._sink], [])
