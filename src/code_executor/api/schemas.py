"""What a request may hold, and what an answer holds (`core.codec` makes it), for checks and for the description."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, StringConstraints, model_validator

from code_executor.core.models import Reason, Status

MAX_ARGS = 64
MAX_ARG = 4096
MAX_FILES = 64
MAX_NAME, MAX_ASCII_NAME = 63, 255
"""Characters of a name in a path: a file system takes 255 bytes, and a character has up to four of them."""

EXAMPLES: dict[str, dict[str, Any]] = {
    "hello": {"summary": "Print", "value": {"code": 'print("Hello from API!")', "language": "python"}},
    "error": {"summary": "An exception", "value": {"code": 'raise ValueError("Test error")', "language": "python"}},
    "timeout": {
        "summary": "Too slow",
        "value": {"code": "import time\ntime.sleep(35)", "language": "python", "timeout": 5},
    },
    "library": {
        "summary": "A library",
        "value": {"code": 'import json\ndata = {"test": 123}\nprint(json.dumps(data))', "language": "python"},
    },
    "input": {"summary": "Input", "value": {"code": "print('Hello', input())", "stdin": "Ada\n"}},
}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def _relative(path: str) -> str:
    for name in path.split("/"):
        if name in ("", ".", "..") or len(name) > (MAX_ASCII_NAME if name.isascii() else MAX_NAME):
            raise ValueError("not a relative path below the working directory")
    return path


_NAME = rf"(?!\.\.?(?:/|$))(?:[\x01-\x2e\x30-\x7f]{{1,{MAX_ASCII_NAME}}}|[^/\x00]{{1,{MAX_NAME}}})"
_PATH = f"^{_NAME}(?:/{_NAME})*$"
"""`_relative` as a regular expression: for the description, as the validator's knows no look-ahead."""

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

Path = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00]*$"),
    AfterValidator(_relative),
    Field(json_schema_extra={"pattern": _PATH}),
]


def _exactly_one(*names: str) -> dict[str, Any]:
    return {"oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in names]}


class FileIn(BaseModel):
    """A file for the working directory: its content as text, or anything in base64."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        alias_generator=_camel,
        json_schema_extra=_exactly_one("content", "contentBase64"),
    )

    path: Path = Field(description="Relative to the working directory; directories are made.")
    content: str | None = None
    content_base64: str | None = Field(None, pattern=_BASE64)

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("exactly one of content and contentBase64 is needed")
        return self

    def data(self) -> bytes:
        """Return its bytes."""
        if self.content is not None:
            return self.content.encode("utf-8", "replace")
        return base64.b64decode(self.content_base64 or "")


class ProblemOut(BaseModel):
    line: int
    column: int
    message: str


class ExecuteRequest(BaseModel):
    """One program to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the program.")
    language: Literal["python"] = Field("python", description="The language of the program.")
    timeout: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Time limit in seconds; the default is the service's maximum."
    )
    stdin: str = Field("", description="What the program reads from input() and sys.stdin.")
    args: list[Annotated[str, StringConstraints(max_length=MAX_ARG, pattern=r"^[^\x00]*$")]] = Field(
        default_factory=list, max_length=MAX_ARGS, description="sys.argv[1:]"
    )
    files: list[FileIn] = Field(
        default_factory=list,
        max_length=MAX_FILES,
        description="Files for the working directory. If two have the same path, the later one counts.",
    )
    display: bool = Field(
        False,  # a default
        description="Return figures, the value of the last expression, and what `display()` is given, in `displays`.",
    )


class SessionRequest(BaseModel):
    """A session to open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: list[FileIn] = Field(
        default_factory=list, max_length=MAX_FILES, description="Files for the working directory of the cells."
    )


class CellRequest(BaseModel):
    """One cell to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the cell.")
    timeout: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Time limit in seconds; the default is the service's maximum."
    )
    stdin: str = Field("", description="What the cell reads first. More can be sent while it runs.")
    display: bool = Field(
        True,  # a default
        description="Return figures, the value of the last expression, and what `display()` is given, in `displays`.",
    )


