"""Failures of ours, which come back as the exceptions that they were."""

from __future__ import annotations

from code_executor.core import errors
from code_executor.core.errors import CallerBusyError, CodeExecutorError, FileError, PoolBusyError, SessionsFullError
from code_executor.core.forms.shown import Object

_FAILURES: dict[str, type[CodeExecutorError]] = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, CodeExecutorError)
}


def failure_object(error: CodeExecutorError) -> Object:
    message: Object = {"failure": type(error).__name__, "why": str(error)}
    if isinstance(error, PoolBusyError | CallerBusyError):
        message["retryAfter"] = error.retry_after
    if isinstance(error, SessionsFullError):
        message["own"] = error.own
    if isinstance(error, FileError):
        message["fault"] = error.fault
    return message


def error_of(message: Object) -> CodeExecutorError:
    kind = _FAILURES.get(message["failure"], CodeExecutorError)
    if issubclass(kind, PoolBusyError | CallerBusyError):
        return kind(message["why"], message["retryAfter"])
    if kind is SessionsFullError:
        return SessionsFullError(message["why"], own=message["own"])
    if kind is FileError:
        return FileError(message["why"], fault=message["fault"])
    return kind(message["why"])
