"""Where an output first differs from what was expected, in words that show white space."""

from __future__ import annotations

from dataclasses import dataclass

_WINDOW = 120
"""Characters of a piece that are shown."""

_BEFORE = 20
"""Characters of these that stand before the place where the pieces differ."""

_CUT = "…"
_VISIBLE = {code: 0x2400 + code for code in range(0x20)} | {0x20: "·", 0x09: "→", 0x7F: "␡", 0xA0: "⍽"}
"""What is shown for white space and control characters."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where an output is wrong.

    ``message``: says what is wrong, and nothing of what was expected. ``line``: of the output, from 1; None where lines
    do not matter. ``expected`` and ``got``: the pieces that differ, with white space visible; None: there is nothing.
    """

    message: str
    line: int | None = None
    expected: str | None = None
    got: str | None = None


def pieces_differ(message: str, line: int | None, expected: bytes | None, got: bytes | None) -> Difference:
    """Return the difference of two pieces, which are cut around the place where they differ."""
    first = "" if expected is None else expected.decode("utf-8", "replace")
    second = "" if got is None else got.decode("utf-8", "replace")
    at = common_start(first, second)
    return Difference(
        message,
        line,
        None if expected is None else _shown(first, at),
        None if got is None else _shown(second, at),
    )


def common_start(first: str | bytes, second: str | bytes) -> int:
    """Return how many items two texts have in common at their beginning, by halving: each step is one comparison."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def visible(text: str) -> str:
    """Return a text with its white space and control characters visible."""
    return text.translate(_VISIBLE)


def _shown(text: str, at: int) -> str:
    start = 0 if len(text) <= _WINDOW else max(0, at - _BEFORE)
    piece = visible(text[start : start + _WINDOW])
    return (_CUT if start else "") + piece + (_CUT if start + _WINDOW < len(text) else "")
