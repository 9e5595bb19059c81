"""The kind ``call``: call a function of the program, and compare the value that it returns on the host.

The learner's sandbox has the program as a module, and a harness that calls the function and leaves the value, as data,
in a file (`inside.harness`). The program can take the harness over and send any value. That does not help: the right
one is not there to be read. What is read of the file is a value, or nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import Any

from code_executor.core.models import File
from code_executor.grading import bounded, inside, values
from code_executor.grading.comparers import LINES, compare
from code_executor.grading.differences import Difference
from code_executor.grading.outcomes import Outcome, Submission, Verdict
from code_executor.grading.programs import given, importable, of_learner
from code_executor.grading.runs import Runs, unfinished
from code_executor.grading.suite import Call, Suite, SuiteTest
from code_executor.grading.values import Value, ValueFormError, value_of

_LONGEST_TEXT = 100_000
_LAST_LINE = (1 << 31) - 1


async def grade(runs: Runs, submission: Submission, suite: Suite, test: SuiteTest, task: Call) -> Outcome:
    """Run one test of this kind. The source has been checked before: the harness is no learner's program."""
    path = f".answer-{secrets.token_hex(8)}.json"
    order = {
        "module": suite.module,
        "setup": task.setup,
        "call": task.call,
        "args": list(task.args),
        "kwargs": task.kwargs,
        "answer": path,
        "arguments": task.arguments is not None,
    }
    own = File(f"{suite.module}.py", importable(submission.code))
    code = f"{inside.program('harness')}\n\nmain({values.as_json(order)!r})\n"
    files = (*given(submission, suite, test), own)
    execution = of_learner(submission, test, code, files, stdin=task.stdin)
    result = await runs.run(execution)
    outcome = replace(unfinished(test, result), line=None)
    if not outcome.is_passed:
        return outcome
    text = next((file.data for file in result.files if file.path == path), None)
    return await asyncio.to_thread(_judged, outcome, task, text)


# ---- what the sandbox sent


@dataclass(frozen=True, slots=True)
class _Raised:
    """An exception: the names of its class and of those above it, its text, and a line of the program."""

    types: tuple[str, ...]
    message: str
    line: int | None

    @property
    def text(self) -> str:
        name = self.types[0] if self.types else "an exception"
        return f"{name}: {self.message}"[:500] if self.message else name


@dataclass(frozen=True, slots=True)
class _Answer:
    """``failed``: the program could not be imported. ``returned``: None if the call did not return, or too much."""

    failed: _Raised | None = None
    raised: _Raised | None = None
    returned: Value | None = None
    arguments: Value | None = None
    stdout: str = ""


def _read(text: bytes) -> _Answer:
    """Read an answer; raise ``ValueFormError``. Only values are taken from it: nothing in it says what it is worth."""
    try:
        said = bounded.parse_json(text)
    except ValueError as error:
        raise ValueFormError(str(error)) from None
    if not isinstance(said, dict):
        raise ValueFormError("not an object")
    if "tooLarge" in said:
        raise ValueFormError("what the function returned is too large")
    stdout = said.get("stdout", "")
    return _Answer(
        _raised(said["failed"]) if "failed" in said else None,
        _raised(said["raised"]) if "raised" in said else None,
        value_of(said["returned"]) if "returned" in said else None,
        value_of(said["arguments"]) if "arguments" in said else None,
        stdout[:_LONGEST_TEXT] if isinstance(stdout, str) else "",
    )


def _raised(said: Any) -> _Raised:
    if not isinstance(said, dict):
        raise ValueFormError("no exception")
    types, message, line = said.get("types"), said.get("message"), said.get("line")
    if not isinstance(types, list) or not isinstance(message, str):
        raise ValueFormError("no exception")
    is_line = type(line) is int and 0 < line <= _LAST_LINE
    names = tuple(name[:200] for name in types[:20] if isinstance(name, str))
    return _Raised(names, message[:_LONGEST_TEXT], line if is_line else None)


# ---- what that is worth


def _judged(outcome: Outcome, task: Call, text: bytes | None) -> Outcome:
    if text is None:
        return replace(outcome, verdict=Verdict.NO_ANSWER, message="the program ended before the function returned")
    try:
        answer = _read(text)
    except ValueFormError as error:
        return replace(outcome, verdict=Verdict.NO_ANSWER, message=f"there is no value to compare: {error}"[:300])
    if answer.failed is not None:
        failed = answer.failed
        return replace(outcome, verdict=Verdict.ERROR, message=failed.text, line=failed.line)
    outcome = replace(outcome, got=_got(answer), line=answer.raised.line if answer.raised else None)
    difference = _difference(task, answer)
    if difference is None:
        return replace(outcome, fraction=1.0)
    verdict = Verdict.ERROR if answer.raised and task.raises is None else Verdict.WRONG_ANSWER
    return replace(outcome, verdict=verdict, message=difference.message, difference=difference)


def _got(answer: _Answer) -> str | None:
    if answer.raised is not None:
        return answer.raised.text
    return None if answer.returned is None else values.shown(answer.returned)


def _difference(task: Call, answer: _Answer) -> Difference | None:
    if task.raises is not None:
        difference = _wrong_exception(task, answer)
    elif answer.raised is not None:
        return Difference(answer.raised.text, None, values.shown(value_of(task.expected)), answer.raised.text)
    elif answer.returned is None:
        return Difference("the function returned no value")
    else:
        difference = values.compare(value_of(task.expected), answer.returned, task.tolerance)
    if difference is not None:
        return difference
    if task.stdout is not None:
        difference = compare(LINES, task.stdout.encode("utf-8", "replace"), answer.stdout.encode("utf-8", "replace"))
        if difference is not None:
            return replace(difference, message=f"what it printed: {difference.message}", line=None)
    if task.arguments is None:
        return None
    if answer.arguments is None:
        return Difference("the arguments are not known")
    difference = values.compare(value_of(list(task.arguments)), answer.arguments, task.tolerance)
    return difference and replace(difference, message=difference.message.replace("the value", "the arguments", 1))


def _wrong_exception(task: Call, answer: _Answer) -> Difference | None:
    wanted, raised = task.raises, answer.raised
    if wanted is None:
        return None
    expected = wanted.type if wanted.message is None else f"{wanted.type}: {wanted.message}"
    if raised is None:
        return Difference("it raised no exception", None, expected, _got(answer))
    if wanted.type not in raised.types:
        return Difference("it raised another exception", None, expected, raised.text)
    if wanted.message is not None and wanted.message != raised.message:
        return Difference("the text of its exception is not right", None, expected, raised.text)
    return None
