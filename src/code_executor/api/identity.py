"""Who asks: put into the scope of every request and WebSocket, before anything else looks at it."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from code_executor.core.caller import Caller

_KEY = "code_executor.caller"


class Identity:
    """The outermost middleware. A caller is known by its address."""

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


def is_allowed(origin: str | None, host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a page of ``origin`` may do here what browsers let any page do: pages of this host, and those listed.

    Browsers send the origin of a page; other clients send none.
    """
    return origin is None or "*" in allowed or origin in allowed or urlsplit(origin).netloc == host
