"""What the OpenAPI description says beside the routes: requests with the limits of this service, events, and messages.

An event has a name and data. In a stream they are the lines ``event:`` and ``data:`` of a server-sent event. Over the
WebSocket they are one object: the data, with the name as its ``type``. (The data of ``problem`` has a ``type`` already;
the name replaces it.) The schema `Event` describes this object. OpenAPI has no words for a WebSocket or for a stream of
events, so no route refers to `Event` and `ClientMessage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from code_executor.api.job_schemas import BatchRequest, ExecuteDefaults, JobRequest
from code_executor.api.receipt_schemas import VerifyRequest
from code_executor.api.schemas import (
    CellRequest,
    CheckRequest,
    ControlMessage,
    DisplayOut,
    ExecuteRequest,
    FileOut,
    InputRequest,
    LimitsIn,
    PieceOut,
    ProblemDetails,
    SessionRequest,
    StartedOut,
    StdinMessage,
    StreamedResult,
    WaitingOut,
    described,
)
from code_executor.api.scopes import ANY_KEY, ANYBODY, needed
from code_executor.api.suite_schemas import GradeEnd, GradeRequest, SuiteIn, TestOut
from code_executor.core.forms.shown import limits_object
from code_executor.core.limits import Limits, RequestLimits, RunLimits
from code_executor.core.world import MAX_VARIABLES

EVENTS: dict[str, type[BaseModel]] = {
    "started": StartedOut,
    "stdout": PieceOut,
    "stderr": PieceOut,
    "waiting": WaitingOut,
    "display": DisplayOut,
    "file": FileOut,
    "result": StreamedResult,
    "problem": ProblemDetails,
}
"""Every event, and its data."""

GRADE_EVENTS: dict[str, type[BaseModel]] = {"test": TestOut, "grade": GradeEnd, "problem": ProblemDetails}
"""Every event of a grade, and its data."""

MESSAGES: tuple[type[BaseModel], ...] = (StdinMessage, ControlMessage)
"""What a client may send over the WebSocket after its request."""

_REQUESTS: tuple[type[BaseModel], ...] = (
    ExecuteRequest,
    CheckRequest,
    SessionRequest,
    CellRequest,
    InputRequest,
    ExecuteDefaults,
    JobRequest,
    BatchRequest,
    GradeRequest,
    SuiteIn,
    VerifyRequest,
)

_REFERENCE = "#/components/schemas/{model}"

STREAM: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "string",
            "description": "Server-sent events: `event` is the `type` of an `Event`, `data` the rest of it in JSON.",
        }
    }
}
"""The content of an answer that is a stream of events."""


def request_body(
    model: type[BaseModel], *, required: bool = True, examples: dict[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the part of a route's description that says what its body is: JSON, and one of the requests above."""
    content = {"schema": _reference(model), **({"examples": examples} if examples else {})}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


def install(
    app: FastAPI,
    limits: Limits,
    bounds: RequestLimits,
    environments: Sequence[str] = (),
    policies: Sequence[str] = (),
) -> None:
    """Complete what ``app`` says of itself.

    ``environments`` and ``policies``: the names that a request may have, if all may know them.
    """
    named = {"environment": environments, "policy": policies}
    routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = routes()
            whole["components"]["schemas"] |= _schemas(limits, bounds, named)
            whole["components"]["securitySchemes"] = _KEYS
            for path, operations in whole["paths"].items():
                _add_keys(needed(path), operations.values())
        return routes()  # which keeps what it has returned before

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI documents


_KEYS: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, of a service that has any."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}


def _add_keys(scope: str | None, operations: Iterable[dict[str, Any]]) -> None:
    """Say of the operations of a path that they may need a key."""
    if scope == ANYBODY:
        return
    for operation in operations:
        operation["security"] = [{}, *({name: []} for name in _KEYS)]
        operation["responses"].setdefault("401", _problem("There is no key, or it is not valid."))
        lacking = "" if scope == ANY_KEY else f"The key has no scope `{scope}`, or t"
        operation["responses"].setdefault("403", _problem(f"{lacking or 'T'}he page may not use it."))


def _problem(description: str) -> dict[str, Any]:
    return {name: value for name, value in described(description).items() if name != "model"}


def _schemas(limits: Limits, bounds: RequestLimits, named: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    models = [*_REQUESTS, *MESSAGES, *EVENTS.values(), *GRADE_EVENTS.values()]
    _, whole = models_json_schema([(model, "validation") for model in dict.fromkeys(models)], ref_template=_REFERENCE)
    schemas: dict[str, Any] = whole["$defs"]
    for model in _REQUESTS:
        fields = schemas[model.__name__].get("properties", {})  # a model of several kinds has none
        if timeout := fields.get("timeout"):
            timeout["anyOf"][0]["maximum"] = limits.wall_time
        for name, names in named.items():
            if names and (field := fields.get(name)):
                field["anyOf"][0] = {"enum": list(names), "type": "string"}
    most = limits_object(RunLimits.of(limits))
    for name, limit in schemas[LimitsIn.__name__]["properties"].items():
        limit["anyOf"][0]["maximum"] = most[name]
    schemas[ExecuteRequest.__name__]["properties"]["env"]["anyOf"][0] |= _variables(bounds.env)
    return {
        **schemas,
        "Event": {
            "title": "Event",
            "description": "What the server sends while a program runs; the last event is `result` or `problem`.",
            "oneOf": [_event(name, data) for name, data in EVENTS.items()],
        },
        "GradeEvent": {
            "title": "GradeEvent",
            "description": "What the server sends while a program is graded; the last event is `grade` or `problem`.",
            "oneOf": [_event(name, data) for name, data in GRADE_EVENTS.items()],
        },
        "ClientMessage": {
            "title": "ClientMessage",
            "description": "What a client sends over the WebSocket while its program runs.",
            "oneOf": [_reference(model) for model in MESSAGES],
        },
    }


def _variables(allowed: Sequence[str]) -> dict[str, Any]:
    """Return what the description says of the variables that a request may set: names, and globs of names."""
    if not allowed:
        return {"maxProperties": 0}
    globs = (each.replace("*", "[A-Za-z0-9_]*").replace("?", "[A-Za-z0-9_]") for each in allowed)
    return {"maxProperties": MAX_VARIABLES, "propertyNames": {"pattern": f"^(?:{'|'.join(globs)})$"}}


def _event(name: str, data: type[BaseModel]) -> dict[str, Any]:
    tag = {"type": "object", "properties": {"type": {"const": name}}, "required": ["type"]}
    return {"allOf": [tag, _reference(data)]}


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
