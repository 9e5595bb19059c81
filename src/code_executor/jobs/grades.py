"""Grades that are jobs: how a submission is kept, with its suite as it was when the job was posted, and its grade.

Of a grade, what is kept is what may be told of it: everything, and what is told to whoever may not see everything, as
of the day on which it ended. So a result holds nothing that has to be decided again.
"""

from __future__ import annotations

from code_executor.core.codec import Object, caller_object, caller_of_object, decode, encode
from code_executor.core.runner import Runner
from code_executor.grading import forms, views
from code_executor.grading.grader import Grader
from code_executor.grading.outcomes import Grade, Submission
from code_executor.grading.suite import Suite
from code_executor.grading.views import Audience

_REQUEST, _GRADE = "submission", "grade"


def submission_object(submission: Submission, suite: Suite) -> Object:
    """Return what is kept of what is to be graded."""
    return {
        "type": _REQUEST,
        "code": submission.code,
        "files": [encode(file) for file in submission.files],
        "policy": submission.policy,
        "caller": caller_object(submission.caller),
        "suite": forms.suite_object(suite),
    }


def submission_of(kept: Object) -> tuple[Submission, Suite]:
    """Return what `submission_object` was of; raise ``ValueError`` for what another version wrote."""
    try:
        files = tuple(decode(file) for file in kept["files"])
        caller = caller_of_object(kept["caller"])
        submission = Submission(kept["code"], files, caller, batch=True, policy=kept["policy"])
        return submission, forms.suite_of(kept["suite"])
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a submission: {error!r}") from None


async def grade(runs: Runner, submission: Submission, suite: Suite) -> Grade:
    """Grade it; raise as `Grader.events` does."""
    return await Grader(runs).grade(submission, suite)


def grade_object(grade: Grade) -> Object:
    """Return what is kept of a grade."""
    told = {
        name: views.grade_object(grade, Audience.today(full=full)) for name, full in (("full", True), ("rest", False))
    }
    return {"type": _GRADE, **told}


def told(kept: Object, *, full: bool) -> Object | None:
    """Return what is told of a grade that was kept; None where there is none, because the service failed."""
    if kept["type"] != _GRADE:
        return None
    shown: Object = kept["full" if full else "rest"]
    return shown
