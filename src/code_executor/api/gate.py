"""Who may not: requests and WebSockets without the key, or the scope of a key, that their path needs."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from code_executor.accounts.keys import Scope as KeyScope
from code_executor.api.identity import is_allowed, known_of
from code_executor.api.problems import Refusal, from_failure
from code_executor.api.scopes import ANYBODY, needed
from code_executor.core.errors import CodeExecutorError


class Gate:
    """Middleware that refuses what the caller's key may not be used for, and whoever has none where one is needed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("method") != "OPTIONS":
            refusal = _refusal(scope)
            if refusal is not None:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _refusal(scope: Scope) -> Refusal | None:
    scope_needed = needed(scope["path"])
    if scope_needed == ANYBODY:
        return None
    try:
        who = known_of(scope)
        if isinstance(scope_needed, KeyScope):
            who.require(scope_needed)
    except CodeExecutorError as error:
        return from_failure(error)
    if who.origins:
        headers = Headers(scope=scope)
        if not is_allowed(headers.get("origin"), headers.get("host", ""), who.origins, scope["scheme"]):
            return Refusal(403, "Pages of this origin may not use this key.")
    return None
