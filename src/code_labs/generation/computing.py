"""From a model's answer to a lab: what tests expect comes of running the solution, and the starter is made of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from code_executor.core.models import Reason
from code_executor.core.runner import Runner
from code_labs.generate import kinds
from code_labs.generate.inputs import ask_of
from code_labs.generate.material import Function, Program, functions_of
from code_labs.generate.sources import Piece
from code_labs.generate.suites import Test, computed, mistakes_of
from code_labs.generation.answer import Answer
from code_labs.matching.features import features_of
from code_labs.verify.answers import Answer as Came
from code_labs.verify.answers import Ask, answers, printed
from code_labs.verify.reading import functions
from code_labs.verify.stubs import emptied

_SECONDS = 5.0
_SHOWN = 2
"""How many tests learners see in full."""

_LONGEST = 2000
"""Characters of what a program prints in one test."""

_LEAST = 3
"""Tests. With fewer, the model is asked for more."""

Said = dict[str, Any]


@dataclass
class Computed:
    """``said``: a lab as a JSON object, without an id. ``troubles``: sentences for the model on what must change.

    ``notes``: sentences on what was left out, and can stay so.
    """

    said: Said
    troubles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def computed_lab(runner: Runner, answer: Answer, kind: str) -> Computed:
    """Make a lab of an answer. What cannot be made is a trouble; the lab then has what there is."""
    made = Computed(_frame(answer))
    try:
        tree = ast.parse(answer.solution)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        made.troubles.append(f"The solution is not Python: {error}.")
        made.said["solution"] = ""
        return made
    made.said["concepts"] = list(features_of(answer.solution).concepts)[:20]
    if kind == "predict":
        await _predict(runner, answer, made)
        return made
    if answer.calls:
        asks, right = await _called(runner, answer, made)
        tests = computed(asks, right)
    else:
        asks, right = [], []
        tests = await _printed(runner, answer, made)
    if len(tests) < _LEAST:
        made.troubles.append(f"There are only {len(tests)} tests. Give at least six `calls`, or four `inputs`.")
    if tests:
        made.said["suite"] = {"tests": list(_numbered(tests))}
    function = _function(answer, tree, asks)
    if kind != "write":
        await _of_kind(runner, kind, function, (asks, right), made)
    elif asks:
        made.said["starter"] = _starter(answer, function)
    return made


def _frame(answer: Answer) -> Said:
    return {
        "title": answer.title,
        "summary": answer.summary,
        "goals": list(answer.goals),
        "difficulty": answer.difficulty,
        "task": answer.task,
        "solution": answer.solution,
        "hints": list(answer.hints),
    }


# ---- tests


async def _called(runner: Runner, answer: Answer, made: Computed) -> tuple[list[Ask], list[Came]]:
    """Call the functions of a solution; return the calls that have an answer, with it."""
    asks: list[Ask] = []
    texts: list[str] = []
    names = functions(answer.solution)
    for text in answer.calls:
        try:
            ask = _ask(text, names)
        except ValueError as error:
            made.notes.append(f"The call {text!r} {error}.")
        else:
            if ask not in asks:
                asks.append(ask)
                texts.append(text)
    came = await answers(runner, answer.solution, asks, seconds=_SECONDS) if asks else []
    kept: list[tuple[Ask, Came]] = []
    silent = []
    for ask, text, said in zip(asks, texts, came, strict=True):
        if said is None:
            silent.append(text)
        elif said.raised is not None and said.raised[0] not in answer.task:
            name, message = said.raised
            made.troubles.append(f"{text} ends with {name}: {message[:200]}. The task does not say that it must.")
        else:
            kept.append((ask, said))
    if silent:
        listed = ", ".join(silent[:3])
        made.notes.append(
            f"{len(silent)} of the calls have no answer within a moment that is a plain value, such as {listed}."
        )
    return [ask for ask, _ in kept], [said for _, said in kept]


def _ask(text: str, names: frozenset[str]) -> Ask:
    """Return a call of a function, or of one that evaluates an expression with the solution's classes in it."""
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError("is not a Python expression") from None
    if not any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(node)):
        raise ValueError("calls no function or class of the solution")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        ask = ask_of(node, {})
        if ask is not None:
            return ask
    return Ask("_run", setup=f"def _run():\n    return ({ast.unparse(node)})")


