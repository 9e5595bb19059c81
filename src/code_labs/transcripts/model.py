"""What a transcript is once it has been read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What a transcript was written in."""

    VTT = "vtt"
    SRT = "srt"
    SBV = "sbv"
    SECONDS = "seconds"
    """Lines as ``[4.84] text``."""

    PAGE = "page"
    """Copied from the transcript that YouTube shows beside a video."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One line of words, and when it is said: ``0 <= start <= end``, in seconds of the video."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a video that its author has named. It ends where the next one starts (seconds)."""

    start: float
    title: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that is said in a video, in order, each word once.

    ``language``: a code as ``en`` or ``pt``, as the file says or as its words show; empty if neither does.
    """

    cues: tuple[Cue, ...]
    format: Format
    language: str = ""
    chapters: tuple[Chapter, ...] = ()

    @property
    def end(self) -> float:
        """Where the last cue ends, in seconds."""
        return max((cue.end for cue in self.cues), default=0.0)

    @property
    def text(self) -> str:
        """All words, with spaces between the cues."""
        return " ".join(cue.text for cue in self.cues)


def clock(seconds: float) -> str:
    """Write seconds as people read them: ``1:03``, ``1:00:03``. Fractions are cut."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
