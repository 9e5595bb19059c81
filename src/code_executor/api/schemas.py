"""What a request may hold, and what an answer holds (`core.codec` makes it), for checks and for the description."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from code_executor.core import paths
from code_executor.core.models import Reason, Status

MAX_ARGS = 64
MAX_ARG = 4096
MAX_FILES = 64
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


def _path(path: str) -> str:
    paths.normal(path)  # raises, where it is none
    return path


_NAME = r"(?!\.\.?(?:/|$))(?:[\x01-\x2e\x30-\x7f]{1,255}|[^/\x00]{1,63})"
_PATH = rf"^(?:\./+)*{_NAME}(?:/+(?:\./+)*{_NAME})*$"
"""What `paths.normal` takes, as a regular expression for the description; that has no words for bytes of UTF-8."""

Path = Annotated[
    str,
    AfterValidator(_path),
    Field(json_schema_extra={"pattern": _PATH, "minLength": 1, "maxLength": paths.MAX_PATH}),
]


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a null character, which no argument of a program can have")
    return text


Argument = Annotated[
    str,
    StringConstraints(max_length=MAX_ARG),
    AfterValidator(_argument),
    Field(json_schema_extra={"pattern": r"^[^\x00]*$"}),
]


def _decoded(text: object) -> object:
    """Return the bytes of a text in base64; anything else as it is."""
    if not isinstance(text, str):
        return text
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(
            'not base64: letters, digits, "+" and "/", filled up with "=" to groups of four; white space may be between'
        ) from None


_BASE64_SYMBOL = r"[A-Za-z0-9+/]\s*"
_BASE64 = rf"^\s*(?:(?:{_BASE64_SYMBOL}){{4}})*(?:(?:{_BASE64_SYMBOL}){{2}}=\s*=\s*|(?:{_BASE64_SYMBOL}){{3}}=\s*)?$"
Base64 = Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema({"type": "string", "pattern": _BASE64})]

_LANGUAGES = ("python", "python3", "py", "py3")


def _language(name: str) -> str:
    if name.lower() not in _LANGUAGES:
        raise ValueError('only Python can be run here: it must be "python", or be left out')
    return name


Language = Annotated[
    str, AfterValidator(_language), Field(json_schema_extra={"pattern": "^[Pp][Yy](?:[Tt][Hh][Oo][Nn])?3?$"})
]
"""Also as Piston, Dify and others call it."""


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
    content_base64: Base64 | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("exactly one of content and contentBase64 is needed")
        return self

    def data(self) -> bytes:
        """Return its bytes."""
        if self.content is not None:
            return self.content.encode("utf-8", "replace")
        return self.content_base64 or b""


Files = Annotated[list[FileIn], Field(max_length=MAX_FILES)]

EnvironmentName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_CHOSEN = "The interpreter and libraries to use, one of `GET /api/environments`; null: the default."
_ASKED = "The `environment` of the request; it is missing where none was asked for."


class ProblemOut(BaseModel):
    line: int
    column: int
    message: str
    file: str | None = Field(
        None, description="The path of the request's file that it is in; it is missing where it is in the program."
    )


class ExecuteRequest(BaseModel):
    """One program to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the program.")
    language: Language | None = Field("python", description="The language of the program.")
    timeout: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Time limit in seconds; the default is the service's maximum."
    )
    stdin: str | None = Field("", description="What the program reads from input() and sys.stdin.")
    args: Annotated[list[Argument], Field(max_length=MAX_ARGS)] | None = Field(
        default_factory=list, description="sys.argv[1:]"
    )
    files: Files | None = Field(
        default_factory=list,
        description=(
            "Files for the working directory. If two have the same path, the later one counts. None may be `main.py`, "
            "and none may lie where another is."
        ),
    )
    display: bool | None = Field(
        False,  # a default
        description="Return figures, the value of the last expression, and what `display()` is given, in `displays`.",
    )
    environment: EnvironmentName | None = Field(None, description=_CHOSEN)


