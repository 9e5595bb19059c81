"""nbgrader: a notebook in which cells say what is the task, the solution, and a test.

A cell of tests becomes calls where each of its assertions compares a call with plain values. Setting up is not carried
over, and neither is what looks at variables: here the program of a learner is one, not cells.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

from code_labs.errors import ExchangeError, LabError
from code_labs.labs.formats.exchange import LARGEST, Exported, Imported, id_of, test_of
from code_labs.labs.model import CallTest, Lab, Suite, lab_of

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HIDDEN = re.compile(r"[ \t]*### (BEGIN|END) HIDDEN TESTS[ \t]*")
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"


def import_nbgrader(text: str | bytes, *, title: str = "") -> Imported:
    """Read the source version of an assignment: one lab for each cell with a solution; raise ``ExchangeError``."""
    cells = _cells(text)
    labs: list[Lab] = []
    dropped: list[str] = []
    taken: set[str] = set()
    prose: list[str] = []
    waiting: dict[str, Any] | None = None
    tests: list[CallTest] = []
    for cell in [*cells, {}]:
        grading = (cell.get("metadata") or {}).get("nbgrader") or {}
        source = _source(cell)
        is_solution = bool(grading.get("solution")) and cell.get("cell_type") == "code"
        if (is_solution or not cell) and waiting:
            labs.extend(_finish(waiting, tests, dropped))
            waiting, tests = None, []
        if is_solution:
            name = str(grading.get("grade_id") or "") or title or "lab"
            waiting = _waiting(source, prose, title or _heading(prose) or name, id_of(name, taken))
            prose = []
        elif grading.get("grade") and cell.get("cell_type") == "code":
            if waiting is None:
                dropped.append(f"the tests {grading.get('grade_id')!r} belong to no cell with a solution")
            else:
                points = grading.get("points")
                weight = float(points) if isinstance(points, int | float) and points > 0 else 1.0
                tests += _tests(source, weight, len(tests), f"{waiting['id']}", dropped)
        elif cell.get("cell_type") == "markdown":
            if grading.get("solution"):
                dropped.append(f"{grading.get('grade_id')!r} is answered with text, and people must mark it")
            prose.append(source)
        elif source.strip():
            dropped.append("a cell of code that is neither solution nor test was left out: " + source.strip()[:60])
    if not labs:
        raise ExchangeError("; ".join(dropped) or "the notebook has no cell with a solution of nbgrader's")
    return Imported(tuple(labs), tuple(dropped))


def _cells(text: str | bytes) -> list[dict[str, Any]]:
    if len(text) > LARGEST:
        raise ExchangeError(f"the notebook is larger than {LARGEST:,} bytes")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExchangeError(f"this is not a notebook: {error}") from None
    cells = said.get("cells") if isinstance(said, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ExchangeError("this is not a notebook of version 4: it has no list of cells")
    for cell in cells:
        metadata = cell.get("metadata")
        if metadata is not None and not (isinstance(metadata, dict) and isinstance(metadata.get("nbgrader", {}), dict)):
            raise ExchangeError("the metadata of a cell is not an object")
    return cells


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _heading(prose: list[str]) -> str:
    found = re.search(r"^#+\s*(.+)", "\n".join(prose), re.MULTILINE)
    return found[1].strip()[:200] if found else ""


def _waiting(source: str, prose: list[str], title: str, name: str) -> dict[str, Any]:
    starter, solution = split_solution(source)
    return {"id": name, "title": title[:200], "task": "\n\n".join(prose).strip() or title, "starter": starter} | (
        {"solution": solution} if solution != starter else {}
    )


def split_solution(source: str) -> tuple[str, str]:
    """Return starter and solution of a cell: what stands between the marks is the solution's alone."""
    starter: list[str] = []
    solution: list[str] = []
    inside = False
    for line in source.splitlines():
        if line.strip() == BEGIN:
            inside = True
            margin = line[: len(line) - len(line.lstrip())]
            starter += [margin + each for each in STUB.splitlines()]
        elif line.strip() == END:
            inside = False
        else:
            solution.append(line)
            if not inside:
                starter.append(line)
    return "\n".join(starter) + "\n", "\n".join(solution) + "\n"


