"""What is told of the comparisons: a table, and every difference with its cause."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from compat.case import Comparison, Difference
from compat.causes import cause


class Results:
    """Comparisons kept in a directory, a file for each suite, a line for each; the newest of a case counts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, comparison: Comparison) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        with (self._directory / f"{comparison.suite}.jsonl").open("a") as file:
            file.write(json.dumps(asdict(comparison), ensure_ascii=False) + "\n")

    def read(self) -> dict[str, list[Comparison]]:
        """Return what is kept, by suite."""
        return {path.stem: list(_newest(path)) for path in sorted(self._directory.glob("*.jsonl"))}


def _newest(path: Path) -> Iterable[Comparison]:
    found: dict[str, Comparison] = {}
    for line in path.read_text().splitlines():
        told = json.loads(line)
        told["differences"] = tuple(Difference(**each) for each in told["differences"])
        found[told["case"]] = Comparison(**told)
    return found.values()


def table(results: dict[str, list[Comparison]]) -> str:
    """Return the counts as Markdown. A program with several differences is counted once."""
    lines = ["| suite | compared | bare passes | ours passes | differ | vary | left out |", "| --- |" + " ---: |" * 6]
    for suite, compared in results.items():
        ran = [one for one in compared if not one.skipped]
        programs = f"{sum(one.units for one in ran)}" + (f" in {len(ran)}" if any(one.units > 1 for one in ran) else "")
        counts = (
            programs,
            sum(one.bare for one in ran),
            sum(one.ours for one in ran),
            sum(different(one) for one in ran),
            sum(one.varies for one in ran),
            len(compared) - len(ran),
        )
        lines.append(f"| {suite} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def different(compared: Comparison) -> int:
    """Return how many units of it differ: tests, or the one program."""
    return len(compared.differences) if compared.units > 1 else min(len(compared.differences), 1)


def causes(results: dict[str, list[Comparison]]) -> str:
    """Return the causes of the differences as Markdown, with how many units each explains."""
    lines = []
    for suite, compared in results.items():
        counted: Counter[str] = Counter()
        for one in compared:
            counted.update([cause(each) for each in one.differences][: None if one.units > 1 else 1])
        lines += [f"| {suite} | {why} | {count} |" for why, count in counted.most_common()]
    return "\n".join(["| suite | cause | differ |", "| --- | --- | ---: |", *lines])


def listed(results: dict[str, list[Comparison]]) -> Iterator[str]:
    """Yield every difference, and every case that was left out, for whoever looks into them."""
    for suite, compared in results.items():
        for one in compared:
            if one.skipped:
                yield f"{suite} {one.case}: left out: {one.skipped}"
            for each in one.differences:
                yield f"{suite} {one.case} {each.part} [{cause(each)}]"
                yield f"    bare: {_short(each.bare)}\n    ours: {_short(each.ours)}\n    {_short(each.detail, 500)}"


def _short(text: str, most: int = 200) -> str:
    return text[-most:].replace("\n", "\n        ")
