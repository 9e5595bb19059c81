"""Stretches of a video of about a minute: what labs are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from code_labs.transcripts import Chapter, Cue, Transcript

SECONDS = 60.0
STRIDE = 20.0
"""Seconds between the starts of windows: what is explained rarely begins where a window without overlap would."""

BEFORE = 3.0
"""Seconds that are shown before a window: whoever starts to watch must find into the sentence."""

PAUSE = 0.8
"""Seconds of silence after which something new begins."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a video, in seconds. ``shown``: where to start watching. ``cues``: what is said, in order."""

    start: float
    end: float
    shown: float
    cues: tuple[Cue, ...]
    chapter: str = ""

    @property
    def text(self) -> str:
        return " ".join(cue.text for cue in self.cues)

    @property
    def middle(self) -> float:
        return (self.start + self.end) / 2


def windows(transcript: Transcript, seconds: float = SECONDS, stride: float = STRIDE) -> list[Window]:
    """Cut a transcript into windows that overlap. None goes beyond a chapter."""
    cues = transcript.cues
    found = []
    for title, first, end in _parts(transcript):
        start = cues[first].start
        while True:
            numbers = [n for n in range(first, end) if start <= cues[n].start < start + seconds]
            if numbers:
                own = tuple(cues[n] for n in numbers)
                found.append(Window(own[0].start, own[-1].end, _shown(cues, numbers[0]), own, title))
            if start + seconds > cues[end - 1].start:
                break
            after = next(cue.start for cue in cues[first:end] if cue.start >= start + stride)
            start = max(start + stride, after - stride)
    return found


def _parts(transcript: Transcript) -> list[tuple[str, int, int]]:
    """Return the chapters with the numbers of their first cue and of the one after their last; or all as one."""
    parts: list[tuple[str, int, int]] = []
    for number, cue in enumerate(transcript.cues):
        title = _title(transcript.chapters, cue)
        if parts and parts[-1][0] == title:
            parts[-1] = (title, parts[-1][1], number + 1)
        else:
            parts.append((title, number, number + 1))
    return parts


def _title(chapters: Sequence[Chapter], cue: Cue) -> str:
    """Return the chapter that a cue lies in, by its middle."""
    middle = (cue.start + cue.end) / 2
    return next((chapter.title for chapter in reversed(chapters) if chapter.start <= middle), "")


def _shown(cues: Sequence[Cue], first: int) -> float:
    """Go back a little, to where somebody began to speak after a pause; without one near, just a little."""
    start = cues[first].start
    earliest = max(0.0, start - BEFORE)
    number = first
    while number > 0 and cues[number].start > earliest:
        if cues[number].start - cues[number - 1].end > PAUSE:
            return cues[number].start
        number -= 1
    return earliest
