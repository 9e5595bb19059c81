"""Values as JSON objects, and back: the one form in which they leave a process.

HTTP answers, streamed events, messages between processes and the command line all show these objects, in camelCase,
each with a ``type``. Times are milliseconds with three decimals, bytes are base64. What a *request* over HTTP may hold
is `code_executor.api.schemas`' matter: it is checked there and becomes one of these values.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from code_executor.core import errors
from code_executor.core.caller import Caller
from code_executor.core.environments import Environment
from code_executor.core.errors import CallerBusyError, CodeExecutorError, FileError, PoolBusyError, SessionsFullError
from code_executor.core.models import (
    SHOWN_TEXTS,
    Allowance,
    Cancel,
    Cell,
    CellDone,
    Display,
    Execution,
    File,
    FileAction,
    FileAnswer,
    FileEntry,
    FileOrder,
    Interrupt,
    Output,
    Raised,
    Readiness,
    Reason,
    Result,
    SessionInfo,
    SessionState,
    SourceProblem,
    Started,
    Stdin,
    Waiting,
)

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Form:
    encode: Callable[[Any], Object]
    decode: Callable[[Object], Any]


def encode(value: object) -> Object:
    """Return the object of a value, with its ``type``; raise ``TypeError`` for what has none."""
    if isinstance(value, CodeExecutorError):
        return {"type": "failure", **_failure(value)}
    try:
        name = _NAMES[type(value)]
    except KeyError:
        raise TypeError(f"a {type(value).__name__} has no JSON form") from None
    if isinstance(value, Output):
        return {"type": value.stream, "data": value.data}
    return {"type": name, **_FORMS[name].encode(value)}


def decode(message: Object) -> Any:
    """Return the value of an object that `encode` made; raise ``ValueError`` for any other.

    A failure comes back as the exception that it was, to be raised by whoever asked.
    """
    try:
        return _FORMS[message["type"]].decode(message)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a value: {error!r}") from None


# ---- what programs read and write


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def file_object(file: File, base64_of: Callable[[bytes], Any] = _base64) -> Object:
    """Return the object of a file; ``base64_of``: what stands for its bytes."""
    return {
        "path": file.path,
        "size": len(file.data),
        "mediaType": _media_type(file.path),
        "contentBase64": base64_of(file.data),
    }


def _media_type(path: str) -> str:
    return mimetypes.guess_type(path, strict=False)[0] or "application/octet-stream"


def _file(message: Object) -> File:
    return File(message["path"], base64.b64decode(message["contentBase64"]))


def display_object(
    display: Display, text_of: Callable[[bytes], Any] = _text, base64_of: Callable[[bytes], Any] = _base64
) -> Object:
    """Return the object of what a program shows; ``text_of`` and ``base64_of``: what stands for its bytes."""
    if display.media_type in SHOWN_TEXTS:
        return {"mediaType": display.media_type, "content": text_of(display.data)}
    return {"mediaType": display.media_type, "contentBase64": base64_of(display.data)}


def _display(message: Object) -> Display:
    if "content" in message:
        return Display(message["mediaType"], message["content"].encode("utf-8", "replace"))
    return Display(message["mediaType"], base64.b64decode(message["contentBase64"]))


def problem_object(problem: SourceProblem) -> Object:
    """Return the object of a problem; ``file`` is only there where it is not the program's."""
    return {name: value for name, value in problem._asdict().items() if name != "file" or value}


def result_object(result: Result, *, attachments: bool = True) -> Object:
    """Return the object of a result, as an answer shows it: without a ``type``.

    ``attachments`` False: without what it displays and its files, which are large.
    """
    return {
        "status": result.status.value,
        "reason": result.reason.value,
        "output": result.output,
        "error": result.error,
        "executionTime": round(result.execution_time, 3),
        "id": result.id,
        "exitCode": result.exit_code,
        "signal": result.signal,
        "syscall": result.syscall,
        "cpuTime": round(result.cpu_time, 3),
        "memory": result.memory,
        "queueTime": round(result.queue_time, 3),
        "truncated": result.truncated,
        "line": result.line,
        "column": result.column,
        "problems": [problem_object(problem) for problem in result.problems],
        "displays": [display_object(display) for display in result.displays] if attachments else [],
        "files": [file_object(file) for file in result.files] if attachments else [],
        "filesOmitted": result.files_omitted,
        "value": result.value,
        "exception": _raised_object(result.exception),
        **({"environment": result.environment} if result.environment else {}),
    }


