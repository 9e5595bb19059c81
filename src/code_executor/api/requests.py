"""Reading a request: from bytes to an execution, or to a `Refusal` that says everything that is wrong with it."""

from __future__ import annotations

import codecs
import json
import re
import secrets
from collections.abc import Container, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from code_executor.api.problems import Refusal, from_validation
from code_executor.api.schemas import (
    CellRequest,
    CheckRequest,
    ExecuteRequest,
    FileIn,
    InputRequest,
    LimitsIn,
    SessionRequest,
)
from code_executor.core import paths, world
from code_executor.core.caller import Caller
from code_executor.core.limits import LimitError, Limits, RequestLimits, RunLimits, limits_of
from code_executor.core.models import Cell, Entry, Excerpt, Execution, File, Stdin

MAX_KEY = 255
"""Characters of a key that makes opening a session safe to repeat."""

MOST_VALUES = 2000
"""Values in a body, about; a request with the most files and arguments has a tenth."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)

Body = TypeVar("Body", bound=BaseModel)


def require_json(content_type: str) -> None:
    """Raise ``Refusal`` unless a body is declared as JSON."""
    declared = content_type.partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Refusal(415, f"Content-Type must be application/json, not {declared or 'missing'}.")


class Asked(NamedTuple):
    """What a request wants run. ``several``: it gives inputs for more than one run, if only one of them."""

    executions: tuple[Execution, ...]
    several: bool

    def require_events(self) -> Execution:
        """Return the one execution of a request that is answered with events; raise ``Refusal``."""
        if self.several:
            raise invalid("stdins", "The runs of several inputs have no events; ask for JSON")
        if self.executions[0].excerpt is not None:
            raise invalid("excerpt", "Of events nothing is left out; ask for JSON")
        return self.executions[0]

    def require_one(self) -> Execution:
        """Return the one execution of a job; raise ``Refusal``."""
        if self.several:
            raise invalid("stdins", "A job has one input; post a batch with a job for each")
        return self.executions[0]


def parse_executions(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> Asked:
    """Read and check a request to run; raise ``Refusal``."""
    return executions_of(read(ExecuteRequest, body), caller, limits, bounds)


def executions_of(asked: ExecuteRequest, caller: Caller, limits: Limits, bounds: RequestLimits) -> Asked:
    """Check a request to run; raise ``Refusal``."""
    code, name = asked.code, asked.name or paths.PROGRAM
    if code is None and asked.entry is None:
        raise invalid("code", _without_code(asked.model_fields_set))
    bounded("code", code or "", bounds.code)
    first, *others = _inputs(asked, bounds)
    files = _files(asked.files, bounds, program=code is not None, name=name)
    caller_limits = limits_of(caller, limits)
    _in_time(asked.timeout, caller_limits)
    if asked.base64 and asked.excerpt is not None:
        raise invalid("excerpt", "Of bytes (base64) nothing is left out; give one of both")
    try:
        if asked.env:
            world.require_environment(asked.env, bounds.env)
        execution = Execution(
            code or "",
            first,
            tuple(asked.args or ()),
            asked.timeout,
            files=files,
            display=bool(asked.display),
            caller=caller,
            limits=limits_asked(asked.limits, asked.timeout, caller_limits, files)
            if asked.limits is not None
            else None,
            name=name,
            entry=Entry(asked.entry.path or "", asked.entry.module or "") if asked.entry is not None else None,
            env=asked.env or None,
            raw=bool(asked.base64),
            excerpt=Excerpt(asked.excerpt.head, asked.excerpt.tail) if asked.excerpt is not None else None,
            environment=asked.environment or "",
            policy_name=asked.policy or "",
        )
    except world.WorldError as error:
        raise invalid(error.field, f"It {error}" if str(error).startswith("must") else str(error)) from None
    if not others:
        return Asked((execution,), asked.stdins is not None)
    more = (replace(execution, stdin=each, id=secrets.token_hex(8)) for each in others)
    return Asked((execution, *more), several=True)


def _inputs(asked: ExecuteRequest, bounds: RequestLimits) -> Sequence[str | bytes]:
    """Return the stdin of each run; raise ``Refusal``."""
    if asked.stdins is None and asked.stdin_base64 is None:
        bounded("stdin", asked.stdin or "", bounds.stdin)
        return [asked.stdin or ""]
    given = [
        name
        for name, value in (("stdin", asked.stdin), ("stdinBase64", asked.stdin_base64), ("stdins", asked.stdins))
        if value
    ]
    if len(given) > 1:
        raise invalid(given[1], f"There is {given[0]} as well; give one of both")
    if asked.stdins is not None:
        bounded("stdins", "".join(asked.stdins), bounds.stdin)
        return asked.stdins
    data = asked.stdin_base64 or b""
    if len(data) > bounds.stdin:
        raise Refusal(413, f"stdinBase64 is larger than {bounds.stdin} bytes.")
    return [data]


def limits_asked(asked: LimitsIn, timeout: float | None, limits: Limits, files: tuple[File, ...]) -> RunLimits:
    """Return what a run is to be held to; raise ``Refusal``. ``limits``: those of the caller."""
    run = RunLimits(**{name: getattr(asked, name) for name in LimitsIn.model_fields})
    limits_within("limits", run, limits)
    if None not in (timeout, run.wall_time) and timeout != run.wall_time:
        raise invalid("limits.wallTime", "It is another time than timeout; give one of both")
    if run.disk is not None and sum(len(file.data) for file in files) > run.disk:
        raise invalid("limits.disk", "It is less than the files of the request take")
    return run


def limits_within(where: str, run: RunLimits, limits: Limits) -> None:
    """Raise ``Refusal`` for what is above what holds anyway; ``where``: they are in the request."""
    try:
        run.require_within(limits)
    except LimitError as error:
        field = LimitsIn.model_fields[error.name].alias or error.name
        raise invalid(f"{where}.{field}", f"It {error}") from None


def parse_check(body: bytes, caller: Caller, bounds: RequestLimits) -> Execution:
    """Read a request to check a source without running it; raise ``Refusal``."""
    return check_of(read(CheckRequest, body), caller, bounds)


def check_of(asked: CheckRequest, caller: Caller, bounds: RequestLimits) -> Execution:
    """Check a request to check a source; raise ``Refusal``."""
    bounded("code", asked.code, bounds.code)
    environment, policy = asked.environment or "", asked.policy or ""
    return Execution(asked.code, check_only=True, environment=environment, policy_name=policy, caller=caller)


class SessionAsked(NamedTuple):
    """``interactive``, ``environment`` and ``policy``: as of a `Session`."""

    files: tuple[File, ...]
    interactive: bool | None
    environment: str
    policy: str


def parse_session(body: bytes, bounds: RequestLimits) -> SessionAsked:
    """Read a request to open a session, which may be empty; raise ``Refusal``."""
    asked = read(SessionRequest, body or b"{}")
    files = _files(asked.files, bounds, program=False)
    return SessionAsked(files, asked.interactive, asked.environment or "", asked.policy or "")


def parse_key(key: str | None) -> str:
    """Read the header Idempotency-Key; empty where there is none. Raise ``Refusal``."""
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", f"Must be 1 to {MAX_KEY} printable ASCII characters")
    return key or ""


def parse_cell(body: bytes, limits: Limits, bounds: RequestLimits) -> Cell:
    """Read a request to run a cell; raise ``Refusal``."""
    asked = read(CellRequest, body)
    bounded("code", asked.code, bounds.code)
    bounded("stdin", asked.stdin or "", bounds.stdin)
    _in_time(asked.timeout, limits)
    return Cell(
        asked.code, asked.stdin, asked.timeout, display=asked.display is not False, interactive=asked.interactive
    )


def parse_input(body: bytes, bounds: RequestLimits) -> list[Stdin]:
    """Read input for a cell, one piece or two; raise ``Refusal``."""
    asked = read(InputRequest, body)
    bounded("data", asked.data or "", bounds.stdin)
    pieces = [] if asked.data is None else [Stdin(asked.data)]
    return [*pieces, Stdin(None)] if asked.eof else pieces


def parse_path(path: str) -> str:
    """Read the path of a file in a working directory, by the rule of a request's files; raise ``Refusal``."""
    try:
        return paths.normal(path)
    except paths.PathError as error:
        raise invalid("path", str(error)) from None


