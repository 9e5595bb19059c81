"""From a teacher's code to labs that hold: find what can be asked, compute the tests, and verify each lab.

pieces ─ functions and programs ─ calls ─ what they answer ─ labs of five kinds ─ the verifier ─ those that hold
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from code_executor.core.models import Reason
from code_executor.core.runner import Runner
from code_labs.errors import LabError
from code_labs.generate import kinds
from code_labs.generate.material import Function, Program, functions_of, programs_of
from code_labs.generate.sources import pieces_of
from code_labs.generate.suites import Made, UselessError, tests_of
from code_labs.labs import Lab, lab_of
from code_labs.labs.formats.exchange import id_of
from code_labs.labs.model import KINDS
from code_labs.verify import Report, Severity, Verifier
from code_labs.verify.answers import printed

_LONGEST_OUTPUT = 400
_MOST_LINES = 12
_SECONDS = 2.0


@dataclass(frozen=True)
class Generated:
    """``labs``: those that hold, each with its report. ``dropped``: sentences on what gave none."""

    labs: tuple[tuple[Lab, Report], ...]
    dropped: tuple[str, ...]


async def generate(runner: Runner, data: bytes, name: str, wanted: Sequence[str] = KINDS) -> Generated:
    """Make labs of a file; raise ``LabsError``. The same file gives the same labs."""
    material = pieces_of(data, name)
    work = _Work(runner, wanted)
    functions, dropped = functions_of(material.pieces)
    work.dropped += [*material.dropped, *dropped]
    for function in functions:
        try:
            made = await tests_of(runner, function, material.pieces)
            labs = list(work.of_function(function, made))
        except UselessError as error:
            work.dropped.append(f"{function.name}: {error}")
        except RecursionError:
            work.dropped.append(f"{function.name}: it is nested too deep")
        else:
            for kind, said in labs:
                await work.offer(f"{function.name} {kind}", f"{function.name} ({kind})", said)
    if "predict" in wanted:
        for number, program in enumerate(programs_of(material.pieces), 1):
            predicted = await work.of_program(program)
            if predicted is not None:
                await work.offer(f"predict {number}", program.where, predicted)
    return Generated(tuple(work.found), tuple(work.dropped))


class _Work:
    def __init__(self, runner: Runner, wanted: Sequence[str]) -> None:
        self._runner = runner
        self._verifier = Verifier(runner)
        self._wanted = wanted
        self._taken: set[str] = set()
        self.found: list[tuple[Lab, Report]] = []
        self.dropped: list[str] = []

    async def offer(self, title: str, what: str, said: dict[str, Any]) -> None:
        """Keep a lab if it holds; otherwise say why not."""
        try:
            lab = lab_of({"id": id_of(title.replace("_", " "), set()), **said})
        except LabError as error:
            self.dropped.append(f"{what}: {error}")
            return
        report = await self._verifier.verify(lab)
        if report.is_verified:
            lab = lab.model_copy(update={"id": id_of(lab.id, self._taken)})
            self.found.append((lab, report))
            return
        first = next(each for each in report.findings if each.severity is Severity.ERROR)
        self.dropped.append(f"{what}: {first.message}")

    def of_function(self, function: Function, made: Made) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield labs of one function that are not verified yet."""
        tests = made.tests
        if "write" in self._wanted:
            yield "write", kinds.write(function, tests)
        found = [(failed, at) for at, (_, failed) in enumerate(made.mistakes) if failed]
        if "repair" in self._wanted and found:
            yield "repair", kinds.repair(function, tests, made.mistakes[min(found)[1]][0])
        for kind, make in (("fill", kinds.fill), ("order", kinds.order)):
            said = make(function, tests) if kind in self._wanted else None
            if said is not None:
                yield kind, said

    async def of_program(self, program: Program) -> dict[str, Any] | None:
        """Return a lab that asks what a program prints, if it prints the same twice, and little."""
        first, second = [await printed(self._runner, program.text, seconds=_SECONDS) for _ in range(2)]
        lines = first.output.rstrip("\n").split("\n")
        if first.reason is not Reason.COMPLETED:
            why = "it does not run to its end"
        elif first.output != second.output:
            why = "it prints something else each time"
        elif not first.output.strip():
            why = "it prints nothing"
        elif len(lines) > _MOST_LINES or len(first.output) > _LONGEST_OUTPUT:
            why = "it prints too much"
        else:
            return kinds.predict(program, first.output)
        self.dropped.append(f"{program.where}: {why}")
        return None
