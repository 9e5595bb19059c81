"""The broker between a worker and the process that has the pool: both ends for real, over a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import cast, get_args

import pytest

from code_executor import broker
from code_executor.errors import (
    CodeExecutorError,
    PoolBusyError,
    PoolClosedError,
    SessionBusyError,
    SessionsFullError,
    SessionsOffError,
    SessionUnknownError,
)
from code_executor.executor import result_of, run
from code_executor.models import (
    Cancel,
    Cell,
    CellDone,
    Display,
    Event,
    Execution,
    File,
    Input,
    Interrupt,
    Limits,
    Output,
    Problem,
    Reason,
    Result,
    SessionInfo,
    SessionState,
    Started,
    Stdin,
    Waiting,
)
from code_executor.ratelimit import Verdict
from code_executor.service import Readiness, Service

pytestmark = pytest.mark.anyio


class Lingering:
    """A service whose runs go on for some turns of the event loop after their result, as giving back a sandbox may."""

    async def stream(self, execution: Execution, _inputs: AsyncIterator[Input] | None) -> AsyncGenerator[Event, None]:
        yield Started(execution.id, 0.0)
        yield Output("stdout", execution.code)
        yield Result(execution.id, Reason.COMPLETED, output=execution.code)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_calls_one_after_the_other_on_one_connection_are_all_answered() -> None:
    async with asyncio.timeout(30), broker.serve(cast("Service", Lingering())) as door:
        worker = broker.RemoteService(door, Limits())
        outputs = [(await run(worker, Execution(str(number)))).output for number in range(50)]
        await worker.close()
    assert outputs == [str(number) for number in range(50)]


# ---- every message, there and back

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
    problems=(Problem(1, 2, "three"),),
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
    client="somebody",
)


CELL = Cell("code \0 \ud800", stdin="in", timeout=2.5, policy=False, display=False, client="somebody")
INFO = SessionInfo("name", SessionState.WAITING, cells=3, idle=600.0, left=12.5)


class Scripted:
    """A service that keeps what it is asked and answers as it is told."""

    def __init__(self, events: Sequence[Event] = (), failure: Exception | None = None) -> None:
        self._events = events
        self._failure = failure
        self.asked: list[object] = []
        self.inputs: list[Input] = []
        self.verdict: Verdict | None = None
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

    async def open_session(self, client: str, files: tuple[File, ...]) -> SessionInfo:
        return self._answer("open", client, files)

    async def session(self, name: str, client: str) -> SessionInfo:
        return self._answer("session", name, client)

    def stream_cell(self, name: str, client: str, cell: Cell) -> AsyncGenerator[Event, None]:
        self._answer("cell", name, client, cell)
        return self.stream(EXECUTION, None)

    async def send(self, name: str, client: str, item: Stdin | Interrupt) -> None:
        self._answer("send", name, client, item)

    async def end_session(self, name: str, client: str) -> None:
        self._answer("end", name, client)

    async def hit(self, client: str, what: str) -> Verdict | None:
        self.asked.append((client, what))
        return self.verdict

    async def peek(self, client: str) -> Verdict | None:
        self.asked.append(client)
        return self.verdict

    async def metrics(self) -> bytes:
        return "a metric é\n".encode()

    async def readiness(self) -> Readiness:
        return Readiness(ready=False, engine="native", why="no sandbox yet")


@asynccontextmanager
async def connected(service: Scripted) -> AsyncIterator[broker.RemoteService]:
    async with asyncio.timeout(30), broker.serve(cast("Service", service)) as door:
        worker = broker.RemoteService(door, Limits(wall_time=7))
        yield worker
        await worker.close()


async def test_every_event_comes_as_it_was() -> None:
    service = Scripted(EVENTS)
    async with connected(service) as worker:
        assert [event async for event in worker.stream(EXECUTION)] == EVENTS
    assert service.asked == [EXECUTION]


def test_every_kind_of_event_was_sent() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


async def test_every_input_comes_as_it_was_and_in_order() -> None:
    inputs: list[Input] = [Stdin("text é"), Interrupt(), Stdin(None), CELL, Cancel()]
    assert {type(each) for each in inputs} == set(get_args(Input))

    async def given() -> AsyncIterator[Input]:
        for each in inputs:
            yield each

    service = Scripted([Started("an-id", 0.0), RESULT])
    async with connected(service) as worker:
        assert [event async for event in worker.stream(EXECUTION, given())][-1] == RESULT
    assert service.inputs == inputs


@pytest.mark.parametrize(
    "failure", [PoolBusyError("all are busy", 9), PoolClosedError("stopping"), CodeExecutorError("odd")]
)
async def test_every_failure_comes_as_what_it_was(failure: CodeExecutorError) -> None:
    async with connected(Scripted(failure=failure)) as worker:
        with pytest.raises(type(failure), match=str(failure)) as caught:
            await run(worker, EXECUTION)
        assert type(caught.value) is type(failure)
        assert getattr(caught.value, "retry_after", None) == getattr(failure, "retry_after", None)
        assert (await worker.readiness()).engine == "native"  # it goes on serving


async def test_everything_that_is_asked_of_a_session_comes_as_it_was() -> None:
    service = Scripted([Started("an-id", 0.0), RESULT])
    files = (File("path", b"\0\xff"),)
    async with connected(service) as worker:
        assert await worker.open_session("c", files) == INFO
        assert await worker.session("n", "c") == INFO
        assert [event async for event in worker.stream_cell("n", "c", CELL)] == [Started("an-id", 0.0), RESULT]
        await worker.send("n", "c", Stdin("text é"))
        await worker.send("n", "c", Interrupt())
        await worker.end_session("n", "c")
    assert service.asked == [
        ("open", "c", files),
        ("session", "n", "c"),
        ("cell", "n", "c", CELL),
        EXECUTION,
        ("send", "n", "c", Stdin("text é")),
        ("send", "n", "c", Interrupt()),
        ("end", "n", "c"),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        PoolBusyError("all are busy", 9),
        SessionsFullError("you have one", own=True),
        SessionsFullError("all are taken", own=False),
        SessionUnknownError("there is none"),
        SessionBusyError("a cell is running"),
        SessionsOffError("no sessions"),
    ],
    ids=repr,
)
async def test_every_failure_of_a_session_comes_as_what_it_was(failure: CodeExecutorError) -> None:
    async with connected(Scripted(failure=failure)) as worker:
        for question in (
            worker.open_session("c"),
            worker.session("n", "c"),
            worker.send("n", "c", Interrupt()),
            worker.end_session("n", "c"),
            result_of(worker.stream_cell("n", "c", CELL)),
        ):
            with pytest.raises(type(failure), match=str(failure)) as caught:
                await question
            assert vars(caught.value) == vars(failure)


async def test_a_worker_that_stops_listening_stops_its_cell() -> None:
    service = Scripted([Started("an-id", 0.0), *[Output("stdout", "x" * 100_000)] * 200, RESULT])
    async with connected(service) as worker:
        async with aclosing(worker.stream_cell("n", "c", CELL)) as events:
            assert isinstance(await anext(events), Started)
        await service.stopped.wait()


async def test_the_other_questions_are_answered() -> None:
    service = Scripted()
    async with connected(service) as worker:
        assert worker.limits == Limits(wall_time=7)
        assert await worker.hit("a") is None
        service.verdict = Verdict(allowed=False, limit=10, remaining=0, reset=3, window=60)
        assert await worker.hit("a", "checks") == service.verdict
        assert await worker.peek("b") == service.verdict
        assert await worker.metrics() == "a metric é\n".encode()
        assert await worker.readiness() == Readiness(ready=False, engine="native", why="no sandbox yet")
    assert service.asked == [("a", "runs"), ("a", "checks"), "b"]


async def test_a_worker_that_stops_listening_stops_its_run() -> None:
    async def forever() -> AsyncIterator[Input]:
        await asyncio.Event().wait()
        yield Cancel()

    service = Scripted([Started("an-id", 0.0), RESULT])
    async with connected(service) as worker:
        async with aclosing(worker.stream(EXECUTION, forever())) as events:
            assert isinstance(await anext(events), Started)
        await service.stopped.wait()


async def test_without_a_service_there_is_nothing_but_an_end() -> None:
    async with broker.serve(cast("Service", Scripted())) as door:
        worker = broker.RemoteService(door, Limits())
    for question in (worker.readiness(), worker.metrics(), worker.hit("a"), run(worker, EXECUTION)):
        with pytest.raises(PoolClosedError, match="stopping"):
            await question


async def test_a_service_that_ends_ends_what_its_workers_ask() -> None:
    async def forever() -> AsyncIterator[Input]:
        await asyncio.Event().wait()
        yield Cancel()

    service = Scripted([Started("an-id", 0.0), RESULT])
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(connected(service))
        events = worker.stream(EXECUTION, forever())
        await anext(events)
        await stack.aclose()
        with pytest.raises(PoolClosedError):
            await anext(events)
