"""The kinds ``unittest`` and ``pytest``: tests of the suite call the learner's program, which is in another sandbox.

The tests run in a trusted sandbox and import the program as a module. What they do with it goes as lines of JSON to the
learner's sandbox and back (`inside.proxy`, `inside.served`); this process passes the lines on, and says where a process
of the program begins and ends. A verdict comes from the sandbox that has no learner's code in it.

With the isolation ``process``, tests and program are one process of the learner's sandbox, as everywhere else, and its
verdict is marked as one that the program could have written itself.
"""

from __future__ import annotations

import asyncio
import fnmatch
import math
import secrets
from dataclasses import replace
from typing import Any

from code_executor.core.models import Execution, File, Reason, Result
from code_executor.grading import inside, trusted, values
from code_executor.grading.outcomes import VERDICTS, Case, Outcome, Submission, Verdict
from code_executor.grading.programs import importable, of_learner
from code_executor.grading.runs import Runs, unfinished
from code_executor.grading.suite import Isolation, Suite, SuiteTest, Unit
from code_executor.grading.talks import Talk, stuck

COOPERATIVE = "cooperative"

_LONGEST_LINE = 4 << 20
_MOST_ERRORS = 64 << 10
_STARTS, _TELLS = "!", ">"
_ENDINGS: dict[Verdict | None, str] = {
    Verdict.TIMEOUT: "the program took too long",
    Verdict.MEMORY_LIMIT: "the program used too much memory",
    Verdict.OUTPUT_LIMIT: "the program wrote too much",
}


async def grade(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Unit) -> Outcome:
    """Run one test of these kinds; once more if we fail."""
    once = _together if task.isolation is Isolation.PROCESS else _apart
    outcome = await once(runs, submission, suite, test, task)
    return await once(runs, submission, suite, test, task) if outcome.verdict is Verdict.INTERNAL else outcome


def _order(test: SuiteTest, task: Unit) -> tuple[str, str]:
    """Return what the tests are told, as a literal of Python, and the name of the file that they leave."""
    path = f".cases-{secrets.token_hex(8)}.json"
    order = {"framework": task.framework.value, "paths": task.paths(test.files), "answer": path}
    return repr(values.as_json(order)), path


async def _together(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Unit) -> Outcome:
    """Run tests and program in one process."""
    order, path = _order(test, task)
    code = f"{inside.program('suites')}\n\nrun_tests({order}, None)\n"
    own = File(f"{suite.module}.py", importable(submission.code))
    execution = of_learner(submission, test, code, (*submission.files, own, *suite.files, *test.files))
    result = await runs.run(execution)
    outcome = replace(unfinished(test, result), line=None, trust=COOPERATIVE)
    if not outcome.is_passed:
        return outcome
    answer = trusted.answer_of(result, path)
    if not isinstance(answer, dict):
        return replace(outcome, verdict=Verdict.NO_ANSWER, message="the program ended before the tests had")
    return _judged(outcome, task, answer)


async def _apart(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Unit) -> Outcome:
    order, path = _order(test, task)
    text = inside.program("harness", "remote", "proxy", "suites")
    files = {file.path: file for file in (*suite.files, *test.files)}
    code = f"{text}\n\nrun_tests({order}, installed({suite.module!r}))\n"
    relay = _Relay(runs, submission, suite, test)
    result = await relay.run(trusted.execution(submission, code, tuple(files.values())))
    outcome = Outcome(
        test,
        Verdict.PASSED,
        Reason.COMPLETED,
        stderr="".join(each.error for each in relay.results)[:_MOST_ERRORS],
        time=math.fsum(each.execution_time for each in relay.results),
        cpu_time=math.fsum(each.cpu_time for each in relay.results),
        memory=max((each.memory for each in relay.results), default=0),
    )
    if result.reason is Reason.INTERNAL or any(each.reason is Reason.INTERNAL for each in relay.results):
        return replace(outcome, verdict=Verdict.INTERNAL, message="the service failed while it ran the test")
    if result.reason is Reason.INPUT_TIME:
        return replace(outcome, verdict=Verdict.TIMEOUT, message="all tests together took too long")
    answer = trusted.answer_of(result, path)
    if result.reason is not Reason.COMPLETED or not isinstance(answer, dict):
        detail = trusted.why_failed(result)
        return replace(outcome, verdict=Verdict.CHECKER_ERROR, message="the tests failed by themselves", detail=detail)
    return _judged(outcome, task, answer)


