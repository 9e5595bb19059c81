"""One POST to a place that was judged: a connection to the addresses that were found then, and to no other.

TLS and the header ``Host`` have the name of the host. A redirect is an answer like any other, and is not followed. Of
an answer only the status counts; its body is read up to `MOST_BODY` bytes and dropped. No proxy is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import cast

import httpcore

from code_executor.core.errors import WebhookRefusedError
from code_executor.jobs.addresses import Address
from code_executor.jobs.guard import Guard, Place
from code_executor.jobs.webhooks import Answer

MOST_BODY = 4096

_DRAINING = 1.0
"""Seconds that the body of an answer is read for: its status has come."""


class Found(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were found before, whatever host is asked for. Close it: httpcore does not close what
    TLS was not made on in time.
    """

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses
        self._sockets = httpcore.AnyIOBackend()
        self._made: list[httpcore.AsyncNetworkStream] = []

    async def aclose(self) -> None:
        for stream in self._made:
            await stream.aclose()

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  # it was looked up once, and that is enough
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        each = None if timeout is None else timeout / len(self._addresses)
        for address in self._addresses:
            try:
                stream = await self._sockets.connect_tcp(str(address), port, each, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                self._made.append(stream)
                return stream
        raise failure

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("only addresses")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Poster:
    """Sends. ``timeout``: seconds for all of a POST, from the look-up to the status. ``trust``: which certificates."""

    def __init__(self, guard: Guard, *, timeout: float = 10.0, trust: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self.timeout = timeout
        self._trust = trust or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, attempts: int = 0) -> Answer:  # noqa: ARG002
        """Send a body; what goes wrong is in the answer, and says nothing of what is not public."""
        try:
            async with asyncio.timeout(self.timeout):
                place, addresses = await self._guard.examine(url)
                return await self._send(place, addresses, headers, body)
        except WebhookRefusedError as error:
            return Answer(None, str(error))
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(None, f"no answer within {self.timeout:g} seconds")
        except (httpcore.NetworkError, ssl.SSLError) as error:
            return Answer(None, _why(error))
        except (httpcore.ProtocolError, httpcore.UnsupportedProtocol):
            return Answer(None, "the answer is not HTTP")

    async def _send(
        self, place: Place, addresses: Sequence[Address], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        request = httpcore.Request(
            "POST",
            url,
            headers=[
                ("Host", place.authority),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
                *headers.items(),
            ],
            content=body,
            extensions={"timeout": {"connect": self.timeout}},
        )
        network = Found(addresses)
        connection = httpcore.AsyncHTTPConnection(url.origin, self._trust, network_backend=network)
        try:
            response = await connection.handle_async_request(request)
            try:
                await _drop(response)
            finally:
                await response.aclose()
        finally:
            await connection.aclose()
            await network.aclose()
        return _answer(response.status)


async def _drop(response: httpcore.Response) -> None:
    """Read a little, so that whoever answers politely sees no broken connection."""
    size = 0
    body = cast("AsyncGenerator[bytes, None]", response.aiter_stream())  # which it is, so that it can be closed
    try:
        async with asyncio.timeout(_DRAINING), aclosing(body) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size >= MOST_BODY:
                    return
    except (TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        return


def _answer(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer(status)
    if 300 <= status < 400:
        return Answer(status, f"answered with {status}; redirects are not followed")
    return Answer(status, f"answered with {status}")


def _why(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "TLS failed"
        cause = cause.__cause__ or cause.__context__
    return "cannot be connected to" if isinstance(error, httpcore.ConnectError) else "the connection broke"
