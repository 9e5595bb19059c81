"""The tables of docs/threat-model.md are true to the corpus and to doctor."""

from __future__ import annotations

import re
from pathlib import Path

from code_executor.sandbox.doctor import REQUIRED
from tests.hostile import cases
from tests.hostile.test_container_layers import WALLS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/threat-model.md"


def corpus_table() -> str:
    """The table of what was tried: class by engine. gVisor has control groups around it, and uids."""
    kinds = cases.load()
    rows = ["| class | docker | native | gVisor | gets through without |", "| --- | --- | --- | --- | --- |"]
    total = held = 0
    for kind in kinds:
        count, without_needs = len(kind.cases), sum(not case.needs - {"memory", "uid"} for case in kind.cases)
        off = ", ".join(dict.fromkeys(name for entry in kind.weakened for name in entry.off))
        rows.append(f"| {kind.title} | {count} | {count} | {without_needs} | {off} |")
        total, held = total + count, held + without_needs
    return "\n".join([*rows, f"| **all** | **{total}** | **{total}** | **{held}** | |"])


def test_the_table_of_what_was_tried_is_that_of_the_corpus() -> None:
    written = re.search(r"<!-- corpus -->\n(.*?)\n?<!-- /corpus -->", DOCUMENT.read_text(), re.DOTALL)
    assert written
    assert written[1] == corpus_table()


def test_every_layer_that_doctor_tries_is_described() -> None:
    section = DOCUMENT.read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert set(described) == REQUIRED["docker"]
    assert len(described) == len(set(described))


def test_the_layers_with_a_twin_among_containers_are_those_that_are_tried() -> None:
    section = DOCUMENT.read_text().partition("\n## Layers\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([a-z, ]*)\|$", section, re.MULTILINE)
    tried = {name.partition(":")[0] for name in WALLS}
    assert {layer for layer, twins in rows if "container" in twins} == tried & set(REQUIRED["docker"])
    assert tried - set(REQUIRED["docker"]) == {"IPC namespace"}
