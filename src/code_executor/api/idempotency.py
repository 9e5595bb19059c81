"""The header ``Idempotency-Key``: whoever sends a request again gets the answer that it had, and nothing runs twice.

Only what has the header comes this way; nothing else touches the store. Kept are answers that say 2xx, of which a
program's failure is one. Refusals and failures of ours are not kept: the next request is the first again.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from code_executor.api import problems
from code_executor.api.accept import export_wanted, wants_events, wants_lines
from code_executor.api.identity import caller_of
from code_executor.api.problems import Refusal
from code_executor.api.requests import parse_key
from code_executor.jobs.idempotency import Answer, Answers
from code_executor.service.ports import Health

PATHS = frozenset({"/api/execute", "/api/check", "/api/grade", "/api/jobs", "/api/batches"})
"""What can be asked again. A session keeps its own key, for as long as it lives."""

_EXPORTED = "/api/grade"
"""What is answered in other forms too."""

REPLAYED = "Idempotency-Replayed"

_HEADER = b"idempotency-key"
_KEPT_HEADERS = ("content-type", "location", "preference-applied")


class Idempotency:
    """See above; inside of everything that refuses. ``health`` is told of answers that are given again."""

    def __init__(self, app: ASGIApp, answers: Answers | None, health: Health) -> None:
        self._app = app
        self._answers = answers
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] != "POST"
            or scope["path"] not in PATHS
            or not any(name == _HEADER for name, _ in scope["headers"])
        ):
            await self._app(scope, receive, send)
            return
        try:
            response = await self._answer(scope, receive)
        except Exception as error:  # noqa: BLE001  # `answer` knows all that there are
            response = problems.answer(error)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        headers = Headers(scope=scope)
        if len(headers.getlist(_HEADER.decode())) > 1:
            raise Refusal(422, "A request must have one Idempotency-Key at most.")
        key = parse_key(headers[_HEADER.decode()])
        accepted = headers.getlist("accept")
        export = export_wanted(accepted) if scope["path"] == _EXPORTED else None
        if export is None and (wants_events(accepted) or wants_lines(accepted)):
            raise Refusal(400, "A stream is not kept: leave out Idempotency-Key, or accept application/json.")
        if self._answers is None:
            raise Refusal(400, "This service keeps no answers: leave out Idempotency-Key.")
        body = await Request(scope, receive).body()
        # who wants another form of the answer asks for something else
        asked = body + "\n".join(export or ()).encode()
        async with self._answers.first(caller_of(scope), scope["path"], key, asked) as first:
            if isinstance(first, Answer):
                await self._health.note_replay()
                return Response(first.body, first.status, {**first.headers, REPLAYED: "true"})
            taken = _Taken(body, receive)
            await self._app(scope, taken.receive, taken.send)
            response = taken.response()
            if 200 <= response.status_code < 300:
                kept = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
                first.answer = Answer(response.status_code, kept, bytes(response.body))
        return response


class _Taken:
    """A request whose body has been read, and its answer, whole."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._start: Message = {}
        self._answer = bytearray()

    async def receive(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._answer += message.get("body", b"")

    def response(self) -> Response:
        response = Response(bytes(self._answer), self._start["status"])
        response.raw_headers = [each for each in self._start["headers"] if each[0].lower() != b"content-length"]
        MutableHeaders(raw=response.raw_headers)["content-length"] = str(len(self._answer))
        return response
