"""Reading a request: from bytes to an execution, or to a `Refusal` that says everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from code_executor.api.errors import Refusal, from_validation
from code_executor.api.schemas import CheckRequest, ExecuteRequest
from code_executor.models import Execution, File, Limits


@dataclass(frozen=True)
class RequestLimits:
    """Bytes of source, of stdin, and of all files together that a request may have, and the seconds it may take."""

    code: int = 256 << 10
    stdin: int = 1 << 20
    files: int = 8 << 20
    arrival: float = 30.0

    @property
    def body(self) -> int:
        """Bytes of a body: JSON may spell one byte with six (an escape), and there are the arguments and the rest."""
        return 6 * (self.code + self.stdin) + 2 * self.files + (1 << 20)


def require_json(content_type: str) -> None:
    """Raise ``Refusal`` unless a body is declared as JSON."""
    declared = content_type.partition(";")[0].strip().lower()
    if declared != "application/json":
        raise Refusal(415, f"Content-Type must be application/json, not {declared or 'missing'}.")


def parse_execution(body: bytes, client: str, limits: Limits, most: RequestLimits) -> Execution:
    """Read and check a request to run; raise ``Refusal``."""
    try:
        asked = ExecuteRequest.model_validate_json(body)
        files = tuple(File(file.path, file.data()) for file in asked.files)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded("code", asked.code, most.code)
    _bounded("stdin", asked.stdin, most.stdin)
    if sum(len(file.data) for file in files) > most.files:
        raise Refusal(413, f"files are larger than {most.files} bytes together.")
    if asked.timeout is not None and asked.timeout > limits.wall_time:
        raise _invalid("timeout", f"Input should be less than or equal to {limits.wall_time:g}")
    return Execution(
        asked.code,
        asked.stdin,
        tuple(asked.args),
        asked.timeout,
        files=files,
        display=asked.display,
        client=client,
    )


def parse_check(body: bytes, client: str, most: RequestLimits) -> Execution:
    """Read a request to check a source without running it; raise ``Refusal``."""
    try:
        asked = CheckRequest.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error) from None
    _bounded("code", asked.code, most.code)
    return Execution(asked.code, check_only=True, client=client)


def _bounded(name: str, text: str, most: int) -> None:
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise Refusal(413, f"{name} is larger than {most} bytes.")


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
