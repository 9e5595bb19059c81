"""A supervisor without a container or a service: its two streams, in namespaces of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox_agent.contract import protocol
from sandbox_agent.contract.config import READABLE, AgentConfig, Mount
from sandbox_agent.contract.protocol import (
    INTERACTIVE,
    SESSION,
    STDIN_OPEN,
    Cause,
    Command,
    Event,
    EventReader,
    EventType,
    Outcome,
)

WITHIN = 60.0
"""Seconds in which an event must come. Nothing here is measured: it is only there so that no test waits for ever."""

UID = 52_321
BOX, SHARED = "/mnt", "/dev/shm"  # there everywhere, and ours in a mount namespace of our own
PYTHON, SRC = "/opt", "/srv"  # where this interpreter and the agent are bound, so that any uid can come there

START = """
mount --bind "$1" /opt && mount --bind "$2" /srv && shift 2 && exec "$@"
"""

CONFIG = AgentConfig(
    uid=UID,
    box=BOX,
    writable=(BOX, SHARED),
    readable=(*READABLE, PYTHON, SRC),
    mounts=tuple(Mount(path, f"size=16m,nr_inodes=1024,mode=0700,uid={UID},gid={UID}") for path in (BOX, SHARED)),
    policies={"": {"extends": "strict"}, "lax": {"allow": ["os"]}},
)

OUTER_FILTER = """
import os, struct, sys
sys.path.insert(0, "/srv")
from sandbox_agent.confinement import kernel, seccomp
refused, errno = int(sys.argv[1]), int(sys.argv[2])
code = [(0x20, 0, 0, 0), (0x15, 0, 1, refused), (0x06, 0, 0, 0x00050000 | errno), (0x06, 0, 0, 0x7FFF0000)]
program, buffer = seccomp.sock_fprog(b"".join(struct.pack("=HBBI", *step) for step in code))
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
kernel.load_seccomp(program)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Starts a program under a kernel that seems to lack one system call, as an older one or a container's profile does."""


@dataclass
class Run:
    """What the supervisor said about a run."""

    stdout: bytes = b""
    stderr: bytes = b""
    report: bytes = b""
    outcome: Outcome = field(default_factory=lambda: Outcome(Cause.INTERNAL))
    others: list[Event] = field(default_factory=list)

    @property
    def problems(self) -> list[dict[str, Any]]:
        report: dict[str, list[dict[str, Any]]] = json.loads(self.report)
        return report["problems"]