async def _printed(runner: Runner, answer: Answer, made: Computed) -> list[Test]:
    """Run a program with each input; return tests that expect what it printed."""
    tests: list[Test] = []
    for stdin in answer.inputs:
        result = await printed(runner, answer.solution, stdin=stdin, seconds=_SECONDS)
        why = ""
        if result.reason is not Reason.COMPLETED or result.exit_code:
            said = (result.error or "").strip().splitlines()
            why = f"does not run to its end ({result.reason.value}{f': {said[-1][:200]}' if said else ''})"
        elif not result.output.strip():
            why = "prints nothing"
        elif len(result.output) > _LONGEST:
            why = "prints too much"
        if why:
            made.troubles.append(f"With the input {stdin[:200]!r} the program {why}.")
        else:
            tests.append({"kind": "io", "stdin": stdin, "expected": result.output})
    if not answer.inputs:
        made.troubles.append("There are neither `calls` nor `inputs`, and so nothing is tested.")
    return tests


def _numbered(tests: Sequence[Test]) -> Iterator[Test]:
    for number, test in enumerate(tests, 1):
        yield {"id": str(number), **test} | ({"visibility": "result"} if number > _SHOWN else {})


# ---- what the learner gets


def _function(answer: Answer, tree: ast.Module, asks: Sequence[Ask]) -> Function | None:
    """Return the function that all tests call, if there is one."""
    named = {ask.call for ask in asks}
    found, _ = functions_of([Piece(answer.solution, "the solution", tree)])
    return next((each for each in found if {each.name} == named), None)


def _starter(answer: Answer, function: Function | None) -> str:
    """Return the solution without what is to be written: a model is not asked for a starter, so that both fit."""
    if function is not None:
        starter: str = kinds.write(function, [])["starter"]
        return starter
    return emptied(answer.solution, {}, keep_docstrings=True)


async def _of_kind(
    runner: Runner, kind: str, function: Function | None, asked: tuple[list[Ask], list[Came]], made: Computed
) -> None:
    """Make a lab of another kind of a function: with a mistake, with gaps, with its lines mixed."""
    suite = made.said.get("suite")
    if function is None or suite is None:
        made.troubles.append("There must be one function, and all calls must be calls of it with literals.")
        return
    said: Said | None
    if kind == "repair":
        mistakes = [each for each in await mistakes_of(runner, function, *asked) if each.alive and each.failed]
        least = min(mistakes, key=lambda each: len(each.failed), default=None)
        said = kinds.repair(function, suite["tests"], least.mutant) if least else None
    else:
        said = (kinds.fill if kind == "fill" else kinds.order)(function, suite["tests"])
    if said is None:
        made.troubles.append(_MISFITS[kind])
        return
    lead = str(said["task"]).split("\n\n", 1)[0]
    made.said |= {
        "kind": kind,
        "starter": said["starter"],
        "solution": said["solution"],
        "task": f"{lead}\n\n{made.said['task']}",
        "hints": said.get("hints") or made.said["hints"],
    }


_MISFITS = {
    "repair": "The function has no small mistake that the calls would show. Write one with a condition or a loop.",
    "fill": "The function has no place for a gap. Write one with a condition, a loop or a calculation.",
    "order": "The lines cannot be put in order: there must be 4 to 12, all different, and no comments.",
}


async def _predict(runner: Runner, answer: Answer, made: Computed) -> None:
    """Make a lab that asks what a program prints."""
    results = [await printed(runner, answer.solution, seconds=_SECONDS) for _ in range(2)]
    first, second = results
    if first.reason is not Reason.COMPLETED or first.exit_code:
        made.troubles.append("The program does not run to its end.")
    elif first.output != second.output:
        made.troubles.append("The program prints something else each time.")
    elif not first.output.strip() or first.output.count("\n") > 12:
        made.troubles.append("The program must print 1 to 12 lines.")
    else:
        said = kinds.predict(Program(answer.solution, "a program"), first.output)
        made.said |= said | {"title": answer.title}
