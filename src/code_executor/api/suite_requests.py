"""Reading requests that hold suites: from bytes to a submission and a suite, or to a `Refusal`."""

from __future__ import annotations

from typing import NamedTuple

from code_executor.api.problems import Refusal
from code_executor.api.requests import bounded, invalid, limits_asked, limits_within, read
from code_executor.api.suite_schemas import GradeRequest, SuiteIn
from code_executor.core import paths
from code_executor.core.apart import CHECKED, apart
from code_executor.core.caller import Caller
from code_executor.core.limits import Limits, RequestLimits, limits_of
from code_executor.core.models import File
from code_executor.grading import forms
from code_executor.grading.outcomes import Submission
from code_executor.grading.suite import Call, Interactive, Io, Suite, SuiteError

MOST_VALUES = 50_000
"""Values in a body, about: of a thousand tests."""


class GradeAsked(NamedTuple):
    """What a request to grade holds: either ``suite``, or ``reference``, the name of one.

    ``regrade_of``: a receipt, of which the suite is too if there is neither; empty: none.
    """

    submission: Submission
    suite: Suite | None
    reference: str
    regrade_of: str = ""


async def parse_suite(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> Suite:
    """Read a suite; raise ``Refusal``."""
    return await apart(
        lambda: suite_of(read(SuiteIn, body, MOST_VALUES), "", caller, limits, bounds), len(body), CHECKED
    )


async def parse_grade(body: bytes, caller: Caller, limits: Limits, bounds: RequestLimits) -> GradeAsked:
    """Read a request to grade; raise ``Refusal``."""
    return await apart(
        lambda: grade_of(read(GradeRequest, body, MOST_VALUES), caller, limits, bounds), len(body), CHECKED
    )


def grade_of(asked: GradeRequest, caller: Caller, limits: Limits, bounds: RequestLimits) -> GradeAsked:
    """Check a request to grade; raise ``Refusal``."""
    bounded("code", asked.code, bounds.code)
    files = tuple(File(paths.normal(file.path), file.data()) for file in asked.files or ())
    if clash := paths.clash([file.path for file in asked.files or ()], program=True):
        raise invalid(f"files.{clash.position}.path", clash.message)
    if sum(len(file.data) for file in files) > bounds.files:
        raise Refusal(413, f"files are larger than {bounds.files} bytes together.")
    suite = None if asked.suite is None else suite_of(asked.suite, "suite", caller, limits, bounds)
    held_to = None
    if asked.limits is not None:
        held_to = limits_asked(asked.limits, None, limits_of(caller, limits), files)
    environment, policy = asked.environment or "", asked.policy or ""
    submission = Submission(asked.code, files, caller, environment=environment, limits=held_to, policy_name=policy)
    return GradeAsked(submission, suite, asked.suite_id or "", asked.regrade_of or "")


def suite_of(asked: SuiteIn, where: str, caller: Caller, limits: Limits, bounds: RequestLimits) -> Suite:
    """Check a suite, which is at ``where`` in a request; raise ``Refusal``."""
    try:
        suite = forms.suite_of(asked.object())
    except SuiteError as error:
        raise invalid(".".join(filter(None, (where, error.field))), str(error)) from None
    most = limits_of(caller, limits).wall_time
    for number, test in enumerate(suite.tests):
        field = ".".join(filter(None, (where, f"tests.{number}")))
        if test.timeout is not None and test.timeout > most:
            raise invalid(f"{field}.timeout", f"Input should be less than or equal to {most:g}")
        if test.limits is not None:
            limits_within(f"{field}.limits", test.limits, limits_of(caller, limits))
        match test.task:
            case Io(expected=expected, stdin=stdin, checker=checker):
                bounded(f"{field}.stdin", stdin, bounds.stdin)
                bounded(f"{field}.expected", expected, limits.output)
                bounded(f"{field}.checker.code", checker.code, bounds.code)
            case Call(setup=setup, stdin=stdin):
                bounded(f"{field}.stdin", stdin, bounds.stdin)
                bounded(f"{field}.setup", setup, bounds.code)
            case Interactive(interactor=interactor, input=given):
                bounded(f"{field}.interactor", interactor, bounds.code)
                bounded(f"{field}.input", given, bounds.stdin)
    return suite
