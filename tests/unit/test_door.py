"""The door, stepped through on a transport that only keeps what was written."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from code_executor.app.door import Door, Head
from code_executor.app.guests import Guests
from code_executor.app.logs import Seldom
from tests.census import until

pytestmark = pytest.mark.anyio

POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = ""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("203.0.113.9", 5) if name in ("peername", "sockname") else default

    def write(self, data: Any) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = "eof"

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def is_closing(self) -> bool:
        return self.ended in ("close", "abort")

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class App:
    """Reads its body, waits until it may answer, and keeps what it saw."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.scopes: list[Any] = []
        self.received: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        while (message := await receive()).get("more_body"):
            self.received.append(message)
        if not self.may_answer.is_set():
            self.received.append(await receive())  # which is that the client went away
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


def opened(app: App, guests: Guests | None = None, within: float = 30) -> tuple[Door, Wire]:
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False, proxy_headers=False)
    config.load()
    uvicorns = {"config": config, "server_state": ServerState(), "app_state": {}}
    book = guests or Guests(10, 10)
    door, wire = Door(Head(within=within), book, lambda _: False, Seldom(), **uvicorns), Wire()
    door.connection_made(wire)
    return door, wire


async def test_trailers_do_not_become_headers() -> None:
    app = App()
    app.may_answer.set()
    door, wire = opened(app)
    door.data_received(POST + b"1\r\nx\r\n")
    await until(lambda: app.scopes)
    door.data_received(b"0\r\nX-Forwarded-For: 198.51.100.1\r\nHost: attacker.example\r\n\r\n")
    await until(lambda: b"204" in wire.written)
    assert [name for name, _ in app.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]
    assert not wire.ended


async def test_a_request_hears_that_its_client_went_away_though_another_came_after_it() -> None:
    app = App()
    door, _ = opened(app)
    door.data_received(GET + GET)
    await until(lambda: app.scopes)
    door.connection_lost(None)
    await until(lambda: app.received)
    assert app.received == [{"type": "http.disconnect"}]
    assert len(app.scopes) == 1


async def test_a_line_end_behind_a_body_ends_no_run() -> None:
    app = App()
    door, wire = opened(app, within=0.01)
    door.data_received(GET)
    door.data_received(b"\r\n")
    await asyncio.sleep(0.1)  # longer than a head may take
    assert (wire.written, wire.ended) == (b"", "")
    door.connection_lost(None)


async def test_whoever_says_nothing_is_shown_out_without_a_word() -> None:
    door, wire = opened(App(), within=0.01)
    await until(lambda: wire.ended)
    assert (wire.written, wire.ended) == (b"", "abort")
    door.connection_lost(None)


async def test_a_connection_that_is_lost_is_let_go_at_once() -> None:
    """And not when the collector comes round to it: after thousands at once that would be long after."""

    async def answered_and_lost() -> weakref.ref[Door]:
        app = App()
        app.may_answer.set()
        door, wire = opened(app)
        door.data_received(GET)
        await until(lambda: b"204" in wire.written)
        door.connection_lost(None)
        return weakref.ref(door)

    gc.disable()
    try:
        known = await answered_and_lost()
        await asyncio.sleep(0.01)  # what is still scheduled
        assert known() is None
    finally:
        gc.enable()


async def test_every_connection_gives_its_place_back_once() -> None:
    guests = Guests(2, 1)
    door, _ = opened(App(), guests)
    second, refused = opened(App(), guests)
    assert refused.written.startswith(b"HTTP/1.1 429 ")
    assert refused.ended == "close"
    for each in (second, door, door):
        each.connection_lost(ConnectionResetError())
    assert guests.enter("203.0.113.9") is None
