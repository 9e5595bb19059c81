"""What is compared: a case, what came of it, and where two outcomes of the same case differ."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

RESULT = "@@ "
"""How ``programs/run_module.py`` begins the lines that are for us."""

LEFT_OUT = "left_out.json"
"""The file of a case of tests that names those which are not to run."""

_VOLATILE = (
    (re.compile(r"0x[0-9a-fA-F]{4,}"), "0x…"),
    (re.compile(r"\b\d+\.\d+ ?s\b"), "…s"),  # how long the tests took
    (re.compile(r"/work/main\.py"), "main.py"),  # the docs say that tracebacks name it so
)

_SET_UP = re.compile(r"setUp(?:Module|Class) \((.*)\)")
"""What `unittest` names when no test of a module or of a class can run."""


@dataclass(frozen=True, slots=True)
class Case:
    """One program. ``counted``: "program", or "tests" where it reports each of its tests by itself."""

    suite: str
    name: str
    code: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    counted: str = "program"


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a case: its exit status, the name of a signal, or the reason why it was stopped."""

    exit: str
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is compared: ``value``, and ``detail`` to say why it is so."""

    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    part: str
    bare: str
    ours: str
    detail: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """``bare`` and ``ours``: how many units passed; ``varies``: parts that are not the same in two runs alike."""

    suite: str
    case: str
    units: int
    bare: int
    ours: int
    varies: int
    differences: tuple[Difference, ...] = ()
    skipped: str = ""


def parts(case: Case, run: Run) -> dict[str, Part]:
    """Return what is compared of ``run``, by name."""
    if case.counted == "tests":
        return _tests(run)
    detail = f"{run.exit}: {run.stderr[-600:]}"
    return {
        "exit status": Part(run.exit, detail),
        "stdout": Part(steady(run.stdout), detail),
        "stderr": Part(steady(run.stderr).rstrip("\n"), detail),
    }


def complete(case: Case, run: Run) -> bool:
    """Whether the program came to its end; of one that did not, nothing can be said."""
    if case.counted == "tests":
        return any("end" in line for line in _lines(run))
    return run.exit != "wall_time"


def stopped_in(run: Run) -> str | None:
    """Return the test that ran when the program was stopped; None if there was none."""
    running = None
    for line in _lines(run):
        running = line.get("start", None if "id" in line or "end" in line else running)
    return running


def told_of(test: str, run: Run) -> str:
    """Return the line that reports of ``test`` that its program was stopped."""
    detail = f"{run.exit}: {run.stderr[-600:]}"
    return f"\n{RESULT}{json.dumps({'id': test, 'outcome': 'stopped', 'detail': detail})}\n"


def steady(text: str) -> str:
    """Return ``text`` without what differs between any two runs: addresses and times."""
    for pattern, instead in _VOLATILE:
        text = pattern.sub(instead, text)
    return text


def compare(case: Case, bare: list[Run], ours: list[Run]) -> Comparison:
    """Compare the first runs; what is not the same in both of two runs alike is no difference, but varies."""
    expected, got = parts(case, bare[0]), parts(case, ours[0])
    again = [(parts(case, run), first) for run, first in (*((r, expected) for r in bare), *((r, got) for r in ours))]
    differences, varies = [], 0
    for name, wanted in expected.items():
        found = got.get(name) or _missing(name, got, ours[0])
        if found.value == wanted.value:
            continue
        if any(_value(run, name) != _value(first, name) for run, first in again):
            varies += 1
        else:
            differences.append(Difference(name, wanted.value, found.value, found.detail))
    if case.counted == "tests":
        counts = (len(expected), _passed(expected), _passed({name: got[name] for name in expected if name in got}))
    else:
        counts = (1, int(bare[0].exit == "0"), int(ours[0].exit == "0"))
        varies = min(varies, 1)
    return Comparison(case.suite, case.name, *counts, varies, tuple(differences))


def _missing(test: str, found: Mapping[str, Part], run: Run) -> Part:
    """Return why ``test`` did not run: its module or its class could not be set up, or the program ended before."""
    for name, part in found.items():
        set_up = _SET_UP.fullmatch(name)
        if set_up and test.startswith(f"{set_up[1]}."):
            return Part("missing", f"{name}: {part.detail}")
    return Part("missing", f"{run.exit}: {run.stderr[-600:]}")


def _value(found: Mapping[str, Part], name: str) -> str | None:
    return found[name].value if name in found else None


def _passed(found: Mapping[str, Part]) -> int:
    return sum(part.value == "ok" for part in found.values())


def _tests(run: Run) -> dict[str, Part]:
    return {steady(line["id"]): Part(line["outcome"], line["detail"]) for line in _lines(run) if "outcome" in line}


def _lines(run: Run) -> Iterator[dict[str, str]]:
    for line in run.stdout.splitlines():
        if line.startswith(RESULT):
            with contextlib.suppress(ValueError):  # cut off where the program was stopped
                yield json.loads(line.removeprefix(RESULT))
