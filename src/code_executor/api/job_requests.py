"""Reading a request for jobs, and writing how they stand; beside `requests`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic import BaseModel

from code_executor.accounts.accounts import Identity
from code_executor.api import receipts
from code_executor.api.answers import result_fields
from code_executor.api.check import checked
from code_executor.api.grade import owner_of
from code_executor.api.identity import known_of
from code_executor.api.job_schemas import BatchDefaults, BatchRequest, CheckJob, ExecuteJob, GradeJob, JobRequest
from code_executor.api.problems import Refusal, from_failure, refused
from code_executor.api.requests import Body, check_of, executions_of, read
from code_executor.api.suite_requests import MOST_VALUES, GradeAsked, grade_of
from code_executor.api.suite_schemas import GradeRequest
from code_executor.core.apart import CHECKED, apart
from code_executor.core.codec import Object
from code_executor.core.environments import choose
from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import RequestLimits
from code_executor.core.models import Result
from code_executor.core.policies import require
from code_executor.core.runner import Runner
from code_executor.grading.grader import Grader
from code_executor.grading.issuer import Issuer
from code_executor.grading.receipts import Subject
from code_executor.grading.store import Suites
from code_executor.jobs.grades import pack_subject, told
from code_executor.jobs.models import Batch, Job, Kind, NewJob, State
from code_executor.jobs.packing import packed, unpacked
from code_executor.jobs.webhooks import moment

_CURSOR = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)~([A-Za-z0-9_-]{22})")
_TAG = re.compile(r"^(jobs\.\d+\.)?(?:execute|check|grade)\.")
_MOST_VALUES = 100_000
"""Values in the body of a batch, about."""

_BYTES_OF_TEST = 4 << 10
"""Of reading and checking, as much as of so many bytes."""

_TOO_LARGE = 413  # its detail begins with a field
_PACKED = 4
"""How much larger results are than they are kept, about."""

_NO_GRADE = Refusal(500, "The service failed to grade the program.")

AnyJob = ExecuteJob | CheckJob | GradeJob

_AT_ONCE = 20
"""Requests that are read before others get their turn."""


@dataclass(frozen=True)
class Reading:
    """What requests for jobs are read with. ``environments``: those that there are; empty: nobody knows yet.

    ``policies``: the names of those that are offered.
    """

    runs: Runner
    bounds: RequestLimits
    environments: Sequence[str]
    suites: Suites
    issuer: Issuer
    policies: Sequence[str] = ()

    def of(self, request: Request) -> Reader:
        """Return what reads this request; raise for whom nobody knows."""
        return Reader(self, known_of(request.scope), owner_of(request), request.headers.get("traceparent", ""))


@dataclass(frozen=True)
class Reader:
    """Reads what ``known`` asks for. ``owner``: whose suites are meant. ``trace``: that it is of."""

    reading: Reading
    known: Identity
    owner: str = ""
    trace: str = ""

    async def job(self, body: bytes) -> NewJob:
        """Read a request for a job; raise ``Refusal``."""
        asked = await apart(lambda: _read(JobRequest, body, MOST_VALUES), len(body), CHECKED)
        return await self.new(asked.root)

    async def batch(self, body: bytes) -> tuple[list[NewJob], int | None]:
        """Read a request for many, and after how many failures to stop; raise ``Refusal``."""
        asked = await apart(lambda: _read(BatchRequest, body, _MOST_VALUES), len(body), CHECKED)
        jobs = []
        for number, each in enumerate(asked.jobs):
            try:
                jobs.append(await self.new(_completed(each.root, asked.defaults)))
            except Refusal as refusal:
                raise _of(refusal, f"jobs.{number}") from None
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        return jobs, asked.stopAfterFailures

    async def new(self, asked: AnyJob) -> NewJob:
        """Return the job that is asked for."""
        if asked.callbackUrl and self.known.is_token:
            raise Refusal(403, "callbackUrl: a learner's token cannot name one.")
        try:
            if isinstance(asked, GradeJob):
                request = await self._submission(asked.request)
            else:
                request = await self._execution(asked)
        except Refusal as refusal:
            raise _of(refusal, "request") from None
        return NewJob(
            Kind(asked.kind),
            request,
            tuple(dict.fromkeys(asked.labels or ())),
            asked.priority or 0,
            asked.expiresIn,
            asked.retain or 0.0,
            asked.callbackUrl or "",
            self.trace,
        )

    def require(self, environment: str, policy: str) -> None:
        """Raise ``Refusal`` if the caller may not choose its environment or policy: else only its run would say so."""
        reading, caller = self.reading, self.known.caller
        try:
            require(policy, caller, reading.policies)
            if reading.environments:
                choose(environment, caller, reading.environments)
        except CodeExecutorError as error:
            raise from_failure(error) from None

    async def _execution(self, asked: ExecuteJob | CheckJob) -> bytes:
        caller, bounds = self.known.caller, self.reading.bounds
        if isinstance(asked, CheckJob):
            execution = check_of(asked.request, caller, bounds)
        else:
            execution = executions_of(asked.request, caller, self.reading.runs.limits, bounds).require_one()
        self.require(execution.environment, execution.policy_name)
        return await packed(execution)

    async def submission(self, body: bytes) -> bytes:
        """Read a request to grade; return what a job keeps of it; raise ``Refusal``."""
        return await self._submission(await apart(lambda: read(GradeRequest, body, MOST_VALUES), len(body), CHECKED))

    async def _submission(self, asked: GradeRequest) -> bytes:
        """Return a submission with its suite, as both are now."""
        reading, caller = self.reading, self.known.caller

        def checked() -> GradeAsked:
            return grade_of(asked, caller, reading.runs.limits, reading.bounds)

        tests = 0 if asked.suite is None else len(asked.suite.tests)
        graded = await apart(checked, tests * _BYTES_OF_TEST, CHECKED)
        self.require(graded.submission.environment, graded.submission.policy_name)
        try:
            suite, reference, previous = await receipts.choose(graded, reading.suites, self.owner, reading.issuer)
            Grader(reading.runs).require(graded.submission, suite)
        except CodeExecutorError as error:
            raise from_failure(error) from None
        subject = Subject(graded.submission, suite, reference, previous)
        return await apart(lambda: pack_subject(subject), len(suite.tests) * _BYTES_OF_TEST)


def _read(model: type[Body], body: bytes, most: int) -> Body:
    """As `requests.read`, whose errors name the kind of a job among its fields."""
    try:
        return read(model, body, most)
    except Refusal as refusal:
        if "errors" not in refusal.more:
            raise
        errors = [{**each, "field": _TAG.sub(r"\1", each["field"])} for each in refusal.more["errors"]]
        raise refused(errors) from None


def _completed(asked: AnyJob, defaults: BatchDefaults | None) -> AnyJob:
    """Return a job with what it does not say itself."""
    if defaults is None:
        return asked
    more: dict[str, Any] = _said(defaults, asked)
    if isinstance(asked, ExecuteJob) and (options := defaults.request) is not None:
        more["request"] = asked.request.model_copy(update=_said(options, asked.request))
    return asked.model_copy(update=more)


def _said(defaults: BaseModel, asked: BaseModel) -> dict[str, Any]:
    """Return the fields that the defaults say, and the other does not."""
    names = defaults.model_fields_set - asked.model_fields_set - {"request"}
    return {name: getattr(defaults, name) for name in names}


def _of(refusal: Refusal, part: str) -> Refusal:
    """Return a refusal of a part as one of the whole: of a field of the part, or of all of it."""
    if "errors" not in refusal.more and refusal.status != _TOO_LARGE:
        return Refusal(refusal.status, f"{part}: {refusal.detail}", refusal.headers, **refusal.more)
    more = dict(refusal.more)
    if "errors" in more:
        more["errors"] = [{**each, "field": f"{part}.{each['field']}"} for each in more["errors"]]
    return Refusal(refusal.status, f"{part}.{refusal.detail}", refusal.headers, **more)


def parse_cursor(text: str | None) -> tuple[float, str] | None:
    """Read what `cursor` wrote; raise ``Refusal``."""
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        message = "Not the `next` of an answer"
        raise Refusal(422, f"after: {message}", errors=[{"field": "after", "message": message}])
    return float(found[1]), found[2]


def cursor(job: Job, *, batch: bool) -> str:
    """Return what finds the jobs after this one."""
    return f"{job.number if batch else format(job.created, '.7f')}~{job.id}"


def job_object(job: Job) -> Object:
    """Return the object of a job, without its result."""
    return {
        "id": job.id,
        "kind": job.kind.value,
        "state": job.state.value,
        "labels": list(job.labels),
        "priority": job.priority,
        "created": moment(job.created),
        "started": None if job.started is None else moment(job.started),
        "finished": None if job.finished is None else moment(job.finished),
        "expires": None if job.expires is None else moment(job.expires),
        "failed": job.failed,
        "callbackUrl": job.callback or None,
        "runs": job.runs,
        "batch": job.batch,
        "index": job.number,
    }


async def whole_object(job: Job, bounds: RequestLimits, *, full: bool) -> tuple[Object, int]:
    """Return the object of a job with its result, and its size; of a large one, with `Bulk` in it.

    ``full``: whether everything of a grade is told.
    """
    answer, problem, size = None, None, 0
    if job.result is not None and job.kind is Kind.GRADE:
        kept = job.result
        answer = await apart(lambda: told(kept, full=full), len(kept))
        problem = _NO_GRADE.body() if answer is None else None
        size = _PACKED * len(kept)
    elif job.result is not None:
        result: Result = await unpacked(job.result)
        if job.kind is Kind.EXECUTE:
            answer, size = result_fields(result)
        else:
            try:
                answer = checked(result, bounds)
            except Refusal as refusal:
                problem = refusal.body()
    return {**job_object(job), "result": answer, "problem": problem}, size


def batch_object(batch: Batch) -> Object:
    """Return the object of a batch, without its jobs."""
    return {
        "id": batch.id,
        "created": moment(batch.created),
        "total": batch.total,
        "stopAfterFailures": batch.stop_after,
        "counts": {state.value: batch.counts.get(state, 0) for state in State},
        "failed": batch.failed,
    }
