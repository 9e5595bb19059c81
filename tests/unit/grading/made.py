"""Suites and outcomes for tests."""

from __future__ import annotations

from typing import Any

from code_executor.grading import forms
from code_executor.grading.outcomes import Outcome, Verdict
from code_executor.grading.suite import Suite


def io(expected: str = "x", **more: Any) -> dict[str, Any]:
    return {"kind": "io", "expected": expected, **more}


def call(function: str = "f", /, **more: Any) -> dict[str, Any]:
    return {"kind": "call", "call": function, **more}


def suite(*tests: dict[str, Any], **more: Any) -> Suite:
    return forms.suite_of({"tests": list(tests), **more})


def outcomes(made: Suite, passed: str, **more: Any) -> list[Outcome]:
    """Return outcomes: one letter a test, ``+`` passed, ``-`` wrong, ``!`` our failure, ``s`` skipped."""
    verdicts = {"+": Verdict.PASSED, "-": Verdict.WRONG_ANSWER, "!": Verdict.INTERNAL, "s": Verdict.SKIPPED}
    return [
        Outcome(test, verdicts[sign], fraction=float(sign == "+"), **more)
        for test, sign in zip(made.tests, passed, strict=True)
    ]


def units(framework: str, tests: str, **more: Any) -> dict[str, Any]:
    return {"kind": framework, "files": [{"path": "test_it.py", "content": tests}], **more}
