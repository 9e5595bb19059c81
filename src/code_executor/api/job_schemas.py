"""What a request for jobs may hold, and what an answer about them holds; beside `schemas`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, StringConstraints, create_model

from code_executor.api.schemas import CheckRequest, CheckResponse, ExecuteRequest, ExecuteResponse, ProblemDetails
from code_executor.api.schemas.values import camel
from code_executor.api.suite_schemas import GradeRequest, GradeResponse
from code_executor.jobs.guard import MOST_URL
from code_executor.jobs.models import HIGHEST_PRIORITY, LONGEST_LABEL, MOST_IN_BATCH, MOST_LABELS, Kind, State

LONGEST = 366 * 86_400.0
"""Seconds that anything about a job may be said to last."""

_LABEL = rf"^[^\x00-\x1f\x7f]{{1,{LONGEST_LABEL}}}$"
Label = Annotated[str, StringConstraints(max_length=LONGEST_LABEL, min_length=1, pattern=_LABEL)]


def _whole(value: object) -> object:
    """Return an integer for a number of JSON that is one, as 1.0 is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Priority = Annotated[int, Field(ge=-HIGHEST_PRIORITY, le=HIGHEST_PRIORITY), BeforeValidator(_whole)]
Failures = Annotated[int, Field(ge=1, le=MOST_IN_BATCH), BeforeValidator(_whole)]


class _JobFields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    labels: Annotated[list[Label], Field(max_length=MOST_LABELS)] | None = Field(
        default_factory=list, description="What you want to find it by."
    )
    priority: Priority | None = Field(0, description="Of your own jobs, those with the highest are run first.")
    expiresIn: float | None = Field(  # noqa: N815  # the name in JSON
        None,
        gt=0,
        le=LONGEST,
        allow_inf_nan=False,
        description="Time in seconds within which it must begin; else it is not run.",
    )
    retain: float | None = Field(
        None,
        gt=0,
        le=LONGEST,
        allow_inf_nan=False,
        description="Time in seconds for which its result is kept, if the service keeps it that long.",
    )
    callbackUrl: Annotated[str, StringConstraints(min_length=1, max_length=MOST_URL)] | None = Field(  # noqa: N815
        None, description="Where a webhook tells its end; it needs a key. Learners' tokens cannot name one."
    )


class ExecuteJob(_JobFields):
    """A program to run."""

    kind: Literal["execute"]
    request: ExecuteRequest = Field(description="As the body of `/api/execute`.")


class CheckJob(_JobFields):
    """A source to check."""

    kind: Literal["check"]
    request: CheckRequest = Field(description="As the body of `/api/check`.")


class GradeJob(_JobFields):
    """A program to grade."""

    kind: Literal["grade"]
    request: GradeRequest = Field(description="As the body of `/api/grade`.")


class JobRequest(RootModel[Annotated[ExecuteJob | CheckJob | GradeJob, Field(discriminator="kind")]]):
    """A job: what to do when there is time for it."""


_OPTIONS: dict[str, Any] = {
    name: (field.rebuild_annotation(), field)
    for name, field in ExecuteRequest.model_fields.items()
    if name not in ("code", "entry", "stdins")
}

ExecuteDefaults: type[BaseModel] = create_model(
    "ExecuteDefaults",
    __config__=ConfigDict(extra="forbid", strict=True, alias_generator=camel),
    __doc__="What holds for all programs of a batch that do not say otherwise.",
    **_OPTIONS,
)


class BatchDefaults(_JobFields):
    """What holds for all jobs of a batch that do not say otherwise."""

    request: ExecuteDefaults | None = Field(  # type: ignore[valid-type]  # it is a class
        None, description="Fields of the requests of jobs that run a program."
    )


class BatchRequest(BaseModel):
    """Many jobs at once."""

    model_config = ConfigDict(extra="forbid", strict=True)

    jobs: Annotated[list[JobRequest], Field(min_length=1, max_length=MOST_IN_BATCH)]
    defaults: BatchDefaults | None = None
    stopAfterFailures: Failures | None = Field(  # noqa: N815
        None,
        description="Number of jobs that fail, after which those that have not begun are cancelled.",
    )


class JobPosted(BaseModel):
    """A job that will be run."""

    id: str
    state: Literal["queued"]
    position: int = Field(description="Number of jobs that wait already, of all clients.")


class JobOut(BaseModel):
    """How a job stands. Times are as in `2026-11-30T12:00:00.000Z`."""

    id: str = Field(description="Its name, which nobody can guess; only you can use it.")
    kind: Kind
    state: State
    labels: list[str]
    priority: int
    created: str
    started: str | None = Field(description="When it was first begun.")
    finished: str | None
    expires: str | None = Field(description="When it is too late to begin.")
    failed: bool = Field(description="Whether it is done, and its `result` is no success.")
    runs: int = Field(description="How often it was begun: again if its sandbox or its server broke.")
    callbackUrl: str | None = Field(description="Where a webhook tells its end.")  # noqa: N815
    batch: str | None
    index: int = Field(description="Its place in the batch, from 0.")


class WebhookOut(BaseModel):
    """How the webhook of a job stands."""

    id: str = Field(description="The `webhook-id` of its message.")
    url: str
    state: Literal["pending", "delivered", "failed", "gone"] = Field(
        description="`failed`: given up. `gone`: the receiver wants no more of it (410)."
    )
    attempts: int = Field(description="Those that came to an end.")
    status: int | None = Field(description="Of the last answer.")
    error: str | None = Field(description="Why the last attempt failed.")
    nextAttempt: str | None = Field(  # noqa: N815
        None, description="While it is pending: when it is sent next; null while it is being sent."
    )


class JobResponse(JobOut):
    """How a job stands, and what came of it."""

    result: ExecuteResponse | CheckResponse | GradeResponse | None = Field(
        description="What the synchronous call would have answered; null if there is none (yet)."
    )
    problem: ProblemDetails | None = Field(
        description="The problem that the synchronous call would have answered instead."
    )
    webhook: WebhookOut | None = Field(
        None, description="How its webhook stands, once it is over. It is missing in events, lines and webhooks."
    )


class JobListResponse(BaseModel):
    """Some of your jobs, without their results."""

    jobs: list[JobOut]
    next: str | None = Field(description="What to give as `after` for the next ones; null if these are the last.")


class BatchPosted(BaseModel):
    """Jobs that will be run."""

    id: str
    jobs: list[str] = Field(description="The names of the jobs, in the order of the request.")
    position: int = Field(description="Number of jobs that waited already, of all clients.")


class BatchCounts(BaseModel):
    queued: int
    running: int
    done: int
    cancelled: int
    expired: int


class BatchOut(BaseModel):
    """How a batch stands."""

    id: str
    created: str
    total: int
    stopAfterFailures: int | None  # noqa: N815
    counts: BatchCounts = Field(description="Of its jobs that are kept, by state.")
    failed: int = Field(description="Number of jobs that are done and failed.")


class BatchResponse(BatchOut):
    """How a batch stands, and some of its jobs, in its order and without their results."""

    jobs: list[JobOut]
    next: str | None = Field(description="What to give as `after` for the next ones; null if these are the last.")


POSTED: dict[int | str, dict[str, Any]] = {
    202: {"description": "It will be done as a job, as you preferred.", "model": JobPosted}
}
"""What is answered to who prefers not to wait."""
