"""Who asks: put into the scope of every request and WebSocket, before anything else looks at it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from code_executor.accounts.accounts import Accounts, Presented
from code_executor.accounts.accounts import Identity as Known
from code_executor.accounts.keys import UnknownCredentialError
from code_executor.accounts.learners import LearnerNameError
from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError
from code_executor.core.proxies import TrustedProxies

_KEY = "code_executor.caller"
_REFUSED = "code_executor.refused"

PROTOCOL, TOKEN_PROTOCOL = "code-executor", b"code-executor.token."
"""Subprotocols of WebSockets: ours, and what a token is put behind."""


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
    """The outermost middleware but that of proxies. A caller is known by its key, or by its address.

    It only says who asks, and whom nobody knows: `gate` refuses, behind the middleware that lets pages read a refusal.
    """

    def __init__(self, app: ASGIApp, accounts: Accounts | None = None) -> None:
        self._app = app
        self._accounts = accounts or Accounts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            client = scope.get("client")
            address = client[0] if client else ""
            try:
                scope[_KEY] = self._accounts.identify(_presented(scope), address)
            except CodeExecutorError as error:
                scope[_KEY] = Known(Caller.of_address(address), frozenset())
                scope[_REFUSED] = error
        await self._app(scope, receive, send)


def _presented(scope: Scope) -> Presented:
    """Return what a request says of who asks; raise ``UnknownCredentialError`` or ``LearnerNameError`` for too much.

    A browser cannot give a WebSocket headers, but it names subprotocols: one of them can be a token.
    """
    found: list[bytes] = []
    learners: list[bytes] = []
    courses: list[bytes] = []
    for name, value in scope.get("headers", ()):
        if name == b"authorization":
            scheme, _, rest = value.partition(b" ")
            if scheme.lower() == b"bearer":
                found.append(rest.strip(b" "))
        elif name == b"x-api-key":
            found.append(value.strip(b" "))
        elif name == b"x-learner":
            learners.append(value)
        elif name == b"x-course":
            courses.append(value)
        elif name == b"sec-websocket-protocol" and scope["type"] == "websocket":
            offered = (each.strip() for each in value.split(b","))
            found += [each.removeprefix(TOKEN_PROTOCOL) for each in offered if each.startswith(TOKEN_PROTOCOL)]
    if len(found) > 1:
        raise UnknownCredentialError("a request must have one key or token")
    if len(learners) > 1 or len(courses) > 1:
        raise LearnerNameError("a request must have one X-Learner and one X-Course at most")
    credential = found[0].decode("latin-1") if found else None
    return Presented(credential, *(each[0] if each else None for each in (learners, courses)))


def known_of(scope: Scope) -> Known:
    """Return who asks, and what for it may; raise the error for whom nobody knows."""
    if _REFUSED in scope:
        raise scope[_REFUSED]
    known: Known = scope[_KEY]
    return known


def caller_of(scope: Scope) -> Caller:
    """Return who asks. A scope that `Identity` has not seen is a mistake of ours, and raises ``KeyError``."""
    known: Known = scope[_KEY]
    return known.caller


def origins_of(scope: Scope) -> tuple[str, ...]:
    """Return whose pages may ask with the caller's key, besides those that may always."""
    known: Known = scope[_KEY]
    return known.origins


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
