"""Plain ASGI middleware: what every request under /api/ is held to before anything reads it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from code_executor.api import allowance as told
from code_executor.api.identity import caller_of
from code_executor.api.problems import Refusal, from_failure
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import Allowance
from code_executor.service.ports import REQUESTS, RateLimits

_OF_CALLER, _IN_ALL = 4, 10
"""Largest bodies that may be held at once: of one caller, and in this process."""


class Held:
    """Bytes of bodies of requests that are not answered yet; plain state."""

    def __init__(self, of_caller: int, in_all: int) -> None:
        self._most_of_caller = of_caller
        self._most_in_all = in_all
        self._in_all = 0
        self._of: dict[str, int] = {}

    def take(self, caller: str, size: int) -> None:
        """Count so many bytes more; raise ``Refusal`` if they are too many."""
        own = self._of.get(caller, 0) + size
        if own > self._most_of_caller:
            raise Refusal(429, "You are sending too much at once. Wait for your other requests.", {"Retry-After": "1"})
        if self._in_all + size > self._most_in_all:
            raise Refusal(503, "Too much is being sent at once. Try again later.", {"Retry-After": "1"})
        self._of[caller] = own
        self._in_all += size

    def give(self, caller: str, size: int) -> None:
        """Take back what `take` counted."""
        self._in_all -= size
        self._of[caller] -= size
        if not self._of[caller]:
            del self._of[caller]


class BodyLimit:
    """Refuses bodies over ``most`` bytes while they are read, and such as take over ``within`` seconds to arrive.

    ``others``: paths that have another limit, and which.

    It also refuses what is too much together, of one caller or of all, until their requests have been answered.
    """

    def __init__(self, app: ASGIApp, most: int, within: float, others: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._most = most
        self._others = others or {}
        self._within = within
        largest = max(most, *self._others.values(), 0)
        self._held = Held(_OF_CALLER * largest, _IN_ALL * largest)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._others.get(scope["path"], self._most)
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared[:20]) > most:  # Python reads no number of thousands of digits
            await _too_large(most).response()(scope, receive, send)
            return
        seen = held = 0
        caller = caller_of(scope).id
        deadline = asyncio.get_running_loop().time() + self._within
        whole = False

        async def bounded() -> Message:
            nonlocal seen, held, whole
            if whole:
                return await receive()  # only a disconnect can come now, and it may take its time
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Refusal(408, f"The body did not arrive within {self._within:g} seconds.") from None
            size = len(message.get("body", b""))
            seen += size
            if seen > most:
                raise _too_large(most)
            if size:
                self._held.take(caller, size)
                held += size
            whole = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, bounded, send)
        finally:
            if held:
                self._held.give(caller, held)


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"The body is larger than {most} bytes.", {"Connection": "close"})


class RateLimit:
    """Counts requests per caller, before anything of them is read; every answer says how the caller stands.

    ``counted``: method and path of what has a limit of its own, and which. All else counts as `REQUESTS`, and is
    told of runs. A ``*`` in a path stands for anything between two slashes.
    """

    def __init__(self, app: ASGIApp, rates: RateLimits, counted: Mapping[tuple[str, str], str]) -> None:
        self._app = app
        self._rates = rates
        self._counted = counted
        self._patterns = [
            (method, re.compile(re.escape(path).replace(r"\*", "[^/]+")), what)
            for (method, path), what in counted.items()
            if "*" in path
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        caller = caller_of(scope)
        counted = self._what(scope["method"], scope["path"])
        try:
            allowance = await self._rates.hit(caller, counted)
            if counted == REQUESTS and (allowance is None or allowance.allowed):
                allowance = await self._rates.peek(caller)
                refused = False
            else:
                refused = allowance is not None and not allowance.allowed
        except CodeExecutorError as error:
            await from_failure(error).response()(scope, receive, send)
            return
        if allowance is None:
            await self._app(scope, receive, send)
            return
        if refused:
            await told.refusal(allowance, counted).response()(scope, receive, send)
            return
        await self._app(scope, receive, _adding(send, allowance, scope))

    def _what(self, method: str, path: str) -> str:
        exactly = self._counted.get((method, path))
        if exactly is not None:
            return exactly
        found = (what for verb, pattern, what in self._patterns if verb == method and pattern.fullmatch(path))
        return next(found, REQUESTS)


def _adding(send: Send, allowance: Allowance, scope: Scope) -> Send:
    headers = [
        (name.lower().encode(), value.encode())
        for name, value in told.headers(allowance).items()
        if name != "Retry-After"
    ]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and told.LATER not in scope:
            message = {**message, "headers": [*message["headers"], *headers]}
        await send(message)

    return sending
