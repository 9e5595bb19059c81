"""Verify a lab by running it: it is good if right programs pass, wrong ones fail, and nothing depends on chance.

    read it ─ the solution, three times ─ starter, stubs, mutants and the task's examples, side by side ─ findings

Each program is graded as a learner's is, in a fresh child with the policy and limits of the runner. A program that is
likely to be wrong gets little time, by that of the solution, so that one that never ends costs half a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from code_executor.core.models import File
from code_executor.core.runner import Runner
from code_executor.grading.forms import address, canonical
from code_executor.grading.grader import Grader, SubmissionError
from code_executor.grading.outcomes import Grade, GradeVerdict, Outcome, Submission
from code_executor.grading.suite import Call, Suite, SuiteError
from code_labs.errors import LabsError
from code_labs.labs import CallTest, Lab
from code_labs.verify import reading
from code_labs.verify.answers import Answer, Ask, answers
from code_labs.verify.examples import Example, examples
from code_labs.verify.findings import Finding, Report, Severity
from code_labs.verify.mutants import MOST, Mutant, mutants
from code_labs.verify.neighbours import neighbours
from code_labs.verify.room import SANDBOXES
from code_labs.verify.stubs import stubs
from code_labs.verify.suites import hurried, suite_of, suite_with

REPEATS = 3
ENOUGH = 0.9
"""Which part of the mutants must fail."""

_FEW = 8
_MOST_TIME, _MOST_MEMORY = 0.25, 0.5
_SLOW = 1.0
_SECONDS = 5.0
_CALLS, _LEAST_CALLS = 150, 20
"""How many calls tell whether a mutant is another program."""

_SHOWN = 5
_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)


class VerifyError(LabsError):
    """The service failed, so that nothing is known about a lab."""


class Verifier:
    """Verifies labs on a runner. ``most``: mutants of a lab. ``at_once``: programs that are graded at once."""

    def __init__(self, runner: Runner, *, most: int = MOST, at_once: int = SANDBOXES) -> None:
        self._runner = runner
        self._grader = Grader(runner, 1)
        self._most = most
        self._turns = asyncio.Semaphore(at_once)
        self._known: dict[tuple[object, ...], tuple[Grade, ...]] = {}
        self._tests = ""

    async def verify(self, lab: Lab) -> Report:
        """Return what there is to say of a lab; raise ``VerifyError`` if the service fails."""
        work = _Work(self, lab)
        started = time.perf_counter()
        await work.do()
        findings = sorted(work.findings, key=lambda finding: _ORDER.index(finding.severity))
        seconds = time.perf_counter() - started
        return Report(
            lab.id, tuple(findings), work.made, work.made - len(work.survivors), work.survivors, work.runs, seconds
        )

    @property
    def runner(self) -> Runner:
        return self._runner

    @property
    def most(self) -> int:
        return self._most

    async def grades(self, code: str, suite: Suite, *, policy: bool, kind: str, times: int = 1) -> tuple[Grade, ...]:
        """Grade a program so many times; what was graded already, for another lab with the same tests, is known.

        ``kind``: what sets two suites of the same tests apart.
        """
        key = (code, address(canonical(suite if kind == "solution" else _timeless(suite))), policy, kind, times)
        grades = self._known.get(key)
        if grades is None:
            first = await self._grade(code, suite, policy=policy)  # alone: sandboxes with its libraries may still start
            others = (self._grade(code, suite, policy=policy) for _ in range(times - 1))
            grades = self._known[key] = (first, *await asyncio.gather(*others))
        return grades

    async def answers(self, source: str, asks: Sequence[Ask], files: Sequence[File]) -> list[Answer | None]:
        """Return what a program answers to many calls, in one run."""
        async with self._turns:
            return await answers(self._runner, source, asks, files=files, seconds=_SECONDS)

    def begin(self, suite: Suite) -> None:
        """Forget what is known of labs with other tests."""
        tests = address(canonical(suite))
        if tests != self._tests:
            self._tests = tests
            self._known.clear()

    async def _grade(self, code: str, suite: Suite, *, policy: bool) -> Grade:
        """Grade a program when it is its turn."""
        async with self._turns:
            grade = await self._grader.grade(Submission(code, batch=True, policy=policy), suite)
        if grade.verdict is GradeVerdict.ERROR:
            raise VerifyError("the service failed while it ran a program; try again")
        return grade


class _Work:
    """One lab, step by step."""

    def __init__(self, verifier: Verifier, lab: Lab) -> None:
        self._verifier = verifier
        self._lab = lab
        self.findings: list[Finding] = []
        self.made = 0
        self.survivors: tuple[Mutant, ...] = ()
        self.runs = 0

    async def do(self) -> None:
        try:
            await self._do()
        except RecursionError:
            self._find("unreadable", "The program is nested too deep to be looked at.", "solution.py")

    async def _do(self) -> None:
        lab = self._lab
        if not lab.solution.strip():
            self._find("no-solution", "There is no solution. Write one that passes the tests.", "solution.py")
        if lab.suite is None:
            self._find("no-tests", "There are no tests.", "tests.toml")
        if self.findings:
            return
        self.findings += reading.read(lab)
        try:
            suite = suite_of(lab)
            self._verifier.begin(suite)
            grades = await self._grades(lab.solution, suite, "solution", REPEATS)
        except (SuiteError, SubmissionError) as error:
            self._find("bad-suite", f"The tests cannot be used: {error}.", "tests.toml")
            return
        if self._is_right(grades):
            self._look_at_limits(suite, grades)
            times = {test.id: seconds for test, seconds in zip(suite.tests, _least(grades), strict=True)}
            await self._try_others(suite, times)

    def _find(self, code: str, message: str, where: str = "", detail: str = "") -> None:
        self.findings.append(Finding(code, message, where, detail))

    async def _grade(self, code: str, suite: Suite, kind: str) -> Grade:
        return (await self._grades(code, suite, kind, 1))[0]

    async def _grades(self, code: str, suite: Suite, kind: str, times: int) -> tuple[Grade, ...]:
        policy = self._lab.policy == "strict"
        grades = await self._verifier.grades(code, suite, policy=policy, kind=kind, times=times)
        self.runs += sum(grade.usage.runs for grade in grades)
        return grades

    # ---- the solution

    def _is_right(self, grades: Sequence[Grade]) -> bool:
        first = grades[0]
        if first.problems:
            problem = first.problems[0]
            self._find("refused", f"The solution is refused: {problem.message}", f"solution.py, line {problem.line}")
            return False
        right = True
        for outcomes in zip(*(grade.outcomes for grade in grades), strict=True):
            outcome, where = outcomes[0], f"tests.toml, test {outcomes[0].test.id}"
            if len({_seen(each) for each in outcomes}) > 1:
                right = False
                said = "In several runs the solution gave different results: does it depend on chance, the time, or "
                self._find("unstable", said + "the order of a set?", where, _results(outcomes))
            elif not outcome.is_passed:
                right = False
                said = f"The solution does not pass the test: {outcome.message}."
                self._find("solution-fails", said, where, _differences(outcome))
        return right

    def _look_at_limits(self, suite: Suite, grades: Sequence[Grade]) -> None:
        limits = self._verifier.runner.limits
        for test, seconds in zip(suite.tests, _least(grades), strict=True):
            most = min(test.timeout or limits.wall_time, limits.wall_time)
            where = f"tests.toml, test {test.id}"
            if seconds > most * _MOST_TIME:
                said = f"The solution takes {seconds:.2g} of the {most:g} seconds that a learner's program has."
                self._find("near-time", said, where)
            elif seconds > _SLOW:
                self._find("slow", f"The test takes {seconds:.2g} seconds, and learners wait for it.", where)
        memory = min(grade.usage.memory for grade in grades)
        if memory > limits.memory * _MOST_MEMORY:
            said = f"The solution needs {memory >> 20} of the {limits.memory >> 20} MiB of memory."
            self._find("near-memory", said, "solution.py")

    # ---- other programs

    async def _try_others(self, suite: Suite, times: dict[str, float]) -> None:
        whole, first = hurried(suite, times, stop=False), hurried(suite, times, stop=True)
        made = self._mutants(suite)
        idle, *others = stubs(self._lab).items()
        graded, found, *_ = await asyncio.gather(
            asyncio.gather(
                *(self._grade(program, whole, "whole") for program in (self._lab.starter, idle[1])),
                *(self._grade(program, first, "first") for _, program in others),
            ),
            asyncio.gather(*(self._grade(mutant.source, first, "first") for mutant in made)),
            self._try_examples(),
        )
        same = await self._same([mutant for mutant, grade in zip(made, found, strict=True) if _passed(grade)])
        pairs = [(mutant, grade) for mutant, grade in zip(made, found, strict=True) if mutant not in same]
        made, found = [mutant for mutant, _ in pairs], [grade for _, grade in pairs]
        self._look_at_starter(graded[0])
        for (name, _), grade in zip((idle, *others), graded[1:], strict=True):
            if grade.verdict is GradeVerdict.PASSED:
                self._find("stub-passes", f"A program {name} passes all tests.", "tests.toml")
        self._count(made, found)
        tried = [*(program for _, program in others), *(mutant.source for mutant in made)]
        await self._find_useless(whole, [*graded, *found], tried)

    def _mutants(self, suite: Suite) -> list[Mutant]:
        calls = [test.task for test in suite.tests if isinstance(test.task, Call)]
        messages = len(calls) < len(suite.tests) or any(call.raises and call.raises.message for call in calls)
        main = len(calls) < len(suite.tests)
        return mutants(self._lab.solution, self._verifier.most, main=main, messages=messages)

    async def _same(self, survivors: Sequence[Mutant]) -> list[Mutant]:
        """Return mutants that seem to do the same as the solution: they answer the same to many calls."""
        tests = [test for test in (self._lab.suite.tests if self._lab.suite else ()) if isinstance(test, CallTest)]
        if not survivors or not tests or len(tests) < len(self._lab.suite.tests if self._lab.suite else ()):
            return []
        asks = [Ask(test.call, test.args, test.kwargs, test.setup) for test in tests]
        asks = neighbours(self._lab.solution, asks, _CALLS)
        if len(asks) < _LEAST_CALLS:
            return []
        files = suite_of(self._lab).files
        programs = [self._lab.solution, *(mutant.source for mutant in survivors)]
        right, *others = await asyncio.gather(*(self._answers(each, asks, files) for each in programs))
        if sum(answer is not None for answer in right) < _LEAST_CALLS:
            return []
        prints = any(test.stdout is not None for test in tests)
        changes = any(test.arguments is not None for test in tests)
        compared = [
            [answer and answer.seen(prints=prints, changes=changes) for answer in several]
            for several in (right, *others)
        ]
        return [mutant for mutant, several in zip(survivors, compared[1:], strict=True) if several == compared[0]]

    async def _answers(self, source: str, asks: Sequence[Ask], files: Sequence[File]) -> list[Answer | None]:
        self.runs += 1
        return await self._verifier.answers(source, asks, files)

    def _look_at_starter(self, grade: Grade) -> None:
        if not self._lab.starter.strip():
            return
        if grade.problems:
            problem = grade.problems[0]
            said = f"The starter is refused: {problem.message}"
            self._find("starter-refused", said, f"starter.py, line {problem.line}")
        elif grade.verdict is GradeVerdict.PASSED:
            self._find("starter-passes", "The starter passes all tests: there is nothing to do.", "starter.py")

    def _count(self, made: Sequence[Mutant], grades: Sequence[Grade]) -> None:
        pairs = zip(made, grades, strict=True)
        self.made = len(made)
        self.survivors = tuple(mutant for mutant, grade in pairs if grade.verdict is GradeVerdict.PASSED)
        if self.made < _FEW:
            said = f"The solution is so short that there are only {self.made} wrong versions of it to try."
            self._find("few-mutants", said, "solution.py")
        killed = self.made - len(self.survivors)
        if killed < ENOUGH * self.made:
            said = f"The tests fail only {killed} of {self.made} wrong versions of the solution. Test more cases."
            lines = "\n".join(f"line {each.line}: {each.change}" for each in self.survivors)
            self._find("weak-tests", said, "tests.toml", lines)
        else:
            for mutant in self.survivors[:_SHOWN]:
                said = f"The tests pass a version of the solution with this change: {mutant.change}"
                self._find("survivor", said, f"solution.py, line {mutant.line}")

    async def _find_useless(self, whole: Suite, grades: Iterable[Grade], programs: Sequence[str]) -> None:
        """Find tests that no program failed; those after a first failure get a try of their own."""
        wrong = {outcome.test.id for grade in grades for outcome in grade.outcomes if _is_wrong(outcome)}
        left = tuple(test for test in whole.tests if test.id not in wrong)
        if not left or len(whole.tests) < 2:
            return
        alone = replace(whole, tests=tuple(replace(test, weight=1.0) for test in left))
        tried = await asyncio.gather(*(self._grade(program, alone, "alone") for program in programs))
        wrong = {outcome.test.id for grade in tried for outcome in grade.outcomes if _is_wrong(outcome)}
        for test in left:
            if test.id not in wrong:
                said = "No wrong program failed this test. Ask for something else, or leave it out."
                self._find("useless-test", said, f"tests.toml, test {test.id}")

    # ---- examples

    async def _try_examples(self) -> None:
        found = examples(self._lab.task, reading.functions(self._lab.solution))
        await asyncio.gather(*(self._try_example(example) for example in found))

    async def _try_example(self, example: Example) -> None:
        try:
            suite = suite_with(self._lab, [{"id": "1", **example.test}])
        except SuiteError:
            return  # a value that no test can have
        grade = await self._grade(self._lab.solution, suite, "example")
        outcome = grade.outcomes[0]
        if not outcome.is_passed:
            said = "The solution does something else than this example in the task says."
            text = f"{example.text}\n{_differences(outcome)}"
            self._find("example-wrong", said, f"task.md, line {example.line}", text)


def _timeless(suite: Suite) -> Suite:
    """Return a suite without the limits that were made from the times of some runs."""
    return replace(suite, tests=tuple(replace(test, timeout=None) for test in suite.tests))


def _passed(grade: Grade) -> bool:
    return grade.verdict is GradeVerdict.PASSED


def _is_wrong(outcome: Outcome) -> bool:
    return not outcome.is_passed and outcome.verdict.value != "skipped"


def _seen(outcome: Outcome) -> tuple[object, ...]:
    """Return what must be the same in every run."""
    task = outcome.test.task
    prints = not isinstance(task, Call) or task.stdout is not None
    return outcome.verdict, outcome.got, outcome.stdout if prints else ""


def _least(grades: Sequence[Grade]) -> list[float]:
    """Return for each test the seconds of the fastest run: others may have waited for the machine."""
    return [min(each.time for each in several) / 1000 for several in zip(*(g.outcomes for g in grades), strict=True)]


def _results(outcomes: Iterable[Outcome]) -> str:
    return "\n".join(f"{each.verdict.value}: {each.got or each.stdout}"[:300].rstrip() for each in outcomes)


def _differences(outcome: Outcome) -> str:
    difference = outcome.difference
    lines = []
    if difference is not None and difference.expected is not None:
        lines.append(f"expected: {difference.expected}")
    if difference is not None and difference.got is not None:
        lines.append(f"got: {difference.got}")
    elif outcome.got is not None:
        lines.append(f"got: {outcome.got}")
    if not lines and outcome.stderr:
        lines = outcome.stderr.strip().splitlines()[-_SHOWN:]
    return "\n".join(lines)
