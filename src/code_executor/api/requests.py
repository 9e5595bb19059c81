"""Reading a request: from bytes to an execution, or to a `Refusal` that says everything that is wrong with it."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from code_executor.api.problems import Refusal, from_validation
from code_executor.api.schemas import CellRequest, CheckRequest, ExecuteRequest, FileIn, InputRequest, SessionRequest
from code_executor.core import paths
from code_executor.core.caller import Caller
from code_executor.core.limits import Limits, RequestLimits, limits_of
from code_executor.core.models import Cell, Execution, File, Stdin

MAX_KEY = 255
"""Characters of a key that makes opening a session safe to repeat."""

_MOST_VALUES = 2000
"""Values in a body, about; a request with the most files and arguments has a tenth."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

Asked = TypeVar("Asked", bound=BaseModel)


def require_json(content_type: str) -> None:
    """Raise ``Refusal`` unless a body is declared as JSON."""
    declared = content_type.partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Refusal(415, f"Content-Type must be application/json, not {declared or 'missing'}.")


def parse_execution(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> Execution:
    """Read and check a request to run; raise ``Refusal``."""
    asked = _read(ExecuteRequest, body)
    stdin = asked.stdin or ""
    _bounded("code", asked.code, bounds.code)
    _bounded("stdin", stdin, bounds.stdin)
    files = _files(asked.files, bounds, program=True)
    _in_time(asked.timeout, limits_of(caller, limits))
    return Execution(
        asked.code,
        stdin,
        tuple(asked.args or ()),
        asked.timeout,
        files=files,
        display=bool(asked.display),
        environment=asked.environment or "",
        caller=caller,
    )


def parse_check(body: bytes, caller: Caller, bounds: RequestLimits) -> Execution:
    """Read a request to check a source without running it; raise ``Refusal``."""
    asked = _read(CheckRequest, body)
    _bounded("code", asked.code, bounds.code)
    return Execution(asked.code, check_only=True, environment=asked.environment or "", caller=caller)


class SessionAsked(NamedTuple):
    """``interactive`` and ``environment``: as of a `Session`."""

    files: tuple[File, ...]
    interactive: bool | None
    environment: str


def parse_session(body: bytes, bounds: RequestLimits) -> SessionAsked:
    """Read a request to open a session, which may be empty; raise ``Refusal``."""
    asked = _read(SessionRequest, body or b"{}")
    return SessionAsked(_files(asked.files, bounds, program=False), asked.interactive, asked.environment or "")


def parse_key(key: str | None) -> str:
    """Read the header Idempotency-Key; empty where there is none. Raise ``Refusal``."""
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise _invalid("Idempotency-Key", f"Must be 1 to {MAX_KEY} printable ASCII characters")
    return key or ""


def parse_cell(body: bytes, limits: Limits, bounds: RequestLimits) -> Cell:
    """Read a request to run a cell; raise ``Refusal``."""
    asked = _read(CellRequest, body)
    _bounded("code", asked.code, bounds.code)
    _bounded("stdin", asked.stdin or "", bounds.stdin)
    _in_time(asked.timeout, limits)
    return Cell(
        asked.code, asked.stdin, asked.timeout, display=asked.display is not False, interactive=asked.interactive
    )


def parse_input(body: bytes, bounds: RequestLimits) -> list[Stdin]:
    """Read input for a cell, one piece or two; raise ``Refusal``."""
    asked = _read(InputRequest, body)
    _bounded("data", asked.data or "", bounds.stdin)
    pieces = [] if asked.data is None else [Stdin(asked.data)]
    return [*pieces, Stdin(None)] if asked.eof else pieces


def parse_path(path: str) -> str:
    """Read the path of a file in a working directory, by the rule of a request's files; raise ``Refusal``."""
    try:
        return paths.normal(path)
    except paths.PathError as error:
        raise _invalid("path", str(error)) from None


def parse_content(body: bytes, bounds: RequestLimits) -> bytes:
    """Read what a file is to hold, which is anything; raise ``Refusal``."""
    if len(body) > bounds.files:
        raise Refusal(413, f"The file is larger than {bounds.files} bytes.")
    return body


def _read(model: type[Asked], body: bytes) -> Asked:
    """Read a body, in UTF-8 with or without its mark; raise ``Refusal``."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 0 in body[:2]:
        raise Refusal(400, "The body is not valid JSON: it is in UTF-16 or UTF-32. JSON must be sent in UTF-8.")
    body = body.removeprefix(codecs.BOM_UTF8)
    if body.count(b",") > _MOST_VALUES and _STRING.sub(b"", body).count(b",") > _MOST_VALUES:
        raise Refusal(422, f"The body has more than {_MOST_VALUES} values.")  # which take 20 times their bytes to read
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error, body) from None


def _files(asked: list[FileIn] | None, bounds: RequestLimits, *, program: bool) -> tuple[File, ...]:
    """Return the files of a request; ``program``: whether there will be a program among them."""
    if not asked:
        return ()
    if clash := paths.clash([file.path for file in asked], program=program):
        raise _invalid(f"files.{clash.position}.path", clash.message)
    files = tuple(File(paths.normal(file.path), file.data()) for file in asked)
    if sum(len(file.data) for file in files) > bounds.files:
        raise Refusal(413, f"files are larger than {bounds.files} bytes together.")
    return files


def _in_time(timeout: float | None, limits: Limits) -> None:
    if timeout is not None and timeout > limits.wall_time:
        raise _invalid("timeout", f"Input should be less than or equal to {limits.wall_time:g}")


def _bounded(name: str, text: str, most: int) -> None:
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise Refusal(413, f"{name} is larger than {most} bytes.")


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
