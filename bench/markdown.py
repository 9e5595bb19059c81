"""The pieces of a report: tables, code blocks, bars of characters, and the marked places in a file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from bench.stats import Ratio

_BAR = 40


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; all but its first column are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def code(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def ratio(found: Ratio | None) -> str:
    """Return the median, the minimum and the maximum of all rounds."""
    return f"{found.median:.3g} ({found.least:.3g} to {found.most:.3g})" if found else ""


def bars(values: Mapping[str, float], unit: str) -> str:
    """Return a bar per value, on a logarithmic scale: what is compared spans orders of magnitude."""
    if not values:
        return ""
    width = max(map(len, values))
    low = min(values.values()) / 1.5
    span = math.log(max(values.values()) / low)
    lines = []
    for name, value in values.items():
        bar = "█" * max(1, round(_BAR * math.log(value / low) / span))
        lines.append(f"{name:<{width}}  {bar:<{_BAR}} {value:9.2f} {unit}")
    return "\n".join(lines)


def replace(text: str, marker: str, content: str) -> str:
    """Put ``content`` between ``<!-- marker -->`` and ``<!-- /marker -->``; raise ``ValueError`` if not found once."""
    pattern = re.compile(rf"(<!-- {re.escape(marker)} -->).*?(<!-- /{re.escape(marker)} -->)", re.DOTALL)
    replaced, count = pattern.subn(lambda found: f"{found[1]}\n{content}\n{found[2]}", text)
    if count != 1:
        raise ValueError(f"{count} places marked {marker}, and it should be one")
    return replaced
