"""Runs one module of CPython's own tests and reports each test as a line of its stdout that begins with "@@ ".

It is the program of a case: it runs in the sandbox, and with the bare interpreter. ``tests.zip`` beside it holds what
the module needs of ``Lib/test``, ``left_out.json`` the tests that are not to run; the name of the module takes the
place of MODULE.
"""

import contextlib
import importlib
import json
import os
import sys
import tempfile
import traceback
import unittest
import zipfile
from types import TracebackType

Case = unittest.TestCase
Error = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

LIBRARY = os.path.join(tempfile.gettempdir(), "lib")  # not in the working directory: nothing of it is to be returned
SCRATCH = os.path.join(tempfile.gettempdir(), "scratch")
REPORT = os.dup(1)  # tests replace stdout, and close it


def report(**line: str) -> None:
    os.write(REPORT, b"\n@@ " + json.dumps(line).encode() + b"\n")


def told(error: Error) -> str:
    """Return the end of a traceback."""
    return "".join(traceback.format_exception(*error))[-700:]


class Result(unittest.TestResult):
    """Tells the outcome of a test when it is over; one that fails in a subtest has failed."""

    outcome, detail = "ok", ""

    def startTest(self, test: Case) -> None:
        super().startTest(test)
        report(start=test.id())
        self.outcome, self.detail = "ok", ""

    def stopTest(self, test: Case) -> None:
        super().stopTest(test)
        report(id=test.id(), outcome=self.outcome, detail=self.detail)

    def found(self, test: Case, outcome: str, detail: str) -> None:
        if not isinstance(test, unittest.TestCase):  # a class or module could not be set up: its tests do not start
            report(id=test.id(), outcome=outcome, detail=detail)
        else:
            self.outcome, self.detail = outcome, detail

    def addError(self, test: Case, err: Error) -> None:
        self.found(test, "error", told(err))

    def addFailure(self, test: Case, err: Error) -> None:
        self.found(test, "fail", told(err))

    def addSubTest(self, test: Case, _: Case, err: Error | None) -> None:
        if err is not None:
            self.addFailure(test, err)

    def addSkip(self, test: Case, reason: str) -> None:
        if self.outcome == "ok":
            self.found(test, "skip", reason)

    def addExpectedFailure(self, test: Case, _: Error) -> None:
        self.found(test, "expected failure", "")

    def addUnexpectedSuccess(self, test: Case) -> None:
        self.found(test, "unexpected success", "")


def leave_out(names: list[str]) -> None:
    """Let these tests do nothing, and report nothing."""
    run = Case.run

    def guarded(test: Case, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        return None if test.id() in names else run(test, result)

    vars(unittest.case)["TestCase"].run = guarded


def main(name: str) -> None:
    with open("left_out.json") as file:
        leave_out(json.load(file))
    with zipfile.ZipFile("tests.zip") as archive:
        archive.extractall(LIBRARY)
    os.mkdir(SCRATCH)
    os.chdir(SCRATCH)
    sys.path.insert(0, LIBRARY)
    vars(importlib.import_module("test.support"))[
        "use_resources"
    ] = {}  # none of what costs much: network, large files, minutes of processor time
    try:
        tests = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
    except unittest.SkipTest as reason:
        report(id=name, outcome="skip", detail=str(reason))
    else:
        with contextlib.suppress(KeyboardInterrupt):
            tests.run(Result())
    report(end=name)


if __name__ == "__main__":
    main("MODULE")
