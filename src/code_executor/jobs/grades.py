"""Grades that are jobs: how a submission is kept, with its suite as it was when the job was posted, and its grade.

Of a grade, what is kept is what may be told of it: everything, and what is told to whoever may not see everything, as
of the day on which it ended. So a result holds nothing that has to be decided again.
"""

from __future__ import annotations

from code_executor.core.codec import Object, caller_object, caller_of_object, decode, encode
from code_executor.core.forms.shown import limits_object, limits_of_object
from code_executor.core.runner import Runner
from code_executor.grading import forms, views
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import Grade, Submission
from code_executor.grading.suite import Suite
from code_executor.grading.views import Audience
from code_executor.jobs.packing import pack_object, unpack_object

_REQUEST, _GRADE = "submission", "grade"


def pack_submission(submission: Submission, suite: Suite) -> bytes:
    """Return the bytes that are kept of what is to be graded."""
    kept = {
        "type": _REQUEST,
        "code": submission.code,
        "files": [encode(file) for file in submission.files],
        "policy": submission.policy,
        "environment": submission.environment,
        "limits": submission.limits and limits_object(submission.limits),
        "caller": caller_object(submission.caller),
        "suite": forms.suite_object(suite),
    }
    return pack_object(kept)


def unpack_submission(data: bytes) -> tuple[Submission, Suite]:
    """Return what `pack_submission` was given; raise ``ValueError`` or ``SuiteError`` for another version's."""
    kept = unpack_object(data)
    try:
        files = tuple(decode(file) for file in kept["files"])
        caller = caller_of_object(kept["caller"])
        submission = Submission(
            kept["code"],
            files,
            caller,
            batch=True,
            policy=kept["policy"],
            environment=kept.get("environment", ""),
            limits=limits_of_object(kept.get("limits")),
        )
        return submission, forms.suite_of(kept["suite"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a submission: {error!r}") from None


async def grade(runs: Runner, submission: Submission, suite: Suite) -> Grade:
    """Grade it; raise as `Grader.events` does."""
    return await Grader(runs).grade(submission, suite)


def pack_grade(grade: Grade) -> bytes:
    """Return the bytes that are kept of a grade."""
    full, rest = (views.grade_object(grade, Audience.today(full=full)) for full in (True, False))
    return pack_object({"type": _GRADE, "full": full, "rest": rest})


def told(data: bytes, *, full: bool) -> Object | None:
    """Return what is told of what was kept; None where there is no grade, because the service failed."""
    kept = unpack_object(data)
    if kept["type"] != _GRADE:
        return None
    shown: Object = kept["full" if full else "rest"]
    return shown