class Supervisor:
    """A host's end of the two streams."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._commands = process.stdin.fileno()
        self._events = process.stdout.fileno()
        self._reader = EventReader()
        self._received: list[Event] = []
        self._number = 0

    def pid(self) -> int:
        """Return the pid of the supervisor itself, which is PID 1 there and something else here."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())

    def pids(self) -> list[int]:
        """Return the pids of all processes of its sandbox, its own first."""
        pid = self.pid()
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def processes(self) -> int:
        """Return how many processes there are in its sandbox beside it."""
        return len(self.pids()) - 1

    def send(self, data: bytes) -> None:
        """Write all of it, taking in what comes meanwhile."""
        while data:
            readable, writable, _ = select.select([self._events], [self._commands], [], WITHIN)
            assert readable or writable, "the supervisor takes nothing"
            if readable:
                self._receive()
            if writable:
                data = data[os.write(self._commands, data[:4096]) :]

    def _receive(self) -> bool:
        data = os.read(self._events, 1 << 16)
        self._received += self._reader.feed(data)
        return bool(data)

    def next(self) -> Event | None:
        """Return the next event; None at the end of the stream."""
        while not self._received:
            assert select.select([self._events], [], [], WITHIN)[0], "the supervisor is mute"
            if not self._receive():
                return None
        return self._received.pop(0)

    def ready(self) -> Event:
        event = self.next()
        assert event is not None
        assert event.type is EventType.READY, event
        assert event.run == 0
        return event

    def start(
        self,
        code: str,
        *,
        stdin: bytes | None = None,
        args: tuple[str, ...] = (),
        policy: str | None = None,
        check: bool = False,
        cpu: float | None = None,
        flags: int = 0,
        files: Mapping[str, bytes] | None = None,
        wall_ms: int = 30_000,
        cpu_ms: int = 0,
        output_bytes: int = 1 << 20,
    ) -> int:
        """Send a run with its files and its stdin (None: there is none); return its number."""
        self._number += 1
        payload: dict[str, object] = {"code": code, "args": args, "policy": policy, "check": check, "cpu": cpu}
        given = [[path, base64.b64encode(data).decode()] for path, data in (files or {}).items()]
        payload |= {"files": given, "display": False, "interactive": bool(flags & INTERACTIVE)}
        flags |= STDIN_OPEN if stdin is not None else 0
        limits = {"wall_ms": wall_ms, "cpu_ms": cpu_ms, "output_bytes": output_bytes}
        self.send(protocol.command(Command.RUN, self._number, json.dumps(payload).encode(), flags=flags, **limits))
        if stdin:
            self.stdin(stdin)
        return self._number

    def open_session(self, files: Sequence[list[str]] = (), policy: str = "") -> None:
        self._number += 1
        asked: dict[str, object] = {"session": True, "policy": policy, "files": files}
        body = json.dumps(asked).encode() + b"\n"
        self.send(protocol.command(Command.RUN, self._number, body, flags=SESSION | INTERACTIVE | STDIN_OPEN))

    def cell(self, number: int, code: str, *, wall_ms: int = 30_000, policy: bool = False) -> None:
        body = {"code": code, "number": number, "policy": policy, "cpu": 30, "display": False, "stdin": None}
        limits = {"wall_ms": wall_ms, "cpu_ms": 30_000, "output_bytes": 1 << 20}
        self.send(
            protocol.command(Command.CELL, self._number, json.dumps(body).encode() + b"\n", flags=INTERACTIVE, **limits)
        )

    def of_a_cell(self) -> Event | None:
        """Return the next event of the cell under way; None once it is done."""
        event = self.next()
        assert event is not None
        return None if event.type is EventType.CELL_DONE else event

    def stdin(self, data: bytes) -> None:
        self.send(protocol.command(Command.STDIN, self._number, data))

    def cancel(self, number: int | None = None) -> None:
        self.send(protocol.command(Command.CANCEL, self._number if number is None else number))

    def interrupt(self) -> None:
        self.send(protocol.command(Command.INTERRUPT, self._number))

    def until(self, text: bytes) -> bytes:
        """Take output until ``text`` is in it."""
        seen = b""
        while text not in seen:
            event = self.next()
            assert event is not None
            assert event.type in (EventType.STDOUT, EventType.STDERR), event
            seen += event.body
        return seen

    def finish(self) -> Run:
        """Take what comes until the result."""
        run = Run()
        while True:
            event = self.next()
            assert event is not None, "the supervisor ended in a run"
            assert event.run == self._number, event
            match event.type:
                case EventType.STDOUT:
                    run.stdout += event.body
                case EventType.STDERR:
                    run.stderr += event.body
                case EventType.REPORT:
                    run.report += event.body
                case EventType.RESULT:
                    run.outcome = Outcome.unpack(event.body)
                    return run
                case _:
                    run.others.append(event)

    def run(self, code: str, **options: Any) -> Run:
        """Run to the result, with an empty stdin unless told otherwise."""
        self.start(code, **options)
        return self.finish()


Supervise = Callable[..., contextlib.AbstractContextManager[Supervisor]]


def ended(supervisor: Supervisor) -> bytes:
    """It says that it is of no more use, and is gone; return what it said."""
    event = supervisor.next()
    assert event is not None
    assert event.type is EventType.FATAL
    assert supervisor.next() is None
    assert supervisor.process.wait(WITHIN) == 1
    return event.body
