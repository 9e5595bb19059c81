"""The corpus: hostile programs as data, one TOML file per class in ``corpus/``.

A file has, for its class::

    title     what the programs of this class do
    holds     what keeps them in
    prelude   lines that are put before each program (optional)

    [[weakened]]                   the test of the tests: with these protections off, this program gets through
    case = "its name"
    off = ["seccomp"]              names of `weakenings.WEAKENINGS`

    [[case]]
    name = "what it does"
    seen = "where it was really used: a CVE, an issue, a write-up"   (optional)
    code = '''…'''                 or  generate = "a Python expression that makes the source"
    reasons = ["completed"]        the reasons with which a correct sandbox may end it
    output = "…"                   its stdout, exactly (optional)
    prints = ["…"]                 texts that its stdout or error must contain (optional)
    needs = ["landlock"]           layers of `doctor` without which this case is not held, but skipped (optional)
    never = ["…"]                  texts that they must not contain (optional)
    then = '''…'''                 a program that is run after it, in what should be a clean world (optional)
    timeout, stdin, args, display  of the execution (optional)
    files = { path = "text" }      files that it is given (optional)
    limits = { memory = 67108864 } what it asks to be held to: `RunLimits` (optional)
    left = ["…"]                   the paths of the files that come back, exactly (optional)

A program prints ``BREACH`` where it got what it must not get; no program of the corpus may ever print that.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from code_executor.core.models import Execution, File, Reason, RunLimits

CORPUS = Path(__file__).with_name("corpus")
BREACH = "BREACH"

_TIMEOUT = 10.0
_SHORT_TIMEOUT = 1.0
"""For programs that can only end by the clock."""


@dataclass(frozen=True)
class Case:
    """One hostile program, and what a correct sandbox does with it."""

    kind: str
    name: str
    reasons: frozenset[Reason]
    output: str | None
    prints: tuple[str, ...]
    never: tuple[str, ...]
    then: str
    needs: frozenset[str]
    left: tuple[str, ...] | None
    execution: Execution

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"

    @classmethod
    def of_table(cls, kind: str, prelude: str, table: dict[str, Any]) -> Case:
        """Read one ``[[case]]``; raise ``ValueError`` or ``KeyError`` on what is not known or missing."""
        table = dict(table)
        name = table.pop("name")
        table.pop("seen", "")
        generated = table.pop("generate", None)
        code = table.pop("code") if generated is None else eval(generated)
        then = table.pop("then", "")
        reasons = frozenset(Reason(reason) for reason in table.pop("reasons"))
        case = cls(
            kind,
            name,
            reasons,
            table.pop("output", None),
            tuple(table.pop("prints", ())),
            (BREACH, *table.pop("never", ())),
            prelude + then if then else "",
            frozenset(table.pop("needs", ())),
            tuple(table.pop("left")) if "left" in table else None,
            Execution(
                prelude + code if generated is None else code,
                table.pop("stdin", ""),
                tuple(table.pop("args", ())),
                table.pop("timeout", _SHORT_TIMEOUT if reasons == {Reason.WALL_TIME} else _TIMEOUT),
                display=table.pop("display", False),
                files=tuple(File(path, text.encode()) for path, text in table.pop("files", {}).items()),
                limits=RunLimits(**limits) if (limits := table.pop("limits", None)) else None,
            ),
        )
        if table:
            raise ValueError(f"{kind}: {name}: unknown keys {', '.join(table)}")
        return case


@dataclass(frozen=True)
class Weakened:
    """A case that gets through when the protections named in ``off`` are not there."""

    case: Case
    off: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.case} without {', '.join(self.off)}"


@dataclass(frozen=True)
class Kind:
    """A class of the corpus: one file."""

    name: str
    title: str
    holds: str
    cases: tuple[Case, ...]
    weakened: tuple[Weakened, ...]

    @classmethod
    def of_file(cls, path: Path) -> Kind:
        table = tomllib.loads(path.read_text())
        cases = {case["name"]: Case.of_table(path.stem, table.get("prelude", ""), case) for case in table["case"]}
        if len(cases) != len(table["case"]):
            raise ValueError(f"{path.name}: two cases have one name")
        weakened = tuple(Weakened(cases[entry["case"]], tuple(entry["off"])) for entry in table["weakened"])
        return cls(path.stem, table["title"], table["holds"], tuple(cases.values()), weakened)


def load() -> tuple[Kind, ...]:
    """Read the whole corpus."""
    return tuple(Kind.of_file(path) for path in sorted(CORPUS.glob("*.toml")))
