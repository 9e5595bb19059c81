"""Text with times: captions and transcripts of many formats become cues, chapters and a language."""

from code_labs.transcripts.chapters import parse_chapters
from code_labs.transcripts.model import Chapter, Cue, Format, Transcript, clock
from code_labs.transcripts.parse import parse_transcript

__all__ = ["Chapter", "Cue", "Format", "Transcript", "clock", "parse_chapters", "parse_transcript"]
