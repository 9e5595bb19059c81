"""Who may open a session, and when one ends: decisions on plain state, stepped through without any sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import pytest

from code_executor.core.caller import Caller
from code_executor.core.errors import (
    CellUnknownError,
    PoolBusyError,
    SessionBusyError,
    SessionKeyError,
    SessionsFullError,
    SessionsOffError,
    SessionUnknownError,
)
from code_executor.core.limits import SessionLimits
from code_executor.core.models import (
    Cancel,
    Cell,
    CellDone,
    Event,
    Execution,
    File,
    Input,
    Interrupt,
    Reason,
    Result,
    SessionState,
    Started,
    Stdin,
)
from code_executor.core.runner import Runner
from code_executor.execution.session import Session
from code_executor.service.sessions import SessionBook, Sessions
from tests.census import until

pytestmark = pytest.mark.anyio

WITHIN = 30.0
A = Caller("a")


class Interpreter:
    """A runner of sessions that ends a cell when it is given a line or interrupted, and all when it is told to."""

    def __init__(self, failure: Exception | None = None, *, busy: bool = False) -> None:
        self.alive = 0
        self._busy = busy
        self._failure = failure

    async def stream(self, execution: Execution, inputs: AsyncIterator[Input]) -> AsyncGenerator[Event, None]:
        assert execution.session
        if self._failure:
            raise self._failure
        self.alive += 1
        try:
            if self._busy:
                await asyncio.Event().wait()
            yield Started(execution.id, 0.0)
            cell: Cell | None = None
            async for item in inputs:
                match item:
                    case Cell():
                        cell = item
                    case Stdin() if cell is not None:
                        yield CellDone(Result(cell.id, Reason.COMPLETED, output=item.data or ""))
                    case Interrupt() if cell is not None:
                        yield CellDone(Result(cell.id, Reason.CANCELLED))
                    case Cancel() if cell is not None:
                        yield CellDone(Result(cell.id, Reason.CANCELLED, output="so far"))
                        yield Result(execution.id, Reason.CANCELLED)
                        return
        finally:
            self.alive -= 1


def runner(interpreter: Interpreter) -> Runner:
    return cast("Runner", interpreter)


async def finish(session: Session, line: str) -> Result:
    """Run a cell to its end."""
    task = asyncio.create_task(session.run("code"))
    await until(lambda: session.state is SessionState.RUNNING)
    session.send(Stdin(line))
    return await task


# ---- who may have one


def test_a_caller_has_so_many_and_all_have_so_many() -> None:
    book = SessionBook(SessionLimits(open=3, open_per_caller=2))

    def admit(caller: str) -> str:
        return book.admit(Caller(caller), Session(runner(Interpreter()), caller=Caller(caller)))

    first, second = admit("a"), admit("a")
    with pytest.raises(SessionsFullError) as own:
        admit("a")
    admit("b")
    with pytest.raises(SessionsFullError) as full:
        admit("c")
    assert (own.value.own, full.value.own) == (True, False)
    book.forget(first, book.sessions[first])
    assert len({first, second, admit("c")}) == 3
    assert book.opened == 4


def test_without_any_nobody_learns_more() -> None:
    book = SessionBook(SessionLimits(open=0))
    with pytest.raises(SessionsOffError):
        book.admit(A, Session(runner(Interpreter())))
    with pytest.raises(SessionsOffError):
        book.find("name", A)


async def test_a_key_finds_the_session_that_it_opened_and_no_other() -> None:
    async with asyncio.timeout(WITHIN), Sessions(runner(Interpreter()), SessionLimits(4, 4)) as sessions:
        first = await sessions.open(A, (), "key")
        assert (await sessions.open(A, (), "key")).id == first.id
        others = {
            (await sessions.open(caller, (), key)).id for caller, key in ((A, ""), (A, "else"), (Caller("b"), "key"))
        }
        assert len({first.id, *others}) == 4
        with pytest.raises(SessionKeyError):
            await sessions.open(A, (File("a", b""),), "key")
        await sessions.end(first.id, A)
        assert (await sessions.open(A, (File("a", b""),), "key")).id != first.id
        assert sessions.book.opened == 5


async def test_while_a_session_is_being_opened_its_key_is_busy() -> None:
    async with asyncio.timeout(WITHIN), Sessions(runner(Interpreter(busy=True)), SessionLimits(4, 4)) as sessions:
        task = asyncio.create_task(sessions.open(A, (), "key"))
        await until(lambda: bool(sessions.book.busy))
        with pytest.raises(SessionBusyError):
            await sessions.open(A, (), "key")
        task.cancel()
        await asyncio.wait([task])
        assert (sessions.book.keys, sessions.book.sessions, sessions.book.busy) == ({}, {}, set())


async def test_a_caller_lists_its_own_sessions_and_nobody_elses() -> None:
    async with asyncio.timeout(WITHIN), Sessions(runner(Interpreter()), SessionLimits(4, 4)) as sessions:
        own = [(await sessions.open(A)).id for _ in range(2)]
        await sessions.open(Caller("b"))
        assert [info.id for info in await sessions.list(A)] == own
        assert await sessions.list(Caller("c")) == []
        await sessions.end(own[0], A)
        assert [info.id for info in await sessions.list(A)] == own[1:]


async def test_where_there_is_no_list_there_is_none() -> None:
    async with asyncio.timeout(WITHIN), Sessions(runner(Interpreter()), SessionLimits(listed=False)) as sessions:
        await sessions.open(A)
        with pytest.raises(SessionsOffError):
            await sessions.list(A)


async def test_a_restarted_session_keeps_its_name_its_key_and_its_place_and_nothing_else() -> None:
    interpreter = Interpreter()
    files = (File("a", b"1"),)
    async with asyncio.timeout(WITHIN), Sessions(runner(interpreter), SessionLimits(2, 1)) as sessions:
        name = (await sessions.open(A, files, "key")).id
        old = sessions.book.sessions[name]
        await finish(old, "line")
        under_way = asyncio.create_task(old.run("code"))
        await until(lambda: old.state is SessionState.RUNNING)
        info = await sessions.restart(name, A)
        assert (info.id, info.cells, info.state) == (name, 0, SessionState.IDLE)
        assert (await under_way).reason is Reason.CANCELLED
        fresh = sessions.book.sessions[name]
        assert fresh is not old
        assert (fresh.files, old.why, interpreter.alive) == (files, "restarted", 1)
        assert (await sessions.open(A, files, "key")).id == name
        with pytest.raises(SessionsFullError):
            await sessions.open(A)
        with pytest.raises(SessionUnknownError):
            await sessions.restart(name, Caller("b"))
        await sessions.end(name, A)
        assert (sessions.book.sessions, interpreter.alive) == ({}, 0)


async def test_a_restart_that_is_broken_off_leaves_no_place_taken() -> None:
    interpreter = Interpreter()
    async with asyncio.timeout(WITHIN), Sessions(runner(interpreter), SessionLimits(1, 1)) as sessions:
        name = (await sessions.open(A, key="key")).id
        restart = asyncio.create_task(sessions.restart(name, A))
        await asyncio.sleep(0)  # it has begun to end the old one
        restart.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restart
        assert (sessions.book.sessions, sessions.book.busy) == ({}, set())
        await until(lambda: interpreter.alive == 0)
        assert (await sessions.open(A, key="key")).id != name


async def test_a_session_that_nothing_was_done_in_makes_room_for_its_callers_next_and_for_nobody_else() -> None:
    interpreter = Interpreter()
    async with asyncio.timeout(WITHIN), Sessions(runner(interpreter), SessionLimits(1, 1)) as sessions:
        lost = (await sessions.open(A)).id
        session = sessions.book.sessions[lost]
        with pytest.raises(SessionsFullError):
            await sessions.open(Caller("b"))
        name = (await sessions.open(A)).id
        assert (list(sessions.book.sessions), session.why, interpreter.alive) == ([name], "lost", 1)
        await finish(sessions.book.sessions[name], "used")
        with pytest.raises(SessionsFullError):
            await sessions.open(A)


async def test_a_session_that_nothing_was_done_in_stays_where_there_is_room_for_another() -> None:
    async with asyncio.timeout(WITHIN), Sessions(runner(Interpreter()), SessionLimits(3, 2)) as sessions:
        first, second = [(await sessions.open(A)).id for _ in range(2)]
        third = (await sessions.open(A)).id
        assert list(sessions.book.sessions) == [second, third]
        assert first != third


async def test_a_restarted_session_is_known_to_its_caller() -> None:
    async with asyncio.timeout(WITHIN), Sessions(runner(Interpreter()), SessionLimits(1, 1)) as sessions:
        name = (await sessions.open(A)).id
        await sessions.restart(name, A)
        with pytest.raises(SessionsFullError):
            await sessions.open(A)


async def test_the_result_of_the_last_cell_is_told_again_and_of_no_other() -> None:
    async with asyncio.timeout(WITHIN), Session(runner(Interpreter())) as session:
        with pytest.raises(CellUnknownError, match="none yet"):
            session.result(1)
        first = await finish(session, "one")
        assert session.result(1) is first
        second = await finish(session, "two")
        assert session.result(2) is second
        for number in (0, 1, 3):
            with pytest.raises(CellUnknownError, match="cell 2"):
                session.result(number)
        task = asyncio.create_task(session.run("code"))
        await until(lambda: session.state is SessionState.RUNNING)
        with pytest.raises(SessionBusyError):
            session.result(3)
        session.send(Stdin("three"))
        third = await task
        assert session.result(3) is third


async def test_a_session_is_found_by_its_owner_while_it_lives() -> None:
    async with Sessions(runner(Interpreter()), SessionLimits()) as sessions:
        name = (await sessions.open(A)).id
        assert (await sessions.info(name, A)).state is SessionState.IDLE
        for asked, caller in ((name, Caller("b")), (name[:-1], A), ("", A)):
            with pytest.raises(SessionUnknownError):
                await sessions.info(asked, caller)
        await sessions.end(name, A)
        with pytest.raises(SessionUnknownError):
            (await sessions.info(name, A))


async def test_who_gets_no_sandbox_takes_no_place() -> None:
    sessions = Sessions(runner(Interpreter(PoolBusyError("busy", 1))), SessionLimits(open=1))
    for _ in range(3):
        with pytest.raises(PoolBusyError):
            await sessions.open(A)
    assert sessions.book.sessions == {}


async def test_who_goes_away_while_it_waits_takes_no_place() -> None:
    interpreter = Interpreter(busy=True)
    sessions = Sessions(runner(interpreter), SessionLimits(open=1))
    task = asyncio.create_task(sessions.open(A))
    await until(lambda: interpreter.alive)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (sessions.book.sessions, interpreter.alive) == ({}, 0)


# ---- cells


async def test_cells_are_answered_one_after_another() -> None:
    async with Session(runner(Interpreter())) as session:
        assert (await finish(session, "one")).output == "one"
        assert (await finish(session, "two")).output == "two"
        assert (session.state, session.cells) == (SessionState.IDLE, 2)


async def test_a_second_cell_and_input_for_none_are_refused() -> None:
    async with Session(runner(Interpreter())) as session:
        with pytest.raises(SessionBusyError):
            session.send(Interrupt())
        task = asyncio.create_task(session.run("code"))
        await asyncio.sleep(0)
        with pytest.raises(SessionBusyError):
            await session.run("another")
        session.send(Interrupt())
        assert (await task).reason is Reason.CANCELLED


async def test_input_that_nobody_takes_does_not_pile_up() -> None:
    async with Session(runner(Interpreter())) as session:
        task = asyncio.create_task(session.run("code"))
        await asyncio.sleep(0)
        with pytest.raises(SessionBusyError, match="more input than it may have"):
            list(map(session.send, [Stdin("x")] * 5000))
        await task
    async with Session(runner(Interpreter())) as session:
        task = asyncio.create_task(session.run("code"))
        await asyncio.sleep(0)
        with pytest.raises(SessionBusyError, match="more input than it may have"):
            session.send(Stdin("é" * 600_000))
        session.send(Interrupt())
        await task


async def test_closing_waits_for_what_the_cell_has_to_say() -> None:
    session = Session(runner(Interpreter()))
    await session.open()
    task = asyncio.create_task(session.run("code"))
    await asyncio.sleep(0)
    await session.close("stopping")
    assert ((await task).output, session.why, session.state) == ("so far", "stopping", SessionState.OVER)
    with pytest.raises(SessionUnknownError):
        await session.run("code")


# ---- the end


def test_the_time_left_is_that_of_idling_or_of_age_whichever_is_less() -> None:
    def left(now: float, limits: SessionLimits) -> float:
        session = Session(runner(Interpreter()), limits=limits)
        session.began, session.used, session.known = 100.0, 150.0, known
        return session.left(now)

    known = True
    assert left(160.0, SessionLimits(idle=20, age=1000)) == 10
    assert left(160.0, SessionLimits(idle=20, age=65)) == 5
    assert left(180.0, SessionLimits(idle=20, age=1000)) == -10
    assert left(160.0, SessionLimits(idle=600, age=1000)) == 590
    known = False
    assert left(160.0, SessionLimits(idle=600, age=1000)) == 20
    assert left(160.0, SessionLimits(idle=20, age=1000)) == 10


@pytest.mark.parametrize(("limits", "why"), [(SessionLimits(idle=0.05), "idle"), (SessionLimits(age=0.05), "age")])
async def test_what_idles_or_is_old_ends_and_makes_room(limits: SessionLimits, why: str) -> None:
    interpreter = Interpreter()
    async with asyncio.timeout(WITHIN), Sessions(runner(interpreter), limits) as sessions:
        name = (await sessions.open(A)).id
        session = sessions.book.sessions[name]
        await until(lambda: not sessions.book.sessions)
        assert (session.why, interpreter.alive) == (why, 0)
        await sessions.open(A)


async def test_closing_ends_all() -> None:
    interpreter = Interpreter()
    async with Sessions(runner(interpreter), SessionLimits(open=3, open_per_caller=3)) as sessions:
        for _ in range(3):
            await sessions.open(A)
        assert interpreter.alive == 3
    assert interpreter.alive == 0
    assert sessions.book.sessions == {}