def _raised_object(raised: Raised | None) -> Object | None:
    if raised is None:
        return None
    return {"type": raised.type, "message": raised.message, "traceback": list(raised.traceback)}


def _raised(message: Object | None) -> Raised | None:
    return None if message is None else Raised(message["type"], message["message"], tuple(message["traceback"]))


def check_object(result: Result) -> Object:
    """Return the object of a check that came to its end, as an answer shows it."""
    return {
        "ok": not result.problems,
        "reason": result.reason.value if result.problems else None,
        "problems": [problem_object(problem) for problem in result.problems],
        **({"environment": result.environment} if result.environment else {}),
    }


def _result(message: Object) -> Result:
    return Result(
        id=message["id"],
        reason=Reason(message["reason"]),
        output=message["output"],
        error=message["error"],
        exit_code=message["exitCode"],
        signal=message["signal"],
        syscall=message["syscall"],
        execution_time=message["executionTime"],
        queue_time=message["queueTime"],
        cpu_time=message["cpuTime"],
        memory=message["memory"],
        truncated=message["truncated"],
        line=message["line"],
        column=message["column"],
        problems=tuple(SourceProblem(**problem) for problem in message["problems"]),
        displays=tuple(_display(display) for display in message["displays"]),
        files=tuple(_file(file) for file in message["files"]),
        files_omitted=message["filesOmitted"],
        value=message["value"],
        exception=_raised(message["exception"]),
        environment=message.get("environment", ""),
    )


# ---- what is asked for


caller_object, caller_of_object = Caller.as_object, Caller.of_object
"""The object of a caller, which only processes of one service show each other; and back."""


def _execution_object(execution: Execution) -> Object:
    return {
        "code": execution.code,
        "stdin": execution.stdin,
        "args": list(execution.args),
        "timeout": execution.timeout,
        "policy": execution.policy,
        "checkOnly": execution.check_only,
        "files": [file_object(file) for file in execution.files],
        "display": execution.display,
        "session": execution.session,
        "batch": execution.batch,
        "environment": execution.environment,
        "caller": caller_object(execution.caller),
        "id": execution.id,
    }


def _execution(message: Object) -> Execution:
    return Execution(
        code=message["code"],
        stdin=message["stdin"],
        args=tuple(message["args"]),
        timeout=message["timeout"],
        policy=message["policy"],
        check_only=message["checkOnly"],
        files=tuple(_file(file) for file in message["files"]),
        display=message["display"],
        session=message["session"],
        batch=message["batch"],
        environment=message["environment"],
        caller=caller_of_object(message["caller"]),
        id=message["id"],
    )


def _cell_object(cell: Cell) -> Object:
    return {
        "code": cell.code,
        "stdin": cell.stdin,
        "timeout": cell.timeout,
        "policy": cell.policy,
        "display": cell.display,
        "interactive": cell.interactive,
        "id": cell.id,
    }


def _cell(message: Object) -> Cell:
    return Cell(
        code=message["code"],
        stdin=message["stdin"],
        timeout=message["timeout"],
        policy=message["policy"],
        display=message["display"],
        interactive=message["interactive"],
        id=message["id"],
    )


def _order_object(order: FileOrder) -> Object:
    return {
        "action": order.action.value,
        "path": order.path,
        "contentBase64": _base64(order.data),
        "policy": order.policy,
    }


def _order(message: Object) -> FileOrder:
    return FileOrder(
        FileAction(message["action"]), message["path"], base64.b64decode(message["contentBase64"]), message["policy"]
    )


# ---- what a session has


def listing_object(answer: FileAnswer) -> Object:
    """Return the object of a list of files, as an answer shows it: without a ``type``."""
    return {
        "files": [
            {"path": entry.path, "size": entry.size, "mediaType": _media_type(entry.path)} for entry in answer.entries
        ],
        "filesOmitted": answer.omitted,
    }


