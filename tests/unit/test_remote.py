"""Between a worker and the process that has the pools: both ends for real, over a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from contextvars import ContextVar
from typing import get_args

import pytest

from code_executor.core import errors
from code_executor.core.errors import (
    CodeExecutorError,
    FileError,
    PoolBusyError,
    PoolClosedError,
    SessionBusyError,
    SessionsFullError,
    SessionsOffError,
    SessionUnknownError,
)
from code_executor.core.limits import Limits
from code_executor.core.models import (
    Allowance,
    Cancel,
    Event,
    Execution,
    File,
    Input,
    Interrupt,
    Output,
    Readiness,
    Reason,
    Result,
    Started,
    Stdin,
)
from code_executor.core.runner import result_of, run
from code_executor.remote import host
from code_executor.remote.client import Connections, remote_service
from tests.unit.scripted import (
    ANSWER,
    CELL,
    ENVIRONMENT,
    EVENTS,
    EXECUTION,
    INFO,
    ORDER,
    RESULT,
    A,
    C,
    Scripted,
    connected,
    service_of,
)

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
    async with connected(Lingering()) as worker:
        outputs = [(await run(worker.runs, Execution(str(number)))).output for number in range(50)]
    assert outputs == [str(number) for number in range(50)]


# ---- every message, there and back


async def test_every_event_comes_as_it_was() -> None:
    service = Scripted(EVENTS)
    async with connected(service) as worker:
        assert [event async for event in worker.runs.stream(EXECUTION)] == EVENTS
    assert service.asked == [EXECUTION]


def test_every_kind_of_event_was_sent() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


async def test_every_input_comes_as_it_was_and_in_order() -> None:
    inputs: list[Input] = [Stdin("text é"), Interrupt(), Stdin(None), CELL, ORDER, Cancel()]
    assert {type(each) for each in inputs} == set(get_args(Input))

    async def given() -> AsyncIterator[Input]:
        for each in inputs:
            yield each

    service = Scripted([Started("an-id", 0.0), RESULT])
    async with connected(service) as worker:
        assert [event async for event in worker.runs.stream(EXECUTION, given())][-1] == RESULT
    assert service.inputs == inputs


@pytest.mark.parametrize(
    "failure", [PoolBusyError("all are busy", 9), PoolClosedError("stopping"), CodeExecutorError("odd")]
)
async def test_every_failure_comes_as_what_it_was(failure: CodeExecutorError) -> None:
    async with connected(Scripted(failure=failure)) as worker:
        with pytest.raises(type(failure), match=str(failure)) as caught:
            await run(worker.runs, EXECUTION)
        assert type(caught.value) is type(failure)
        assert getattr(caught.value, "retry_after", None) == getattr(failure, "retry_after", None)
        assert (await worker.health.readiness()).engine == "native"  # it goes on serving


async def test_everything_that_is_asked_of_a_session_comes_as_it_was() -> None:
    service = Scripted([Started("an-id", 0.0), RESULT])
    files = (File("path", b"\0\xff"),)
    async with connected(service) as worker:
        assert await worker.sessions.open(C, files, "a key", interactive=False, environment="e", policy="p") == INFO
        assert await worker.sessions.restart("n", C) == INFO
        assert await worker.sessions.list(C) == [INFO, INFO]
        assert await worker.sessions.result("n", C, 7) == RESULT
        assert await worker.sessions.info("n", C) == INFO
        assert [event async for event in worker.sessions.stream("n", C, CELL)] == [Started("an-id", 0.0), RESULT]
        await worker.sessions.send("n", C, Stdin("text é"))
        await worker.sessions.send("n", C, Interrupt())
        assert await worker.sessions.order("n", C, ORDER) == ANSWER
        await worker.sessions.end("n", C)
    assert service.asked == [
        ("open", C, files, "a key", False, "e", "p"),
        ("restart", "n", C),
        ("list", C),
        ("result", "n", C, 7),
        ("session", "n", C),
        ("cell", "n", C, CELL),
        EXECUTION,
        ("send", "n", C, Stdin("text é")),
        ("send", "n", C, Interrupt()),
        ("order", "n", C, ORDER),
        ("end", "n", C),
    ]


async def test_environments_are_listed_for_who_asks_and_a_failure_is_one() -> None:
    service = Scripted()
    async with connected(service) as worker:
        assert await worker.environments.list(C) == [ENVIRONMENT]
    assert service.asked == [("environments", C)]
    async with connected(Scripted(failure=PoolBusyError("all are busy", 9))) as worker:
        with pytest.raises(PoolBusyError, match="all are busy"):
            await worker.environments.list(C)


@pytest.mark.parametrize(
    "name", ["EnvironmentUnknownError", "EnvironmentRefusedError", "PolicyUnknownError", "PolicyRefusedError"]
)
async def test_why_an_environment_or_a_policy_cannot_be_had_comes_too(name: str) -> None:
    failure = getattr(errors, name)("there is none")
    async with connected(Scripted(failure=failure)) as worker:
        with pytest.raises(type(failure), match="there is none"):
            await run(worker.runs, EXECUTION)


@pytest.mark.parametrize(
    "failure",
    [
        PoolBusyError("all are busy", 9),
        SessionsFullError("you have one", own=True),
        SessionsFullError("all are taken", own=False),
        SessionUnknownError("there is none"),
        SessionBusyError("a cell is running"),
        SessionsOffError("no sessions"),
        FileError("no such file", fault="ENOENT"),
    ],
    ids=repr,
)
async def test_every_failure_of_a_session_comes_as_what_it_was(failure: CodeExecutorError) -> None:
    async with connected(Scripted(failure=failure)) as worker:
        for question in (
            worker.sessions.open(C),
            worker.sessions.info("n", C),
            worker.sessions.send("n", C, Interrupt()),
            worker.sessions.order("n", C, ORDER),
            worker.sessions.restart("n", C),
            worker.sessions.list(C),
            worker.sessions.result("n", C, 1),
            worker.sessions.end("n", C),
            result_of(worker.sessions.stream("n", C, CELL)),
        ):
            with pytest.raises(type(failure), match=str(failure)) as caught:
                await question
            assert vars(caught.value) == vars(failure)


async def test_a_worker_that_stops_listening_stops_its_cell() -> None:
    service = Scripted([Started("an-id", 0.0), *[Output("stdout", "x" * 100_000)] * 200, RESULT])
    async with connected(service) as worker:
        async with aclosing(worker.sessions.stream("n", C, CELL)) as events:
            assert isinstance(await anext(events), Started)
        await service.stopped.wait()


async def test_the_other_questions_are_answered() -> None:
    service = Scripted()
    async with connected(service) as worker:
        assert worker.runs.limits == Limits(wall_time=7)
        assert await worker.rates.hit(A) is None
        service.allowance = Allowance(allowed=False, limit=10, remaining=0, reset=3, window=60)
        assert await worker.rates.hit(A, "checks", 7) == service.allowance
        await worker.health.note_replay()
        await worker.health.note_grade("partial", 1.5, {"io passed": 2})
        assert await worker.rates.peek(C) == service.allowance
        assert await worker.health.metrics() == "a metric é\n".encode()
        assert await worker.health.metrics(exemplars=True) == b"with exemplars\n"
        assert await worker.health.readiness() == Readiness(ready=False, engine="native", why="no sandbox yet")
    assert service.asked == [(A, "runs", 1), (A, "checks", 7), "replay", ("partial", 1.5, {"io passed": 2}), C]


async def test_the_trace_of_a_call_goes_with_it_and_ends_with_it() -> None:
    """A run and a question of a trace, and after them, on the same connection, such of none."""
    current = ContextVar("current", default="")
    seen: list[str] = []

    class Watching(Scripted):
        async def stream(
            self, execution: Execution, inputs: AsyncIterator[Input] | None
        ) -> AsyncGenerator[Event, None]:
            seen.append(current.get())
            async for event in super().stream(execution, inputs):
                yield event

        async def note_replay(self) -> None:
            seen.append(current.get())

    @contextmanager
    def under(trace: str) -> Iterator[None]:
        token = current.set(f"host's {trace}")
        yield
        current.reset(token)

    traces = ["one", "one", "", "", "another", "another", "", ""]
    carried = iter(traces)
    async with asyncio.timeout(30), host.serve(service_of(Watching([RESULT])), under) as way:
        connections = Connections(way, lambda: next(carried))
        worker = remote_service(connections, Limits())
        for _ in range(4):
            await run(worker.runs, EXECUTION)
            await worker.health.note_replay()
        connections.close()
    assert seen == [trace and f"host's {trace}" for trace in traces]


async def test_a_worker_that_stops_listening_stops_its_run() -> None:
    async def forever() -> AsyncIterator[Input]:
        await asyncio.Event().wait()
        yield Cancel()

    service = Scripted([Started("an-id", 0.0), RESULT])
    async with connected(service) as worker:
        async with aclosing(worker.runs.stream(EXECUTION, forever())) as events:
            assert isinstance(await anext(events), Started)
        await service.stopped.wait()


async def test_without_a_service_there_is_nothing_but_an_end() -> None:
    async with host.serve(service_of(Scripted())) as way:
        worker = remote_service(Connections(way), Limits())
    for question in (
        worker.health.readiness(),
        worker.health.metrics(),
        worker.rates.hit(A),
        run(worker.runs, EXECUTION),
    ):
        with pytest.raises(PoolClosedError, match="stopping"):
            await question


async def test_a_service_that_ends_ends_what_its_workers_ask() -> None:
    async def forever() -> AsyncIterator[Input]:
        await asyncio.Event().wait()
        yield Cancel()

    service = Scripted([Started("an-id", 0.0), RESULT])
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(connected(service))
        events = worker.runs.stream(EXECUTION, forever())
        await anext(events)
        await stack.aclose()
        with pytest.raises(PoolClosedError):
            await anext(events)
