"""Values as JSON objects, and back: the one form in which they leave a process.

HTTP answers, streamed events, messages between processes and the command line all show these objects, in camelCase,
each with a ``type``. Times are milliseconds with three decimals, bytes are base64. What a *request* over HTTP may hold
is `code_executor.api.schemas`' matter: it is checked there and becomes one of these values.

The forms themselves are in `core.forms`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from code_executor.core.environments import Environment
from code_executor.core.errors import CodeExecutorError
from code_executor.core.forms import asked, failures, shown, standing
from code_executor.core.forms.asked import caller_object, caller_of_object
from code_executor.core.forms.shown import (
    Object,
    check_object,
    display_object,
    file_object,
    problem_object,
    result_object,
)
from code_executor.core.forms.standing import listing_object, session_object
from code_executor.core.models import (
    Allowance,
    Cancel,
    Cell,
    CellDone,
    Display,
    Execution,
    File,
    FileAnswer,
    FileOrder,
    Interrupt,
    Output,
    Readiness,
    Result,
    SessionInfo,
    Started,
    Stdin,
    Waiting,
)

__all__ = [
    "Object",
    "caller_object",
    "caller_of_object",
    "check_object",
    "decode",
    "display_object",
    "encode",
    "file_object",
    "listing_object",
    "problem_object",
    "result_object",
    "session_object",
]


@dataclass(frozen=True, slots=True)
class _Form:
    encode: Callable[[Any], Object]
    decode: Callable[[Object], Any]


def encode(value: object) -> Object:
    """Return the object of a value, with its ``type``; raise ``TypeError`` for what has none."""
    if isinstance(value, CodeExecutorError):
        return {"type": "failure", **failures.failure_object(value)}
    try:
        name = _NAMES[type(value)]
    except KeyError:
        raise TypeError(f"a {type(value).__name__} has no JSON form") from None
    if isinstance(value, Output):
        return {"type": value.stream, **shown.output_object(value)}
    return {"type": name, **_FORMS[name].encode(value)}


def decode(message: Object) -> Any:
    """Return the value of an object that `encode` made; raise ``ValueError`` for any other.

    A failure comes back as the exception that it was, to be raised by whoever asked.
    """
    try:
        return _FORMS[message["type"]].decode(message)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a value: {error!r}") from None


def _empty(_: object) -> Object:
    return {}


_OUTPUT = _Form(shown.output_object, shown.output_of)

_FORMS = {
    "started": _Form(
        lambda started: {"id": started.id, "queueTime": round(started.queue_time, 3)},
        lambda message: Started(message["id"], message["queueTime"]),
    ),
    "stdout": _OUTPUT,
    "stderr": _OUTPUT,
    "waiting": _Form(_empty, lambda _: Waiting()),
    "display": _Form(display_object, shown.display_of),
    "file": _Form(file_object, shown.file_of),
    "cellDone": _Form(
        lambda done: {"result": result_object(done.result)},
        lambda message: CellDone(shown.result_of(message["result"])),
    ),
    "fileAnswer": _Form(standing.answer_object, standing.answer_of),
    "result": _Form(result_object, shown.result_of),
    "execution": _Form(asked.execution_object, asked.execution_of),
    "cell": _Form(asked.cell_object, asked.cell_of),
    "fileOrder": _Form(asked.order_object, asked.order_of),
    "stdin": _Form(lambda stdin: {"data": stdin.data}, lambda message: Stdin(message["data"])),
    "interrupt": _Form(_empty, lambda _: Interrupt()),
    "cancel": _Form(_empty, lambda _: Cancel()),
    "session": _Form(session_object, standing.session_of),
    "environment": _Form(Environment.as_object, Environment.of_object),
    "allowance": _Form(standing.allowance_object, standing.allowance_of),
    "readiness": _Form(
        lambda readiness: {"ready": readiness.ready, "engine": readiness.engine, "why": readiness.why},
        lambda message: Readiness(message["ready"], message["engine"], message["why"]),
    ),
    "failure": _Form(failures.failure_object, failures.error_of),
}

_NAMES: dict[type, str] = {
    Started: "started",
    Output: "stdout",
    Waiting: "waiting",
    Display: "display",
    File: "file",
    FileAnswer: "fileAnswer",
    FileOrder: "fileOrder",
    CellDone: "cellDone",
    Result: "result",
    Execution: "execution",
    Cell: "cell",
    Stdin: "stdin",
    Interrupt: "interrupt",
    Cancel: "cancel",
    SessionInfo: "session",
    Environment: "environment",
    Allowance: "allowance",
    Readiness: "readiness",
}
