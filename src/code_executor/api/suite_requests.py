"""Reading requests that hold suites: from bytes to a submission and a suite, or to a `Refusal`."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from code_executor.api.problems import Refusal, from_validation
from code_executor.api.suite_schemas import GradeRequest, SuiteIn
from code_executor.core import paths
from code_executor.core.caller import Caller
from code_executor.core.limits import Limits, RequestLimits, limits_of
from code_executor.core.models import File
from code_executor.grading import forms
from code_executor.grading.outcomes import Submission
from code_executor.grading.suite import Io, Suite, SuiteError

_MOST_VALUES = 50_000
"""Values in a body, about: of a thousand tests."""

_AT_ONCE = 64 << 10
"""Bytes of a body that is read without a thread."""

Asked = TypeVar("Asked", bound=BaseModel)
Made = TypeVar("Made")


class GradeAsked(NamedTuple):
    """What a request to grade holds: either ``suite``, or ``reference``, the name of one."""

    submission: Submission
    suite: Suite | None
    reference: str


async def parse_suite(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> Suite:
    """Read a suite; raise ``Refusal``."""
    return await _apart(body, lambda: suite_of(_read(SuiteIn, body), "", caller, limits, bounds))


async def parse_grade(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> GradeAsked:
    """Read a request to grade; raise ``Refusal``."""
    return await _apart(body, lambda: grade_of(_read(GradeRequest, body), caller, limits, bounds))


async def _apart(body: bytes, read: Callable[[], Made]) -> Made:
    """Read a body; a large one in a thread, so that others do not wait."""
    return read() if len(body) < _AT_ONCE else await asyncio.to_thread(read)


def _read(model: type[Asked], body: bytes) -> Asked:
    body = body.removeprefix(codecs.BOM_UTF8)
    if body.count(b",") > _MOST_VALUES:
        raise Refusal(422, f"The body has more than {_MOST_VALUES} commas.")  # values take 20 times their bytes to read
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise from_validation(error, body) from None


def grade_of(asked: GradeRequest, caller: Caller, limits: Limits, bounds: RequestLimits) -> GradeAsked:
    """Check a request to grade; raise ``Refusal``."""
    _bounded("code", asked.code, bounds.code)
    files = tuple(File(paths.normal(file.path), file.data()) for file in asked.files or ())
    if clash := paths.clash([file.path for file in asked.files or ()], program=True):
        raise _invalid(f"files.{clash.position}.path", clash.message)
    if sum(len(file.data) for file in files) > bounds.files:
        raise Refusal(413, f"files are larger than {bounds.files} bytes together.")
    suite = None if asked.suite is None else suite_of(asked.suite, "suite", caller, limits, bounds)
    return GradeAsked(Submission(asked.code, files, caller), suite, asked.suite_id or "")


def suite_of(asked: SuiteIn, where: str, caller: Caller, limits: Limits, bounds: RequestLimits) -> Suite:
    """Check a suite, which is at ``where`` in a request; raise ``Refusal``."""
    try:
        suite = forms.suite_of(asked.object())
    except SuiteError as error:
        raise _invalid(".".join(filter(None, (where, error.field))), str(error)) from None
    most = limits_of(caller, limits).wall_time
    for number, test in enumerate(suite.tests):
        field = ".".join(filter(None, (where, f"tests.{number}")))
        if test.timeout is not None and test.timeout > most:
            raise _invalid(f"{field}.timeout", f"Input should be less than or equal to {most:g}")
        _bounded(f"{field}.stdin", test.task.stdin, bounds.stdin)
        if isinstance(test.task, Io):
            _bounded(f"{field}.expected", test.task.expected, limits.output)
        else:
            _bounded(f"{field}.setup", test.task.setup, bounds.code)
    return suite


def _bounded(name: str, text: str, most: int) -> None:
    if len(text) > most or len(text.encode("utf-8", "surrogatepass")) > most:
        raise Refusal(413, f"{name} is larger than {most} bytes.")


def _invalid(field: str, message: str) -> Refusal:
    return Refusal(422, f"{field}: {message}", errors=[{"field": field, "message": message}])