def _answer_object(answer: FileAnswer) -> Object:
    return {
        **listing_object(answer),
        "contentBase64": _base64(answer.data),
        "made": answer.made,
        "fault": answer.fault,
        "why": answer.why,
    }


def _answer(message: Object) -> FileAnswer:
    return FileAnswer(
        tuple(FileEntry(entry["path"], entry["size"]) for entry in message["files"]),
        message["filesOmitted"],
        base64.b64decode(message["contentBase64"]),
        message["made"],
        message["fault"],
        message["why"],
    )


# ---- how things stand


def session_object(info: SessionInfo) -> Object:
    """Return the object of a session, as an answer shows it: without a ``type``."""
    return {
        "id": info.id,
        "state": info.state.value,
        "cells": info.cells,
        "idleTimeout": info.idle,
        "expiresIn": round(info.left, 3),
        "age": round(info.age, 3),
        **({"environment": info.environment} if info.environment else {}),
    }


def _session(message: Object) -> SessionInfo:
    idle, left, age = (message[name] for name in ("idleTimeout", "expiresIn", "age"))
    state = SessionState(message["state"])
    return SessionInfo(message["id"], state, message["cells"], idle, left, age, message.get("environment", ""))


def _allowance_object(allowance: Allowance) -> Object:
    return {
        "allowed": allowance.allowed,
        "limit": allowance.limit,
        "remaining": allowance.remaining,
        "reset": allowance.reset,
        "window": allowance.window,
        **({"name": allowance.name} if allowance.name else {}),
    }


def _allowance(message: Object) -> Allowance:
    return Allowance(*(message.get(name, "") for name in ("allowed", "limit", "remaining", "reset", "window", "name")))


# ---- failures of ours

_FAILURES: dict[str, type[CodeExecutorError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, CodeExecutorError)
}


def _failure(error: CodeExecutorError) -> Object:
    message: Object = {"failure": type(error).__name__, "why": str(error)}
    if isinstance(error, PoolBusyError | CallerBusyError):
        message["retryAfter"] = error.retry_after
    if isinstance(error, SessionsFullError):
        message["own"] = error.own
    if isinstance(error, FileError):
        message["fault"] = error.fault
    return message


def _error(message: Object) -> CodeExecutorError:
    kind = _FAILURES.get(message["failure"], CodeExecutorError)
    if issubclass(kind, PoolBusyError | CallerBusyError):
        return kind(message["why"], message["retryAfter"])
    if kind is SessionsFullError:
        return SessionsFullError(message["why"], own=message["own"])
    if kind is FileError:
        return FileError(message["why"], fault=message["fault"])
    return kind(message["why"])


# ---- the table


def _empty(_: object) -> Object:
    return {}


_OUTPUT = _Form(lambda output: {"data": output.data}, lambda message: Output(message["type"], message["data"]))

_FORMS = {
    "started": _Form(
        lambda started: {"id": started.id, "queueTime": round(started.queue_time, 3)},
        lambda message: Started(message["id"], message["queueTime"]),
    ),
    "stdout": _OUTPUT,
    "stderr": _OUTPUT,
    "waiting": _Form(_empty, lambda _: Waiting()),
    "display": _Form(display_object, _display),
    "file": _Form(file_object, _file),
    "cellDone": _Form(
        lambda done: {"result": result_object(done.result)}, lambda message: CellDone(_result(message["result"]))
    ),
    "fileAnswer": _Form(_answer_object, _answer),
    "result": _Form(result_object, _result),
    "execution": _Form(_execution_object, _execution),
    "cell": _Form(_cell_object, _cell),
    "fileOrder": _Form(_order_object, _order),
    "stdin": _Form(lambda stdin: {"data": stdin.data}, lambda message: Stdin(message["data"])),
    "interrupt": _Form(_empty, lambda _: Interrupt()),
    "cancel": _Form(_empty, lambda _: Cancel()),
    "session": _Form(session_object, _session),
    "environment": _Form(Environment.as_object, Environment.of_object),
    "allowance": _Form(_allowance_object, _allowance),
    "readiness": _Form(
        lambda readiness: {"ready": readiness.ready, "engine": readiness.engine, "why": readiness.why},
        lambda message: Readiness(message["ready"], message["engine"], message["why"]),
    ),
    "failure": _Form(_failure, _error),
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
