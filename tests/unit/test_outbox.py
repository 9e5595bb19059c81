"""Who is owed what, who is too slow, and whose connection goes: stepped through with a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from code_executor.api.answers import object_answer, result_fields
from code_executor.api.identity import Identity
from code_executor.api.outbox import WIRE, Debt, Ledger, Outbox, Wire
from code_executor.api.pieces import PIECE, event_object
from code_executor.api.socket import send_object
from code_executor.api.streaming import EventStream
from code_executor.core.caller import Caller
from code_executor.core.limits import SendLimits
from code_executor.core.models import Display, Event, Reason, Result, Started

pytestmark = pytest.mark.anyio

LIMITS = SendLimits(owed=1_000_000, owed_per_caller=600_000, stall=30.0, rate=1000)


class Pipe:
    """A transport whose client takes what the test says."""

    def __init__(self) -> None:
        self.buffered = 0
        self.aborted = False

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True
        self.buffered = 0

    def get_extra_info(self, _name: str) -> Any:
        return None


class Bench:
    """A ledger, and connections in it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.ledger = Ledger(LIMITS, lambda: self.time, lambda _ledger: None)

    def connect(self, caller: str = "a") -> tuple[Debt, Pipe]:
        pipe = Pipe()
        return Debt(self.ledger, Caller(caller), pipe), pipe

    def write(self, debt: Debt, pipe: Pipe, size: int) -> None:
        pipe.buffered += size
        debt.gave(size)

    def after(self, seconds: float) -> None:
        self.time += seconds
        self.ledger.review()


async def test_a_client_that_takes_nothing_goes_after_the_stall_and_not_before() -> None:
    bench = Bench()
    debt, pipe = bench.connect()
    bench.write(debt, pipe, 5000)
    bench.after(30)
    assert not pipe.aborted
    bench.after(1)
    assert pipe.aborted
    assert bench.ledger.aborted == Counter(stall=1)
    assert bench.ledger.owed == 0


async def test_a_client_that_takes_a_byte_now_and_then_goes_for_its_rate() -> None:
    bench = Bench()
    debt, pipe = bench.connect()
    bench.write(debt, pipe, 60_000)
    seconds = 0
    while not pipe.aborted:
        pipe.buffered -= 1
        bench.after(29)
        seconds += 29
        assert seconds < 300
    assert bench.ledger.aborted == Counter(rate=1)


async def test_a_client_at_the_least_rate_is_served_for_as_long_as_it_takes() -> None:
    bench = Bench()
    debt, pipe = bench.connect()
    debt.hold(500_000)
    for _ in range(500):
        bench.write(debt, pipe, 1000)
        bench.after(1)
        pipe.buffered -= 1000
    debt.release(500_000)
    bench.after(1)
    assert not pipe.aborted
    assert bench.ledger.owed == 0


async def test_pings_that_are_answered_do_not_count_as_progress() -> None:
    bench = Bench()
    debt, pipe = bench.connect()
    bench.write(debt, pipe, 5000)
    for _ in range(31):
        pipe.buffered += 100  # what the protocol wrote by itself
        bench.after(1)
    assert pipe.aborted


async def test_time_with_nothing_owed_does_not_count() -> None:
    bench = Bench()
    debt, pipe = bench.connect()
    for _ in range(5):
        bench.write(debt, pipe, 100)
        bench.after(20)
        pipe.buffered = 0
        bench.after(20)
    assert not pipe.aborted


async def test_over_a_callers_budget_its_slowest_goes_and_nobody_elses() -> None:
    bench = Bench()
    slow, slow_pipe = bench.connect("a")
    other, other_pipe = bench.connect("b")
    slow.hold(300_000)
    other.hold(300_000)
    bench.time = 5
    fast, fast_pipe = bench.connect("a")
    bench.write(fast, fast_pipe, 70_000)
    fast.hold(299_000)
    assert (slow_pipe.aborted, fast_pipe.aborted, other_pipe.aborted) == (True, False, False)
    assert bench.ledger.aborted == Counter(client_budget=1)


