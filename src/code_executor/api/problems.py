"""Every error as ``application/problem+json`` (RFC 9457)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from code_executor.accounts.keys import MissingScopeError, UnknownCredentialError
from code_executor.accounts.learners import LearnerNameError
from code_executor.api.answers import object_answer
from code_executor.core import files
from code_executor.core.errors import (
    CallerBusyError,
    CodeExecutorError,
    EnvironmentRefusedError,
    EnvironmentUnknownError,
    FileError,
    PolicyRefusedError,
    PolicyUnknownError,
    PoolBusyError,
    PoolClosedError,
    SessionBusyError,
    SessionError,
    SessionKeyError,
    SessionRefusedError,
    SessionsFullError,
    StorageError,
    WebhookRefusedError,
    WebhookUnknownError,
)
from code_executor.grading.grader import SubmissionError
from code_executor.grading.suite import SuiteError, SuitesFullError, SuiteUnknownError
from code_executor.jobs.idempotency import AnswerPendingError, OtherRequestError
from code_executor.jobs.models import JobsFullError, JobsOffError, JobUnknownError

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_MOST_TOLD = 100
"""Errors of one request that are told."""

_PLAIN: tuple[tuple[type[CodeExecutorError], int], ...] = (
    (LearnerNameError, 400),
    (EnvironmentRefusedError, 403),
    (PolicyRefusedError, 403),
    (SessionRefusedError, 403),
    (WebhookRefusedError, 422),
    (WebhookUnknownError, 409),
    (SessionKeyError, 409),
    (SessionBusyError, 409),
    (SessionError, 404),  # all others of sessions
    (JobUnknownError, 404),
    (JobsOffError, 404),
    (OtherRequestError, 422),
    (SuiteUnknownError, 404),
    (SubmissionError, 422),
    (SuiteError, 422),
    (SuitesFullError, 507),
)
"""Failures that are answered with this status and their sentence; the first that fits."""

MEDIA_TYPE = "application/problem+json"


class Refusal(Exception):  # noqa: N818  # it is one
    """The request is answered with this problem. ``size``: bytes of what it has ``more``, if that is large."""

    def __init__(
        self, status: int, detail: str, headers: Mapping[str, str] | None = None, *, size: int = 0, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more
        self.size = size

    def body(self) -> dict[str, Any]:
        """Return the problem as RFC 9457 spells it."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }

    def response(self) -> Response:
        return object_answer(self.body(), self.size, self.status, self.headers, media_type=MEDIA_TYPE)


def from_validation(error: ValidationError, body: bytes, lacking: Sequence[dict[str, str]] = ()) -> Refusal:
    """Say everything that is wrong with a body at once: 400 where it is no JSON, 422 where it is the wrong one.

    ``lacking``: what is wrong with it beside what its fields are checked for.
    """
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    if problems[0]["type"] == "json_invalid":
        return Refusal(400, f"The body is not valid JSON: {_why_not_json(problems[0]['msg'], body)}")
    errors = [
        {"field": ".".join(map(str, p["loc"])), "message": p["msg"].removeprefix("Value error, ")} for p in problems
    ]
    return refused([*lacking, *errors])


def refused(errors: list[dict[str, str]]) -> Refusal:
    """Return what refuses a request for all of these."""
    more = len(errors) - _MOST_TOLD
    errors = errors[:_MOST_TOLD]
    detail = "; ".join(f"{e['field'] or 'body'}: {e['message']}" for e in errors)
    return Refusal(422, f"{detail}; and {more} more" if more > 0 else detail, errors=errors)


def _why_not_json(said: str, body: bytes) -> str:
    """Say what is wrong in words of JSON, where the parser's are its own."""
    said = said.removeprefix("Invalid JSON: ")
    what, _, place = said.partition(" at line ")
    if "hex escape" in what and _SURROGATE.search(body):
        return (
            r"a text has one half of a surrogate pair (\ud800 to \udfff) without the other, "
            f"as when a character is cut in two, at line {place}"
        )
    if what.startswith("invalid unicode"):
        return f"it is not UTF-8, at line {place}"
    return said


def from_failure(error: CodeExecutorError) -> Refusal:
    """Translate a failure of ours."""
    if isinstance(error, PoolBusyError):
        return Refusal(503, f"No sandbox is free: {error}", {"Retry-After": str(error.retry_after)})
    if isinstance(error, CallerBusyError):
        return Refusal(429, _sentence(error), {"Retry-After": str(error.retry_after)})
    if isinstance(error, PoolClosedError | StorageError):
        return Refusal(503, _sentence(error), {"Retry-After": "5"})
    if isinstance(error, UnknownCredentialError):
        return Refusal(401, _sentence(error), {"WWW-Authenticate": "Bearer"})
    if isinstance(error, MissingScopeError):
        return Refusal(403, _sentence(error), scope=error.scope.value)
    if isinstance(error, EnvironmentUnknownError | PolicyUnknownError):
        field = "policy" if isinstance(error, PolicyUnknownError) else "environment"
        return refused([{"field": field, "message": _sentence(error).removesuffix(".")}])
    if isinstance(error, SessionsFullError):
        # when one of the client's own ends is its own decision
        return Refusal(429, _sentence(error)) if error.own else Refusal(503, _sentence(error), {"Retry-After": "30"})
    if isinstance(error, FileError):
        return Refusal(files_status(error.fault), _sentence(error))
    if isinstance(error, JobsFullError):
        return Refusal(429 if error.own else 503, _sentence(error), {"Retry-After": "5"})
    if isinstance(error, AnswerPendingError):
        return Refusal(409, _sentence(error), {"Retry-After": "1"})
    for kind, status in _PLAIN:
        if isinstance(error, kind):
            return Refusal(status, _sentence(error))
    return Refusal(500, "The service failed to run the program. It is safe to try again.")


def files_status(fault: str) -> int:
    """Return the status that says so: of what is wrong with a file of a session."""
    if fault in files.FULL:
        return 507
    return {"ENOENT": 404, "EINVAL": 422, "ENAMETOOLONG": 422, files.REFUSED: 422}.get(fault, 409)


def _sentence(error: CodeExecutorError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def answer(error: Exception) -> Response:
    """Return what an exception is answered with."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # nginx's number for it; nobody waits, and it is only ever seen in a log
    if isinstance(error, CodeExecutorError):
        error = from_failure(error)
    if isinstance(error, HTTPException):
        error = Refusal(error.status_code, error.detail, error.headers)
    if isinstance(error, RequestValidationError):  # of the address or a header: bodies are read by `requests`
        error = refused([{"field": str(p["loc"][-1]), "message": str(p["msg"])} for p in error.errors()])
    if not isinstance(error, Refusal):
        error = Refusal(500, "The service failed.")
    return error.response()


def _methods(app: FastAPI, request: Request) -> set[str]:
    """Return what may be done to the path of a request; of Starlette's own answer, only the first route is asked."""

    def is_answered(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    return {method for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT") if is_answered(method)}


def install(app: FastAPI) -> None:
    """Answer with problems wherever the app would have answered with something else."""

    async def handle(request: Request, error: Exception) -> Response:
        response = answer(error)
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(sorted(_methods(app, request)))
        return response

    for kind in (ClientDisconnect, Refusal, CodeExecutorError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)
