"""Formats in which only starts are known, or a time has a line of its own: SBV, ``[4.84] text``, YouTube's page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from code_labs.transcripts.arrows import seconds
from code_labs.transcripts.clean import cleaned
from code_labs.transcripts.model import Chapter, Cue

SBV = re.compile(r"\s*(\d{1,3}):(\d\d):(\d\d)\.(\d{3}),(\d{1,3}):(\d\d):(\d\d)\.(\d{3})\s*")
SECONDS = re.compile(r"\s*\[(?:(\d{1,6}(?:\.\d{1,6})?)s?|(?:(\d{1,2}):)?(\d{1,2}):(\d\d)(?:\.(\d{1,3}))?)\]\s*(.*)")
CLOCK = re.compile(r"\s*(?:(\d{1,2}):)?(\d{1,3}):(\d\d)(?:\s+(\S.*))?")
_CHAPTER = re.compile(r"Chapter \d+: *", re.IGNORECASE)
_FURNITURE = frozenset({"transcript", "search in video", "search transcript", "show transcript", "chapters", "all"})
"""What else is copied from the page."""

_WORDS_A_SECOND = 2.5
"""How fast people speak: it says where a last cue ends."""


def parse_sbv(lines: list[str]) -> list[Cue]:
    """Read SBV, YouTube's own format: two times and a comma, the text on the lines below."""
    blocks: list[tuple[float, float, list[str]]] = []
    for line in lines:
        if match := SBV.fullmatch(line):
            times = match.groups()
            start, end = seconds(*times[:4]), seconds(*times[4:])
            blocks.append((start, max(start, end), []))
        elif blocks:
            blocks[-1][2].append(line)
    return [Cue(start, end, said) for start, end, text in blocks if (said := _joined(text))]


def parse_seconds(lines: list[str]) -> list[Cue]:
    """Read ``[4.84] text`` and ``[1:03] text``. A line without a time continues the one before."""
    starts: list[tuple[float, list[str]]] = []
    for line in lines:
        if match := SECONDS.fullmatch(line):
            plain, hours, minutes, whole, fraction, text = match.groups()
            starts.append((float(plain) if plain else seconds(hours, minutes, whole, fraction), [text]))
        elif starts:
            starts[-1][1].append(line)
    return _until_the_next((start, _joined(text)) for start, text in starts)


@dataclass(slots=True)
class _Entry:
    start: float
    lines: list[str] = field(default_factory=list)


def parse_page(lines: list[str]) -> tuple[list[Cue], list[Chapter]]:
    """Read what was copied from YouTube's page: a time, then text, on one line or two, and titles of chapters between.

    A title stands after a text and before a time. So where an entry has exactly two lines, the second is a title,
    unless that is so in most of them: then lines are broken.
    """
    entries: list[_Entry] = []
    heading = ""
    for line in filter(None, map(str.strip, lines)):
        match = CLOCK.fullmatch(line)
        start = seconds(match[1], match[2], match[3], None) if match else -1.0
        if match and start >= (entries[-1].start if entries else 0.0):
            entries.append(_Entry(start, [match[4]] if match[4] else []))
        elif entries:
            entries[-1].lines.append(line)
        elif line.lower() not in _FURNITURE:
            heading = line
    for entry in entries:
        _drop_what_is_read_out(entry)
    titled = [entry for entry in entries[:-1] if len(entry.lines) == 2]
    chapters: list[Chapter] = []
    if titled and 2 * len(titled) < len(entries):
        if heading:
            chapters.append(Chapter(entries[0].start, _title(heading)))
        for entry, after in pairwise(entries):
            if len(entry.lines) == 2:
                chapters.append(Chapter(after.start, _title(entry.lines.pop())))
    return _until_the_next((entry.start, _joined(entry.lines)) for entry in entries), [c for c in chapters if c.title]


def _drop_what_is_read_out(entry: _Entry) -> None:
    """Drop the time in words, for screen readers: "1 minute, 3 seconds". It is one only if it says the same time."""
    if not entry.lines:
        return
    whole = int(entry.start)
    parts = [(whole // 3600, "hour"), (whole // 60 % 60, "minute"), (whole % 60, "second")]
    spoken = [f"{number} {unit}{'' if number == 1 else 's'}" for number, unit in parts if number] or ["0 seconds"]
    for text in (", ".join(spoken), " ".join(spoken)):
        if entry.lines[0].startswith(text):
            entry.lines[0] = entry.lines[0][len(text) :].strip()
            entry.lines = [line for line in entry.lines if line]
            return


def _title(text: str) -> str:
    return cleaned(_CHAPTER.sub("", text, count=1))[:200]


def _joined(lines: Iterable[str]) -> str:
    return " ".join(filter(None, map(cleaned, lines)))


def _until_the_next(starts: Iterable[tuple[float, str]]) -> list[Cue]:
    """Make cues of starts: each ends where the next one starts, the last when its words have been said."""
    ordered = sorted((item for item in starts if item[1]), key=lambda item: item[0])
    cues = []
    for number, (start, text) in enumerate(ordered):
        last = start + len(text.split()) / _WORDS_A_SECOND
        cues.append(Cue(start, ordered[number + 1][0] if number + 1 < len(ordered) else last, text))
    return cues
