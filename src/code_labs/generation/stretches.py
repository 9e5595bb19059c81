"""Stretches of a video that a lab can be made of, and what is said in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from code_labs.errors import LabsError
from code_labs.transcripts import Transcript, clock

LONGEST = 20 * 60.0
"""Seconds."""

LARGEST = 16_000
"""Characters that are said in one."""

SECONDS = 300.0
"""How long a stretch is where chapters do not say."""

_LEAST_WORDS = 20
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


@dataclass(frozen=True)
class Stretch:
    """Seconds of a video."""

    start: float
    end: float

    def __str__(self) -> str:
        return f"{clock(self.start)}-{clock(self.end)}"


def said(transcript: Transcript, stretch: Stretch) -> str:
    """Return what is said in a stretch, on one line; raise ``LabsError`` with what to choose instead."""
    if not 0 <= stretch.start < stretch.end:
        raise LabsError(f"the stretch {stretch} must end after it starts")
    if stretch.end - stretch.start > LONGEST:
        raise LabsError(f"the stretch {stretch} is longer than {LONGEST / 60:.0f} minutes: choose a shorter one")
    cues = (cue for cue in transcript.cues if stretch.start <= (cue.start + cue.end) / 2 < stretch.end)
    text = " ".join(_CONTROLS.sub(" ", " ".join(cue.text for cue in cues)).split())
    if len(text.split()) < _LEAST_WORDS:
        end = clock(transcript.end)
        raise LabsError(f"between {stretch} fewer than {_LEAST_WORDS} words are said; the video ends at {end}")
    if len(text) > LARGEST:
        raise LabsError(f"in the stretch {stretch} more is said than {LARGEST:,} letters: choose a shorter one")
    return text


def stretches(transcript: Transcript) -> Iterator[Stretch]:
    """Yield the chapters of a video, or stretches of five minutes: those in which enough is said."""
    starts = [chapter.start for chapter in transcript.chapters]
    if not starts:
        starts = [at * SECONDS for at in range(1 + int(transcript.end // SECONDS))]
    for start, end in zip(starts, [*starts[1:], transcript.end], strict=True):
        if start < end:
            stretch = Stretch(start, min(end, start + LONGEST))
            try:
                said(transcript, stretch)
            except LabsError:
                continue
            yield stretch
