"""Grades as others read them: Gradescope's ``results.json``, and JUnit's XML.

What may be told is decided in `views`: this takes what it tells of a test, and a test that it does not list is in no
export. Gradescope shows its students whatever is not marked as hidden. So for somebody who may see everything, a test
that learners see has no more text there than they are told here, and one that they do not see is hidden there too.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from code_executor.grading import views
from code_executor.grading.outcomes import OURS, Grade, Verdict
from code_executor.grading.views import Audience

Object = dict[str, Any]

_NOT_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What a document of XML 1.0 cannot hold, and CR, which readers take for LF."""

_NO_SCORE = "The service failed to grade the program. There is no score."
_PASSED, _SKIPPED = Verdict.PASSED.value, Verdict.SKIPPED.value
_ERRORS = {verdict.value for verdict in OURS}


# ---- Gradescope


def gradescope(grade: Grade, audience: Audience) -> Object:
    """Return a grade as ``results.json`` (https://gradescope-autograders.readthedocs.io/en/latest/specs/).

    Without a score there is none in it, neither of all nor of a test, so that Gradescope says that grading failed.
    """
    tests = [*_gradescope_tests(grade, audience)]
    told: Object = {
        "output": _NO_SCORE if grade.score is None else "\n".join([f"verdict: {grade.verdict}", *_problems(grade)]),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"id": grade.id, "verdict": grade.verdict.value, "max": grade.max},
    }
    if grade.score is None:
        for test in tests:
            del test["score"]
        return told
    if audience.full:
        told["execution_time"] = round(grade.usage.time / 1000, 3)
    return {"score": grade.score, **told}


def _gradescope_tests(grade: Grade, audience: Audience) -> Iterator[Object]:
    learner = replace(audience, full=False)
    for outcome in grade.outcomes:
        told = views.test_object(outcome, audience)
        if told is None:
            continue
        shown = views.test_object(outcome, learner)
        text = shown or told
        yield {
            "name": told["name"] or told["id"],
            "number": told["id"],
            "score": told["score"],
            "max_score": told["max"],
            "status": "passed" if told["verdict"] == _PASSED else "failed",
            "output": _text(text),
            "tags": [told["group"]] if told["group"] else [],
            "visibility": "hidden" if shown is None else "visible",
            "extra_data": {"id": told["id"], "verdict": text["verdict"]},
        }


def _text(told: Mapping[str, Any]) -> str:
    """Return what is told of a test, for people."""
    first = told["verdict"] if not told.get("message") else f"{told['verdict']}: {told['message']}"
    parts = [(name, text) for name, text in _details(told) if text]
    return "\n".join([first, *(f"\n{name}:\n{text}" for name, text in parts)])


def _details(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    given = told.get("input") or {}
    yield "arguments", " ".join(given.get("args", ()))
    for name in ("setup", "call", "stdin"):
        yield name, given.get(name, "")
    yield "output", told.get("stdout") or ""
    yield "errors", told.get("stderr") or ""
    yield "returned", told.get("got") or ""
    if told["verdict"] != _PASSED:
        yield "expected", told.get("expected") or ""
    yield "unit tests", "\n".join(map(_case, told.get("cases", ())))
    yield "more", told.get("detail") or ""


def _case(told: Mapping[str, Any]) -> str:
    message = told.get("message")
    return f"{told['id']}: {told['verdict']}" + (f": {message}" if message else "")


def _problems(grade: Grade) -> list[str]:
    return [
        f"{problem.file}{', ' if problem.file else ''}line {problem.line}: {problem.message}"
        for problem in grade.problems
    ]


# ---- JUnit


def junit(grades: Sequence[tuple[str, Grade]], audience: Audience) -> bytes:
    """Return grades as one document of JUnit's XML: for each, a test suite of this name.

    What the service failed in is an ``error``; whatever else was not passed is a ``failure``, or ``skipped``.
    Characters that XML cannot hold are written as Python escapes them.
    """
    root = ET.Element("testsuites")
    for name, grade in grades:
        _add_suite(root, name, grade, audience)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add_suite(root: ET.Element, name: str, grade: Grade, audience: Audience) -> None:
    tests = [told for each in grade.outcomes if (told := views.test_object(each, audience)) is not None]
    suite = _add(root, "testsuite", name=name)
    properties = _add(suite, "properties")
    score = "" if grade.score is None else f"{grade.score:g}"
    for key, value in {"id": grade.id, "verdict": grade.verdict, "score": score, "max": f"{grade.max:g}"}.items():
        _add(properties, "property", name=key, value=value)
    if receipt := views.receipt_of(grade, audience):
        _add(properties, "property", name="receipt", value=receipt.text)
    kinds = [_add_case(suite, name, told) for told in tests]
    for attribute, kind in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        suite.set(attribute, str(kinds.count(kind)))
    suite.set("tests", str(len(tests)))
    suite.set("time", _seconds(sum(told.get("time") or 0.0 for told in tests)))
    if problems := _problems(grade):
        _add(suite, "system-err", "\n".join(problems))


def _add_case(suite: ET.Element, name: str, told: Mapping[str, Any]) -> str:
    """Add a test; return what came of it as JUnit calls it, empty if it was passed."""
    case = _add(suite, "testcase", name=told["name"] or told["id"], classname=told["group"] or name)
    case.set("time", _seconds(told.get("time") or 0.0))
    verdict = told["verdict"]
    kind = {_PASSED: "", _SKIPPED: "skipped"}.get(verdict, "error" if verdict in _ERRORS else "failure")
    if kind == "skipped":
        _add(case, kind, message=told.get("message") or verdict)
    elif kind:
        _add(case, kind, _text(told), type=verdict, message=told.get("message") or verdict)
    for element, text in (("system-out", told.get("stdout")), ("system-err", told.get("stderr"))):
        if text:
            _add(case, element, text)
    return kind


def _add(parent: ET.Element, tag: str, text: str = "", /, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, {name: _xml(value) for name, value in attributes.items()})
    element.text = _xml(text) or None
    return element


def _xml(text: str) -> str:
    """Return a text with whatever XML cannot hold made visible, as Python escapes it."""
    return _NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.3f}"
