"""From bytes or text to a `Transcript`: the format is found out, everything is bounded, and errors say what to do."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

from code_labs.errors import TranscriptError
from code_labs.transcripts import lines as by_lines
from code_labs.transcripts.arrows import ARROW, parse_arrows
from code_labs.transcripts.chapters import parse_chapters
from code_labs.transcripts.languages import guess_language
from code_labs.transcripts.model import Chapter, Cue, Format, Transcript

LARGEST = 2 << 20
"""Bytes of a file."""

MOST_CUES = 20_000
LONGEST = 12 * 3600.0
"""Seconds of a video."""

_READABLE = "WebVTT, SubRip (.srt), SBV, lines as “[4.84] text”, and what YouTube shows as a transcript can be read"
_LANGUAGE = re.compile(r"Language:\s*([A-Za-z]{2,3})\b.*")


def parse_transcript(source: bytes | str, *, description: str = "", language: str = "") -> Transcript:
    """Read a transcript, of whatever format it is; raise ``TranscriptError``.

    Bytes are UTF-8, UTF-16 with its mark, or else Windows-1252. ``description``: that of the video, for its chapters;
    those that the transcript has count more. ``language``: what is spoken, as ``en``, if it is known.
    """
    text = _text(source)
    found = text.splitlines()
    kind = _detect(found)
    cues, chapters = _read(kind, found)
    if not cues:
        raise TranscriptError(f"the transcript has times ({kind}), and no words")
    if len(cues) > MOST_CUES:
        raise TranscriptError(f"the transcript has {len(cues):,} cues; at most {MOST_CUES:,} are read: split the video")
    cues = _in_order(cues)
    if max(cue.end for cue in cues) > LONGEST:
        raise TranscriptError(f"the transcript goes on for more than {LONGEST / 3600:.0f} hours: split the video")
    said = (language or (_declared(found) if kind is Format.VTT else "")).lower()
    return Transcript(
        tuple(cues),
        kind,
        said.partition("-")[0] or guess_language(" ".join(cue.text for cue in cues)),
        tuple(chapters) or parse_chapters(description),
    )


def _text(source: bytes | str) -> str:
    size = len(source if isinstance(source, bytes) else source.encode("utf-8", "replace"))
    if size > LARGEST:
        raise TranscriptError(f"the transcript has {size:,} bytes; at most {LARGEST:,} are read")
    if isinstance(source, bytes):
        source = _decoded(source)
    if "\0" in source:
        raise TranscriptError(f"this is not text. {_READABLE}")
    return source.removeprefix("\ufeff")


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _detect(found: list[str]) -> Format:
    """Find out the format by the times in it."""
    filled = [line for line in found if line.strip()]
    if not filled:
        raise TranscriptError("the transcript is empty")
    if re.match(r"WEBVTT\b", filled[0]):
        return Format.VTT
    if arrow := next((line for line in filled if ARROW.fullmatch(line)), None):
        return Format.SRT if "," in arrow.partition("-->")[0] else Format.VTT
    if any(by_lines.SBV.fullmatch(line) for line in filled):
        return Format.SBV
    bracketed = sum(bool(by_lines.SECONDS.fullmatch(line)) for line in filled)
    clocks = sum(bool(by_lines.CLOCK.fullmatch(line)) for line in filled)
    if not bracketed and not clocks:
        raise TranscriptError(f"no times were found in the text. {_READABLE}")
    return Format.SECONDS if bracketed >= clocks else Format.PAGE


def _read(kind: Format, found: list[str]) -> tuple[list[Cue], list[Chapter]]:
    match kind:
        case Format.VTT | Format.SRT:
            return parse_arrows(found, vtt=kind is Format.VTT), []
        case Format.SBV:
            return by_lines.parse_sbv(found), []
        case Format.SECONDS:
            return by_lines.parse_seconds(found), []
        case Format.PAGE:
            return by_lines.parse_page(found)


def _in_order(cues: list[Cue]) -> list[Cue]:
    """Sort by start, and end each cue where the next one starts: automatic captions overlap."""
    cues.sort(key=lambda cue: cue.start)
    ended = [replace(cue, end=max(cue.start, min(cue.end, after.start))) for cue, after in pairwise(cues)]
    return [*ended, cues[-1]]


def _declared(found: list[str]) -> str:
    """Return the language that the head of a WebVTT names."""
    for line in found[1:12]:
        if not line.strip():
            break
        if match := _LANGUAGE.fullmatch(line.strip()):
            return match[1]
    return ""
