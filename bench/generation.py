"""How often labs that a model makes hold, for whoever has a key. No figure of ours is here: none was measured.

    export CODE_LABS_MODEL_KEY=…          # and CODE_LABS_MODEL_URL, for another service than OpenAI's
    .venv/bin/python -m bench.generation --model gpt-x --model gpt-y lectures/*.vtt

Each stretch of each transcript (a chapter, or five minutes) is one lab for each model. It costs tokens: see
CODE_LABS_MODEL_TOKENS_PER_JOB and CODE_LABS_MODEL_TOKENS_PER_DAY. Prints a table in Markdown; with --json a line for
each lab.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from code_labs.errors import LabsError
from code_labs.generation import (
    Draft,
    Failed,
    Model,
    ModelSettings,
    Request,
    from_model,
    open_model,
    stretches,
)
from code_labs.labs.model import KINDS
from code_labs.transcripts import parse_transcript
from code_labs.verify import Severity, Verifier, open_room


@dataclass(frozen=True)
class Outcome:
    """What came of one stretch. ``why``: of a failure, or the codes of the findings of a draft that does not hold."""

    model: str
    video: str
    start: float
    end: float
    kind: str
    verdict: str
    why: str
    repairs: int
    calls: int
    tokens: int
    killed: float
    seconds: float


HEADINGS = (
    "model",
    "stretches",
    "hold at once",
    "after 1 repair",
    "after 2",
    "never hold",
    "no lab",
    "mutants killed",
    "calls",
    "tokens",
    "s (median)",
)


async def one(request: Request, model: Model, verifier: Verifier) -> Outcome:
    """Make one lab, and say what came of it."""
    started = time.perf_counter()
    end: Draft | Failed = Failed("nothing came")
    async for event in from_model(request, model, verifier):
        if isinstance(event, Draft | Failed):
            end = event
    seconds = time.perf_counter() - started
    where = (model.name, request.video, request.start, request.end, request.kind)
    if isinstance(end, Failed):
        return Outcome(*where, "failed", end.why, 0, 0, 0, 0.0, seconds)
    report, origin = end.report, end.origin
    verdict = "verified" if report.is_verified else "draft"
    codes = sorted({each.code for each in report.findings if each.severity is Severity.ERROR})
    killed = report.killed / report.made if report.made else 0.0
    made = (origin.repairs, origin.calls, origin.tokens, killed, seconds)
    return Outcome(*where, verdict, " ".join(codes), *made)


def row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return a model's line of the table."""
    held = [each for each in outcomes if each.verdict == "verified"]
    made = [each for each in outcomes if each.verdict != "failed"]

    def share(count: int) -> str:
        return f"{count / len(outcomes):.2f}"

    def mean(values: Sequence[float], form: str) -> str:
        return format(statistics.fmean(values), form) if values else "-"

    return (
        name,
        str(len(outcomes)),
        *(share(sum(each.repairs == repairs for each in held)) for repairs in range(3)),
        share(len(made) - len(held)),
        share(len(outcomes) - len(made)),
        mean([each.killed for each in held], ".2f"),
        mean([each.calls for each in made], ".1f"),
        mean([each.tokens for each in made], ",.0f"),
        f"{statistics.median(each.seconds for each in outcomes):.0f}",
    )


def requests_of(options: argparse.Namespace) -> Iterator[Request]:
    for path in map(Path, options.files):
        transcript = parse_transcript(path.read_bytes())
        for stretch in itertools.islice(stretches(transcript), options.most):
            for kind in options.kind or ["write"]:
                yield Request(path.stem, transcript, stretch.start, stretch.end, kind)


async def measure(options: argparse.Namespace) -> dict[str, list[Outcome]]:
    requests = list(requests_of(options))
    if not requests:
        raise LabsError("no transcript has a stretch in which enough is said")
    found: dict[str, list[Outcome]] = {}
    async with open_room(engine=options.engine) as runner:
        verifier = Verifier(runner)
        for name in options.model:
            async with open_model(ModelSettings.load(name=name)) as model:
                for request in requests:
                    outcome = await one(request, model, verifier)
                    found.setdefault(name, []).append(outcome)
                    print(json.dumps(asdict(outcome)), file=sys.stdout if options.json else sys.stderr, flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("bench.generation", description="how often labs that a model makes hold")
    parser.add_argument("files", nargs="+", metavar="FILE", help="transcripts")
    parser.add_argument("--model", action="append", required=True, metavar="NAME")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--most", type=int, default=20, metavar="N", help="stretches of one transcript (20)")
    parser.add_argument("--engine", choices=["auto", "docker", "native"], default="auto")
    parser.add_argument("--json", action="store_true", help="a line for each lab, and no table")
    options = parser.parse_args(arguments)
    try:
        found = asyncio.run(measure(options))
    except LabsError as error:
        print(f"bench.generation: {error}", file=sys.stderr)
        return 2
    if not options.json:
        lines = [HEADINGS, ("---", *("---:" for _ in HEADINGS[1:])), *(row(*each) for each in found.items())]
        print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
