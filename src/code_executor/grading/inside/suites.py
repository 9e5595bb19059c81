"""Runs unit tests, of ``unittest`` or pytest, in a trusted sandbox, and leaves what came of each, as data, in a file.

The program that they test is imported as a module, behind which is another sandbox (`proxy`), or, where the suite says
so, the program itself. A new process of it begins with each class of tests, and where the last one has ended.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import sys
import unittest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from code_executor.grading.inside.proxy import Program

LONGEST_MESSAGE = 2000
MOST_CASES = 5000

PASSED, FAILED, ERROR, SKIPPED = "passed", "failed", "error", "skipped"


class Report:
    """What came of each test, and why tests could not be loaded."""

    def __init__(self, program: Program | None) -> None:
        self.program = program
        self.cases: dict[str, dict[str, str]] = {}
        self.unloaded: dict[str, Any] | None = None
        self.before = 0

    def load(self) -> None:
        """Tests are loaded now: what the program lacks is not missed before a test uses it."""
        if self.program is not None:
            self.program.start()
            self.program.collecting = True

    def loaded(self) -> None:
        if self.program is not None:
            self.program.collecting = False

    def boundary(self) -> None:
        """Tests of another class begin."""
        if self.program is not None:
            self.program.start()

    def begin(self) -> None:
        """A test begins."""
        if self.program is not None:
            if self.program.ended:
                self.program.start()
            self.before = self.program.failures

    def note(self, name: str, outcome: str, message: object = "") -> None:
        """Keep the worst of what is said of a test."""
        known = self.cases.get(name)
        if known is None and len(self.cases) >= MOST_CASES:
            self.unloaded = {"message": f"there are more than {MOST_CASES} tests", "byProgram": False}
            return
        if known is None or (known["outcome"] in (PASSED, SKIPPED) and outcome in (FAILED, ERROR)):
            self.cases[name] = {"id": name[:300], "outcome": outcome, "message": str(message)[:LONGEST_MESSAGE]}

    def end(self, name: str) -> None:
        """A test is over: without the program's answers it has not been passed, whatever it caught."""
        if self.program is not None and self.program.failures > self.before:
            self.note(name, ERROR, self.program.broken or self.program.why)

    def fail_loading(self, where: str, error: object) -> None:
        """Tests cannot be loaded. Whether the program had a part in that decides whose fault it is."""
        program = self.program
        used = program is not None and bool(program.broken or program.failures or program.number)
        self.unloaded = {"message": f"{where}: {error}"[:LONGEST_MESSAGE], "byProgram": used}


# ---- unittest


class Result(unittest.TestResult):
    """Passes on what unittest says."""

    def __init__(self, report: Report) -> None:
        super().__init__()
        self.report = report
        self.of_class = ""

    def startTest(self, test: Any) -> None:  # noqa: N802  # as unittest calls it
        super().startTest(test)
        self.report.begin()

    def stopTest(self, test: Any) -> None:  # noqa: N802
        super().stopTest(test)
        self.report.end(test.id())

    def addSuccess(self, test: Any) -> None:  # noqa: N802
        self.report.note(test.id(), PASSED)

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802
        if isinstance(test, unittest.TestCase):
            self.report.note(test.id(), ERROR, _said(err))
        else:  # of a class, or of a module
            self.of_class = _said(err)

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self.report.note(test.id(), FAILED, err[1])

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
        if isinstance(test, unittest.TestCase):
            self.report.note(test.id(), SKIPPED, reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
        self.report.note(test.id(), PASSED)

    def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
        self.report.note(test.id(), FAILED, "it was passed, and is expected to fail")

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
        if err is not None:
            outcome = FAILED if issubclass(err[0], test.failureException) else ERROR
            self.report.note(test.id(), outcome, f"{subtest._subDescription()}: {_said(err)}")


def _said(err: Any) -> str:
    kind, error, _ = err
    return f"{kind.__name__}: {error}"


def _flat(suite: Any) -> Iterator[Any]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flat(each)
        else:
            yield each


def _loaded(path: str) -> Any:
    name = path.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_unittest(paths: list[str], report: Report) -> None:
    report.load()
    loader = unittest.TestLoader()
    tests: list[Any] = []
    for path in paths:
        try:
            tests += _flat(loader.loadTestsFromModule(_loaded(path)))
        except BaseException as error:
            report.fail_loading(path, f"{type(error).__name__}: {error}")
            return
    report.loaded()
    for _, group in itertools.groupby(tests, key=type):
        of_class = list(group)
        report.boundary()
        result = Result(report)
        report.begin()
        unittest.TestSuite(of_class).run(result)
        for test in of_class:  # whose class could not be set up, or was skipped
            report.note(test.id(), ERROR if result.of_class else SKIPPED, result.of_class)


# ---- pytest


class Plugin:
    """Passes on what pytest says."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.parent: Any = None

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.report.fail_loading(report.nodeid, getattr(report.longrepr, "longrepr", report.longrepr))

    def pytest_collection_finish(self, session: Any) -> None:
        self.report.loaded()

    def pytest_runtest_protocol(self, item: Any) -> None:
        if item.parent is not self.parent:
            self.parent = item.parent
            self.report.boundary()
        self.report.begin()

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid
        if report.failed:
            self.report.note(name, FAILED if report.when == "call" else ERROR, _crash(report))
        elif report.skipped:
            expected = hasattr(report, "wasxfail")
            self.report.note(name, PASSED if expected else SKIPPED, "" if expected else _reason(report))
        elif report.when == "call":
            self.report.note(name, PASSED)
        if report.when == "teardown":
            self.report.end(name)


def _crash(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr)


def _reason(report: Any) -> str:
    said = report.longrepr
    return str(said[2]) if isinstance(said, tuple) and len(said) == 3 else ""


def run_pytest(paths: list[str], report: Report) -> None:
    try:
        pytest = importlib.import_module("pytest")
    except ImportError:
        report.unloaded = {"message": "pytest is not installed in this environment", "byProgram": False}
        return
    report.load()
    options = ["-qq", "--no-header", "--tb=short", "--capture=sys", "--rootdir=.", "-p", "no:cacheprovider"]
    pytest.main([*paths, *options, "-p", "no:faulthandler"], plugins=[Plugin(report)])


# ---- the run


def run_tests(text: str, program: Program | None) -> None:
    """Run what an order says, and leave what came of it in a file."""
    order = json.loads(text)
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.getcwd())
    report = Report(program)
    {"unittest": run_unittest, "pytest": run_pytest}[order["framework"]](order["paths"], report)
    answer: dict[str, Any] = {"cases": list(report.cases.values()), "unloaded": report.unloaded}
    if program is not None:
        answer |= {"broken": program.broken, "misused": program.misused}
    with open(order["answer"], "w", encoding="ascii") as file:
        json.dump(answer, file)
