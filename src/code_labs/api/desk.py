"""What all routes share: who asks, the course that is meant, errors as problems, and bodies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from code_executor.accounts.learners import LearnerNameError
from code_executor.api.grade import owner_of
from code_executor.api.identity import caller_of, is_allowed, known_of
from code_executor.api.mounts import Given
from code_executor.api.problems import Refusal
from code_executor.api.requests import invalid, read, require_json
from code_executor.api.schemas import PROBLEMS, described
from code_executor.core.apart import CHECKED, apart
from code_executor.core.limits import RequestLimits
from code_executor.core.policies import OFF, require
from code_executor.grading.issuer import Issuer
from code_executor.service.ports import Service
from code_labs.errors import FullError, LabError, LabsError, StateError, UnknownError
from code_labs.labs import Lab
from code_labs.progress import Course, DraftChangedError, Labs
from code_labs.progress.models import Draft, Who
from code_labs.progress.privacy import iso
from code_labs.verify import VerifyError

PREFIX = "/api/labs/v1"

Body = TypeVar("Body", bound=BaseModel)


class LabsRoute(APIRoute):
    """A route whose errors are problems, as everywhere in the API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                _require_own_page(request)
                return await inner(request)
            except LabsError as error:
                raise refusal(error) from None

        return handle


def _require_own_page(request: Request) -> None:
    """Raise ``Refusal`` for what a page of somebody else's has a browser send without being asked: no JSON, no key."""
    headers = request.headers
    is_asked_for = request.method != "POST" or headers.get("content-type", "").startswith("application/json")
    if is_asked_for or known_of(request.scope).scopes is not None:
        return
    if not is_allowed(headers.get("origin"), headers.get("host", ""), (), request.scope["scheme"]):
        raise Refusal(403, "Pages of this origin may not do this.")


def refusal(error: LabsError) -> Refusal:
    """Return what a request is refused with."""
    text = f"{str(error)[:1].upper()}{str(error)[1:]}"
    sentence = text if text.endswith((".", "!", "?")) else f"{text}."
    match error:
        case DraftChangedError(draft=draft):
            return Refusal(409, sentence, draft=draft and draft_object(draft))
        case UnknownError():
            return Refusal(404, sentence)
        case StateError():
            return Refusal(409, sentence)
        case FullError():
            return Refusal(507, sentence)
        case VerifyError():
            return Refusal(503, sentence, {"Retry-After": "5"})
        case LabError():
            return invalid("lab", str(error))
    return Refusal(422, sentence)


class Desk:
    """What the routes are over. The database is opened by the first request that needs it."""

    def __init__(self, service: Service, bounds: RequestLimits, issuer: Issuer, given: Given) -> None:
        self.service = service
        self.bounds = bounds
        self.issuer = issuer
        self._given = given
        self._labs: Labs | None = None
        self._opening = asyncio.Lock()

    async def labs(self) -> Labs:
        """Return what is kept; raise ``StorageError``."""
        async with self._opening:
            if self._labs is None:
                self._labs = Labs(await self._given.database(), retention=self._given.retention)
        self._labs.sweep()
        return self._labs

    async def course(self, request: Request, name: str) -> tuple[Labs, Course]:
        """Return the course that is meant, of whoever asks; raise ``UnknownError``."""
        labs = await self.labs()
        return labs, await labs.catalog.course(owner_of(request), name)

    def learner(self, request: Request) -> Who:
        """Return which learner asks; raise ``Refusal``.

        On a service without keys, whoever asks says so, and is believed: everybody may do everything there.
        """
        learner = caller_of(request.scope).learner
        if not learner and known_of(request.scope).scopes is None and (name := request.headers.get("x-learner")):
            learner = self._given.pseudonym(name.encode("latin-1"))
        if not learner:
            raise LearnerNameError("say for which learner you ask, with X-Learner or with a token for a learner")
        return Who(owner_of(request), learner)

    def policy_of(self, request: Request, lab: Lab) -> str:
        """Return the name of the policy for a lab's programs; empty: the service's own. Raises ``Refusal``.

        A lab without the check of the source can only be done where such a policy is offered to whoever asks.
        """
        if lab.policy != OFF or self._given.policy == OFF:
            return ""
        require(OFF, caller_of(request.scope), self._given.policies)
        return OFF


async def parsed(request: Request, model: type[Body], most: int = 2000) -> Body:
    """Read a body of JSON, of so many values at most; raise ``Refusal``."""
    require_json(request.headers.get("content-type", ""))
    body = await request.body()
    return await apart(lambda: read(model, body, most), len(body), CHECKED)


def draft_object(draft: Draft) -> dict[str, Any]:
    return {"code": draft.code, "revision": draft.revision, "saved": iso(draft.saved)}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the part of a route's description that says what its body is."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    own = {name: each for name, each in schema.pop("$defs", {}).items() if name != "FileIn"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _whole(schema, own)}}}}


def _whole(schema: Any, own: dict[str, Any]) -> Any:
    """Return a schema with its parts in their places."""
    if isinstance(schema, list):
        return [_whole(each, own) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return _whole(own[name], own) if name in own else {key: _whole(each, own) for key, each in schema.items()}


NO_COURSE = described("There is no such course, or no such thing in it.")
ANSWERS: dict[int | str, dict[str, Any]] = {
    400: described("It is not said which learner asks."),
    404: NO_COURSE,
    422: PROBLEMS[422],
    503: PROBLEMS[503],
}
"""Of a request without a body."""

BODY_ANSWERS: dict[int | str, dict[str, Any]] = {**PROBLEMS, 404: NO_COURSE}
CONFLICT = described("It cannot be done as things stand.")
FULL = described("There is no room for more.")
