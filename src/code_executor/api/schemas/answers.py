"""What answers and events hold (`core.codec` makes them)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from code_executor.api.schemas.values import camel
from code_executor.core.models import Reason, Status

_ASKED = "The `environment` of the request; it is missing where none was asked for."


class ProblemOut(BaseModel):
    line: int
    column: int
    message: str
    file: str | None = Field(
        None, description="The path of the request's file that it is in; it is missing where it is in the program."
    )


class SessionResponse(BaseModel):
    """How a session stands."""

    model_config = ConfigDict(alias_generator=camel, populate_by_name=True)

    id: str = Field(
        description="The name of the session. It is a secret, and works from the address that opened the session only."
    )
    state: Literal["idle", "running", "waiting"] = Field(description="`waiting`: a cell waits for input.")
    cells: int = Field(description="Number of cells that were run.")
    idle_timeout: float = Field(description="Time in seconds without a running cell after which the session ends.")
    expires_in: float = Field(description="Time in seconds until the session ends in any case.")
    age: float = Field(description="Time in seconds since it was opened, or restarted.")
    environment: str = Field("", description=_ASKED)
    policy: str = Field("", description="The `policy` of the request, likewise.")


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


class LimitsOut(BaseModel):
    """What a run was held to. Seconds, bytes, and processes or threads."""

    model_config = ConfigDict(alias_generator=camel, populate_by_name=True)

    wall_time: float
    cpu_time: float
    memory: int
    output: int
    processes: int
    disk: int


class LeftOut(BaseModel):
    """How many bytes of the middle of `output` and of `error` are left out."""

    stdout: int
    stderr: int


class ExecuteResponse(BaseModel):
    """What came of it. A program's failure is an answer like any other: status 200."""

    model_config = ConfigDict(alias_generator=camel, populate_by_name=True)

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
    limits: LimitsOut | None = Field(
        None, description="What the run was held to. It is there if the request has `limits`."
    )
    stdout_base64: str | None = Field(None, description="The bytes of stdout. It is there if the request has `base64`.")
    stderr_base64: str | None = Field(None, description="The bytes of stderr. It is there if the request has `base64`.")
    left_out: LeftOut | None = Field(
        None, description="How much is left out. It is there if the request has an `excerpt`."
    )


class ResultsResponse(BaseModel):
    """What came of each run of a request with `stdins`, in their order."""

    results: list[ExecuteResponse]


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

    model_config = ConfigDict(alias_generator=camel)

    id: str
    queue_time: float = Field(description="Milliseconds it waited for a sandbox.")
    rate_limit: RateOut | None = Field(None, description="Over the WebSocket only; null if there is no rate limit.")


class PieceOut(BaseModel):
    """A piece of what the program wrote."""

    data: str = Field(description="Cut anywhere, but never inside a character.")
    dataBase64: str = Field(  # noqa: N815
        "", description="Its bytes, if the request has `base64`. They can end inside a character."
    )


class WaitingOut(BaseModel):
    """The program waits for input. Only a WebSocket and the cells of a session have this event."""
