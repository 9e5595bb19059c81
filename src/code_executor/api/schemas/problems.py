"""What problems hold, and which of them a run can be answered with."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class FieldError(BaseModel):
    field: str
    message: str


class ProblemDetails(BaseModel):
    """An error of the request or of the service, as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
    retryAfter: int | None = Field(  # noqa: N815
        None, description="Over the WebSocket, with status 429: what the header Retry-After says elsewhere, in seconds."
    )


def described(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        "description": description,
        "model": ProblemDetails,
        "content": {"application/problem+json": {"schema": schema}},
    }


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: described("The body is not JSON."),
    408: described("The body did not arrive in time."),
    413: described("The body, the code or the stdin is too large."),
    415: described("The body is not declared as JSON."),
    422: described("A field is missing, unknown or out of range."),
    429: described("Rate limit exceeded; see Retry-After."),
    500: described("The service failed; a retry is safe. What the program had written is in `output` and `error`."),
    503: described("Every sandbox is busy; see Retry-After."),
}
