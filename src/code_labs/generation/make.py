"""A lab of a stretch of a video, with a model, in steps that can be shown as they come.

what is said ─ the model ─ a task, a solution, inputs ─ run: the tests ─ the verifier ─┬─ a draft for the teacher
                  └────────────────── at most twice: what was found ───────────────────┘

A model's word counts for nothing here: a lab holds if the verifier says so, as for any other. What does not hold after
two repairs is a draft that says what is wrong with it. No draft is published by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from code_executor.core.errors import CodeExecutorError
from code_labs.errors import LabError, LabsError
from code_labs.generation import prompts
from code_labs.generation.answer import SCHEMA, AnswerError, answer_of
from code_labs.generation.computing import Computed, computed_lab
from code_labs.generation.model import Message, Model
from code_labs.generation.stretches import Stretch, said
from code_labs.generation.talk import MOST_CALLS, Talk
from code_labs.labs import Lab, lab_of
from code_labs.labs.formats.exchange import id_of
from code_labs.labs.model import KINDS
from code_labs.transcripts import Transcript
from code_labs.verify import Finding, Report, Severity, Verifier

MOST_REPAIRS = 2
_MOST_FINDINGS = 8
_LONGEST_FINDING = 600


@dataclass(frozen=True)
class Request:
    """Seconds of a video to make a lab of. ``kind``: what the learner will do, one of `KINDS`.

    ``video``: what the course calls the video. ``language``: of the lab; empty: that of the transcript.
    """

    video: str
    transcript: Transcript
    start: float
    end: float
    kind: str = "write"
    title: str = ""
    language: str = ""


@dataclass(frozen=True)
class Step:
    """What is being done: ``asking``, ``waiting``, ``running``, ``verifying``, ``found`` or ``stopped``."""

    step: str
    message: str


@dataclass(frozen=True)
class Origin:
    """What a draft was made by. ``prompt``: the version of what the model was told. ``calls``: requests to it."""

    model: str
    prompt: str
    calls: int
    tokens: int
    repairs: int


@dataclass(frozen=True)
class Draft:
    """A lab, with the status ``draft``. It holds if its report says so; else it is for a teacher to finish.

    ``notes``: what the report cannot know, in sentences, such as calls that were left out.
    """

    lab: Lab
    report: Report
    origin: Origin
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """There is no lab."""

    why: str


async def from_model(request: Request, model: Model, verifier: Verifier) -> AsyncGenerator[Step | Draft | Failed, None]:
    """Make one lab; the last thing that comes is a ``Draft`` or a ``Failed``. Raises nothing on purpose."""
    work = _Work(request, model, verifier)
    try:
        async with aclosing(work.steps()) as steps:
            async for step in steps:
                yield step
    except (LabsError, CodeExecutorError) as error:
        if work.best is None:
            yield Failed(str(error))
            return
        yield Step("stopped", str(error))
    if work.best is None:
        yield Failed(f"the model gave nothing that a lab can be made of: {work.findings[0]}")
    else:
        yield work.best


class _Work:
    """One lab, step by step. ``best``: the draft with the fewest errors so far, of the last if equal."""

    def __init__(self, request: Request, model: Model, verifier: Verifier) -> None:
        self._request = request
        self._model = model
        self._verifier = verifier
        self._talk = Talk(model, SCHEMA)
        self._repairs = 0
        self._least = (0, 0)
        self.best: Draft | None = None
        self.findings: list[str] = []

    async def steps(self) -> AsyncGenerator[Step, None]:
        request = self._request
        if request.kind not in KINDS:
            raise LabsError(f"there are no labs of the kind {request.kind!r}; there are {', '.join(KINDS)}")
        stretch = Stretch(request.start, request.end)
        language = request.language or request.transcript.language
        text = said(request.transcript, stretch)
        asked = prompts.first(text, kind=request.kind, language=language, title=request.title)
        yield Step("asking", f"{self._model.name} is asked for a lab of {stretch}.")
        while True:
            async with aclosing(self._once(asked)) as steps:
                async for step in steps:
                    yield step
            if not self.findings or self._repairs == MOST_REPAIRS or self._talk.is_over:
                return
            self._repairs += 1
            yield Step("asking", f"{self._model.name} is asked to repair it ({self._repairs} of {MOST_REPAIRS}).")
            asked = prompts.again(asked, self._talk.reply.text, self.findings)

    async def _once(self, asked: tuple[Message, ...]) -> AsyncGenerator[Step, None]:
        """Ask, and try out what came; ``findings`` are what to ask a repair for."""
        async with aclosing(self._talk.ask(asked)) as sentences:
            async for sentence in sentences:
                yield Step("waiting", sentence)
        reply = self._talk.reply
        try:
            answer = answer_of(reply.text, cut=reply.cut)
        except AnswerError as error:
            self.findings = [str(error)]
            yield Step("found", str(error))
            return
        yield Step("running", f"The solution of “{answer.title}” is run, for what the tests expect.")
        made = await computed_lab(self._verifier.runner, answer, self._request.kind)
        try:
            lab = self._lab(made.said)
        except LabError as error:
            self.findings = [*made.troubles, f"{error}.", *made.notes][:_MOST_FINDINGS]
            yield Step("found", _first(self.findings))
            return
        yield Step("verifying", "The lab is verified.")
        report = await self._verifier.verify(lab)
        errors = [each for each in report.findings if each.severity is Severity.ERROR]
        self._keep(lab, report, made, len(errors))
        self.findings = [*made.troubles, *map(_told, errors)]
        if self.findings:
            self.findings = [*self.findings, *made.notes][:_MOST_FINDINGS]
        yield Step("found", _first(self.findings) if self.findings else "The lab holds.")

    def _lab(self, said: dict[str, Any]) -> Lab:
        """Make a lab. Where it belongs is what was asked for, whatever the model says."""
        request = self._request
        language = request.language or request.transcript.language
        return lab_of(
            {
                **said,
                "id": id_of(said["title"], set()),
                "language": language if len(language) == 2 else "",
                "video": {"video": request.video, "start": request.start, "end": request.end},
                "status": "draft",
                "policy": "strict",
            }
        )

    def _keep(self, lab: Lab, report: Report, made: Computed, errors: int) -> None:
        counted = (errors, len(made.troubles))
        if self.best is None or counted <= self._least:
            self._least = counted
            origin = Origin(
                self._model.name, prompts.VERSION, self._talk.calls, self._talk.tokens, repairs=self._repairs
            )
            self.best = Draft(lab, report, origin, (*made.troubles, *made.notes))


def _told(finding: Finding) -> str:
    """Return a finding as a model gets it."""
    where = f"{finding.where}: " if finding.where else ""
    detail = f"\n{finding.detail}" if finding.detail else ""
    return f"{where}{finding.message}{detail}"[:_LONGEST_FINDING]


def _first(findings: list[str]) -> str:
    more = f" ({len(findings) - 1} more)" if len(findings) > 1 else ""
    return findings[0].splitlines()[0] + more


__all__ = ["MOST_CALLS", "Draft", "Failed", "Origin", "Request", "Step", "from_model"]
