"""What requests and messages of clients may hold."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from code_executor.api.schemas.values import (
    MAX_ARGS,
    MAX_STDINS,
    WHOLE,
    Argument,
    Base64,
    EnvironmentName,
    Files,
    Language,
    Name,
    Path,
    PolicyName,
    camel,
    exactly_one,
)
from code_executor.core.limits import LEAST_CPU_TIME, LEAST_DISK, LEAST_MEMORY
from code_executor.core.world import MAX_MODULE, MODULE

CHOSEN = "The interpreter and libraries to use, one of `GET /api/environments`; null: the default."
POLICY_CHOSEN = "The policy that checks the source, one of those that the service offers; null: the service's own."

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
    "inputs": {"summary": "Several inputs", "value": {"code": "print(int(input()) ** 2)", "stdins": ["2", "3"]}},
    "limits": {
        "summary": "Less memory and time",
        "value": {"code": "print(len(bytearray(1 << 30)))", "limits": {"memory": 134217728, "cpuTime": 1}},
    },
    "module": {
        "summary": "A module",
        "value": {
            "entry": {"module": "app"},
            "files": [{"path": "app/__main__.py", "content": "import sys\nprint(sys.argv)"}],
            "args": ["a"],
        },
    },
}


class LimitsIn(BaseModel):
    """What one run is held to. What is missing, or null, is as the service has it, which is the most of each."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=camel)

    wall_time: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Run time in seconds: the same as `timeout`."
    )
    cpu_time: float | None = Field(
        None, ge=LEAST_CPU_TIME, allow_inf_nan=False, description="Processor time in seconds."
    )
    memory: Annotated[int, Field(ge=LEAST_MEMORY), WHOLE] | None = Field(
        None,
        description="Bytes of memory, beyond what a program has before its first line. Python raises MemoryError a "
        "little below.",
    )
    output: Annotated[int, Field(ge=1), WHOLE] | None = Field(None, description="Bytes of stdout and stderr together.")
    processes: Annotated[int, Field(ge=1), WHOLE] | None = Field(
        None, description="Processes or threads that the program can count on beside its first one."
    )
    disk: Annotated[int, Field(ge=LEAST_DISK), WHOLE] | None = Field(
        None, description="Bytes of all files in /work, /tmp and /dev/shm."
    )


class EntryIn(BaseModel):
    """What is run instead of `code`: a file of the request, or a module as `python -m` finds it."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=exactly_one("path", "module"))

    path: Path | None = Field(None, description="The path of one of `files`.")
    module: Annotated[str, StringConstraints(min_length=1, max_length=MAX_MODULE, pattern=rf"^{MODULE}$")] | None = (
        Field(None, description="The name of a module, or of a package with a `__main__.py`.")
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.path is None) == (self.module is None):
            raise ValueError("exactly one of path and module is needed")
        return self


class ExcerptIn(BaseModel):
    """How much of a long output the answer has: so many bytes of its beginning and of its end."""

    model_config = ConfigDict(extra="forbid", strict=True)

    head: Annotated[int, Field(ge=0), WHOLE] = Field(0, description="Bytes of the beginning.")
    tail: Annotated[int, Field(ge=0), WHOLE] = Field(0, description="Bytes of the end.")


class ExecuteRequest(BaseModel):
    """One program to run."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        alias_generator=camel,
        json_schema_extra={
            "anyOf": [
                {"required": ["code"], "properties": {"code": {"type": "string"}}},
                {"required": ["entry"], "properties": {"entry": {"type": "object"}}},
            ]
        },
    )

    code: str | None = Field(None, description="The source of the program. It can be missing if there is an `entry`.")
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
    environment: EnvironmentName | None = Field(None, description=CHOSEN)
    policy: PolicyName | None = Field(None, description=POLICY_CHOSEN)
    limits: LimitsIn | None = Field(
        None,
        description="Limits of this run, below those of the service. The answer then says what holds, in `limits`.",
    )
    name: Name | None = Field(
        "main.py", description="The name of the program's file, which tracebacks show; without a directory."
    )
    entry: EntryIn | None = Field(None, description="What is run instead of `code`.")
    env: dict[str, Argument] | None = Field(
        default_factory=dict, description="Variables of the environment, of those that the service allows."
    )
    stdin_base64: Base64 | None = Field(None, description="Instead of `stdin`: its bytes, which can be anything.")
    stdins: Annotated[list[str], Field(min_length=1, max_length=MAX_STDINS)] | None = Field(
        None,
        description="Instead of `stdin`: several, each for a run of its own. The answer has the `results`, in order.",
    )
    base64: bool | None = Field(
        False,  # a default
        description="Return the bytes of stdout and stderr too, in `stdoutBase64` and `stderrBase64`; in events, in "
        "`dataBase64`.",
    )
    excerpt: ExcerptIn | None = Field(
        None, description="Leave out the middle of `output` and `error` if they are longer. Not for events."
    )


class SessionRequest(BaseModel):
    """A session to open."""

    model_config = ConfigDict(extra="forbid", strict=True)

    files: Files | None = Field(
        default_factory=list, description="Files for the working directory of the cells. None may lie where another is."
    )
    interactive: bool | None = Field(None, description="`interactive` of the cells that do not say it themselves.")
    environment: EnvironmentName | None = Field(None, description=CHOSEN)
    policy: PolicyName | None = Field(None, description=POLICY_CHOSEN)


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


class CheckRequest(BaseModel):
    """One source to check."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the program.")
    language: Language | None = Field("python", description="The language of the program.")
    environment: EnvironmentName | None = Field(None, description=CHOSEN)
    policy: PolicyName | None = Field(None, description=POLICY_CHOSEN)


class StdinMessage(BaseModel):
    """Input for the program."""

    type: Literal["stdin"]
    data: str = Field(description="A piece of its standard input; a line ends with a line end.")


class ControlMessage(BaseModel):
    """`eof` ends the program's input, `interrupt` is Ctrl-C, and `cancel` ends the program."""

    type: Literal["eof", "interrupt", "cancel"]
