"""The wire: what a request may hold and what an answer holds, in the brief's names and camelCase."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from code_executor.models import Limits, Problem, Reason, Result, Status

MAX_ARGS = 64
MAX_ARG = 4096

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


class ExecuteRequest(BaseModel):
    """One program to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: str = Field(description="The source of the program.")
    language: Literal["python"] = Field("python", description="Its language.")
    timeout: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Seconds it may take; not given: as many as the service allows."
    )
    stdin: str = Field("", description="What it reads from input() and sys.stdin.")
    args: list[Annotated[str, StringConstraints(max_length=MAX_ARG, pattern=r"^[^\x00]*$")]] = Field(
        default_factory=list, max_length=MAX_ARGS, description="sys.argv[1:]"
    )


def request_schema(limits: Limits) -> dict[str, Any]:
    """Return the JSON schema of a request, with the limits of this service in it."""
    schema = ExecuteRequest.model_json_schema()
    timeout = schema["properties"]["timeout"]
    timeout["anyOf"][0]["maximum"] = limits.wall_time
    return schema


class ProblemOut(BaseModel):
    line: int
    column: int
    message: str


class ExecuteResponse(BaseModel):
    """What came of it. A program's failure is an answer like any other: status 200."""

    model_config = ConfigDict(alias_generator=_camel, populate_by_name=True)

    status: Status
    reason: Reason = Field(description="Precisely why.")
    output: str = Field(description="What it wrote to stdout.")
    error: str = Field(description="What it wrote to stderr, its traceback, or a sentence about why it was stopped.")
    execution_time: float = Field(description="Milliseconds: the run alone.")
    id: str
    exit_code: int | None = Field(description="null where it did not exit by itself.")
    signal: str | None = Field(description="The name of the signal that killed it.")
    cpu_time: float = Field(description="Milliseconds of processor time.")
    memory: int = Field(description="Bytes, at its peak.")
    queue_time: float = Field(description="Milliseconds it waited for a sandbox.")
    truncated: bool = Field(description="It wrote more than is kept.")
    line: int | None = Field(description="Where it went wrong, from 1, where that is known.")
    column: int | None
    problems: list[ProblemOut] = Field(description="Everything the policy or the compiler refuses.")


def result_to_wire(result: Result) -> dict[str, Any]:
    """Return the JSON object of an `ExecuteResponse`."""
    return {
        "status": result.status.value,
        "reason": result.reason.value,
        "output": result.output,
        "error": result.error,
        "executionTime": round(result.execution_time, 3),
        "id": result.id,
        "exitCode": result.exit_code,
        "signal": result.signal,
        "cpuTime": round(result.cpu_time, 3),
        "memory": result.memory,
        "queueTime": round(result.queue_time, 3),
        "truncated": result.truncated,
        "line": result.line,
        "column": result.column,
        "problems": [_problem(problem) for problem in result.problems],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {"line": problem.line, "column": problem.column, "message": problem.message}


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
