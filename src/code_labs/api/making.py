"""Labs are made: of a teacher's code, of the bank, or of what is said in a video. Each is a draft of the course."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from code_executor.core.caller import Caller
from code_executor.core.errors import CodeExecutorError
from code_executor.core.runner import Runner
from code_labs.api import views
from code_labs.api.events import Told
from code_labs.api.running import OfCaller, verifier_for
from code_labs.api.schemas import GenerateIn
from code_labs.bank import about, concepts
from code_labs.errors import LabsError
from code_labs.generate import generate
from code_labs.labs import Lab
from code_labs.labs.formats.exchange import id_of
from code_labs.labs.model import KINDS
from code_labs.progress import Course, Labs
from code_labs.progress.places import transcript_of
from code_labs.verify import Report

_MOST_OF_BANK = 30

Step = dict[str, Any]


class Maker:
    """Makes labs for one request of a teacher's. ``require``: raises for a lab that nobody could do here."""

    def __init__(
        self, labs: Labs, course: Course, runner: Runner, caller: Caller, require: Callable[[Lab], object]
    ) -> None:
        self._labs = labs
        self._course = course
        self._runner = runner
        self._caller = caller
        self._require = require
        self._made = 0

    async def told(self, asked: GenerateIn) -> Told:
        """Yield what is to be told: steps, labs that were kept, what failed, and how many there are."""
        make = {"code": self._of_code, "bank": self._of_bank, "model": self._of_model}[asked.origin]
        async for event in make(asked):
            yield event
        yield "done", {"labs": self._made}

    async def _of_code(self, asked: GenerateIn) -> AsyncIterator[tuple[str, Step]]:
        name = asked.name or ""
        yield _step("running", f"Looking for what can be asked about {name}, and running it.")
        runner = OfCaller(self._runner, self._caller)
        found = await generate(runner, (asked.source or "").encode("utf-8", "replace"), name, asked.kinds or KINDS)
        for sentence in found.dropped:
            yield _step("dropped", sentence)
        for lab, report in found.labs:
            yield await self._keep(lab, report)

    async def _of_bank(self, asked: GenerateIn) -> AsyncIterator[tuple[str, Step]]:
        found = {lab.id: lab for concept in asked.concepts or () for lab in _about(concept)}
        verifier = verifier_for(self._runner, self._caller)
        for lab in list(found.values())[:_MOST_OF_BANK]:
            try:
                self._require(lab)
            except CodeExecutorError as error:
                yield _step("dropped", f"{lab.id} needs a service without the check of sources: {error}")
                continue
            yield _step("verifying", f"Verifying {lab.id}.")
            yield await self._keep(lab, await verifier.verify(lab))

    async def _of_model(self, asked: GenerateIn) -> AsyncIterator[tuple[str, Step]]:
        generation = _generation()
        video = await self._labs.catalog.video(self._course, asked.video or "")
        said = (await self._labs.catalog.said(self._course, video.name))[video.name]
        if not said.cues:
            raise LabsError(f"there is no transcript of the video {video.name}")
        request = generation.Request(
            video.name, transcript_of(video, said), asked.start, asked.end, asked.kind or "write", "", video.language
        )
        verifier = verifier_for(self._runner, self._caller)
        async with generation.open_model(generation.ModelSettings.load()) as model:
            async for event in generation.from_model(request, model, verifier):
                match event:
                    case generation.Step(step=step, message=message):
                        yield _step(step, message)
                    case generation.Draft(lab=lab, report=report, notes=notes):
                        for note in notes:
                            yield _step("note", note)
                        yield await self._keep(lab, report)
                    case generation.Failed(why=why):
                        yield "failed", {"why": why}

    async def _keep(self, lab: Lab, report: Report) -> tuple[str, Step]:
        """Keep a lab under a name that is free; return the event that tells of it."""
        taken = {each.name for each in await self._labs.catalog.labs(self._course)}
        lab = lab.model_copy(update={"id": id_of(lab.id, taken)})
        told = views.verified_object(report)
        kept = await self._labs.catalog.put_lab(self._course, lab, report=told, verified=report.is_verified)
        self._made += 1
        return "lab", {"lab": views.taught_object(kept)["lab"], "report": told}


def _step(step: str, message: str) -> tuple[str, Step]:
    return "step", {"step": step, "message": message}


def _about(concept: str) -> tuple[Lab, ...]:
    found = about(concept)
    if not found:
        raise LabsError(f"no lab of the bank is about {concept!r}. There are labs about {', '.join(concepts())}")
    return found


def _generation() -> Any:
    """Return the package that asks a model; raise ``LabsError`` where it is not installed."""
    try:
        return importlib.import_module("code_labs.generation")
    except ImportError:
        raise LabsError(
            "this service makes no labs with a model: make them of code, or take some of the bank"
        ) from None