class _Relay:
    """Passes lines on between the tests and one process of the program after another."""

    def __init__(self, runs: Runs, submission: Submission, suite: Suite, test: SuiteTest) -> None:
        self.results: list[Result] = []
        """Of the processes of the program that came to an end."""
        self._runs = runs
        self._execution = _served(submission, suite, test)
        self._tests: Talk | None = None
        self._program: Talk | None = None
        self._asked: asyncio.Queue[str] = asyncio.Queue()
        self._from_tests = ""
        self._from_program = ""

    async def run(self, execution: Execution) -> Result:
        """Run the tests to their end; raise what ``Runner.stream`` raises."""
        self._tests = tests = Talk(self._runs, execution, self._heard_tests)
        passing = asyncio.create_task(self._pass_on(tests))
        try:
            running = await tests.begin()
            await asyncio.wait([passing, running], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await passing  # which has failed
            return await running
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
            await self._end_program()
            await tests.stop()

    def _heard_tests(self, text: str) -> None:
        *lines, self._from_tests = (self._from_tests + text).split("\n")
        for line in lines:
            if line.startswith(_TELLS) and self._program is not None and self._asked.empty():
                self._program.say(f"{line[1:]}\n")
            else:
                self._asked.put_nowait(line)

    def _heard_program(self, text: str) -> None:
        *lines, self._from_program = (self._from_program + text).split("\n")
        if lines and self._tests is not None:
            self._tests.say("".join(f"={line}\n" for line in lines))
        if len(self._from_program) > _LONGEST_LINE and self._program is not None:
            self._program.end_input()

    async def _pass_on(self, tests: Talk) -> None:
        while True:
            line = await self._asked.get()
            if line == _STARTS:
                await self._end_program()
                tests.say("+\n")
                if self._runs.is_used_up(self._execution.caller):
                    tests.say("-all tests together took too long\n")
                else:
                    await self._begin_program(tests)
            elif line.startswith(_TELLS) and self._program is not None:
                self._program.say(f"{line[1:]}\n")

    async def _begin_program(self, tests: Talk) -> None:
        self._from_program = ""
        program = Talk(self._runs, replace(self._execution, id=secrets.token_hex(8)), self._heard_program)
        self._program = program
        running = await program.begin()
        watch = asyncio.create_task(self._watch(tests, program))
        running.add_done_callback(lambda _: watch.cancel())
        running.add_done_callback(lambda _: self._ended(tests, program))

    def _ended(self, tests: Talk, program: Talk) -> None:
        """Tell the tests why the process that they speak to is no more."""
        if self._program is program:
            verdict = VERDICTS.get(program.finished.reason) if program.finished is not None else None
            tests.say(f"-{_ENDINGS.get(verdict, 'the program ended before it answered')}\n")

    @staticmethod
    async def _watch(tests: Talk, program: Talk) -> None:
        """End a process of the program that does not answer, and waits for more."""
        await stuck(tests, program)
        await program.stop()

    async def _end_program(self) -> None:
        program, self._program = self._program, None
        if program is not None and (result := await program.stop()) is not None:
            self.results.append(result)


def _served(submission: Submission, suite: Suite, test: SuiteTest) -> Execution:
    """Return what serves the program to the tests."""
    code = f"{inside.program('harness', 'served')}\n\nserve({suite.module!r})\n"
    own = File(f"{suite.module}.py", importable(submission.code))
    return of_learner(submission, test, code, (*submission.files, own, *suite.files))


# ---- what that is worth


def _judged(outcome: Outcome, task: Unit, answer: dict[str, Any]) -> Outcome:
    unloaded = answer.get("unloaded")
    if isinstance(unloaded, dict):
        detail = str(unloaded.get("message"))
        if unloaded.get("byProgram") or outcome.trust == COOPERATIVE:
            return replace(outcome, verdict=Verdict.ERROR, message="the tests cannot use the program", detail=detail)
        return replace(outcome, verdict=Verdict.CHECKER_ERROR, message="the tests cannot be loaded", detail=detail)
    if answer.get("misused"):
        detail = f"{answer['misused']}; with the isolation `process` it can"
        return replace(outcome, verdict=Verdict.CHECKER_ERROR, message="the tests failed by themselves", detail=detail)
    cases = tuple(_case(each, task) for each in answer.get("cases") or () if isinstance(each, dict))
    counted = [case for case in cases if case.verdict is not Verdict.SKIPPED]
    if not counted:
        verdict = Verdict.ERROR if outcome.trust == COOPERATIVE else Verdict.CHECKER_ERROR
        return replace(outcome, verdict=verdict, message="no test was run", cases=cases)
    failed = [case for case in counted if case.verdict is not Verdict.PASSED]
    if not failed:
        return replace(outcome, fraction=1.0, cases=cases)
    whole = math.fsum(case.weight for case in counted)
    reached = math.fsum(case.weight for case in counted if case.verdict is Verdict.PASSED)
    broken = answer.get("broken")
    return replace(
        outcome,
        verdict=Verdict.ERROR if broken else Verdict.WRONG_ANSWER,
        message=str(broken or f"{len(failed)} of {len(counted)} tests failed"),
        fraction=reached / whole if whole else 0.0,
        cases=cases,
    )


_VERDICTS = {
    "passed": Verdict.PASSED,
    "failed": Verdict.WRONG_ANSWER,
    "error": Verdict.ERROR,
    "skipped": Verdict.SKIPPED,
}


def _case(said: dict[str, Any], task: Unit) -> Case:
    name = str(said.get("id"))
    weight = next((weight for glob, weight in task.weights if fnmatch.fnmatchcase(name, glob)), 1.0)
    return Case(name, _VERDICTS.get(str(said.get("outcome")), Verdict.ERROR), str(said.get("message") or ""), weight)
