"""Whatever text comes in: it is read or refused with our error, in order, and bounded."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_labs.errors import TranscriptError
from code_labs.transcripts import parse_chapters, parse_transcript

PIECES = st.sampled_from(
    [
        "WEBVTT",
        "WEBVTT - x",
        "NOTE",
        "Language: en",
        "1",
        " ",
        "",
        "00:00:01.000 --> 00:00:02.000",
        "00:02 --> 00:01",
        "0:00:03,500 --> 0:00:09,000 align:start",
        "9:99:99,9 --> 9:99:99,99",
        "0:00:01.500,0:00:03.000",
        "[4.84] text",
        "[1:03]",
        "[999999.9] late",
        "0:00",
        "0:07 hello",
        "1:00:03",
        "1 hour, 3 seconds",
        "hello<00:00:00.480><c> and</c>",
        "hello and",
        "[Music]",
        "&amp;gt;&gt;",
        "<v",
        "\u2028",
        "\u0661:\u0660\u0663",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=30)), max_size=20).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\n\n"]).map(lambda end: end.join(lines))
)
WORDS = st.lists(st.text("abcdefgh", min_size=2, max_size=8), min_size=1, max_size=6).map(" ".join)


@pytest.mark.fuzz
@given(st.one_of(TEXTS, TEXTS.map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=200)))
def test_any_input_is_read_or_refused(source: str | bytes) -> None:
    with contextlib.suppress(TranscriptError):
        transcript = parse_transcript(source)
        assert all(cue.text == " ".join(cue.text.split()) != "" for cue in transcript.cues)
        assert all(0 <= cue.start <= cue.end for cue in transcript.cues)
        starts = [cue.start for cue in transcript.cues]
        assert starts == sorted(starts)


@pytest.mark.fuzz
@given(st.text())
def test_any_description_is_read(text: str) -> None:
    parse_chapters(text)
    parse_chapters("0:00 a\n1:00 b\n" + text)


def _stamp(tenths: int, comma: str) -> str:
    return f"00:{tenths // 600:02}:{tenths // 10 % 60:02}{comma}{tenths % 10}00"


def _plain(lines: list[str]) -> str:
    cues = [f"{_stamp(20 * n, '.')} --> {_stamp(20 * n + 19, '.')}\n{line}" for n, line in enumerate(lines)]
    return "\n\n".join(["WEBVTT", *cues])


def _growing(lines: list[str]) -> str:
    """As automatic captions are: the line with a time before each word, then whole, then above the next."""
    blocks, above = ["WEBVTT"], " "
    for n, line in enumerate(lines):
        first, *rest = line.split()
        grows = first + "".join(f"<{_stamp(20 * n + 1, '.')}><c> {word}</c>" for word in rest)
        blocks.append(f"{_stamp(20 * n, '.')} --> {_stamp(20 * n + 19, '.')} align:start\n{above}\n{grows}")
        flash = _stamp(20 * n + 19, ".")
        blocks.append(f"{flash} --> {flash[:-2]}10\n{line}\n ")
        above = line
    return "\n\n".join(blocks)


def _scrolling(lines: list[str]) -> str:
    shown = zip(["", *lines], lines, strict=False)
    blocks = [
        f"{n + 1}\n{_stamp(20 * n, ',')} --> {_stamp(20 * n + 39, ',')}\n" + "\n".join(filter(None, pair))
        for n, pair in enumerate(shown)
    ]
    return "\n\n".join(blocks)


@pytest.mark.fuzz
@given(st.lists(WORDS, min_size=1, max_size=12, unique=True))
def test_every_way_of_writing_captions_has_each_word_once(lines: list[str]) -> None:
    assert parse_transcript(_plain(lines)).text == " ".join(lines)
    assert parse_transcript(_growing(lines)).text == " ".join(lines)
    assert parse_transcript(_scrolling(lines)).text == " ".join(lines)
