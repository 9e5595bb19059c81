"""Runs of code that a suite brings: in sandboxes that no learner's program ever has. What they say of a test counts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from code_executor.core.caller import Caller
from code_executor.core.models import Execution, File, Result
from code_executor.grading.outcomes import Submission

_MOST_SHOWN = 300
_FREE: dict[str, Any] = {"wall_time": 0.0, "cpu_time": 0.0, "memory": 0, "output": 0, "processes": 0, "disk": 0}


def execution(submission: Submission, code: str, files: tuple[File, ...]) -> Execution:
    """Return what runs a suite's code. It is charged to who asked for the grade, and held to the service's limits."""
    return Execution(
        code,
        policy=False,
        files=files,
        batch=submission.batch,
        environment=submission.environment,
        caller=_author(submission.caller),
        trusted=True,
    )


def _author(caller: Caller) -> Caller:
    """Return the same caller, but for no learner, and without what its programs are held to."""
    terms = caller.terms and replace(caller.terms, **_FREE)
    return replace(caller, learner="", terms=terms)


def answer_of(result: Result, path: str) -> Any:
    """Return what a suite's code left in its file; None if it left nothing that can be read."""
    text = next((file.data for file in result.files if file.path == path), None)
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def why_failed(result: Result) -> str:
    """Say why a suite's code gave no answer."""
    last = result.error.rstrip("\n").rpartition("\n")[2]
    return (last or f"it ended with {result.reason.value}")[:_MOST_SHOWN]
