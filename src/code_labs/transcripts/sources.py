"""Where transcripts come from, other than from a file. The interface alone: nothing here fetches yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from code_labs.transcripts.model import Transcript


@dataclass(frozen=True)
class Fetched:
    """A transcript, and how it came about. ``generated``: by a machine. ``source``: who supplied it."""

    transcript: Transcript
    source: str
    generated: bool


class TranscriptSource(Protocol):
    """Supplies the transcript of a video. It may take minutes, so it belongs into a job and never into a request."""

    async def fetch(self, video: str, languages: tuple[str, ...] = ("en",)) -> Fetched:
        """Return what there is for an id, in the first of the languages; raise ``TranscriptError`` with what to do."""
