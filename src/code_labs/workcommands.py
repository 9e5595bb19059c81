"""The commands that run programs: code-labs verify and generate. They open sandboxes, and no server."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from code_executor.core.errors import CodeExecutorError
from code_labs import modelcommands
from code_labs.errors import LabError, LabsError
from code_labs.generate import Generated
from code_labs.generate import generate as make_labs
from code_labs.generate.sources import LARGEST
from code_labs.labs import Lab, lab_object, read_lab
from code_labs.labs.formats.exchange import id_of
from code_labs.labs.model import KINDS
from code_labs.verify import Finding, Report, Severity, Verifier, open_room
from code_labs.verify.findings import report_object

EXIT_WRONG = 1


def verify(options: argparse.Namespace) -> int:
    """Verify labs; the exit status is 0 if all of them hold, with ``--strict`` without a warning."""
    found = list(_directories(options.labs))
    labs: dict[str, Lab | LabError] = {}
    for directory in found:
        try:
            labs[str(directory)] = read_lab(directory)
        except LabError as error:
            labs[str(directory)] = error
    good = True
    told = []

    def tell(where: str, report: Report) -> None:
        nonlocal good
        good = good and _holds(report, strict=options.strict)
        if options.json:
            told.append({"directory": where, **report_object(report)})
        else:
            print("\n".join(_lines(where, report)), flush=True)

    _run(_verify(labs, options, tell))
    if options.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    return 0 if good else EXIT_WRONG


def _run(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except CodeExecutorError as error:
        raise LabsError(str(error)) from None


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the service that were given on the command line."""
    return {name: value for name in ("engine", "policy") if (value := getattr(options, name)) is not None}


async def _verify(labs: dict[str, Lab | LabError], options: argparse.Namespace, tell: Any) -> None:
    sources = [lab.solution for lab in labs.values() if isinstance(lab, Lab)]
    async with open_room(sources=sources, **settings_of(options)) as runner:
        verifier = Verifier(runner, most=options.mutants)
        for where, lab in labs.items():
            if isinstance(lab, Lab):
                tell(where, await verifier.verify(lab))
            else:
                tell(where, Report(Path(where).name, (Finding("unreadable", str(lab), where),)))


def _directories(paths: Sequence[str]) -> Iterator[Path]:
    """Yield the directories of labs: those that are one, and those below."""
    for path in map(Path, paths):
        if (path / "lab.toml").exists():
            yield path
            continue
        below = sorted(found.parent for found in path.rglob("lab.toml"))
        if not below:
            raise LabsError(f"{path}: there is no lab.toml, here or below")
        yield from below


def _holds(report: Report, *, strict: bool) -> bool:
    warned = any(finding.severity is Severity.WARNING for finding in report.findings)
    return report.is_verified and not (strict and warned)


def _lines(where: str, report: Report) -> Iterator[str]:
    state = "verified" if report.is_verified else "NOT verified"
    killed = f"{report.killed} of {report.made} wrong versions fail, " if report.made else ""
    yield f"{where}: {state} ({killed}{report.runs} runs, {report.seconds:.1f} s)"
    for finding in report.findings:
        at = f"{finding.where}: " if finding.where else ""
        yield f"  {finding.severity.value}: {at}{finding.message} [{finding.code}]"
        for line in finding.detail.splitlines():
            yield f"      {line}"


def generate(options: argparse.Namespace) -> int:
    """Make labs of files, and write, print or list those that hold; the exit status is 1 if there are none."""
    if options.model:
        return modelcommands.generate(options)
    if options.start is not None or options.until is not None:
        raise LabsError("--from and --until choose a stretch of a video: they go with --model")
    made: list[tuple[str, Generated]] = _run(_generate(options))
    labs: list[tuple[Lab, Report]] = []
    taken: set[str] = set()
    for path, generated in made:
        for lab, report in generated.labs:
            labs.append((lab.model_copy(update={"id": id_of(lab.id, taken)}), report))
        for sentence in generated.dropped:
            print(f"code-labs: {path}: {sentence}", file=sys.stderr)
    if options.json:
        print(json.dumps([lab_object(lab) for lab, _ in labs], indent=2, ensure_ascii=False))
    if options.to:
        modelcommands.write_all([lab for lab, _ in labs], Path(options.to))
    for lab, report in labs:
        if not options.json:
            tests = len(lab.suite.tests) if lab.suite else 0
            print(f"{lab.id}: {lab.title} ({tests} tests, {report.killed} of {report.made} wrong versions fail)")
    return 0 if labs else EXIT_WRONG


async def _generate(options: argparse.Namespace) -> list[tuple[str, Generated]]:
    files = {path: _read(path) for path in options.files}
    sources = [data.decode("utf-8", "replace") for data in files.values()]
    async with open_room(sources=sources, **settings_of(options)) as runner:
        return [
            (path, await make_labs(runner, data, Path(path).name, options.kind or KINDS))
            for path, data in files.items()
        ]


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(LARGEST + 1)
    except OSError as error:
        raise LabsError(f"{path}: {error.strerror}") from None
