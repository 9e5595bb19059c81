"""The kind ``interactive``: a program of the suite talks with the learner's, each in a sandbox, and decides.

What one prints the other reads. The learner's program gets nothing but what the interactor says to it. If both wait for
each other, or together take too long, it is the learner's program that has failed.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from code_executor.core.limits import limits_of
from code_executor.core.models import File, Reason, Result
from code_executor.grading import trusted
from code_executor.grading.checkers import Order, judged
from code_executor.grading.outcomes import Outcome, Submission, Verdict
from code_executor.grading.programs import given, of_learner
from code_executor.grading.runs import EXITS, Runs, unfinished
from code_executor.grading.suite import Interactive, Suite, SuiteTest
from code_executor.grading.talks import Talk, stuck

_INPUT = "checked/input.txt"
_TIMES = 3
"""How many times as long as a run may take both together may."""

_SAID_ENOUGH = frozenset({*EXITS, Reason.SIGNAL})
"""Ends of the learner's program after which the interactor's word is what is told, if it is not right."""


async def grade(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Interactive) -> Outcome:
    """Run one test of this kind; once more if we fail."""
    outcome = await _once(runs, submission, suite, test, task)
    return await _once(runs, submission, suite, test, task) if outcome.verdict is Verdict.INTERNAL else outcome


async def _once(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Interactive) -> Outcome:
    order = Order.of(task.interactor, "interact", (_INPUT,))
    files = given(submission, suite, test)
    own = {file.path: file for file in (*suite.files, *test.files, File(_INPUT, task.input.encode("utf-8", "replace")))}
    program: Talk

    def to_program(text: str) -> None:
        program.say(text)

    judge = Talk(runs, trusted.execution(submission, order.source, tuple(own.values())), to_program)
    program = Talk(runs, of_learner(submission, test, submission.code, files, args=task.args), judge.say)
    try:
        deciding = await judge.begin()
        running = await program.begin()
        running.add_done_callback(lambda _: judge.end_input())
        deciding.add_done_callback(lambda _: program.end_input())
        most = (test.timeout or limits_of(submission.caller, runs.runner.limits).wall_time) * _TIMES
        waits = await _both(judge, program, deciding, running, most)
    finally:
        await asyncio.gather(judge.stop(), program.stop())
    return _told(test, judge.finished, program.finished, order, waits)


async def _both(
    judge: Talk, program: Talk, deciding: asyncio.Task[Result], running: asyncio.Task[Result], most: float
) -> str:
    """Wait until both are over; return why they are not waited for any longer, if so. Raises what they raise."""
    both = asyncio.create_task(asyncio.wait([deciding, running]))
    watch = asyncio.create_task(stuck(judge, program))
    try:
        waited: list[asyncio.Task[Any]] = [both, watch]
        done, _ = await asyncio.wait(waited, timeout=most, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watch.cancel()
        both.cancel()
    if deciding.done() and running.done():
        for task in (deciding, running):
            task.result()
        return ""
    return "the program waits for something that does not come" if watch in done else "the conversation took too long"


def _told(test: SuiteTest, judge: Result | None, program: Result | None, order: Order, waits: str) -> Outcome:
    if waits:
        outcome = unfinished(test, program) if program is not None else Outcome(test, Verdict.TIMEOUT)
        if outcome.verdict in (Verdict.PASSED, Verdict.ERROR):
            outcome = replace(outcome, verdict=Verdict.TIMEOUT)
        return replace(outcome, message=waits)
    if judge is None or program is None:
        return Outcome(test, Verdict.INTERNAL, message="the service failed while it ran the test")
    outcome = unfinished(test, program)
    if outcome.verdict is Verdict.INTERNAL:
        return outcome
    if judge.reason is Reason.INPUT_TIME:
        return replace(outcome, verdict=Verdict.TIMEOUT, message="the conversation took too long")
    said = judged(outcome, judge, trusted.answer_of(judge, order.verdict), "the interactor")
    if outcome.is_passed or said.verdict in (Verdict.CHECKER_ERROR, Verdict.INTERNAL):
        return said
    if said.verdict is Verdict.WRONG_ANSWER and program.reason in _SAID_ENOUGH:
        return said
    return outcome
