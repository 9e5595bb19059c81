"""The door: what a connection is held to before the application hears of a request.

uvicorn's parser puts up with a head of any size that takes for ever, and keeps all of it. So this protocol stands
before it: it counts bytes while a head is read, gives the parser no more than fit, and has a clock for whoever is
silent. It also knows who is connected (`guests`), and looks after a body that nobody reads: what frames it, and its
end.

A connection that was refused hears why, if nothing else is being said on it, and then is not listened to any more.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httptools
import structlog
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from code_executor.api.problems import MEDIA_TYPE, Refusal
from code_executor.app.guests import Full, Guests
from code_executor.app.logs import Seldom
from code_executor.app.wire import HeadWithBody, HttpConnection
from code_executor.core.caller import Caller

log = structlog.get_logger()

_SLICE = 64 << 10
"""Bytes of a body that the parser is given at once."""

_FRAMING = 64 << 10
"""Bytes that may frame a body in chunks without bringing any of it (extensions, trailers, tiny chunks), and beyond that
a quarter of what was brought."""

_WEBSOCKET_LINE = 8000
"""Bytes of a line of a handshake: the library for WebSockets says nothing to a longer one, and lets it hang."""

_WAITING = 16
"""Requests that a client may send ahead, while another of the same connection is answered."""

_LINGER = 5.0
"""Seconds in which a client that is still sending may take its answer, and bytes of it that are thrown away: if the
connection were closed at once, the system would throw away the answer."""
_LINGER_BYTES = 8 << 20

_FULL = {
    Full.CLIENT: Refusal(429, "You have too many open connections. Close some, then try again.", {"Retry-After": "5"}),
    Full.SERVER: Refusal(503, "The service has too many open connections. Try again later.", {"Retry-After": "5"}),
}


@dataclass(frozen=True, slots=True)
class Head:
    """Limits of a request's head: bytes in all, fields, bytes of its URL, and seconds until it is complete."""

    size: int = 64 << 10
    fields: int = 100
    url: int = 8 << 10
    within: float = 20.0