class SessionRequest(BaseModel):
    """A session to open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: Files | None = Field(
        default_factory=list, description="Files for the working directory of the cells. None may lie where another is."
    )
    interactive: bool | None = Field(None, description="`interactive` of the cells that do not say it themselves.")
    environment: EnvironmentName | None = Field(None, description=_CHOSEN)


class CellRequest(BaseModel):
    """One cell to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the cell.")
    timeout: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Time limit in seconds; the default is the service's maximum."
    )
    stdin: str | None = Field(
        None, description="What the cell reads; its input ends there. null: somebody types while it runs."
    )
    interactive: bool | None = Field(
        None,
        description="false: nobody types, and the input ends after `stdin`. true: somebody types, also after `stdin`, "
        "and `timeout` does not count while the cell waits. null: false if there is `stdin`; else true, except that "
        "`timeout`, if given, counts while the cell waits.",
    )
    display: bool | None = Field(
        True,  # a default
        description="Return figures, the value of the last expression, and what `display()` is given, in `displays`.",
    )


class InputRequest(BaseModel):
    """Input for a cell that waits for it: `data`, `eof`, or both."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "anyOf": [
                {"required": ["data"], "properties": {"data": {"type": "string"}}},
                {"required": ["eof"], "properties": {"eof": {"const": True}}},
            ]
        },
    )

    data: str | None = Field(None, description="The next piece of its standard input, with its line ends.")
    eof: bool = Field(False, description="Whether its standard input ends here.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.data is None and not self.eof:
            raise ValueError("data or eof is needed")
        return self


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
    age: float = Field(description="Time in seconds since it was opened, or restarted.")
    environment: str = Field("", description=_ASKED)


class SessionListResponse(BaseModel):
    """The client's sessions."""

    sessions: list[SessionResponse] = Field(description="The oldest first.")


class FileEntryOut(BaseModel):
    """A file of a session."""

    path: str = Field(description="Relative to the working directory.")
    size: int = Field(description="Bytes.")
    mediaType: str = Field(description="Guessed from the path.")  # noqa: N815


class FileListResponse(BaseModel):
    """The files of a session."""

    files: list[FileEntryOut]
    filesOmitted: int = Field(  # noqa: N815
        description="Number of other things there: links, names that are no UTF-8, locked directories, and so on."
    )


class CheckRequest(BaseModel):
    """One source to check."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the program.")
    language: Language | None = Field("python", description="The language of the program.")
    environment: EnvironmentName | None = Field(None, description=_CHOSEN)


class CheckResponse(BaseModel):
    """Whether a source may run, and what is refused if not."""

    ok: bool
    reason: Literal["policy", "syntax"] | None
    problems: list[ProblemOut]
    environment: str = Field("", description=_ASKED)


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


class ExceptionOut(BaseModel):
    """The exception that a cell ended with."""

    type: str = Field(description="The name of its class, with its module unless it is built in or the session's.")
    message: str
    traceback: list[str] = Field(description="The lines that Python prints of it.")


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
        description="Number of new or changed files that are not in `files`: too many, too large, or no files to send."
    )
    value: str | None = Field(
        description="Of a cell: the text of the last expression's value, which is in `output` too unless it is shown "
        "in another way. null if there is none, or it is None."
    )
    exception: ExceptionOut | None = Field(description="Of a cell: what it ended with, if it did.")
    environment: str = Field("", description=_ASKED)


class StreamedOut(BaseModel):
    """How much was sent before the result."""

    stdout: int = Field(description="Bytes of UTF-8 in the events `stdout`.")
    stderr: int = Field(description="Bytes of UTF-8 in the events `stderr`.")
    displays: int = Field(description="Number of events `display`.")
    files: int = Field(description="Number of events `file`.")


class StreamedResult(ExecuteResponse):
    """What came of it, at the end of a stream: without what the events before it had.

    `output`, `displays` and `files` have only what no event had, which is nothing unless something went wrong. `error`
    is why the program was stopped, if it was.
    """

    streamed: StreamedOut


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
