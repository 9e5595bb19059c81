"""A service that answers by a script, with something in every field: what a worker gets of it must be the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from code_executor.core.caller import Caller
from code_executor.core.environments import Environment
from code_executor.core.limits import Limits
from code_executor.core.models import (
    Allowance,
    Cancel,
    Cell,
    CellDone,
    Display,
    Event,
    Execution,
    File,
    FileAction,
    FileAnswer,
    FileEntry,
    FileOrder,
    Input,
    Interrupt,
    Output,
    Readiness,
    Reason,
    Result,
    SessionInfo,
    SessionState,
    SourceProblem,
    Started,
    Stdin,
    Waiting,
)
from code_executor.remote import host
from code_executor.remote.client import Connections, remote_service
from code_executor.service.ports import Service

RESULT = Result(
    "an-id",
    Reason.DISK_LIMIT,
    output="\0 é \U0001f600 \ud800",
    error="e",
    exit_code=1,
    signal="SIGKILL",
    syscall="ptrace",
    execution_time=1.5,
    queue_time=0.25,
    cpu_time=3.0,
    memory=1 << 40,
    truncated=True,
    line=3,
    column=4,
    problems=(SourceProblem(1, 2, "three"),),
    displays=(Display("image/png", bytes(range(256))),),
    files=(File("base64", b""), File("a/b", b"\xff")),
    files_omitted=7,
)
EVENTS: list[Event] = [
    Started("an-id", 0.5),
    Output("stderr", "text"),
    Waiting(),
    Display("text/html", b"<b>\0</b>"),
    File("path", b"data"),
    CellDone(RESULT),
    FileAnswer((FileEntry("a/b", 3),), 2, b"\0\xff", made=True, fault="ENOENT"),
    RESULT,
]
EXECUTION = Execution(
    "code \0 \ud800",
    stdin="in",
    args=("a", "b"),
    timeout=2.5,
    policy=False,
    check_only=True,
    files=(File("path", b"\0\xff"),),
    display=True,
    environment="e",
    policy_name="p",
    caller=Caller("somebody"),
)


A, C = Caller("a"), Caller("c")
CELL = Cell("code \0 \ud800", stdin="in", timeout=2.5, policy=False, display=False)
INFO = SessionInfo("name", SessionState.WAITING, cells=3, idle=600.0, left=12.5, age=3.5, environment="e", policy="p")


ENVIRONMENT = Environment("py311", "3.11.7", {"numpy": "2.3.1"}, (("plain", ()),), "sha256:x", False, "Ours")
ORDER = FileOrder(FileAction.PUT, "a/b", b"\0\xff", policy=False)
ANSWER = FileAnswer((FileEntry("a/b", 3),), 2, b"\0\xff", made=True, fault="REFUSED", why="so")


class Scripted:
    """A service that keeps what it is asked and answers as it is told."""

    def __init__(self, events: Sequence[Event] = (), failure: Exception | None = None) -> None:
        self._events = events
        self._failure = failure
        self.asked: list[object] = []
        self.inputs: list[Input] = []
        self.allowance: Allowance | None = None
        self.stopped = asyncio.Event()

    async def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None) -> AsyncGenerator[Event, None]:
        self.asked.append(execution)
        try:
            for event in self._events:
                if isinstance(event, Result) and inputs is not None:
                    async for each in inputs:
                        self.inputs.append(each)
                        if isinstance(each, Cancel):
                            break
                yield event
            if self._failure:
                raise self._failure
        finally:
            self.stopped.set()

    def _answer(self, *asked: object) -> SessionInfo:
        self.asked.append(asked)
        if self._failure:
            raise self._failure
        return INFO

    async def open(
        self,
        caller: Caller,
        files: tuple[File, ...] = (),
        key: str = "",
        *,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> SessionInfo:
        return self._answer("open", caller, files, key, interactive, environment, policy)

    async def restart(self, name: str, caller: Caller) -> SessionInfo:
        return self._answer("restart", name, caller)

    async def list(self, caller: Caller) -> Sequence[SessionInfo]:
        return [self._answer("list", caller), INFO]

    async def result(self, name: str, caller: Caller, number: int) -> Result:
        self._answer("result", name, caller, number)
        return RESULT

    async def info(self, name: str, caller: Caller) -> SessionInfo:
        return self._answer("session", name, caller)

    def stream_cell(self, name: str, caller: Caller, cell: Cell) -> AsyncGenerator[Event, None]:
        self._answer("cell", name, caller, cell)
        return self.stream(EXECUTION, None)

    async def send(self, name: str, caller: Caller, item: Stdin | Interrupt) -> None:
        self._answer("send", name, caller, item)

    async def order(self, name: str, caller: Caller, order: FileOrder) -> FileAnswer:
        self._answer("order", name, caller, order)
        return ANSWER

    async def end(self, name: str, caller: Caller) -> None:
        self._answer("end", name, caller)

    async def hit(self, caller: Caller, what: str, times: int = 1) -> Allowance | None:
        self.asked.append((caller, what, times))
        return self.allowance

    async def note_replay(self) -> None:
        self.asked.append("replay")

    async def note_grade(self, verdict: str, seconds: float, tests: Mapping[str, int]) -> None:
        self.asked.append((verdict, seconds, tests))

    async def peek(self, caller: Caller) -> Allowance | None:
        self.asked.append(caller)
        return self.allowance

    async def metrics(self, *, exemplars: bool = False) -> bytes:
        if exemplars:
            return b"with exemplars\n"
        return "a metric é\n".encode()

    async def readiness(self) -> Readiness:
        return Readiness(ready=False, engine="native", why="no sandbox yet")


class Desk:
    """The session desk of `Scripted`, whose runs have the same name as its cells."""

    def __init__(self, service: Scripted) -> None:
        self.stream = service.stream_cell
        self.open, self.info, self.send, self.end = service.open, service.info, service.send, service.end
        self.order, self.restart, self.list, self.result = service.order, service.restart, service.list, service.result


class EnvironmentsOf:
    """The list of environments of `Scripted`."""

    def __init__(self, service: object) -> None:
        self._service = service

    async def list(self, caller: Caller) -> Sequence[Environment]:
        if isinstance(self._service, Scripted):
            self._service._answer("environments", caller)
        return [ENVIRONMENT]


def service_of(scripted: object) -> Service:
    desk = Desk(scripted) if isinstance(scripted, Scripted) else scripted
    return Service(*(cast("Any", part) for part in (scripted, desk, scripted, scripted, EnvironmentsOf(scripted))))


@asynccontextmanager
async def connected(scripted: object) -> AsyncIterator[Service]:
    async with asyncio.timeout(30), host.serve(service_of(scripted)) as way:
        connections = Connections(way)
        yield remote_service(connections, Limits(wall_time=7))
        connections.close()
