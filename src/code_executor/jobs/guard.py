"""Where webhooks may be sent: to the public internet, by https, and nowhere else unless the operator says so.

Whoever names an address makes this server ask there. So an address is taken apart once, its host is looked up once, all
that was found is judged, and a connection is made to exactly that: neither another parser nor another look-up has a
say. This is done when a webhook is accepted, and again each time it is sent, since a name may lead elsewhere by then.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from code_executor.core.errors import WebhookRefusedError
from code_executor.jobs.addresses import Address, Allowed, is_public

MOST_URL = 2048
"""Characters of an address."""

MOST_ADDRESSES = 4
"""Addresses of one host that are tried."""

_LOOKUPS = 8
"""Names that are looked up at once."""

_PORTS = {"https": 443, "http": 80}
_LEAST_PORT = 1024
_FOR_NOW = frozenset({socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY})
"""Failures of a look-up that say nothing of the name."""

_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_PRINTABLE = re.compile(r"[!-~]+")
_ELSEWHERE = "is not found, or is not on the public internet; the operator can allow it (CODE_EXECUTOR_WEBHOOK_ALLOW)"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, as texts; raises ``OSError`` where there are none."""


class LookupFailedError(WebhookRefusedError):
    """The host cannot be looked up now; it may be there later."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address, taken apart. ``host``: a name, or an address without brackets. ``target``: path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The header ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def counted_as(self) -> str:
        """What has a bound on how much is sent to it at once."""
        return f"{self.host}:{self.port}"


def take_apart(url: str) -> Place:
    """Read an address; raise ``WebhookRefusedError`` for one that is not ``https://host/path`` and nothing stranger."""
    if len(url) > MOST_URL:
        raise WebhookRefusedError(f"the address of a webhook has at most {MOST_URL} characters")
    if "\\" in url or any(not character.isprintable() or character.isspace() for character in url):
        raise WebhookRefusedError("the address of a webhook has no blanks, backslashes or control characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise WebhookRefusedError("the address of a webhook is not a URL, as https://example.org/hook") from None
    if parts.scheme not in _PORTS or not host:
        raise WebhookRefusedError("the address of a webhook is a URL, as https://example.org/hook")
    if "@" in parts.netloc:
        raise WebhookRefusedError("the address of a webhook has no user name and no password")
    if "%" in parts.netloc or ("[" in parts.netloc and ":" not in host):
        raise WebhookRefusedError("the host of a webhook is not a name or an address")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if not _PRINTABLE.fullmatch(target):
        raise WebhookRefusedError("the path of a webhook is ASCII; write other characters as %C3%A4")
    return Place(parts.scheme, _host(host), _PORTS[parts.scheme] if port is None else port, target)


def _host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        name = host.removesuffix(".").lower()
        if not name.isascii():
            import idna  # noqa: PLC0415  # its tables are large, and seldom needed

            name = idna.encode(name, uts46=True).decode()
    except UnicodeError:  # idna's errors are
        name = ""
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise WebhookRefusedError("the host of a webhook is not a name or an address")
    return name


class Guard:
    """Judges addresses. ``resolve``: looks up names; ``patience``: seconds that this may take."""

    def __init__(self, allowed: Allowed, resolve: Resolve | None = None, *, patience: float = 5.0) -> None:
        self._allowed = allowed
        self._resolve = resolve or Lookups().resolve
        self._patience = patience

    async def admit(self, url: str) -> None:
        """Raise ``WebhookRefusedError`` for an address that nothing may be sent to.

        While a name cannot be looked up, nobody can say so; then `examine` will, when it is sent to.
        """
        try:
            await self.examine(url)
        except LookupFailedError:
            place = take_apart(url)
            self._judge(place, [], named=self._allowed.has_host(place.host))

    async def examine(self, url: str) -> tuple[Place, list[Address]]:
        """Return an address taken apart, and where to connect to; raise ``WebhookRefusedError``.

        The error does not tell a name that does not exist from one of an inner network.
        """
        place = take_apart(url)
        addresses = await self._addresses(place)
        self._judge(place, addresses, named=self._allowed.has_host(place.host))
        return place, addresses[:MOST_ADDRESSES]

    def _judge(self, place: Place, addresses: Sequence[Address], *, named: bool) -> None:
        """Raise ``WebhookRefusedError`` unless all of it is allowed; what the operator names is."""
        if named or (addresses and all(map(self._allowed.has_address, addresses))):
            return
        if not all(is_public(each) or self._allowed.has_address(each) for each in addresses):
            raise WebhookRefusedError(f"{place.host} {_ELSEWHERE}")
        if place.scheme != "https":
            raise WebhookRefusedError("the address of a webhook begins with https://")
        if place.port < _LEAST_PORT and place.port != _PORTS["https"]:
            raise WebhookRefusedError("the port of a webhook is 443, or above 1023")

    async def _addresses(self, place: Place) -> list[Address]:
        try:
            return [ipaddress.ip_address(place.host)]
        except ValueError:
            pass
        try:
            async with asyncio.timeout(self._patience):
                found = await self._resolve(place.host, place.port)
            addresses = [ipaddress.ip_address(each) for each in found]
        except (TimeoutError, ValueError):
            raise LookupFailedError(f"{place.host} cannot be looked up now") from None
        except OSError as error:
            if isinstance(error, socket.gaierror) and error.errno not in _FOR_NOW:
                raise WebhookRefusedError(f"{place.host} {_ELSEWHERE}") from None
            raise LookupFailedError(f"{place.host} cannot be looked up now") from None
        if not addresses:
            raise WebhookRefusedError(f"{place.host} {_ELSEWHERE}")
        return addresses


class Lookups:
    """The system's look-up of names, in threads of its own: those of slow name servers delay nothing else."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_LOOKUPS)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """See `Resolve`. A thread that nobody waits for any more keeps its place until it ends."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()

        def tell(found: Sequence[str] | None, error: OSError | None) -> None:
            self._free.release()
            if answer.done():
                return
            if found is None:
                answer.set_exception(error or OSError("not found"))
            else:
                answer.set_result(found)

        threading.Thread(target=_look_up, args=(host, port, loop, tell), daemon=True, name="webhook-lookup").start()
        return await answer


def _look_up(
    host: str,
    port: int,
    loop: asyncio.AbstractEventLoop,
    tell: Callable[[Sequence[str] | None, OSError | None], None],
) -> None:
    found: Sequence[str] | None = None
    failure: OSError | None = None
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        found = list(dict.fromkeys(str(info[4][0]) for info in infos))
    except OSError as error:
        failure = error
    except UnicodeError as error:  # a label that is too long
        failure = OSError(str(error))
    try:
        loop.call_soon_threadsafe(tell, found, failure)
    except RuntimeError:
        return  # the loop is closed: nobody waits