def parse_content(body: bytes, bounds: RequestLimits) -> bytes:
    """Read what a file is to hold, which is anything; raise ``Refusal``."""
    if len(body) > bounds.files:
        raise Refusal(413, f"The file is larger than {bounds.files} bytes.")
    return body


def read(model: type[Body], body: bytes, most: int = MOST_VALUES) -> Body:
    """Read a body, in UTF-8 with or without its mark, of so many values at most; raise ``Refusal``."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 0 in body[:2]:
        raise Refusal(400, "The body is not valid JSON: it is in UTF-16 or UTF-32. JSON must be sent in UTF-8.")
    body = body.removeprefix(codecs.BOM_UTF8)
    if body.count(b",") > most and _STRING.sub(b"", body).count(b",") > most:
        raise Refusal(422, f"The body has more than {most} values.")  # which take 20 times their bytes to read
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error, body, _lacking(body) if model is ExecuteRequest else ()) from None


def _lacking(body: bytes) -> Sequence[dict[str, str]]:
    """Say, of a request to run that is wrong anyway, that it has nothing to run either, if it has not."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    if not isinstance(asked, dict) or asked.get("code") is not None or asked.get("entry") is not None:
        return ()
    return ({"field": "code", "message": _without_code(asked)},)


def _without_code(given: Container[str]) -> str:
    """Say that there is no code, in the words that any other field has for it."""
    return "Input should be a valid string" if "code" in given else "Field required"


def _files(
    asked: list[FileIn] | None, bounds: RequestLimits, *, program: bool, name: str = paths.PROGRAM
) -> tuple[File, ...]:
    """Return the files of a request; ``program``: whether there will be a program among them, in the file ``name``."""
    if not asked:
        return ()
    if clash := paths.clash([file.path for file in asked], program=program, name=name):
        raise invalid(f"files.{clash.position}.path", clash.message)
    files = tuple(File(paths.normal(file.path), file.data()) for file in asked)
    if sum(len(file.data) for file in files) > bounds.files:
        raise Refusal(413, f"files are larger than {bounds.files} bytes together.")
    return files


def _in_time(timeout: float | None, limits: Limits) -> None:
    if timeout is not None and timeout > limits.wall_time:
        raise invalid("timeout", f"Input should be less than or equal to {limits.wall_time:g}")


def bounded(name: str, text: str, most: int) -> None:
    """Raise ``Refusal`` for a text of more bytes."""
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise Refusal(413, f"{name} is larger than {most} bytes.")


def invalid(field: str, message: str) -> Refusal:
    """Return what refuses a request for one field."""
    return Refusal(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
