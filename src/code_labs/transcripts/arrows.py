"""WebVTT and SubRip: cues with an arrow between two times. Both are read by one loop, because files mix their rules.

Automatic captions scroll: a line is shown as it grows, then whole, then above the next one. In a WebVTT of that kind
the line that grows has a time before each word. In SubRip it can only be known by being there twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from code_labs.transcripts.clean import WORD_STAMP, cleaned
from code_labs.transcripts.model import Cue

_STAMP = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
ARROW = re.compile(rf"\s*{_STAMP}\s*-->\s*{_STAMP}(?:\s.*)?")
_NOTE = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s.*)?")

REPEATED_WITHIN = 10.0
"""Seconds between two cues that scroll."""

ROLLING = 0.2
"""Of all cues: if this share repeats a line, the lines scroll. Below it, somebody says a thing twice."""

_FLASH = 0.015
"""Seconds: a cue that is this short only moves a line up."""


@dataclass(slots=True)
class _Block:
    start: float
    end: float
    lines: list[str] = field(default_factory=list)


def seconds(hours: str | None, minutes: str, whole: str, fraction: str | None) -> float:
    """Make seconds of the parts of a time."""
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(whole) + int((fraction or "0").ljust(3, "0")) / 1000


def parse_arrows(lines: list[str], *, vtt: bool) -> list[Cue]:
    """Return the cues of a file, as they stand in it, each line once."""
    blocks = list(_blocks(lines, vtt=vtt))
    if any(WORD_STAMP.search(line) for block in blocks for line in block.lines):
        return _of_growing_lines(blocks)
    said = [(block, [text for text in map(cleaned, block.lines) if text]) for block in blocks]
    return _of_scrolling_lines(said) if _scrolls([lines for _, lines in said]) else _cues(said)


def _blocks(lines: list[str], *, vtt: bool) -> Iterator[_Block]:
    """Cut at the arrows. A blank line ends no cue: YouTube puts one into each."""
    block: _Block | None = None
    in_note = False
    for number, line in enumerate(lines):
        if match := ARROW.fullmatch(line):
            if block:
                yield block
            times = match.groups()
            start, end = seconds(*times[:4]), seconds(*times[4:])
            block, in_note = _Block(start, max(start, end)), False
            continue
        before = lines[number - 1] if number else ""
        if vtt and not before and _NOTE.fullmatch(line):
            in_note = True
        elif not line:
            in_note = False
        if block and not in_note and not _is_name(lines, number, vtt=vtt):
            block.lines.append(line)
    if block:
        yield block


def _is_name(lines: list[str], number: int, *, vtt: bool) -> bool:
    """Whether a line is what the next cue is called: its number, or in WebVTT any text on a line of its own."""
    if number + 1 >= len(lines) or not ARROW.fullmatch(lines[number + 1]):
        return False
    return lines[number].strip().isdecimal() or (vtt and number > 0 and not lines[number - 1])


def _of_growing_lines(blocks: list[_Block]) -> list[Cue]:
    """Keep the lines with times before their words. A line of one word has none: it counts if it is new."""
    cues: list[Cue] = []
    shown: set[str] = set()
    for block in blocks:
        lines = [(cleaned(line), bool(WORD_STAMP.search(line))) for line in block.lines]
        new = [text for text, grows in lines if text and (grows or text not in shown)]
        if block.end - block.start > _FLASH and new:
            cues.append(Cue(block.start, block.end, " ".join(new)))
        shown = {text for text, _ in lines}
    return cues


def _scrolls(said: list[list[str]]) -> bool:
    pairs = list(pairwise(said))
    return bool(pairs) and sum(bool({*a} & {*b}) for a, b in pairs) >= ROLLING * len(pairs)


def _of_scrolling_lines(said: list[tuple[_Block, list[str]]]) -> list[Cue]:
    """Drop a line that the cue before showed."""
    kept: list[tuple[_Block, list[str]]] = []
    before: tuple[float, list[str]] = (-REPEATED_WITHIN, [])
    for block, lines in said:
        near = block.start - before[0] <= REPEATED_WITHIN
        kept.append((block, [line for line in lines if not (near and line in before[1])]))
        if lines:
            before = (block.end, lines)
    return _cues(kept)


def _cues(said: list[tuple[_Block, list[str]]]) -> list[Cue]:
    return [Cue(block.start, block.end, " ".join(lines)) for block, lines in said if lines]
