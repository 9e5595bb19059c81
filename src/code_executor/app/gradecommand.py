"""``code-executor grade SUITE FILE…``: grade programs in files, without a server, and write what came of them."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

from pydantic import ValidationError

from code_executor.app.bootstrap import Opened, desk_of, open_executor
from code_executor.app.logs import configure_logging
from code_executor.app.settings import Settings
from code_executor.core.errors import CodeExecutorError, ConfigurationError
from code_executor.grading import exports, forms, views
from code_executor.grading.grader import CONCURRENCY, Grader
from code_executor.grading.issuer import Issuer
from code_executor.grading.outcomes import Grade, GradeVerdict, Submission
from code_executor.grading.receipts import Subject
from code_executor.grading.signing import RingFile
from code_executor.grading.suite import Suite, SuiteError
from code_executor.grading.views import Audience
from code_executor.service.local import LocalHealth
from code_executor.service.metrics import Metrics

_FAILED = 1
_BAR = 30
"""Characters of the bar of progress."""


def add_parser(commands: Any) -> None:
    """Add the command to those of the command line."""
    grade = commands.add_parser("grade", help="grade programs in files with the tests of a suite")
    grade.add_argument("suite", metavar="SUITE", help="a JSON file, as /api/suites takes it")
    grade.add_argument("files", nargs="+", metavar="FILE", help="a program, or a directory with programs (*.py)")
    grade.add_argument("--csv", metavar="FILE", help="write the points of each test to this file")
    grade.add_argument("--junit", metavar="FILE", help="write the grades to this file as JUnit's XML")
    grade.add_argument("--gradescope", metavar="FILE", help="write the grade of one program as results.json")
    grade.add_argument("--json", action="store_true", help="print the whole grades, one line each")
    grade.add_argument("--jobs", type=_jobs, default=2, metavar="N", help="programs at once (2)")
    grade.add_argument("--engine", choices=["auto", "docker", "native"], help="the engine that makes sandboxes")
    grade.add_argument("--policy", help="strict, off, or a TOML file")


def _jobs(text: str) -> int:
    number = int(text)
    if not 0 < number <= 64:
        raise argparse.ArgumentTypeError(f"must be 1 to 64, not {text}")
    return number


def run(options: dict[str, Any]) -> int:
    """Run the command; the exit status is 0 if all programs passed."""
    suite = read_suite(options["suite"])
    programs = {path: _read(path).decode("utf-8", "replace") for path in _programs(options["files"])}
    if options["gradescope"] and len(programs) > 1:
        raise ConfigurationError(f"--gradescope is for one program, and these are {len(programs)}")
    given = {name: options[name] for name in ("engine", "policy")}
    size = options["jobs"] * CONCURRENCY
    # one caller has all sandboxes, and each program has its turn
    settings = Settings.load(**given, pool_size=size, pool_min=1, queue_timeout=3600, preload=(), preload_always=())
    configure_logging(settings.model_copy(update={"log_format": "console", "log_level": "error"}))
    grades = asyncio.run(_grade(suite, programs, settings, options["jobs"], as_json=options["json"]))
    _write_all(options, suite, dict(zip(programs, grades, strict=True)))
    return 0 if all(grade.verdict is GradeVerdict.PASSED for grade in grades) else _FAILED


def _write_all(options: dict[str, Any], suite: Suite, grades: dict[str, Grade]) -> None:
    """Write the files that were asked for."""
    audience = Audience.today(full=True)
    if options["csv"]:
        table = io.StringIO(newline="")
        write_csv(table, suite, grades)
        _write(options["csv"], table.getvalue().encode("utf-8", "surrogateescape"))
    if options["junit"]:
        _write(options["junit"], exports.junit(list(grades.items()), audience))
    if options["gradescope"]:
        (grade,) = grades.values()
        _write(options["gradescope"], json.dumps(exports.gradescope(grade, audience), indent=1).encode() + b"\n")


def _write(path: str, data: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(data)
    except OSError as error:
        raise CodeExecutorError(f"{path}: {error.strerror}") from None


def read_suite(path: str) -> Suite:
    """Read a suite; raise ``ConfigurationError`` that names what is wrong."""
    from code_executor.api.suite_schemas import SuiteIn  # noqa: PLC0415  # takes long to import

    try:
        return forms.suite_of(SuiteIn.model_validate_json(_read(path)).object())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    except SuiteError as error:
        raise ConfigurationError(f"{path}: {error.field}: {error}") from None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise CodeExecutorError(f"{path}: {error.strerror}") from None


def _programs(paths: Sequence[str]) -> list[str]:
    """Return the paths of all programs, those of directories in the order of their names."""
    found: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            found += [os.path.join(path, name) for name in sorted(os.listdir(path)) if name.endswith(".py")]
        else:
            found.append(path)
    if not found:
        raise CodeExecutorError("there is no program to grade: no *.py in these directories")
    return list(dict.fromkeys(found))


async def _grade(
    suite: Suite, programs: dict[str, str], settings: Settings, jobs: int, *, as_json: bool
) -> list[Grade]:
    turns = asyncio.Semaphore(jobs)
    async with open_executor(settings) as opened:
        grader, issuer = Grader(opened.executor), _issuer(opened, settings)

        async def one(source: str) -> Grade:
            async with turns:
                submission = Submission(source, batch=True)
                return await issuer.issue(await grader.grade(submission, suite), Subject(submission, suite))

        tasks = [asyncio.create_task(one(source)) for source in programs.values()]
        bar = _Bar(tasks)
        try:
            grades = []
            for path, task in zip(programs, tasks, strict=True):
                grades.append(await task)
                bar.clear()
                print(_line(path, grades[-1], as_json=as_json), flush=True)
                bar.draw()
            return grades
        finally:
            bar.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Bar:
    """Shows in a terminal how many tasks are done, in a line of its own that is drawn again and again."""

    def __init__(self, tasks: Sequence[asyncio.Task[Grade]]) -> None:
        self._tasks = tasks
        self._is_shown = sys.stderr.isatty() and len(tasks) > 1
        for task in tasks:
            task.add_done_callback(lambda _: self.draw())
        self.draw()

    def draw(self) -> None:
        if not self._is_shown:
            return
        done, whole = sum(task.done() for task in self._tasks), len(self._tasks)
        full = _BAR * done // whole
        left = "" if done < whole else "\r\x1b[K"
        sys.stderr.write(left or f"\r\x1b[K[{'#' * full}{' ' * (_BAR - full)}] {done} of {whole}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._is_shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def _issuer(opened: Opened, settings: Settings) -> Issuer:
    """Return what gives receipts if this machine has a key for them: none is made to grade files."""
    keys = RingFile(settings.receipt_keys_path())
    try:
        has_keys = keys.find() is not None
    except ConfigurationError:  # they are a server's, and not this user's to read
        has_keys = False
    health = LocalHealth(opened.executor.default_pools, Metrics())
    return Issuer(keys if has_keys else None, desk_of(opened), health, opened.executor.limits)


def _line(path: str, grade: Grade, *, as_json: bool) -> str:
    if as_json:
        return json.dumps({"file": path, **views.grade_object(grade, Audience.today(full=True))})
    points = "no score" if grade.score is None else f"{grade.score:g} of {grade.max:g}"
    wrong = [f"{each.test.id}: {each.verdict.value}" for each in grade.outcomes if not each.is_passed]
    more = f", and {len(wrong) - 5} more" if len(wrong) > 5 else ""
    return f"{path}: {points} {grade.verdict.value}" + (f" ({', '.join(wrong[:5])}{more})" if wrong else "")


def write_csv(file: TextIO, suite: Suite, grades: dict[str, Grade]) -> None:
    """Write a line for each program: its name, verdict and points, and the points of each test.

    A name that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    writer = csv.writer(file)
    writer.writerow(["file", "verdict", "score", "max", *(test.id for test in suite.tests)])
    for path, grade in grades.items():
        name = f"'{path}" if path[:1] in "=+-@\t\r" else path
        score = "" if grade.score is None else f"{grade.score:g}"
        points = [f"{views.points(outcome):g}" for outcome in grade.outcomes]
        writer.writerow([name, grade.verdict.value, score, f"{grade.max:g}", *points])


def main(options: dict[str, Any]) -> int:
    """As `run`, for the table of commands."""
    try:
        return run(options)
    except ConfigurationError as error:
        print(f"code-executor: {error}", file=sys.stderr)
        return 2
