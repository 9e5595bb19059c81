"""Reading a request: from bytes to an execution, or to a `Refusal` that says everything that is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError

from code_executor.api.problems import Refusal, from_validation
from code_executor.api.schemas import CellRequest, CheckRequest, ExecuteRequest, InputRequest, SessionRequest
from code_executor.core.caller import Caller
from code_executor.core.limits import Limits, RequestLimits
from code_executor.core.models import Cell, Execution, File, Stdin, require_no_main


def require_json(content_type: str) -> None:
    """Raise ``Refusal`` unless a body is declared as JSON."""
    declared = content_type.partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Refusal(415, f"Content-Type must be application/json, not {declared or 'missing'}.")


def parse_execution(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> Execution:
    """Read and check a request to run; raise ``Refusal``."""
    try:
        asked = ExecuteRequest.model_validate_json(body)
        files = tuple(File(file.path, file.data()) for file in asked.files)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded("code", asked.code, bounds.code)
    _bounded("stdin", asked.stdin, bounds.stdin)
    _bounded_files(files, bounds)
    try:
        require_no_main(files)
    except ValueError as error:
        raise _invalid("files", str(error)) from None
    _in_time(asked.timeout, limits)
    return Execution(
        asked.code,
        asked.stdin,
        tuple(asked.args),
        asked.timeout,
        files=files,
        display=asked.display,
        caller=caller,
    )


def parse_check(body: bytes, caller: Caller, bounds: RequestLimits) -> Execution:
    """Read a request to check a source without running it; raise ``Refusal``."""
    try:
        asked = CheckRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded("code", asked.code, bounds.code)
    return Execution(asked.code, check_only=True, caller=caller)


def parse_session(body: bytes, bounds: RequestLimits) -> tuple[File, ...]:
    """Read a request to open a session, which may be empty; return its files or raise ``Refusal``."""
    try:
        asked = SessionRequest.model_validate_json(body or b"{}")
        files = tuple(File(file.path, file.data()) for file in asked.files)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded_files(files, bounds)
    return files


def parse_cell(body: bytes, limits: Limits, bounds: RequestLimits) -> Cell:
    """Read a request to run a cell; raise ``Refusal``."""
    try:
        asked = CellRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded("code", asked.code, bounds.code)
    _bounded("stdin", asked.stdin, bounds.stdin)
    _in_time(asked.timeout, limits)
    return Cell(asked.code, asked.stdin, asked.timeout, display=asked.display)


def parse_input(body: bytes, bounds: RequestLimits) -> Stdin:
    """Read input for a cell; raise ``Refusal``."""
    try:
        asked = InputRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded("data", asked.data, bounds.stdin)
    return Stdin(asked.data)


def _bounded_files(files: tuple[File, ...], bounds: RequestLimits) -> None:
    if sum(len(file.data) for file in files) > bounds.files:
        raise Refusal(413, f"files are larger than {bounds.files} bytes together.")


def _in_time(timeout: float | None, limits: Limits) -> None:
    if timeout is not None and timeout > limits.wall_time:
        raise _invalid("timeout", f"Input should be less than or equal to {limits.wall_time:g}")


def _bounded(name: str, text: str, most: int) -> None:
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise Refusal(413, f"{name} is larger than {most} bytes.")


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
