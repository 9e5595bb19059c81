"""Runs of a grade: one after another through the `Runner`, ours retried once, all of them counted and bounded."""

from __future__ import annotations

import secrets
from dataclasses import replace

from code_executor.core.caller import Caller
from code_executor.core.errors import SandboxError
from code_executor.core.limits import limits_of
from code_executor.core.models import Execution, Reason, Result
from code_executor.core.runner import Runner, run
from code_executor.grading.outcomes import OURS, VERDICTS, Outcome, Usage, Verdict
from code_executor.grading.suite import SuiteTest

_ALL_TOGETHER = 10
"""All runs of a grade together may take as many times as long as one may."""


class Runs:
    """The runs of one grade, for one caller."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.usage = Usage()

    async def run(self, execution: Execution) -> Result:
        """Run; if we fail, try once more, and return a result with the reason ``internal`` if we fail again.

        Raises what ``Runner.stream`` raises while no sandbox is to be had.
        """
        result = await self._once(execution)
        if result.reason in VERDICTS or result.reason is Reason.COMPLETED:
            return result
        return await self._once(replace(execution, id=secrets.token_hex(8)))

    async def _once(self, execution: Execution) -> Result:
        try:
            result = await run(self.runner, execution)
        except SandboxError:
            result = Result(execution.id, Reason.INTERNAL)
        self.note(result)
        return result

    def note(self, result: Result) -> None:
        """Count a run."""
        used = self.usage
        self.usage = Usage(
            used.runs + 1,
            used.time + result.execution_time,
            used.cpu_time + result.cpu_time,
            max(used.memory, result.memory),
        )

    def note_time(self, milliseconds: float) -> None:
        """Count a run that was stopped."""
        self.usage = replace(self.usage, runs=self.usage.runs + 1, time=self.usage.time + milliseconds)

    def is_used_up(self, caller: Caller) -> bool:
        """Whether the runs so far took as long as all of a grade may."""
        most = limits_of(caller, self.runner.limits).wall_time * _ALL_TOGETHER
        return self.usage.time > most * 1000


def unfinished(test: SuiteTest, result: Result, exit_code: int | None = None) -> Outcome:
    """Return the outcome of a run, which is ``passed`` if it ended as it must; nothing has been compared yet.

    ``exit_code``: the one that it must exit with; None: it must come to its end.
    """
    if result.truncated:
        verdict = Verdict.OUTPUT_LIMIT
    elif exit_code is None:
        verdict = Verdict.PASSED if result.reason is Reason.COMPLETED else _verdict(result)
    elif result.reason in EXITS:
        verdict = Verdict.PASSED if result.exit_code == exit_code else Verdict.ERROR
    else:
        verdict = _verdict(result)
    message = "" if verdict is Verdict.PASSED else _message(result, exit_code)
    return Outcome(
        test,
        verdict,
        result.reason,
        message,
        result.line,
        result.output,
        result.error,
        time=result.execution_time,
        cpu_time=result.cpu_time,
        memory=result.memory,
    )


EXITS = frozenset({Reason.COMPLETED, Reason.EXIT, Reason.EXCEPTION})
"""Reasons of programs that ended by themselves, with an exit code."""


def _verdict(result: Result) -> Verdict:
    return VERDICTS.get(result.reason, Verdict.INTERNAL)


def _message(result: Result, exit_code: int | None) -> str:
    verdict = _verdict(result)
    if verdict in OURS:
        return "the service failed while it ran the test"
    if exit_code is not None and result.reason in EXITS:
        return f"the program exited with {result.exit_code}, which is not right"
    return result.error.rstrip("\n").rpartition("\n")[2] or f"the program ended with {result.reason.value}"
