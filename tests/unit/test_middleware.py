"""The middleware, called as a server calls it: with messages, one by one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, cast

import pytest

from code_executor.api.identity import Identity
from code_executor.api.middleware import BodyLimit, RateLimit
from code_executor.api.problems import Refusal
from code_executor.core.caller import Caller
from code_executor.core.errors import PoolClosedError
from code_executor.core.models import Allowance
from code_executor.service.ports import RateLimits
from tests.census import until

pytestmark = pytest.mark.anyio

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ALLOWED = Allowance(allowed=True, limit=10, remaining=9, reset=60, window=60)
REFUSED = Allowance(allowed=False, limit=10, remaining=0, reset=42, window=60)


def scope(method: str = "POST", path: str = "/api/execute", **more: Any) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], "client": ("203.0.113.9", 5), **more}


def body(*pieces: bytes) -> list[Message]:
    last = len(pieces) - 1
    return [{"type": "http.request", "body": piece, "more_body": at < last} for at, piece in enumerate(pieces)]


def limit(app: Any, within: float = 30) -> Identity:
    return Identity(BodyLimit(app, 10, within))


class Reader:
    """An application that reads its whole body, and answers with its length; it keeps what it received."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.called = False

    async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
        self.called = True
        while True:
            message = await receive()
            self.received.append(message)
            if not message.get("more_body"):
                break
        length = sum(len(message.get("body", b"")) for message in self.received)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": str(length).encode()})


