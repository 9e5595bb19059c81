"""A teacher's programs run as those of the teacher's key: with its limits, in its turn, and behind whoever waits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from code_executor.core.caller import Caller
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input
from code_executor.core.runner import Runner
from code_labs.verify import Verifier

_AT_ONCE = 2


class OfCaller:
    """A `Runner` all of whose executions are one caller's."""

    def __init__(self, runner: Runner, caller: Caller) -> None:
        self._runner = runner
        self._caller = caller

    @property
    def limits(self) -> Limits:
        return self._runner.limits

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        return self._runner.stream(replace(execution, caller=self._caller, batch=True), inputs)


def verifier_for(runner: Runner, caller: Caller) -> Verifier:
    return Verifier(OfCaller(runner, caller), at_once=_AT_ONCE)