class InputRequest(BaseModel):
    """Input for a cell that waits for it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: str = Field(description="The next piece of its standard input, with its line ends.")


class SessionResponse(BaseModel):
    """How a session stands."""

    model_config = ConfigDict(alias_generator=_camel, populate_by_name=True)

    id: str = Field(
        description="The name of the session. It is a secret, and works from the address that opened the session only."
    )
    state: Literal["idle", "running", "waiting"] = Field(description="`waiting`: a cell waits for input.")
    cells: int = Field(description="Number of cells that were run.")
    idle_timeout: float = Field(description="Time in seconds without a running cell after which the session ends.")
    expires_in: float = Field(description="Time in seconds until the session ends in any case.")


class CheckRequest(BaseModel):
    """One source to check."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the program.")
    language: Literal["python"] = Field("python", description="The language of the program.")


class CheckResponse(BaseModel):
    """Whether a source may run, and what is refused if not."""

    ok: bool
    reason: Literal["policy", "syntax"] | None
    problems: list[ProblemOut]


class PictureOut(BaseModel):
    """A figure, or another picture."""

    mediaType: Literal["image/png", "image/jpeg"]  # noqa: N815  # the name in JSON
    contentBase64: str  # noqa: N815


class MarkupOut(BaseModel):
    """A rich value. The program decides what is in it: sanitise HTML, and show SVG as the source of an `<img>`."""

    mediaType: Literal["image/svg+xml", "text/html", "text/markdown", "text/latex", "application/json"]  # noqa: N815
    content: str


class DisplayOut(RootModel[Annotated[PictureOut | MarkupOut, Field(discriminator="mediaType")]]):
    """Something that the program shows beside its output."""


class FileOut(BaseModel):
    path: str
    size: int = Field(description="Bytes.")
    mediaType: str = Field(description="Guessed from the path.")  # noqa: N815
    contentBase64: str  # noqa: N815


class ExecuteResponse(BaseModel):
    """What came of it. A program's failure is an answer like any other: status 200."""

    model_config = ConfigDict(alias_generator=_camel, populate_by_name=True)

    status: Status
    reason: Reason = Field(description="The precise reason.")
    output: str = Field(description="What the program wrote to stdout.")
    error: str = Field(description="What the program wrote to stderr, its traceback, or why it was stopped.")
    execution_time: float = Field(description="Milliseconds of the run alone.")
    id: str
    exit_code: int | None = Field(description="null if the program did not exit by itself.")
    signal: str | None = Field(description="The name of the signal that killed the program.")
    syscall: str | None = Field(description="The forbidden system call the program was killed for, if known.")
    cpu_time: float = Field(description="Milliseconds of processor time.")
    memory: int = Field(description="Peak memory in bytes.")
    queue_time: float = Field(description="Milliseconds of waiting for a sandbox.")
    truncated: bool = Field(description="Whether the program wrote more than the limit.")
    line: int | None = Field(description="The line of the failure, from 1, if known.")
    column: int | None
    problems: list[ProblemOut] = Field(description="Everything the policy or the compiler refuses.")
    displays: list[DisplayOut] = Field(description="What the program showed, if `display` was true.")
    files: list[FileOut] = Field(description="Files that the program made or changed in its working directory.")
    files_omitted: int = Field(
        description="Number of files that were left out because they were too many or too large."
    )


class RateOut(BaseModel):
    """How many runs the client may still start."""

    limit: int = Field(description="Runs per window.")
    remaining: int = Field(description="Runs that are left.")
    reset: int = Field(description="Whole seconds until one more run is allowed.")
    window: int = Field(description="Seconds.")


class StartedOut(BaseModel):
    """The program has a sandbox and starts. This is always the first event."""

    model_config = ConfigDict(alias_generator=_camel)

    id: str
    queue_time: float = Field(description="Milliseconds it waited for a sandbox.")
    rate_limit: RateOut | None = Field(None, description="Over the WebSocket only; null if there is no rate limit.")


class PieceOut(BaseModel):
    """A piece of what the program wrote."""

    data: str = Field(description="Cut anywhere, but never inside a character.")


class WaitingOut(BaseModel):
    """The program waits for input. Only a WebSocket and the cells of a session have this event."""


class StdinMessage(BaseModel):
    """Input for the program."""

    type: Literal["stdin"]
    data: str = Field(description="A piece of its standard input; a line ends with a line end.")


class ControlMessage(BaseModel):
    """`eof` ends the program's input, `interrupt` is Ctrl-C, and `cancel` ends the program."""

    type: Literal["eof", "interrupt", "cancel"]


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
