"""One POST: to the address that was judged, with the name of the host, and never further than that."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme

from code_executor.jobs.addresses import Allowed
from code_executor.jobs.guard import Guard
from code_executor.jobs.post import MOST_BODY, Poster
from code_executor.jobs.webhooks import Answer
from tests.receiver import OK, Got, answer, receiving

pytestmark = pytest.mark.anyio

HERE = Allowed(["127.0.0.0/8", "::1"])
OPEN = Allowed(["0.0.0.0/0", "::/0"])


def poster(allowed: Allowed = HERE, timeout: float = 10.0, trust: ssl.SSLContext | None = None) -> Poster:
    return Poster(Guard(allowed), timeout=timeout, trust=trust)


def tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_what_arrives_is_what_was_sent() -> None:
    body = bytes(range(256)) * 1000
    async with receiving() as receiver:
        said = await poster().post(receiver.url(), {"Content-Type": "application/json", "webhook-id": "m"}, body)
    assert said == Answer(200)
    (got,) = receiver.got
    assert (got.line, got.body) == ("POST /hook?x=1 HTTP/1.1", body)
    assert got.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-length": str(len(body)),
        "connection": "close",
        "content-type": "application/json",
        "webhook-id": "m",
    }


@pytest.mark.parametrize("status", [200, 201, 204, 299])
async def test_a_2xx_is_success(status: int) -> None:
    async with receiving(answer(status)) as receiver:
        assert await poster().post(receiver.url(), {}, b"{}") == Answer(status)


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
async def test_another_status_is_not(status: int) -> None:
    async with receiving(answer(status)) as receiver:
        assert await poster().post(receiver.url(), {}, b"{}") == Answer(status, f"answered with {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with receiving() as inner, receiving(answer(status, f"Location: {inner.url()}")) as receiver:
        said = await poster().post(receiver.url(), {}, b"{}")
        assert said == Answer(status, f"answered with {status}; redirects are not followed")
        assert inner.connections == 0


async def test_the_name_is_for_tls_and_the_address_for_the_connection(
    authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    async with receiving(tls=tls(authority, "hooks.example.org")) as receiver:
        post = Poster(Guard(HERE, resolve), trust=trust)
        assert await post.post(receiver.url("hooks.example.org", "https"), {}, b"{}") == Answer(200)
        assert receiver.got[0].headers["host"] == f"hooks.example.org:{receiver.port}"
        assert asked == [("hooks.example.org", receiver.port)]
        said = await post.post(receiver.url("other.example.org", "https"), {}, b"{}")
        assert said.status is None
        assert "certificate is not trusted: Hostname mismatch" in said.error
        assert len(receiver.got) == 1


async def test_a_certificate_of_strangers_is_not_trusted(authority: trustme.CA) -> None:
    async with receiving(tls=tls(authority, "127.0.0.1")) as receiver:
        said = await poster().post(receiver.url(scheme="https"), {}, b"{}")
    assert said.status is None
    assert "certificate is not trusted" in said.error
    assert receiver.got == []


async def test_the_authority_of_a_school_is_trusted_by_the_usual_variable(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with receiving(tls=tls(authority, "127.0.0.1")) as receiver:
        assert await poster().post(receiver.url(scheme="https"), {}, b"{}") == Answer(200)


async def test_a_receiver_that_speaks_no_tls_gets_nothing(trust: ssl.SSLContext) -> None:
    async with receiving() as receiver:
        said = await poster(trust=trust, timeout=2).post(receiver.url(scheme="https"), {}, b"{}")
    assert said.status is None
    assert receiver.got == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
async def test_this_machine_is_not_reached_and_with_the_guard_off_it_is(host: str) -> None:
    async with receiving() as receiver:
        said = await poster(Allowed()).post(receiver.url(host), {}, b"{}")
        assert said.status is None
        assert "public internet" in said.error
        assert receiver.connections == 0
        assert await poster(OPEN).post(receiver.url(host), {}, b"{}") == Answer(200)
        assert receiver.connections == 1


async def test_a_name_that_leads_elsewhere_by_then_is_refused_when_it_is_sent_to() -> None:
    """DNS rebinding: public for whoever accepts it, and inner for whoever connects."""
    for allowed, arrived in ((Allowed(), 0), (Allowed(["127.0.0.1"]), 1)):
        found = ["93.184.216.34", "127.0.0.1"]

        async def resolve(host: str, port: int, found: list[str] = found) -> Sequence[str]:
            return [found.pop(0)]

        async with receiving() as receiver:
            guard = Guard(allowed, resolve)
            await guard.admit(f"https://rebind.example.org:{receiver.port}/")
            url = receiver.url("rebind.example.org", "http" if arrived else "https")
            said = await Poster(guard).post(url, {}, b"{}")
            assert (said.status is not None, receiver.connections) == (bool(arrived), arrived)


async def test_a_connection_goes_where_the_one_look_up_led(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look-up, of whatever connects, would lead elsewhere: here there is none."""
    asked = []
    system = socket.getaddrinfo

    def spied(host: str, *rest: object, **more: object) -> object:
        asked.append(host)
        return system(host, *rest, **more)  # type: ignore[arg-type]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    monkeypatch.setattr(socket, "getaddrinfo", spied)
    async with receiving() as receiver:
        said = await Poster(Guard(HERE, resolve)).post(receiver.url("nowhere.invalid"), {}, b"{}")
    assert said == Answer(200)
    assert "nowhere.invalid" not in asked


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]  # the receiver listens on the second

    async with receiving() as receiver:
        assert await Poster(Guard(HERE, resolve)).post(receiver.url("two.invalid"), {}, b"{}") == Answer(200)


async def test_nobody_there_is_an_error_that_says_so() -> None:
    async with receiving() as receiver:
        url = receiver.url()
    assert await poster().post(url, {}, b"{}") == Answer(None, "cannot be connected to")


async def test_a_receiver_that_never_answers_is_left() -> None:
    forever = asyncio.Event()

    async def silent(got: Got, writer: asyncio.StreamWriter) -> None:
        await forever.wait()

    async with receiving(act=silent) as receiver:
        assert await poster(timeout=0.3).post(receiver.url(), {}, b"{}") == Answer(None, "no answer within 0.3 seconds")
        forever.set()


async def test_a_receiver_that_answers_byte_by_byte_is_left() -> None:
    async def drip(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with receiving(act=drip) as receiver:
        said = await poster(timeout=0.5).post(receiver.url(), {}, b"{}")
        assert said == Answer(None, "no answer within 0.5 seconds")


async def test_the_body_of_an_answer_is_dropped_soon() -> None:
    written = 0

    async def flood(got: Got, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()
            written += 4096

    async with receiving(act=flood) as receiver:
        assert await poster().post(receiver.url(), {}, b"{}") == Answer(200)
        await receiver.idle()  # it is told so, by a broken connection
    assert written < 64 << 20
    assert MOST_BODY == 4096


@pytest.mark.parametrize(
    "said",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10_000_000,
        b"",
    ],
)
async def test_what_is_no_answer_is_no_success(said: bytes) -> None:
    async with receiving(said) as receiver:
        got = await poster().post(receiver.url(), {}, b"{}")
    assert got.status is None
    assert got.error in ("the answer is not HTTP", "the connection broke")


async def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as proxy, receiving(OK) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert await poster().post(receiver.url(), {}, b"{}") == Answer(200)
        assert proxy.connections == 0
