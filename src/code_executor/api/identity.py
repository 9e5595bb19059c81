"""Who asks: put into the scope of every request and WebSocket, before anything else looks at it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from code_executor.core.caller import Caller
from code_executor.core.proxies import TrustedProxies

_KEY = "code_executor.caller"


class Proxies:
    """Middleware that puts the client that a trusted proxy names into the scope, and whether it came by TLS."""

    def __init__(self, app: ASGIApp, trusted: TrustedProxies) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client and self._trusted.include(client[0]):
            self._believe(scope)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = self._trusted.client(",".join(named))
        if client:
            scope["client"] = (client, 0)
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto" and value.strip() in (b"http", b"https", b"ws", b"wss"):
                secure = value.strip() in (b"https", b"wss")
                scheme = "ws" if scope["type"] == "websocket" else "http"
                scope["scheme"] = scheme + "s" * secure


class Identity:
    """The outermost middleware but that of proxies. A caller is known by its address."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            scope[_KEY] = Caller.of_address(client[0] if client else "")
        await self._app(scope, receive, send)


def caller_of(scope: Scope) -> Caller:
    """Return who asks. A scope that `Identity` has not seen is a mistake of ours, and raises ``KeyError``."""
    caller: Caller = scope[_KEY]
    return caller


def is_allowed(origin: str | None, host: str, allowed: tuple[str, ...], scheme: str = "http") -> bool:
    """Whether a page of ``origin`` may do here what browsers let any page do: pages of this host, and those listed.

    Browsers send the origin of a page; other clients send none. ``scheme``: of the request. If a proxy has ended TLS
    without saying so, a page came by https and the request by http; the other way round it is another page.
    """
    if origin is None or "*" in allowed or origin in allowed:
        return True
    page = _parts(origin)
    if page is None:
        return False
    if page in map(_parts, allowed):
        return True
    asked = _parts(f"{page[0]}://{host}")
    return page == asked and (page[0] == "https" or scheme in ("http", "ws"))


_PORTS = {"http": 80, "https": 443}


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Return scheme, host and port of an origin; None of what is none (``null``, or with a path)."""
    try:
        url = urlsplit(origin)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in _PORTS or not url.hostname or url.path or url.query or url.fragment or "@" in url.netloc:
        return None
    return url.scheme, url.hostname, port or _PORTS[url.scheme]
