"""The command that asks a model: code-labs generate --model. It needs a key of the service, and no server of ours."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from code_executor.core.errors import CodeExecutorError
from code_labs.errors import LabsError
from code_labs.generation import (
    Draft,
    Failed,
    Model,
    ModelSettings,
    Request,
    Stretch,
    from_model,
    open_model,
    stretches,
)
from code_labs.labs import Lab, lab_object, write_lab
from code_labs.labs.formats.exchange import id_of
from code_labs.transcripts import Transcript, parse_transcript
from code_labs.transcripts.parse import LARGEST
from code_labs.verify import Severity, Verifier, open_room

EXIT_WRONG = 1


def generate(options: argparse.Namespace) -> int:
    """Make labs of transcripts; drafts that do not hold are written too, and named. The status is 1 if none holds."""
    settings = ModelSettings.load(name=options.model)
    requests = list(_requests(options))
    try:
        drafts: list[Draft] = asyncio.run(_generate(options, settings, requests))
    except CodeExecutorError as error:
        raise LabsError(str(error)) from None
    labs = [draft.lab for draft in drafts]
    if options.json:
        print(json.dumps([lab_object(lab) for lab in labs], indent=2, ensure_ascii=False))
    if options.to:
        write_all(labs, Path(options.to))
    for draft in drafts:
        if not options.json:
            print("\n".join(_lines(draft)))
    return 0 if any(draft.report.is_verified for draft in drafts) else EXIT_WRONG


def write_all(labs: Sequence[Lab], directory: Path) -> None:
    """Write labs, all of them or none."""
    there = next((lab.id for lab in labs if (directory / lab.id).exists()), None)
    if there is not None:
        raise LabsError(f"{directory / there} is there already; nothing is written over it")
    for lab in labs:
        write_lab(lab, directory / lab.id)


def _requests(options: argparse.Namespace) -> Iterator[Request]:
    for path in options.files:
        transcript = _transcript(path)
        if options.start is None and options.until is None:
            chosen = list(stretches(transcript))
        else:
            chosen = [Stretch(options.start or 0.0, transcript.end if options.until is None else options.until)]
        if not chosen:
            raise LabsError(f"{path}: too little is said in it for a lab")
        for stretch in chosen:
            for kind in options.kind or ["write"]:
                yield Request(Path(path).stem, transcript, stretch.start, stretch.end, kind)


def _transcript(path: str) -> Transcript:
    try:
        with Path(path).open("rb") as file:
            return parse_transcript(file.read(8 * LARGEST + 1))
    except OSError as error:
        raise LabsError(f"{path}: {error.strerror}") from None
    except LabsError as error:
        raise LabsError(f"{path}: {error}") from None


async def _generate(options: argparse.Namespace, settings: ModelSettings, requests: Sequence[Request]) -> list[Draft]:
    room: dict[str, Any] = {
        name: value for name in ("engine", "policy") if (value := getattr(options, name)) is not None
    }
    taken: set[str] = set()
    drafts: list[Draft] = []
    async with open_model(settings) as model, open_room(**room) as runner:
        verifier = Verifier(runner)
        for request in requests:
            draft = await _one(request, model, verifier)
            if draft is not None:
                lab = draft.lab.model_copy(update={"id": id_of(draft.lab.id, taken)})
                drafts.append(Draft(lab, draft.report, draft.origin, draft.notes))
    return drafts


async def _one(request: Request, model: Model, verifier: Verifier) -> Draft | None:
    async for event in from_model(request, model, verifier):
        if isinstance(event, Draft):
            return event
        why = event.why if isinstance(event, Failed) else event.message
        print(f"code-labs: {request.video} {Stretch(request.start, request.end)}: {why}", file=sys.stderr, flush=True)
    return None


def _lines(draft: Draft) -> Iterator[str]:
    state = "verified" if draft.report.is_verified else "NOT verified, finish it"
    tests = len(draft.lab.suite.tests) if draft.lab.suite else 0
    made = f"{draft.report.killed} of {draft.report.made} wrong versions fail"
    yield f"{draft.lab.id}: {draft.lab.title} ({state}; {tests} tests, {made}; {draft.origin.tokens:,} tokens)"
    for note in draft.notes:
        yield f"  note: {note}"
    for finding in draft.report.findings:
        if finding.severity is Severity.ERROR:
            yield f"  error: {finding.where}: {finding.message} [{finding.code}]"