class Door(HttpConnection):
    """One connection. ``trusted`` says of an address whether it is a proxy that speaks for others."""

    def __init__(
        self, head: Head, guests: Guests, trusted: Callable[[str], bool], seldom: Seldom, **uvicorns: Any
    ) -> None:
        super().__init__(**uvicorns)
        self.ws_protocol_class = self._make_websocket  # type: ignore[assignment]
        self._limits = head
        self._most_fields = head.fields
        self._guests = guests
        self._trusted = trusted
        self._seldom = seldom
        self._key: str | None = None
        self._entered = False
        self._in_head = True  # or between two requests
        self._begun = False
        self._head = 0  # bytes of this head
        self._brought = self._framing = self._idle = 0  # bytes of this body, around it, and since it was brought more
        self._refusal: Refusal | None = None  # of a callback, which has no other way to say it
        self._deaf = False
        self._thrown_away = 0
        self._timer: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    # ---- its beginning and its end

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        self._key = None if self._trusted(host) else Caller.of_address(host).id
        full = self._guests.enter(self._key)
        if full is None:
            self._entered = True
            self._set_timer(self._limits.within, self._late)
            return
        self._deaf = True
        refused = self._seldom.may(full.value)
        if refused:
            log.warning("connections_refused", client=self._key or host, full=full.value, times=refused)
        self._write(_FULL[full])
        transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._stop_timer()
        self.ws_protocol_class = None  # a method of this object, which would stay until the collector comes round to it
        self._deaf = True
        self.pipeline.clear()
        if self._answering is not None:  # uvicorn tells the request that came last, which may not be the one
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._entered:
            self._entered = False
            self._guests.leave(self._key)

    def _set_timer(self, seconds: float, then: Callable[[], object]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---- what comes in

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._in_head and len(data) + self._head < self._limits.size and not self._deaf:  # as nearly always
            self._feed(data)
        else:
            self._feed_slices(data)
        if self._timer is None and self._in_head and (self._begun or self._head) and not self._deaf:
            self._set_timer(self._limits.within, self._late)

    def _feed_slices(self, data: bytes) -> None:
        rest: bytes | memoryview = data
        while not self._deaf:
            room = max(1, self._limits.size - self._head) if self._in_head else _SLICE
            if len(rest) <= room:
                self._feed(rest)
                break
            rest = memoryview(rest)
            self._feed(rest[:room])
            rest = rest[room:]
        else:
            self._throw_away(len(data))

    def _feed(self, data: bytes | memoryview) -> None:
        was_head = self._in_head
        if was_head:
            self._head += len(data)
        else:
            self._framing += len(data)
            self._idle += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError:
            self._refuse(self._refusal or Refusal(400, "This is not a request of HTTP/1.1."))
        else:
            if was_head and self._in_head and self._head >= self._limits.size:
                self._refuse(self._too_large())
            elif not self._in_head and not self._is_framed_well():
                self._refuse(Refusal(400, "The body has too much around it: use larger chunks, without extensions."))

    def _too_large(self) -> Refusal:
        return Refusal(431, f"The head of the request is larger than {self._limits.size} bytes.")

    def _is_framed_well(self) -> bool:
        return self._framing - self._brought <= _FRAMING + self._brought // 4 and self._idle <= _FRAMING + _SLICE

    # these are called for every request, one of them for every field: they spare what calls they can

    def on_url(self, url: bytes) -> None:
        self._begun = True
        self.url += url
        if len(self.url) > self._limits.url:
            self._stop(Refusal(414, f"The URL is longer than {self._limits.url} bytes."))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: it came after whoever asks was told from the others
        headers = self.headers
        if len(headers) >= self._most_fields:
            self._stop(Refusal(431, f"The request has more than {self._most_fields} header fields."))
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self.pipeline) >= _WAITING:
            self._stop(Refusal(429, f"More than {_WAITING} requests are waiting on this connection."))
        self._in_head = False
        self._brought = self._framing = self._idle = 0
        if self._timer is not None:
            self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._brought += len(body)
        self._idle = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._begun = False
        self._head = 0
        super().on_message_complete()

    def _stop(self, refusal: Refusal) -> None:
        """Stop the parser, from one of its callbacks."""
        self._refusal = refusal
        raise ValueError(refusal.detail)

    # ---- refusals

    def _late(self) -> None:
        self._timer = None
        if self._answering is not None:
            return  # it is not this client's turn to speak; `on_response_complete` begins the time anew
        if self._begun or self._head > len(b"\r\n"):  # more than what some clients put behind a body
            self._refuse(
                Refusal(408, f"The head of the request did not arrive within {self._limits.within:g} seconds.")
            )
        else:
            self.transport.abort()

    def _refuse(self, refusal: Refusal) -> None:
        """Say why, unless an answer is under way, and listen no more."""
        self._deaf = True
        if self.transport.is_closing():
            return
        if self._answering is not None or self.pipeline:
            self.transport.abort()
            return
        self._write(refusal)
        self._linger()

    def _write(self, refusal: Refusal) -> None:
        body = json.dumps(refusal.body()).encode()
        fields = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "Connection": "close",
            **refusal.headers,
        }
        lines = [f"HTTP/1.1 {refusal.status} {refusal.body()['title']}", *(f"{n}: {v}" for n, v in fields.items())]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)

    def _linger(self) -> None:
        """Close, once the client had the time to take its answer."""
        self._deaf = True
        self.flow.resume_reading()
        self._set_timer(_LINGER, self.transport.abort)
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _throw_away(self, length: int) -> None:
        self._thrown_away += length
        if self._thrown_away > _LINGER_BYTES:
            self.transport.abort()

    # ---- answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, functools.partial(self._answer, cycle, app))

    def _answer(
        self, cycle: RequestResponseCycle, app: Any, scope: Scope, receive: Receive, send: Send
    ) -> Awaitable[None]:
        head = HeadWithBody(cycle.transport)
        cycle.transport = head  # type: ignore[assignment]

        def sending(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                head.holds = scope["method"] != "HEAD"
                if cycle.more_body:
                    return _say_last(cycle, message, send)
            return send(message)

        answered: Awaitable[None] = app(scope, receive, sending)
        return answered

    def on_response_complete(self) -> None:
        cycle, self._answering = self._answering, None
        if cycle is not None and cycle.more_body and not self.transport.is_closing():
            self._linger()  # the client is still sending, and nobody reads
            return
        super().on_response_complete()
        if self._answering is None and self._in_head and (self._begun or self._head):
            self._set_timer(self._limits.within, self._late)

    # ---- WebSockets, and other protocols, which we do not speak

    def _upgrade(self) -> None:
        if not self._should_upgrade():
            names = {name for name, _ in self.headers}
            if names & {b"content-length", b"transfer-encoding"}:  # the parser has lost the body
                self._deaf = True
                self.cycle.keep_alive = False
        elif self._answering is not None or self.pipeline:
            self.transport.abort()
        elif len(self.url) + len("GET  HTTP/1.1") > _WEBSOCKET_LINE:
            self._refuse(Refusal(414, f"The URL of a WebSocket is longer than {_WEBSOCKET_LINE} bytes."))
        elif any(len(name) + len(value) > _WEBSOCKET_LINE for name, value in self.headers):
            self._refuse(Refusal(431, f"A field of the handshake is larger than {_WEBSOCKET_LINE} bytes."))
        else:
            self._stop_timer()
            self._deaf = True
            self.handle_websocket_upgrade()

    def _make_websocket(self, **uvicorns: Any) -> asyncio.Protocol:
        """Return what speaks from here on. The connection is this client's until that one loses it."""
        made: Any = self.config.ws_protocol_class(**uvicorns)  # type: ignore[misc]
        lost, received = made.connection_lost, made.data_received

        def connection_lost(exc: Exception | None) -> None:
            self._leave()
            lost(exc)

        def data_received(data: bytes) -> None:
            """Take the handshake, which the library answers at once or, if it is none to it, never."""
            made.data_received = received
            received(data)
            if not made.handshake_initiated:
                self._write(Refusal(400, "This is no handshake of a WebSocket."))
                self.transport.close()

        made.connection_lost, made.data_received = connection_lost, data_received
        protocol: asyncio.Protocol = made
        return protocol


async def _say_last(cycle: RequestResponseCycle, message: Message, send: Send) -> None:
    """Begin an answer whose request is still coming: after it, the connection ends."""
    headers = [pair for pair in message["headers"] if pair[0].lower() != b"connection"]
    await send({**message, "headers": [*headers, (b"connection", b"close")]})
    cycle.keep_alive = True  # the end is left to `on_response_complete`: uvicorn would close it at once
