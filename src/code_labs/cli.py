"""The command line: code-labs transcript, match, evaluate, import, export, verify, generate, bank, load."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from code_labs import __version__, loading
from code_labs.bank import about, bank, concepts
from code_labs.errors import LabsError
from code_labs.labs import Lab, lab_object, read_lab, write_lab
from code_labs.labs.formats import (
    export_coderunner,
    export_nbgrader,
    import_coderunner,
    import_exercism,
    import_nbgrader,
)
from code_labs.labs.model import KINDS
from code_labs.matching import Course, Label, Lecture, Match, Pin, evaluate
from code_labs.matching.align import align
from code_labs.transcripts import Transcript, clock, parse_transcript
from code_labs.transcripts.parse import LARGEST

EXIT_WRONG = 1
EXIT_INPUT = 2

_STRETCH = 60.0
"""Seconds that a pin without an end is taken to go on for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status: 1 if something has no match, 2 if something cannot be read."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except LabsError as error:
        print(f"code-labs: {error}", file=sys.stderr)
        return EXIT_INPUT
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stderr.close()
        return 141
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("code-labs", description="Exercises that belong to seconds of a video.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True)

    transcript = commands.add_parser("transcript", help="read a transcript and show it (-: from stdin)")
    transcript.add_argument("file", metavar="FILE")
    transcript.add_argument("--json", action="store_true")
    transcript.set_defaults(run=_transcript)

    match = commands.add_parser("match", help="find where labs belong")
    match.add_argument("labs", nargs="+", metavar="LAB", help="directories with a lab.toml")
    match.add_argument("--in-order", action="store_true", help="the labs are in the order of the videos")
    match.add_argument("--json", action="store_true")
    match.set_defaults(run=_match)

    measure = commands.add_parser("evaluate", help="measure the matching by labs whose [video] a teacher has written")
    measure.add_argument("labs", nargs="+", metavar="LAB")
    measure.add_argument("--json", action="store_true")
    measure.set_defaults(run=_evaluate)
    for command in (match, measure):
        command.add_argument("--video", nargs="+", action="extend", required=True, metavar="FILE", help="transcripts")

    bring = commands.add_parser("import", help="make directories of labs from another system")
    bring.add_argument("format", choices=["coderunner", "nbgrader", "exercism"])
    bring.add_argument("source", metavar="SOURCE", help="a file; for exercism a directory")
    bring.add_argument("--to", required=True, metavar="DIRECTORY", help="where a directory for each lab is made")
    bring.set_defaults(run=_import)

    send = commands.add_parser("export", help="print labs for another system")
    send.add_argument("format", choices=["coderunner", "nbgrader", "json"])
    send.add_argument("labs", nargs="+", metavar="LAB")
    send.set_defaults(run=_export)
    _add_work(commands)

    load = commands.add_parser("load", help="put a course on a server: its videos and labs, verified and published")
    load.add_argument("directory", metavar="DIR", help="a directory with a course.toml")
    load.add_argument("--server", required=True, metavar="URL", help=f"the key comes from {loading.KEY}")
    load.add_argument("--draft", action="store_true", help="publish nothing")
    load.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait so long for the server to start")
    load.set_defaults(run=loading.load)
    return parser


def _add_work(commands: Any) -> None:
    """Add the commands that run programs."""
    verify = commands.add_parser("verify", help="show that labs are good, by running them")
    verify.add_argument("labs", nargs="+", metavar="DIR", help="a lab, or a directory with labs below it")
    verify.add_argument("--json", action="store_true")
    verify.add_argument("--strict", action="store_true", help="warnings count as errors")
    verify.add_argument("--mutants", type=_count, default=20, metavar="N", help="wrong versions of each solution (20)")
    verify.set_defaults(run=_work("verify"))

    generate = commands.add_parser("generate", help="make labs of code that you have, or with a model of a transcript")
    generate.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a program (.py), a notebook (.ipynb), notes (.md); with --model: transcripts",
    )
    generate.add_argument("--model", metavar="NAME", help="ask this model (docs/labs-admin.md) for labs of transcripts")
    generate.add_argument("--from", dest="start", type=_second, metavar="TIME", help="with --model: begin there (4:30)")
    generate.add_argument(
        "--until", type=_second, metavar="TIME", help="with --model: and end there; else: each chapter"
    )
    generate.add_argument("--to", metavar="DIRECTORY", help="where a directory for each lab is made; else: a list")
    generate.add_argument("--kind", action="append", choices=KINDS, help="only such labs; may be given again")
    generate.add_argument("--json", action="store_true", help="print the labs as JSON")
    generate.set_defaults(run=_work("generate"))
    for command in (verify, generate):
        command.add_argument("--engine", choices=["auto", "docker", "native"], help="what makes sandboxes")
        command.add_argument("--policy", help="strict, off, or a TOML file: what learners' programs will get")

    bank = commands.add_parser("bank", help="show labs that are there already, or copy them")
    bank.add_argument("--concept", metavar="NAME", help="only about this: loops, loops.while, …")
    bank.add_argument("--to", metavar="DIRECTORY", help="copy them there, each as a directory")
    bank.add_argument("--json", action="store_true", help="print the labs as JSON")
    bank.set_defaults(run=_bank)


def _count(text: str) -> int:
    number = int(text)
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"must be 1 to 1000, not {text}")
    return number