class Answer:
    """What was sent."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])


async def call(app: Any, scope_: dict[str, Any], messages: Iterable[Message] = ()) -> Answer:
    """Call ``app``; after ``messages`` nothing more comes, as on a connection that stays open."""
    coming = iter(messages)
    answer = Answer()

    async def receive() -> Message:
        message = next(coming, None)
        if message is None:
            await asyncio.Event().wait()
        return cast("Message", message)

    async with asyncio.timeout(30):
        await app(scope_, receive, answer.send)
    return answer


# ---- the size of a body


@pytest.mark.parametrize("pieces", [[b"x" * 10], [b"x" * 4, b"x" * 6], [b"", b"x" * 10, b""], [b""]])
async def test_a_body_that_fits_arrives_whole(pieces: list[bytes]) -> None:
    reader = Reader()
    answer = await call(limit(reader), scope(), body(*pieces))
    assert answer.body == str(len(b"".join(pieces))).encode()
    assert [message["body"] for message in reader.received] == pieces


@pytest.mark.parametrize("pieces", [[b"x" * 11], [b"x" * 10, b"x"], [b"x"] * 20])
async def test_a_body_that_grows_too_large_is_refused_where_it_does(pieces: list[bytes]) -> None:
    reader = Reader()
    with pytest.raises(Refusal) as caught:
        await call(limit(reader), scope(), body(*pieces))
    assert (caught.value.status, caught.value.headers) == (413, {"Connection": "close"})
    assert sum(len(message["body"]) for message in reader.received) <= 10


@pytest.mark.parametrize("declared", [b"11", b"99999999999999999999", b"9" * 5000])
async def test_a_body_that_is_declared_too_large_is_refused_before_it_is_read(declared: bytes) -> None:
    reader = Reader()
    answer = await call(limit(reader), scope(headers=[(b"content-length", declared)]))
    assert not reader.called
    assert answer.status == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert json.loads(answer.body)["detail"] == "The body is larger than 10 bytes."


@pytest.mark.parametrize("declared", [b"10", b"0", b"-5", b"x", b"", b"1e3", "²".encode()])
async def test_what_is_declared_otherwise_is_left_to_the_reading(declared: bytes) -> None:
    reader = Reader()
    answer = await call(limit(reader), scope(headers=[(b"content-length", declared)]), body(b"x" * 10))
    assert answer.status == 200
    with pytest.raises(Refusal):
        await call(limit(Reader()), scope(headers=[(b"content-length", declared)]), body(b"x" * 11))


async def test_a_body_that_does_not_come_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        await call(limit(Reader(), 0.01), scope(), body(b"x", b"never")[:1])
    assert caught.value.status == 408


async def test_time_that_a_body_took_is_counted_over_all_its_pieces() -> None:
    """A client that sends a byte now and then holds a connection no longer than one that sends none."""

    pieces = iter(body(*[b""] * 1000))

    async def slowly() -> Message:
        await asyncio.sleep(0.001)
        return next(pieces)

    with pytest.raises(Refusal) as caught:
        await limit(Reader(), 0.2)(scope(), slowly, Answer().send)
    assert caught.value.status == 408


async def test_waiting_for_the_client_to_leave_takes_as_long_as_it_takes() -> None:
    """Once the body is there, an application listens for the disconnect, for as long as a run lasts."""
    coming = iter([*body(b"x"), {"type": "http.disconnect"}])
    within = 0.01

    async def receive() -> Message:
        message = next(coming)
        if message["type"] == "http.disconnect":
            await asyncio.sleep(3 * within)
        return message

    seen = []

    async def app(_scope: Message, receive: Receive, _send: Send) -> None:
        seen.extend([(await receive())["type"], (await receive())["type"]])

    await limit(app, within)(scope(), receive, Answer().send)
    assert seen == ["http.request", "http.disconnect"]


async def test_a_client_that_leaves_in_its_body_is_passed_on() -> None:
    reader = Reader()
    await call(limit(reader), scope(), [*body(b"x", b"y")[:1], {"type": "http.disconnect"}])
    assert reader.received[-1]["type"] == "http.disconnect"


async def test_bodies_that_are_too_much_together_are_refused_until_others_are_answered() -> None:
    class Slow(Reader):
        """Reads its body, and answers when it may."""

        def __init__(self) -> None:
            super().__init__()
            self.may_answer = asyncio.Event()
            self.waiting = 0

        async def __call__(self, _scope: Message, receive: Receive, send: Send) -> None:
            await receive()
            self.waiting += 1
            await self.may_answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

    slow = Slow()
    app = limit(slow)

    def of(client: str) -> asyncio.Task[Answer]:
        return asyncio.create_task(call(app, scope(client=(client, 1)), body(b"x" * 10)))

    held = [of("203.0.113.1") for _ in range(4)]
    await until(lambda: slow.waiting == 4)
    with pytest.raises(Refusal, match="You are sending too much") as own:
        await of("203.0.113.1")
    held += [of(f"203.0.113.{n}") for n in range(2, 8)]
    await until(lambda: slow.waiting == 10)
    with pytest.raises(Refusal, match="Too much is being sent") as full:
        await of("203.0.113.9")
    assert (own.value.status, full.value.status) == (429, 503)
    slow.may_answer.set()
    assert [(await each).status for each in held] == [200] * 10
    assert (await of("203.0.113.1")).status == 200


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
async def test_what_is_no_request_is_not_looked_at(kind: str) -> None:
    seen = []

    async def app(scope_: Message, _receive: Receive, _send: Send) -> None:
        seen.append(scope_["type"])

    await call(limit(app), {"type": kind})
    await call(RateLimit(app, cast("RateLimits", None), {}), {"type": kind})
    assert seen == [kind, kind]


# ---- how often


class Counted:
    """A service that judges as it is told, and keeps what it was asked."""

    def __init__(self, allowance: Allowance | Exception | None, peeked: Allowance | None = None) -> None:
        self._allowance = allowance
        self._peeked = peeked
        self.asked: list[tuple[str, ...]] = []

    def _answer(self) -> Allowance | None:
        if isinstance(self._allowance, Exception):
            raise self._allowance
        return self._allowance

    async def hit(self, caller: Caller, what: str) -> Allowance | None:
        self.asked.append(("hit", caller.id, what))
        return self._answer()

    async def peek(self, caller: Caller) -> Allowance | None:
        self.asked.append(("peek", caller.id))
        return self._peeked or self._answer()


COUNTED = {("POST", "/api/execute"): "runs", ("POST", "/api/check"): "checks"}


async def limited(
    allowance: Allowance | Exception | None, peeked: Allowance | None = None, **of_scope: Any
) -> tuple[Counted, Reader, Answer]:
    service, reader = Counted(allowance, peeked), Reader()
    app = Identity(RateLimit(reader, cast("RateLimits", service), COUNTED))
    return service, reader, await call(app, scope(**of_scope), body(b"12345"))


async def test_a_run_is_counted_and_answered_with_how_its_client_stands() -> None:
    service, _, answer = await limited(ALLOWED)
    assert service.asked == [("hit", "203.0.113.9", "runs")]
    assert (answer.status, answer.body) == (200, b"5")
    assert answer.headers == {
        "x-own": "1",
        "ratelimit-limit": "10",
        "ratelimit-remaining": "9",
        "ratelimit-reset": "60",
        "ratelimit-policy": "10;w=60",
    }


async def test_a_run_too_many_is_refused_and_never_read() -> None:
    _, reader, answer = await limited(REFUSED)
    assert not reader.called
    assert answer.status == 429
    assert (answer.headers["retry-after"], answer.headers["ratelimit-remaining"]) == ("42", "0")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Try again in 42 s." in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("POST", "/api/check", "checks"),
        ("GET", "/api/execute", "requests"),
        ("POST", "/api/other", "requests"),
        ("PUT", "/api/sessions/s/files/f", "requests"),
        ("DELETE", "/api/sessions/s", "requests"),
        ("OPTIONS", "/api/execute", "requests"),
    ],
)
async def test_what_is_counted_is_decided_by_method_and_path(method: str, path: str, counted: str) -> None:
    service, _, answer = await limited(ALLOWED, method=method, path=path)
    assert service.asked[0] == ("hit", "203.0.113.9", counted)
    assert service.asked[1:] == ([("peek", "203.0.113.9")] if counted == "requests" else [])
    assert answer.headers["ratelimit-remaining"] == "9"


async def test_who_has_no_runs_left_may_still_ask_for_other_things() -> None:
    _, reader, answer = await limited(ALLOWED, peeked=REFUSED, method="GET")
    assert reader.called
    assert answer.status == 200
    assert "retry-after" not in answer.headers


async def test_who_asks_for_other_things_too_often_is_refused_and_never_read() -> None:
    _, reader, answer = await limited(REFUSED, peeked=ALLOWED, path="/api/sessions/s/stdin")
    assert not reader.called
    assert json.loads(answer.body)["detail"].startswith("Rate limit exceeded: 10 requests in 60 seconds.")


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/docs", "/apis", "/API/execute"])
async def test_other_paths_are_not_counted(path: str) -> None:
    service, _, answer = await limited(REFUSED, path=path)
    assert service.asked == []
    assert answer.headers == {"x-own": "1"}


async def test_without_a_limit_nothing_is_said() -> None:
    _, _, answer = await limited(None)
    assert answer.headers == {"x-own": "1"}


@pytest.mark.parametrize(
    ("client", "key"),
    [(("2001:db8::1:2", 1), "2001:db8::/64"), (("::ffff:203.0.113.9", 1), "203.0.113.9"), (None, "unknown")],
)
async def test_a_client_is_its_network(client: tuple[str, int] | None, key: str) -> None:
    service, _, _ = await limited(ALLOWED, client=client)
    assert service.asked[0][1] == key


async def test_a_service_that_stops_is_said_to_be_stopping() -> None:
    _, reader, answer = await limited(PoolClosedError("the service is stopping"))
    assert not reader.called
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


async def test_only_the_start_of_an_answer_gets_headers() -> None:
    service = cast("RateLimits", Counted(ALLOWED))

    async def app(_scope: Message, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await send({"type": "http.response.body", "body": b"2"})

    answer = await call(Identity(RateLimit(app, service, COUNTED)), scope())
    assert answer.body == b"12"
    assert [set(message) for message in answer.messages[1:]] == [{"type", "body", "more_body"}, {"type", "body"}]


@pytest.mark.parametrize(
    "wrap",
    [
        limit,
        lambda app: Identity(RateLimit(app, cast("RateLimits", Counted(ALLOWED)), COUNTED)),
    ],
)
async def test_an_application_that_fails_fails_as_before(wrap: Callable[[Any], Any]) -> None:
    async def app(_scope: Message, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("its own")

    with pytest.raises(RuntimeError, match="its own"):
        await call(wrap(app), scope())
