"""The kind ``io``: run the program with an input, and compare what it wrote on the host.

The sandbox gets the program, the input of this one test, and its files. What is expected never leaves this process.
The source has been checked against the policy once, before any test; the suite's own files are not the learner's.
"""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import Iterable
from dataclasses import replace

from code_executor.core.models import Execution, File
from code_executor.grading import checkers, comparers
from code_executor.grading.comparers import CheckerType
from code_executor.grading.differences import Difference
from code_executor.grading.outcomes import Outcome, Submission, Verdict
from code_executor.grading.runs import Runs, unfinished
from code_executor.grading.suite import Io, Suite, SuiteTest

_SMALL = 32 << 10
"""Bytes up to which comparing takes less than to have a thread do it."""


async def grade(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Io) -> Outcome:
    """Run one test of this kind."""
    execution = of_learner(
        submission, test, submission.code, given(submission, suite, test), stdin=task.stdin, args=task.args
    )
    result = await runs.run(execution)
    outcome = unfinished(test, result, task.exit_code)
    if not outcome.is_passed:
        return outcome
    if task.checker.type is CheckerType.PROGRAM:
        return await checkers.grade(runs, submission, suite, task, outcome)
    difference = await compared(task, result.output)
    if difference is None:
        return replace(outcome, fraction=1.0)
    return replace(
        outcome,
        verdict=Verdict.WRONG_ANSWER,
        message=difference.message,
        line=difference.line,
        difference=difference,
    )


async def compared(task: Io, output: str) -> Difference | None:
    """Compare an output; a large one in a thread, so that others do not wait."""
    expected, got = task.expected.encode("utf-8", "replace"), output.encode("utf-8", "replace")
    if len(expected) + len(got) < _SMALL and task.checker.type is not CheckerType.REGEX:
        return comparers.compare(task.checker, expected, got)
    return await asyncio.to_thread(comparers.compare, task.checker, expected, got)


def given(submission: Submission, suite: Suite, test: SuiteTest) -> tuple[File, ...]:
    """Return the files of a test: the learner's, and instead of those of the same path the suite's, and the test's."""
    files = {file.path: file for file in (*submission.files, *suite.files, *test.files)}
    return tuple(files.values())


def importable(source: str) -> bytes:
    """Return a source as a file that Python reads as this text, which was checked, or does not read at all.

    A source can declare an encoding. After a mark of UTF-8, Python takes no other.
    """
    data = source.encode("utf-8", "replace")
    return codecs.BOM_UTF8 + data if b"coding" in b"".join(data.split(b"\n", 2)[:2]) else data


def of_learner(
    submission: Submission,
    test: SuiteTest,
    code: str,
    files: Iterable[File],
    *,
    stdin: str = "",
    args: tuple[str, ...] = (),
) -> Execution:
    """Return a run in a learner's sandbox. The source was checked before; of files with one path, the last counts."""
    return Execution(
        code,
        stdin,
        args,
        test.timeout,
        policy=False,
        files=tuple({file.path: file for file in files}.values()),
        batch=submission.batch,
        environment=submission.environment,
        limits=test.held_to(submission.limits),
        caller=submission.caller,
    )
