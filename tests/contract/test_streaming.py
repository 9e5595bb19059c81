"""Events arrive while the program runs, and whoever stops listening stops the run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from code_executor import Execution, Executor, Output, Reason, Result
from code_executor.core.models import Cancel, Input, Interrupt, Started, Stdin, Waiting
from tests.census import until

FOREVER = "import time\nprint('first', flush=True)\ntime.sleep(600)"


@pytest.fixture(scope="module")
async def single(engine: str) -> AsyncIterator[Executor]:
    """An executor of one sandbox, so that the next run is the next one in the same."""
    async with Executor.open(engine=engine, policy="off", pool_size=1, preload=()) as opened:
        yield opened


async def until_output(executor: Executor) -> str:
    """Start a program that never ends, wait for what it prints first, and stop it; return its sandbox's name."""
    async with aclosing(executor.stream(Execution(FOREVER))) as events:
        async for event in events:
            if isinstance(event, Output):
                assert event.data.startswith("first")
                (sandbox,) = executor.pool.book.busy
                return sandbox.name
    pytest.fail("it printed nothing")


@pytest.mark.anyio
async def test_the_first_event_is_started_and_the_last_the_result(single: Executor) -> None:
    execution = Execution("import sys\nprint(1)\nprint(2, file=sys.stderr)")
    events = [event async for event in single.stream(execution)]
    started, *outputs, result = events
    assert isinstance(started, Started)
    assert isinstance(result, Result)
    assert started.id == result.id == execution.id
    assert all(isinstance(output, Output) for output in outputs)
    streamed = {"stdout": "", "stderr": ""}
    for output in outputs:
        assert isinstance(output, Output)
        streamed[output.stream] += output.data
    assert streamed == {"stdout": "1\n", "stderr": "2\n"}
    assert (result.output, result.error) == ("1\n", "2")


@pytest.mark.anyio
async def test_output_arrives_before_the_program_ends_and_input_reaches_it_then(single: Executor) -> None:
    said: asyncio.Queue[Input] = asyncio.Queue()
    code = "print('who?')\nname = input()\nprint('hello', name)\nprint(input() or 'nothing')"
    answers = {"who?\n": Stdin("Ada\n"), "who?\nhello Ada\n": Stdin("")}
    heard = ""
    async with asyncio.timeout(20), aclosing(single.stream(Execution(code), items(said))) as events:
        async for event in events:
            if isinstance(event, Output):
                heard += event.data
                if heard in answers:
                    said.put_nowait(answers[heard])
            elif isinstance(event, Waiting) and heard.endswith("Ada\n"):
                said.put_nowait(Stdin("\n"))
            elif isinstance(event, Result):
                assert event.output == heard == "who?\nhello Ada\nnothing\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("item", "reason", "output"),
    [
        (Interrupt(), Reason.CANCELLED, "first\n"),
        (Cancel(), Reason.CANCELLED, "first\n"),
        (Stdin(None), Reason.EXCEPTION, "first\n"),
    ],
)
async def test_a_run_can_be_interrupted_cancelled_and_its_stdin_closed(
    single: Executor, item: Input, reason: Reason, output: str
) -> None:
    said: asyncio.Queue[Input] = asyncio.Queue()
    async with asyncio.timeout(20):
        async for event in single.stream(Execution("print('first')\ninput()"), items(said)):
            if isinstance(event, Waiting):
                said.put_nowait(item)
            elif isinstance(event, Result):
                assert (event.reason, event.output) == (reason, output)
        assert (await single.run("print('well')")).output == "well\n"


@pytest.mark.anyio
async def test_waiting_for_input_is_bounded_apart_from_running(engine: str) -> None:
    async with Executor.open(engine=engine, pool_size=1, preload=(), input_timeout=1, max_timeout=20) as executor:
        *_, result = [
            event async for event in executor.stream(Execution("print('first')\ninput()"), items(asyncio.Queue()))
        ]
    assert isinstance(result, Result)
    assert (result.reason, result.output) == (Reason.INPUT_TIME, "first\n")
    assert result.error == "Your program waited too long for input."


async def items(said: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await said.get()


@pytest.mark.anyio
async def test_pieces_arrive_in_the_order_they_were_written(single: Executor) -> None:
    execution = Execution("for n in range(5000): print(n)")
    pieces = [event.data async for event in single.stream(execution) if isinstance(event, Output)]
    assert len(pieces) > 1
    assert "".join(pieces) == "".join(f"{n}\n" for n in range(5000))


@pytest.mark.anyio
async def test_closing_the_stream_stops_the_run_and_the_same_sandbox_serves_again(single: Executor) -> None:
    async with asyncio.timeout(20):
        first = await until_output(single)
        second = await until_output(single)
        result = await single.run("print('well')")
    assert first == second
    assert result.output == "well\n"


@pytest.mark.anyio
async def test_closing_the_stream_stops_a_run_that_does_not_read_its_stdin_too(single: Executor) -> None:
    async with asyncio.timeout(20):
        async with aclosing(single.stream(Execution(FOREVER, stdin="x" * (1 << 20)))) as events:
            async for event in events:
                if isinstance(event, Output):
                    break
        assert (await single.run("print('well')")).output == "well\n"


@pytest.mark.anyio
async def test_who_goes_away_before_the_run_begins_gives_the_sandbox_back_unused(single: Executor) -> None:
    async with aclosing(single.stream(Execution("print(1)"))) as events:
        await anext(events)
        (sandbox,) = single.pool.book.busy
    assert await until_output(single) == sandbox.name


@pytest.mark.anyio
async def test_cancelling_a_run_stops_it(single: Executor) -> None:
    task = asyncio.create_task(single.run(FOREVER))
    async with asyncio.timeout(20):
        await until(lambda: single.pool.book.busy)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await single.run("print('well')")).output == "well\n"


@pytest.mark.anyio
async def test_cancelling_whoever_waits_for_a_sandbox_leaves_the_queue_whole(single: Executor) -> None:
    async with asyncio.timeout(20):
        async with aclosing(single.stream(Execution(FOREVER))) as events:
            await anext(events)
            waiting = [asyncio.create_task(single.run(f"print({n})")) for n in range(3)]
            await until(lambda: single.waiting == 3)
            waiting[1].cancel()
            await asyncio.wait([waiting[1]])
        assert [(await waiting[n]).output for n in (0, 2)] == ["0\n", "2\n"]
    assert not single.waiting


@pytest.mark.anyio
async def test_a_listener_that_is_slow_loses_nothing(single: Executor) -> None:
    code = "import sys\nfor n in range(4000): sys.stdout.write('x' * 200 + '\\n')"
    text = ""
    async with aclosing(single.stream(Execution(code))) as events:
        async for event in events:
            await asyncio.sleep(0)
            if isinstance(event, Output):
                text += event.data
            elif isinstance(event, Result):
                assert event.reason is Reason.COMPLETED
    assert text == ("x" * 200 + "\n") * 4000