def _finish(said: dict[str, Any], tests: list[CallTest], dropped: list[str]) -> Iterator[Lab]:
    if tests:
        said["suite"] = Suite(tests=tuple(tests)).model_dump(by_alias=True)
    try:
        yield lab_of(said)
    except LabError as error:
        dropped.append(f"{said['id']}: left out: {error}")


def _tests(source: str, points: float, before: int, lab: str, dropped: list[str]) -> list[CallTest]:
    hidden_from, hidden_to = _hidden_lines(source)
    try:
        statements = ast.parse(HIDDEN.sub("", source)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        dropped.append(f"{lab}: a cell of tests is not Python")
        return []
    found: list[CallTest] = []
    for statement in statements:
        hidden = hidden_from <= statement.lineno <= hidden_to
        try:
            visibility = "result" if hidden else "full"
            what = statement.test if isinstance(statement, ast.Assert) else ast.Name("nothing")
            found.append(test_of(what, str(before + len(found) + 1), visibility=visibility))
        except ValueError:
            dropped.append(f"{lab}: a statement of its tests was left out: {ast.unparse(statement)[:80]}")
    return [test.model_copy(update={"weight": points / len(found)}) for test in found]


def _hidden_lines(source: str) -> tuple[int, int]:
    marks = [n for n, line in enumerate(source.splitlines(), 1) if HIDDEN.fullmatch(line)]
    return (marks[0], marks[-1] if len(marks) > 1 else 1 << 30) if marks else (0, 0)


def export_nbgrader(lab: Lab) -> Exported:
    """Write a lab as the source version of an assignment: its task, its solution with marks, and its tests."""
    dropped = [
        f"{lab.id}: {field} cannot be held by a notebook"
        for field in ("hints", "files", "video")
        if getattr(lab, field)
    ]
    assertions: dict[bool, list[str]] = {False: [], True: []}
    points = 0.0
    for test in lab.suite.tests if lab.suite else ():
        if (
            isinstance(test, CallTest)
            and not (test.raises or test.setup or test.stdin or test.files)
            and _is_plain(test)
        ):
            given = [*map(repr, test.args), *(f"{name}={value!r}" for name, value in test.kwargs.items())]
            sign = "is" if test.expected is None or isinstance(test.expected, bool) else "=="
            line = f"assert {test.call}({', '.join(given)}) {sign} {test.expected!r}"
            assertions[test.visibility != "full"].append(line)
            points += test.weight
        else:
            dropped.append(f"{lab.id}, test {test.id}: left out: it is more than a comparison of a call with a value")
    lines = assertions[False] + (
        ["### BEGIN HIDDEN TESTS", *assertions[True], "### END HIDDEN TESTS"] if assertions[True] else []
    )
    if lab.starter.strip():
        dropped.append(f"{lab.id}: the starter was left out: nbgrader makes it of the solution")
    solution = f"{BEGIN}\n{lab.solution.rstrip()}\n{END}" if lab.solution else STUB
    cells = [
        _cell("markdown", f"{lab.id}-task", f"# {lab.title}\n\n{lab.task}", locked=True),
        _cell("code", lab.id, solution, solution=True),
    ]
    if points:
        cells.append(_cell("code", f"{lab.id}-tests", "\n".join(lines), grade=True, locked=True, points=points))
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    return Exported(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", tuple(dropped))


def _is_plain(test: CallTest) -> bool:
    return test.stdout is None and test.arguments is None and test.rel is None and test.abs is None


def _cell(kind: str, name: str, source: str, **more: Any) -> dict[str, Any]:
    grading = {"schema_version": 3, "grade_id": name, "grade": False, "solution": False, "locked": False, "task": False}
    cell = {
        "cell_type": kind,
        "id": re.sub(r"[^A-Za-z0-9_-]", "-", name)[:64],
        "metadata": {"nbgrader": grading | more},
    }
    return cell | {"source": source} | ({"execution_count": None, "outputs": []} if kind == "code" else {})
