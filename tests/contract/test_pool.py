"""The pool over real sandboxes: fresh ones where that is asked for, a bounded queue, and healing when one dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from code_executor import Execution, Executor, Output, Reason, Result
from code_executor.app.bootstrap import examine_sandbox, make_engine
from code_executor.app.environments import load
from code_executor.app.settings import Settings
from code_executor.core.errors import PoolBusyError, PoolClosedError
from code_executor.sandbox.native import NativeLink
from code_executor.sandbox.sandbox import Sandbox
from tests.census import until

FOREVER = "import time\nprint('first', flush=True)\ntime.sleep(600)"


@asynccontextmanager
async def opened(engine: str, **settings: object) -> AsyncIterator[Executor]:
    """Open an executor of one sandbox, without the examination's runs."""
    async with Executor.open(engine=engine, policy="off", preload=(), **{"pool_size": 1, **settings}) as executor:
        yield executor


@asynccontextmanager
async def busy(executor: Executor) -> AsyncIterator[Sandbox]:
    """Keep a sandbox of the pool busy."""
    before = set(executor.pool.book.busy)
    async with aclosing(executor.stream(Execution(FOREVER))) as events:
        await anext(events)
        (sandbox,) = executor.pool.book.busy - before
        yield sandbox


async def sandbox_of_a_run(executor: Executor) -> str:
    async with aclosing(executor.stream(Execution("print('ran')"))) as events:
        await anext(events)
        (sandbox,) = executor.pool.book.busy
        *_, result = [event async for event in events]
    assert isinstance(result, Result)
    assert result.output == "ran\n"
    return sandbox.name


def kill(sandbox: Sandbox) -> None:
    """Kill the supervisor from outside, as an out-of-memory killer or an operator would."""
    link = sandbox._link
    if isinstance(link, NativeLink):
        assert link._process is not None
        children = Path(f"/proc/{link._process.pid}/task/{link._process.pid}/children").read_text()
        os.kill(int(children.split()[0]), signal.SIGKILL)
    else:
        subprocess.run(["docker", "kill", sandbox.name], check=True, capture_output=True)


@pytest.mark.anyio
@pytest.mark.parametrize("reuse", [0, 1])
async def test_without_reuse_every_run_has_a_sandbox_of_its_own(engine: str, reuse: int) -> None:
    async with opened(engine, reuse=reuse) as executor:
        names = [await sandbox_of_a_run(executor) for _ in range(3)]
    assert len(set(names)) == 3


@pytest.mark.anyio
async def test_a_sandbox_is_replaced_after_as_many_runs_as_are_set(engine: str) -> None:
    async with opened(engine, reuse=4) as executor:  # two of them for the examination at the start
        names = [await sandbox_of_a_run(executor) for _ in range(4)]
    assert [names.index(name) for name in names] == [0, 0, 2, 2]


@pytest.mark.anyio
async def test_a_sandbox_is_replaced_when_it_has_lived_long_enough(engine: str) -> None:
    async with opened(engine, lifetime=0.001) as executor:
        names = [await sandbox_of_a_run(executor) for _ in range(2)]
    assert len(set(names)) == 2


@pytest.mark.anyio
async def test_who_waits_too_long_is_told_when_to_come_again(engine: str) -> None:
    async with opened(engine, queue_timeout=0.2) as executor:
        async with busy(executor):
            with pytest.raises(PoolBusyError, match=r"every sandbox stayed busy for 0\.2 s") as caught:
                await executor.run("print(1)")
        assert 1 <= caught.value.retry_after <= 30
        assert (await executor.run("print('well')", timeout=5)).output == "well\n"


@pytest.mark.anyio
async def test_the_queue_is_bounded_and_served_in_order(engine: str) -> None:
    async with opened(engine, queue_size=2) as executor:
        order: list[str] = []

        async def run(text: str) -> None:
            order.append((await executor.run(f"print({text!r})")).output.strip())

        async with asyncio.TaskGroup() as group, busy(executor):
            waiting = []
            for text in ("first", "second"):
                waiting.append(group.create_task(run(text)))
                await until(lambda: executor.waiting == len(waiting))
            with pytest.raises(PoolBusyError, match="too many executions are waiting"):
                await executor.run("print('third')")
        assert order == ["first", "second"]