def _second(text: str) -> float:
    """Read a time as people write it: ``90``, ``1:30``, ``1:01:30``."""
    if not re.fullmatch(r"(?:(?:\d{1,2}:)?\d{1,3}:)?\d{1,5}(?:\.\d+)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be as 4:30, not {text}")
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _work(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        from code_labs import workcommands  # noqa: PLC0415  # it brings the whole service, and takes long to import

        status: int = getattr(workcommands, name)(options)
        return status

    return run


# ---- transcripts


def _read(path: str) -> bytes:
    try:
        if path == "-":
            return sys.stdin.buffer.read(LARGEST + 1)
        with Path(path).open("rb") as file:
            return file.read(8 * LARGEST + 1)
    except OSError as error:
        raise LabsError(f"{path}: {error.strerror}") from None


def _parsed(path: str) -> Transcript:
    try:
        return parse_transcript(_read(path))
    except LabsError as error:
        raise LabsError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None


def _transcript(options: argparse.Namespace) -> int:
    transcript = _parsed(options.file)
    if options.json:
        _print_json(asdict(transcript))
        return 0
    print(f"{transcript.format}, {transcript.language or 'language unknown'}, {len(transcript.cues)} cues, ", end="")
    print(f"{clock(transcript.end)}")
    titles = {chapter.start: chapter.title for chapter in transcript.chapters}
    for cue in transcript.cues:
        for start in [start for start in titles if start <= cue.start]:
            print(f"== {titles.pop(start)}")
        print(f"{clock(cue.start):>7}  {cue.text}")
    return 0


# ---- matching


def _course(options: argparse.Namespace, labs: Sequence[Lab]) -> Course:
    lectures = [Lecture(Path(path).stem, _parsed(path)) for path in options.video]
    names = [lecture.id for lecture in lectures]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise LabsError(f"two transcripts are called {twice!r}: a video is known by the name of its file")
    pinned = [Pin(lab.id, lab.video.video, lab.video.start, lab.video.end) for lab in labs if lab.video]
    return Course(lectures, pinned)


def _match(options: argparse.Namespace) -> int:
    labs = [read_lab(path) for path in options.labs]
    course = _course(options, labs)
    queries = [lab.query for lab in labs]
    found = align(course, queries) if options.in_order else [course.match(query) for query in queries]
    if options.json:
        pairs = zip(labs, found, strict=True)
        _print_json([{"lab": lab.id, "match": match and asdict(match)} for lab, match in pairs])
    else:
        for lab, match in zip(labs, found, strict=True):
            print(_line(lab, match))
    return 0 if all(found) else EXIT_WRONG


def _line(lab: Lab, match: Match | None) -> str:
    if match is None:
        return f"{lab.id}: no good match"
    where = f"{lab.id}: {match.lecture} {clock(match.shown)}"
    if match.pinned:
        return f"{where} (pinned)"
    return f"{where} ({match.confidence:.2f}: {', '.join(reason.word for reason in match.reasons)})"


def _evaluate(options: argparse.Namespace) -> int:
    labs = [read_lab(path) for path in options.labs]
    course = _course(options, labs)
    labels = [
        Label(lab.id, lab.video.video, lab.video.start, lab.video.end or lab.video.start + _STRETCH)
        for lab in labs
        if lab.video
    ]
    if not labels:
        raise LabsError("no lab has a [video] in its lab.toml, and there is nothing to compare with")
    measures = evaluate(course, [lab.query for lab in labs], labels)
    if options.json:
        _print_json(asdict(measures))
        return 0
    print(f"{measures.labs} labs with a place that a teacher has named")
    print(f"  the first place is right            {measures.first:.2f}")
    print(f"  one of the first three is           {measures.third:.2f}")
    print(f"  one of the first five is            {measures.fifth:.2f}")
    print(f"  one of three, if the video is known {measures.third_in_video:.2f}")
    print(f"  start, median error                 {measures.start_error:.0f} s")
    print(f"  with a good match                   {measures.answered:.2f}")
    print(f"  of these right                      {measures.right:.2f}")
    return 0


# ---- the bank


def _bank(options: argparse.Namespace) -> int:
    labs = about(options.concept) if options.concept else bank()
    if not labs:
        raise LabsError(f"no lab is about {options.concept!r}. There are labs about {', '.join(concepts())}")
    if options.to:
        for lab in labs:
            _put(lab, Path(options.to))
    elif options.json:
        _print_json([lab_object(lab) for lab in labs])
    else:
        for lab in labs:
            print(f"{lab.concepts[0]:15} {'*' * lab.difficulty:4}{lab.id:28} {lab.title}")
    return 0


# ---- formats


def _import(options: argparse.Namespace) -> int:
    match options.format:
        case "coderunner":
            found = import_coderunner(_read(options.source))
        case "nbgrader":
            found = import_nbgrader(_read(options.source))
        case _:
            found = import_exercism(options.source)
    for lab in found.labs:
        _put(lab, Path(options.to))
    _report(found.dropped)
    return 0


def _put(lab: Lab, directory: Path) -> None:
    """Write a lab where there is none of its name, and say so."""
    target = directory / lab.id
    if target.exists():
        raise LabsError(f"{target} is there already; nothing is written over it")
    write_lab(lab, target)
    print(f"{target}: {len(lab.suite.tests) if lab.suite else 0} tests")


def _export(options: argparse.Namespace) -> int:
    labs = [read_lab(path) for path in options.labs]
    if options.format == "json":
        _print_json([lab_object(lab) for lab in labs])
        return 0
    if options.format == "nbgrader" and len(labs) > 1:
        raise LabsError("a notebook holds one lab: give one directory")
    made = export_nbgrader(labs[0]) if options.format == "nbgrader" else export_coderunner(labs)
    print(made.text, end="")
    _report(made.dropped)
    return 0


def _report(dropped: Sequence[str]) -> None:
    for sentence in dropped:
        print(f"code-labs: {sentence}", file=sys.stderr)


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