async def test_over_the_whole_budget_the_slowest_of_all_goes() -> None:
    bench = Bench()
    made = []
    for at in range(5):
        bench.time = at
        debt, pipe = bench.connect(str(at))
        debt.hold(300_000)
        made.append(pipe)
    assert [pipe.aborted for pipe in made] == [True, True, False, False, False]
    assert bench.ledger.aborted == Counter(budget=2)


async def test_who_steps_on_is_behind_who_does_not() -> None:
    bench = Bench()
    reader, reader_pipe = bench.connect("reader")
    reader.hold(400_000)
    bench.time = 1
    stalled, stalled_pipe = bench.connect("stalled")
    stalled.hold(400_000)
    bench.time = 2
    bench.write(reader, reader_pipe, 70_000)
    reader_pipe.buffered = 0
    bench.time = 3
    new, new_pipe = bench.connect("new")
    new.hold(400_000)
    assert (reader_pipe.aborted, stalled_pipe.aborted, new_pipe.aborted) == (False, True, False)


async def test_small_debts_do_not_go_for_large_ones() -> None:
    bench = Bench()
    small, small_pipe = bench.connect("a")
    bench.write(small, small_pipe, 1000)
    bench.time = 10
    large, large_pipe = bench.connect("a")
    large.hold(700_000)
    assert (small_pipe.aborted, large_pipe.aborted) == (False, True)


async def test_many_small_debts_are_bounded_too() -> None:
    bench = Bench()
    pipes = []
    for at in range(30):
        bench.time = at / 10
        debt, pipe = bench.connect()
        bench.write(debt, pipe, 50_000)
        pipes.append(pipe)
    bench.after(1)
    assert [pipe.aborted for pipe in pipes] == [True] * 18 + [False] * 12


async def test_it_looks_for_as_long_as_anything_is_owed_and_says_so() -> None:
    told: asyncio.Queue[int] = asyncio.Queue()
    ledger = Ledger(LIMITS, asyncio.get_running_loop().time, lambda ledger: told.put_nowait(ledger.owed))
    debt = Debt(ledger, Caller("a"), Pipe())
    debt.hold(1000)
    assert await asyncio.wait_for(told.get(), 10) == 1000
    debt.release(1000)
    assert await asyncio.wait_for(told.get(), 10) == 0


LARGE = Result("1", Reason.COMPLETED, displays=(Display("text/html", b"\xff" * (2 << 20)),))


async def one_event() -> AsyncGenerator[Event, None]:
    yield LARGE


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await object_answer(*result_fields(LARGE))(scope, receive, send)


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await EventStream(Started("1", 0.0), one_event())(scope, receive, send)


async def body(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(bytes(2 << 20))(scope, receive, send)


async def message(scope: Scope, receive: Receive, send: Send) -> None:
    socket = WebSocket(scope, receive, send)
    await socket.accept()
    await send_object(socket, event_object(LARGE))


@pytest.mark.parametrize("app", [answer, stream, body, message])
async def test_others_work_while_somebody_who_reads_fast_is_sent_much(app: ASGIApp) -> None:
    kind = "websocket" if app is message else "http"
    scope = {"type": kind, "http_version": "1.1", "client": ("127.0.0.1", 1), "extensions": {WIRE: Wire(Pipe())}}
    sent = turns = 0

    async def receive() -> Message:
        if kind == "websocket":
            return {"type": "websocket.connect"}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        nonlocal sent
        sent += len(message.get("body") or message.get("bytes") or b"") >= PIECE

    async def work() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    others = asyncio.create_task(work())
    await Identity(Outbox(app, Ledger(SendLimits(), lambda: 0.0, lambda _: None)))(scope, receive, send)
    others.cancel()
    assert sent > 20
    assert turns >= sent - 1
