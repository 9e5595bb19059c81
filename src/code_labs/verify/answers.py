"""What a program answers: expected values of tests are computed by running the solution, never guessed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from code_executor.core.models import Execution, File, Reason, Result
from code_executor.core.runner import Runner, run
from code_executor.grading import bounded, inside, values
from code_executor.grading.programs import importable

_MODULE = "solution"


@dataclass(frozen=True)
class Ask:
    """A call: a function, and its arguments as JSON values."""

    call: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    setup: str = ""


@dataclass(frozen=True)
class Answer:
    """What came of a call. ``raised``: the name and the text of an exception. ``arguments``: what became of them."""

    returned: Any = None
    raised: tuple[str, str] | None = None
    stdout: str = ""
    arguments: tuple[Any, ...] = ()

    def seen(self, *, prints: bool, changes: bool) -> tuple[object, ...]:
        """Return what tests look at, if they look at what is printed, or done to arguments."""
        raised = self.raised and self.raised[0]
        return self.returned, raised, prints and self.stdout, changes and self.arguments


_DRIVER = """

class _Late(BaseException):
    pass


def _stop(number, frame):
    raise _Late


def _main(text):
    import signal

    order = json.loads(text)
    answers, size = [], 0
    signal.signal(signal.SIGPROF, _stop)
    for each in order["calls"]:
        answer = {}
        try:
            signal.setitimer(signal.ITIMER_PROF, 0.2)
            _called(order | each, answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except _Late:
            answer = {"late": True}
        if "_Late" in str(answer.get("raised")):
            answer = {"late": True}
        size += len(json.dumps(answer))
        answers.append({"tooLarge": True} if size > LARGEST // 2 else answer)
    with open(order["answer"], "w", encoding="ascii") as file:
        json.dump(answers, file)


_main(ORDER)
"""
"""Goes on where the grading room's harness ends: it calls several functions, one after the other, for a moment each."""


async def answers(
    runner: Runner, source: str, asks: Sequence[Ask], *, files: Sequence[File] = (), seconds: float | None = None
) -> list[Answer | None]:
    """Call functions of a program in one run; None where there is no answer, or none that a test can expect."""
    path = f".answer-{secrets.token_hex(8)}.json"
    order = {
        "module": _MODULE,
        "answer": path,
        "arguments": True,
        "calls": [
            {"setup": ask.setup, "call": ask.call, "args": list(ask.args), "kwargs": dict(ask.kwargs)} for ask in asks
        ],
    }
    execution = Execution(
        inside.program("harness") + _DRIVER.replace("ORDER", repr(values.as_json(order))),
        timeout=seconds,
        policy=False,
        files=(*files, File(f"{_MODULE}.py", importable(source))),
        batch=True,
    )
    result = await run(runner, execution)
    text = next((file.data for file in result.files if file.path == path), None)
    nothing: list[Answer | None] = [None] * len(asks)
    if text is None or result.reason is not Reason.COMPLETED:
        return nothing
    try:
        said = bounded.parse_json(text)
    except ValueError:
        return nothing
    return list(map(_read, said)) if isinstance(said, list) and len(said) == len(asks) else nothing


def _read(said: Any) -> Answer | None:
    try:
        return _answer(said)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _answer(said: dict[str, Any]) -> Answer | None:
    if "failed" in said or "tooLarge" in said or "late" in said:
        return None
    arguments = tuple(said.get("arguments") or ())
    for each in (said.get("returned"), *arguments):
        if "$object" in json.dumps(each):
            return None
        values.value_of(each)
    raised = said.get("raised")
    return Answer(
        said.get("returned"),
        (str(raised["types"][0]), str(raised["message"])) if raised else None,
        str(said.get("stdout", "")),
        arguments,
    )


async def printed(
    runner: Runner,
    source: str,
    *,
    stdin: str = "",
    args: tuple[str, ...] = (),
    files: Sequence[File] = (),
    seconds: float | None = None,
) -> Result:
    """Run a program."""
    return await run(runner, Execution(source, stdin, args, seconds, policy=False, files=tuple(files), batch=True))
