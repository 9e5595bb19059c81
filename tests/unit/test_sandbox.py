"""A sandbox as the host sees it: what it says is counted, but not for ever, and nobody is waited for too long.

The test is the supervisor here; what real ones say is the contract's and the hostile tests' affair.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from code_executor.core.errors import SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Cell, Execution, Input, Stdin
from code_executor.sandbox import conversation
from code_executor.sandbox import sandbox as module
from code_executor.sandbox.conversation import MuteSandboxError
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import COMMAND, Cause, Command, CommandHeader, EventType, Outcome, event
from tests.census import until

pytestmark = pytest.mark.anyio

LIMITS = Limits(output=1 << 20, attachments=0)
WITHIN = 30.0
READY = event(EventType.READY, 0)
OUTCOME = Outcome(Cause.COMPLETED).pack()

Answer = Callable[[CommandHeader], bytes]


class Script:
    """The link to a supervisor that answers every command as the test says, once the command has been written."""

    def __init__(self, sandbox: Sandbox, answer: Answer) -> None:
        self._sandbox = sandbox
        self._answer = answer
        self.room = asyncio.Event()
        self.room.set()
        self.written: list[CommandHeader] = []

    async def write(self, data: bytes) -> None:
        header = CommandHeader._make(COMMAND.unpack_from(data))
        self.written.append(header)
        asyncio.get_running_loop().call_soon(self._sandbox.feed, self._answer(header))
        await self.room.wait()

    def begin(self) -> None:
        """It counts nothing."""

    async def held(self) -> bool:
        return False

    async def out_of_memory(self) -> bool:
        return False

    async def destroy(self) -> None:
        """There is nothing."""


async def scripted(answer: Answer, limits: Limits = LIMITS) -> tuple[Sandbox, Script]:
    sandbox = Sandbox("scripted", limits)
    script = Script(sandbox, answer)
    sandbox.attach(script)
    sandbox.feed(event(EventType.READY, 0, json.dumps({"protocol": protocol.VERSION}).encode()))
    await sandbox.boot()
    return sandbox, script


async def run(sandbox: Sandbox, execution: Execution, *inputs: Input) -> list[EventType]:
    """Run with these inputs and then no more, but without an end of them, as somebody at a keyboard."""

    async def typed() -> AsyncIterator[Input]:
        for item in inputs:
            yield item
        await asyncio.Event().wait()

    async with asyncio.timeout(WITHIN):
        fed = typed() if inputs or execution.session else None
        return [each.type async for each in sandbox.run(execution, sandbox.limits, fed)]


# ---- what is counted


async def test_what_was_taken_of_earlier_runs_is_not_counted_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNREAD", 0)
    full = bytes(LIMITS.output)
    sandbox, _ = await scripted(
        lambda said: event(EventType.STDOUT, said.run, full) + event(EventType.RESULT, said.run, OUTCOME) + READY
    )
    for _ in range(10):
        assert await run(sandbox, Execution("")) == [EventType.STDOUT, EventType.RESULT]
        await sandbox.settle()


async def test_events_that_nobody_takes_are_too_many_also_when_they_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNREAD", 1 << 20)
    sandbox, _ = await scripted(lambda _: b"", Limits(output=0, attachments=0))
    for _ in range(100):
        sandbox.feed(event(EventType.WAITING, 1) * 1000)
    assert not sandbox.usable


async def test_every_cell_may_write_as_much_as_a_run() -> None:
    full = event(EventType.STDOUT, 1, bytes(LIMITS.output)) + event(EventType.STDERR, 1, b"x")
    done = event(EventType.CELL_DONE, 1, OUTCOME)
    answers = iter([full + done] * 10 + [event(EventType.RESULT, 1, OUTCOME)])
    sandbox, _ = await scripted(lambda said: b"" if said.type == Command.RUN else next(answers))
    heard: list[EventType] = []

    async def cells() -> AsyncIterator[Input]:
        for number in range(11):
            await until(lambda: heard.count(EventType.CELL_DONE) == number)  # noqa: B023  # this number is meant
            yield Cell("")
        await asyncio.Event().wait()

    async with asyncio.timeout(WITHIN):
        async for each in sandbox.run(Execution("", session=True), LIMITS, cells()):
            heard.append(each.type)  # noqa: PERF401  # the cells look at it meanwhile
    assert heard == [EventType.STDOUT, EventType.STDERR, EventType.CELL_DONE] * 10 + [EventType.RESULT]


async def test_a_cell_ends_once() -> None:
    done = event(EventType.CELL_DONE, 1, OUTCOME)
    sandbox, _ = await scripted(lambda said: done * 2 if said.type == Command.CELL else b"")
    with pytest.raises(SandboxError, match="unexpected CELL_DONE"):
        await run(sandbox, Execution("", session=True), Cell(""))


async def test_the_number_of_a_run_fits_into_its_frame_however_many_there_were() -> None:
    sandbox, script = await scripted(lambda said: event(EventType.RESULT, said.run, OUTCOME) + READY)
    sandbox.runs = 0xFFFE
    for number in (0xFFFF, 0, 1):
        assert await run(sandbox, Execution("")) == [EventType.RESULT]
        await sandbox.settle()
        assert script.written[-1].run == number


# ---- how long is waited


def late(sandbox: Sandbox, data: bytes) -> None:
    """Say this after a while: whoever has no patience at all is gone by then."""
    asyncio.get_running_loop().call_later(0.05, sandbox.feed, data)


@pytest.mark.parametrize("session", [False, True])
async def test_a_human_and_an_idle_session_are_waited_for(monkeypatch: pytest.MonkeyPatch, session: bool) -> None:
    monkeypatch.setattr(conversation, "MUTE_AFTER", -10.0)  # so that no time is left but what is for the human
    limits = Limits(wall_time=10, input_time=0 if session else 60)
    sandbox, _ = await scripted(lambda _: b"", limits)
    late(sandbox, event(EventType.RESULT, 1, OUTCOME))
    typed: tuple[Input, ...] = () if session else (Stdin("x"),)
    assert await run(sandbox, Execution("", session=session), *typed) == [EventType.RESULT]


async def test_a_session_may_idle_after_a_cell_but_a_cell_may_not_last_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(wall_time=10, input_time=10)
    monkeypatch.setattr(conversation, "MUTE_AFTER", 0.02 - 10 - 10 - protocol.CELL_GRACE_MS / 1000)
    done = event(EventType.CELL_DONE, 1, OUTCOME)
    sandbox, _ = await scripted(lambda said: done if said.type == Command.CELL else b"", limits)
    late(sandbox, event(EventType.RESULT, 1, OUTCOME))
    session = Execution("", session=True)
    assert await run(sandbox, session, Cell("")) == [EventType.CELL_DONE, EventType.RESULT]
    mute, _ = await scripted(lambda _: b"", limits)
    with pytest.raises(MuteSandboxError):
        await run(mute, session, Cell(""))


async def test_a_cell_is_granted_its_time_its_human_and_its_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MUTE_AFTER", -10.0)
    for limits in (Limits(wall_time=10, input_time=60), Limits(wall_time=10, input_time=0)):
        sandbox, _ = await scripted(lambda _: b"", limits)
        late(sandbox, event(EventType.CELL_DONE, 1, OUTCOME) + event(EventType.RESULT, 1, OUTCOME))
        heard = await run(sandbox, Execution("", session=True), Cell(""))
        assert heard == [EventType.CELL_DONE, EventType.RESULT]


async def test_a_sandbox_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BOOT_WITHIN", 0.01)
    async with asyncio.timeout(WITHIN):
        with pytest.raises(SandboxError, match="no READY within"):
            await Sandbox("mute", LIMITS).boot()
    monkeypatch.setattr(module, "BOOT_WITHIN", WITHIN)
    monkeypatch.setattr(module, "SETTLE_WITHIN", 0.01)
    sandbox, _ = await scripted(lambda said: event(EventType.RESULT, said.run, OUTCOME))
    await run(sandbox, Execution(""))
    async with asyncio.timeout(WITHIN):
        with pytest.raises(SandboxError, match="no READY within"):
            await sandbox.settle()


async def test_a_sandbox_that_takes_nothing_is_not_waited_for_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MUTE_AFTER", 0.0)
    monkeypatch.setattr(module, "CANCELLED_WITHIN", 0.01)
    for session in (False, True):
        sandbox, script = await scripted(lambda _: b"", Limits(wall_time=0.01, input_time=0))
        script.room.clear()
        with pytest.raises(MuteSandboxError):
            await run(sandbox, Execution("", session=session))
        async with asyncio.timeout(WITHIN):
            with pytest.raises(SandboxError, match="did not accept CANCEL"):
                await sandbox.settle()


async def test_a_link_that_breaks_is_the_sandboxs_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, script = await scripted(lambda _: b"")

    async def broken(_: bytes) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(script, "write", broken)
    with pytest.raises(SandboxError, match="BrokenPipeError"):
        await run(sandbox, Execution(""))


# ---- who goes away


async def test_a_run_that_is_called_off_while_it_is_sent_is_cancelled_all_the_same() -> None:
    def answer(said: CommandHeader) -> bytes:
        return event(EventType.RESULT, 1, OUTCOME) + READY if said.type == Command.CANCEL else b""

    sandbox, script = await scripted(answer)
    script.room.clear()
    task = asyncio.create_task(run(sandbox, Execution("")))
    await until(lambda: script.written)
    task.cancel()
    await asyncio.wait([task])
    script.room.set()
    await sandbox.settle()
    assert [header.type for header in script.written] == [Command.RUN, Command.CANCEL]


async def test_who_destroys_a_sandbox_is_not_told_that_it_is_lost_and_who_waits_for_it_is() -> None:
    sandbox, _ = await scripted(lambda _: b"")
    told: list[Sandbox] = []
    sandbox.on_lost = told.append
    task = asyncio.create_task(run(sandbox, Execution("")))
    await asyncio.sleep(0)
    await sandbox.destroy()
    with pytest.raises(SandboxError, match="destroyed"):
        await task
    assert told == []


async def test_a_loss_is_told_once_and_its_first_reason_stands() -> None:
    sandbox, _ = await scripted(lambda _: b"")
    told: list[Sandbox] = []
    sandbox.on_lost = told.append
    sandbox.lost("it fell over")
    sandbox.lost("it is gone")
    sandbox.feed(READY)
    assert told == [sandbox]
    assert sandbox._events.qsize() == 1  # its end, and nothing that came afterwards
    with pytest.raises(SandboxError, match="it fell over"):
        await run(sandbox, Execution(""))


# ---- who reads slowly


async def test_who_reads_slowly_gets_everything_of_a_run_that_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MUTE_AFTER", 0.0)
    said = event(EventType.STDOUT, 1, b"x") + event(EventType.RESULT, 1, OUTCOME)
    sandbox, _ = await scripted(lambda _: said, Limits(wall_time=0.01))
    heard = []
    async for each in sandbox.run(Execution(""), sandbox.limits):
        heard.append(each.type)
        await asyncio.sleep(0.1)  # past its time
    assert heard == [EventType.STDOUT, EventType.RESULT]
    assert sandbox.usable


async def test_a_mute_sandbox_is_given_up_and_its_reader_is_not_called_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "MUTE_AFTER", 0.0)
    sandbox, _ = await scripted(lambda _: event(EventType.STDOUT, 1, b"x"), Limits(wall_time=0.01))
    told: list[Sandbox] = []
    sandbox.on_lost = told.append
    events = sandbox.run(Execution(""), sandbox.limits)
    assert (await anext(events)).type is EventType.STDOUT
    await until(lambda: told)  # by no reader
    with pytest.raises(MuteSandboxError):
        await anext(events)