@pytest.mark.anyio
async def test_a_pool_grows_to_its_bound_under_load(engine: str) -> None:
    async with opened(engine, pool_size=3, pool_min=1) as executor:
        async with busy(executor) as one, busy(executor) as two, busy(executor) as three:
            assert len({one.name, two.name, three.name}) == 3
            assert executor.pool.book.total == 3
        results = await asyncio.gather(*(executor.run(f"print({n})") for n in range(12)))
        assert [result.output for result in results] == [f"{n}\n" for n in range(12)]
        assert executor.pool.book.total <= 3


@pytest.mark.anyio
async def test_a_sandbox_killed_under_a_run_is_internal_keeps_the_output_and_is_replaced(engine: str) -> None:
    async with opened(engine) as executor:
        sandbox, result = None, None
        async with aclosing(executor.stream(Execution(FOREVER))) as events:
            async for event in events:
                if isinstance(event, Output) and sandbox is None:
                    (sandbox,) = executor.pool.book.busy
                    await asyncio.to_thread(kill, sandbox)
                elif isinstance(event, Result):
                    result = event
        assert sandbox is not None
        assert result is not None
        assert (result.reason, result.exit_code) == (Reason.INTERNAL, None)
        assert result.output.startswith("first")
        assert "It is not your fault, and it is safe to try again." in result.error
        assert await sandbox_of_a_run(executor) != sandbox.name


@pytest.mark.anyio
async def test_a_sandbox_killed_while_it_is_idle_is_replaced(engine: str) -> None:
    async with opened(engine) as executor:
        await until(lambda: executor.pool.book.idle)
        (sandbox,) = executor.pool.book.idle
        await asyncio.to_thread(kill, sandbox)
        await until(lambda: not sandbox.usable)
        assert await sandbox_of_a_run(executor) != sandbox.name


@pytest.mark.anyio
async def test_a_run_that_dies_of_a_signal_costs_its_sandbox(engine: str) -> None:
    async with opened(engine) as executor:
        before = await sandbox_of_a_run(executor)
        assert (await executor.run("import os; os.kill(os.getpid(), 11)")).reason is Reason.SIGNAL
        assert await sandbox_of_a_run(executor) != before


@pytest.mark.anyio
async def test_closing_lets_a_run_end_and_turns_away_who_waits(engine: str) -> None:
    async with opened(engine) as executor:
        running = asyncio.create_task(executor.run(FOREVER, timeout=1))
        await until(lambda: executor.pool.book.busy)
        waiting = asyncio.create_task(executor.run("print(1)"))
        await until(lambda: executor.waiting)
    assert ((await running).reason, (await running).output) == (Reason.WALL_TIME, "first\n")
    with pytest.raises(PoolClosedError):
        await waiting
    with pytest.raises(PoolClosedError):
        await executor.run("print(1)")


@pytest.mark.anyio
async def test_both_runs_of_an_examination_are_of_one_sandbox(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a sandbox is reset cannot show in another one, also where every run has its own."""
    seen = []
    run = Sandbox.run

    def noted(sandbox: Sandbox, *execution: Any) -> Any:
        seen.append(sandbox.name)
        return run(sandbox, *execution)

    async with opened(engine, pool_size=2, reuse=0) as executor:
        await until(lambda: len(executor.pool.book.idle) == 2)
        monkeypatch.setattr(Sandbox, "run", noted)
        findings = await examine_sandbox(executor.pool, executor.limits)
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert next(finding for finding in findings if finding.layer == "reset").held


def test_a_sandbox_that_is_not_wanted_while_it_starts_is_given_up_at_once() -> None:
    """bubblewrap has a child by then, which keeps its pipes open until it may go on: asyncio waits for their end."""

    async def give_up() -> None:
        settings = Settings.load(engine="native", preload=(), preload_always=())
        engine = make_engine(settings, load(settings)[0], "native")
        await engine.start()
        for steps in range(8):  # of the loop, while the pipes are connected
            making = asyncio.create_task(engine.create())
            for _ in range(steps):
                await asyncio.sleep(0)
            time.sleep(0.01)  # noqa: ASYNC251  # the loop is busy, and bubblewrap is not
            making.cancel()
            await asyncio.wait([making], timeout=10)
            assert making.cancelled(), steps
        await engine.close()

    asyncio.run(give_up())
