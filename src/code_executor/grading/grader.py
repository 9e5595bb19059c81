"""Grading: a submission and a suite go in, outcomes come out test by test, and last the `Grade`.

    check the source once ─ run each test in a fresh child, two at a time ─ settle them in order ─ add up

Each run goes through the `Runner` like any other: it waits for its turn, and its caller is charged for it. The
learner's sandbox gets the program, the input of one test, and its files: no names, no numbers, no points, nothing that
is expected. What a run came to is decided by the reason that it ended for, then by comparing, here. What is not clearly
right is wrong, or it is our failure: that is tried once more, and then there is no score at all.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import replace

from code_executor.core import paths
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import Execution, Reason, Result
from code_executor.core.runner import Runner
from code_executor.grading import calls, interactive, programs, scores, units
from code_executor.grading.outcomes import Grade, Outcome, Submission, Verdict, skipped
from code_executor.grading.runs import Runs, unfinished
from code_executor.grading.suite import Call, Interactive, Io, Suite, SuiteTest, Unit, order

CONCURRENCY = 2
"""Tests of one grade that run at once: one grade must not take all sandboxes."""


class SubmissionError(CodeExecutorError):
    """A submission does not go with its suite: the files are in each other's way, or too large together."""


class Grader:
    """Grades on a `Runner`; ``concurrency``: tests of one grade at once."""

    def __init__(self, runner: Runner, concurrency: int = CONCURRENCY) -> None:
        self._runner = runner
        self._concurrency = concurrency

    async def grade(self, submission: Submission, suite: Suite) -> Grade:
        """Grade to the end; raise as `events` does."""
        async for event in self.events(submission, suite):
            if isinstance(event, Grade):
                return event
        raise AssertionError("a grade ends with a Grade")

    async def events(self, submission: Submission, suite: Suite) -> AsyncGenerator[Outcome | Grade, None]:
        """Yield what came of each test, in the order that counts, and last the `Grade`. Closing it stops the runs.

        Raises ``SubmissionError``, and what ``Runner.stream`` raises while no sandbox is to be had: there is no grade.
        """
        self.require(submission, suite)
        runs = Runs(self._runner)
        checked = await runs.run(self._check(submission, suite))
        if checked.reason is not Reason.COMPLETED:
            for outcome in (outcomes := [_refused(test, checked) for test in suite.tests]):
                yield outcome
            yield _graded(suite, outcomes, runs, checked)
            return
        progress = scores.Progress(suite)
        turns = asyncio.Semaphore(self._concurrency)
        tests: dict[int, asyncio.Task[None]] = {}
        for at in order(suite):
            before = [tests[each] for each in scores.above(suite, at)]
            work = self._test(runs, submission, suite, at, progress)
            tests[at] = asyncio.create_task(_in_turn(before, turns, work))
        try:
            for at, task in tests.items():
                await task
                yield progress.settled[at]
        finally:
            for task in tests.values():
                task.cancel()
            await asyncio.gather(*tests.values(), return_exceptions=True)
        yield _graded(suite, scores.missing(suite, progress.settled), runs)

    async def _test(self, runs: Runs, submission: Submission, suite: Suite, at: int, progress: scores.Progress) -> None:
        test = suite.tests[at]
        if progress.is_needless(at):
            progress.note(at, skipped(test))
        elif runs.is_used_up(submission.caller):
            progress.note(at, Outcome(test, Verdict.TIMEOUT, message="all tests together took too long"))
        else:
            progress.note(at, await self._one(runs, submission, suite, test))

    @staticmethod
    async def _one(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest) -> Outcome:
        match test.task:
            case Io() as task:
                return await programs.grade(runs, submission, suite, test, task)
            case Call() as task:
                return await calls.grade(runs, submission, suite, test, task)
            case Interactive() as task:
                return await interactive.grade(runs, submission, suite, test, task)
            case Unit() as task:
                return await units.grade(runs, submission, suite, test, task)

    @staticmethod
    def _check(submission: Submission, suite: Suite) -> Execution:
        """Return the check of the learner's source: once for all tests, and for calls the only one."""
        own = {file.path for file in suite.files}
        return Execution(
            submission.code,
            policy=submission.policy,
            policy_name=submission.policy_name,
            check_only=True,
            files=tuple(file for file in submission.files if file.path not in own),
            batch=submission.batch,
            environment=submission.environment,
            caller=submission.caller,
        )

    def require(self, submission: Submission, suite: Suite) -> None:
        """Raise ``SubmissionError`` if the tests cannot be run with these files."""
        most = self._runner.limits.attachments
        for test in suite.tests:
            files = programs.given(submission, suite, test)
            names = [file.path for file in files]
            if isinstance(test.task, Call | Unit):
                names.append(f"{suite.module}.py")
            if clash := paths.clash(names, program=True):
                raise SubmissionError(f"the test {test.id} cannot be run with these files: {clash.message}")
            if sum(len(file.data) for file in files) + len(submission.code.encode("utf-8", "replace")) > most:
                raise SubmissionError(
                    f"with the files of the test {test.id}, there are more than {most} bytes of files"
                )


async def _in_turn(before: list[asyncio.Task[None]], turns: asyncio.Semaphore, work: Awaitable[None]) -> None:
    try:
        if before:
            await asyncio.wait(before)
        async with turns:
            await work
    finally:
        close = getattr(work, "close", None)  # of a coroutine that was never begun
        if close is not None:
            close()


def _refused(test: SuiteTest, checked: Result) -> Outcome:
    return replace(unfinished(test, checked), stdout="", time=0.0, cpu_time=0.0, memory=0)


def _graded(suite: Suite, outcomes: list[Outcome], runs: Runs, checked: Result | None = None) -> Grade:
    verdict, score, best, groups = scores.score(suite, outcomes)
    problems = () if checked is None else checked.problems
    return Grade(secrets.token_hex(8), verdict, score, best, tuple(outcomes), groups, problems, runs.usage)
