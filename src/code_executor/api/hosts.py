"""Which hosts this server answers to.

A page of another site cannot read our answers, unless its own name leads to this server: whoever owns a name can let it
lead to any address, even 127.0.0.1, after a browser has loaded the page (DNS rebinding). So a name must be known here.
An address in ``Host`` is what the browser connected to, and no name can change that.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from code_executor.api.problems import Refusal

ANY = "*"

_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::[0-9]{0,5})?")
_SETTING = "CODE_EXECUTOR_ALLOWED_HOSTS"
_MOST_REMEMBERED = 1000

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostNames:
    """The hosts that are ours: loopback's, the address ``bound``, the hosts of ``origins``, and those ``allowed``.

    ``allowed``: names, ``*.example.org`` for all names below one, addresses, or ``*`` for any host. If ``bound`` stands
    for all addresses of the machine, every address is ours.
    """

    def __init__(self, bound: str, allowed: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        names = {"localhost", *map(str.lower, allowed), *(urlsplit(origin).hostname or "" for origin in origins)}
        self.any = ANY in names
        self._below = tuple(name[1:] for name in names if name.startswith("*."))
        self._names = {name.removesuffix(".") for name in names if _address(name) is None} | {bound.lower()}
        self._addresses = {each for each in map(_address, (*names, bound)) if each is not None}
        self._bound_to_all = not bound or any(each.is_unspecified for each in self._addresses)

    def own(self, host: str) -> bool:
        """Whether a header ``Host`` names this server."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower().removesuffix(".")
        address = _address(name)
        if address is not None:
            return self._bound_to_all or address.is_loopback or address in self._addresses
        return found[1] is None and (name in self._names or name.endswith(self._below))


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Hosts:
    """Middleware that refuses requests and WebSockets for any other host, and such as name none or several."""

    def __init__(self, app: ASGIApp, names: HostNames) -> None:
        self._app = app
        self._names = names
        self._remembered: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            named = [value for name, value in scope["headers"] if name == b"host"]
            if len(named) != 1 or named[0] not in self._remembered:
                refusal = self._refusal(named, scope["http_version"])
                if refusal is not None:
                    await refusal.response()(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    def _refusal(self, named: list[bytes], version: str) -> Refusal | None:
        if not named and self._names.any and version == "1.0":
            return None  # it knew no such header
        if len(named) != 1:
            return Refusal(400, f"A request must have one Host header; this one has {len(named)}.")
        host = named[0].decode("latin-1")
        if not (self._names.any or self._names.own(host)):
            named_so = f"This server does not answer to the host {host[:100]!a}."
            return Refusal(421, f"{named_so} If that is its name, add it to {_SETTING}.")
        if len(self._remembered) < _MOST_REMEMBERED:
            self._remembered.add(named[0])
        return None
