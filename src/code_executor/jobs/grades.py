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
from code_executor.grading.issuer import Issuer
from code_executor.grading.outcomes import Grade, Submission
from code_executor.grading.receipts import Previous, Subject
from code_executor.grading.views import Audience
from code_executor.jobs.packing import pack_object, unpack_object

_REQUEST, _GRADE = "submission", "grade"


def pack_subject(subject: Subject) -> bytes:
    """Return the bytes that are kept of what is to be graded."""
    submission, previous = subject.submission, subject.previous
    kept = {
        "type": _REQUEST,
        "code": submission.code,
        "files": [encode(file) for file in submission.files],
        "policy": submission.policy,
        "environment": submission.environment,
        "limits": submission.limits and limits_object(submission.limits),
        "policyName": submission.policy_name,
        "caller": caller_object(submission.caller),
        "suite": forms.suite_object(subject.suite),
        "reference": subject.reference,
        "previous": previous and {"claims": dict(previous.claims), "digest": previous.digest},
    }
    return pack_object(kept)


def unpack_subject(data: bytes) -> Subject:
    """Return what `pack_subject` was given; raise ``ValueError`` or ``SuiteError`` for another version's."""
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
            policy_name=kept.get("policyName", ""),
        )
        previous = kept.get("previous")  # a job of the version before has none
        return Subject(
            submission,
            forms.suite_of(kept["suite"]),
            kept.get("reference", ""),
            previous and Previous(previous["claims"], previous["digest"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a submission: {error!r}") from None


async def grade(runs: Runner, subject: Subject, issuer: Issuer | None) -> Grade:
    """Grade it, with receipts if ``issuer`` gives any; raise as `Grader.events` does."""
    found = await Grader(runs).grade(subject.submission, subject.suite)
    return found if issuer is None else await issuer.issue(found, subject)


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
