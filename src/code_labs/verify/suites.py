"""The tests of a lab as the grading room has them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from code_executor.grading import forms
from code_executor.grading.suite import Stop, Suite
from code_labs.labs import Lab, lab_object


def suite_of(lab: Lab) -> Suite:
    """Return the suite of a lab that has tests, with the lab's files; raise ``SuiteError``."""
    said: dict[str, Any] = lab_object(lab)
    return forms.suite_of(said["suite"] | {"files": said.get("files", [])})


def suite_with(lab: Lab, tests: list[dict[str, Any]]) -> Suite:
    """Return a suite of other tests for the same lab, as their JSON objects; raise ``SuiteError``."""
    said: dict[str, Any] = lab_object(lab)
    suite = said.get("suite") or {}
    return forms.suite_of(suite | {"tests": tests, "files": said.get("files", [])})


def hurried(suite: Suite, times: dict[str, float], *, stop: bool) -> Suite:
    """Return a suite for programs that are likely to be wrong: they get little time, by that of the solution.

    ``times``: seconds that the solution took for each test. ``stop``: the first failure is enough.
    """
    tests = []
    for test in suite.tests:
        most = max(_LEAST, _FACTOR * times.get(test.id, 0.0))
        tests.append(replace(test, timeout=min(test.timeout or most, most)))
    return replace(suite, tests=tuple(tests), stop=Stop.ALWAYS if stop else Stop.NEVER)


_LEAST = 0.5
"""Seconds that any program gets."""

_FACTOR = 8.0
"""How many times as long as the solution a wrong program may take."""
