"""Transcripts of every format: the words once, at their times, and nothing that nobody says."""

from __future__ import annotations

import pytest

from code_labs.errors import TranscriptError
from code_labs.transcripts import Chapter, Format, clock, parse_chapters, parse_transcript
from code_labs.transcripts import parse as parser

GROWING = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.389 align:start position:0%
_
hello<00:00:00.480><c> and</c><00:00:00.640><c> welcome</c>

00:00:02.389 --> 00:00:02.399 align:start position:0%
hello and welcome
_

00:00:02.399 --> 00:00:04.070 align:start position:0%
hello and welcome
to<00:00:02.800><c> lists</c><00:00:03.000><c> &amp;gt;</c>

00:00:04.070 --> 00:00:04.080 align:start position:0%
to lists &amp;gt;
_

00:00:04.080 --> 00:00:06.000 align:start position:0%
to lists &amp;gt;
okay

00:00:06.000 --> 00:00:08.000 align:start position:0%
okay
[Music]
""".replace("\n_\n", "\n \n")

SCROLLING = """1
00:00:00,160 --> 00:00:04,070
hello and welcome

2
00:00:02,399 --> 00:00:06,000
hello and welcome
to lists

3
00:00:04,080 --> 00:00:08,000
to lists
which are great
"""

PLAIN_SRT = """1
00:00:01,000 --> 00:00:02,500
Is it empty?

2
00:00:03,000 --> 00:00:03,500
No.

3
00:00:04,000 --> 00:00:04,500
No.

4
00:00:05,000 --> 00:00:07,000
<i>Then</i> we take
the last one: 42

5
00:00:07,500 --> 00:00:08,000
Right.

6
00:00:08,500 --> 00:00:09,000
Good.

7
00:00:09,500 --> 00:00:11,000
{\\an8}Bye.
"""

PASTED = """Transcript
Introduction
0:00
welcome to this video about loops
0:07
we start with a list of names
Chapter 2: The while loop
1:03
1 minute, 3 seconds
a while loop runs as long as
1:09
5 seconds later it is done
1:00:03
1 hour, 3 secondsand that was a long video
"""


def said(source: str | bytes) -> list[tuple[float, str]]:
    return [(cue.start, cue.text) for cue in parse_transcript(source).cues]


# ---- captions with arrows


def test_captions_that_grow_have_each_word_once() -> None:
    transcript = parse_transcript(GROWING)
    assert [cue.text for cue in transcript.cues] == ["hello and welcome", "to lists >", "okay"]
    assert [cue.start for cue in transcript.cues] == [0.16, 2.399, 4.08]
    assert (transcript.format, transcript.language) == (Format.VTT, "en")


def test_captions_that_scroll_have_each_line_once() -> None:
    transcript = parse_transcript(SCROLLING)
    assert transcript.text == "hello and welcome to lists which are great"
    assert [(cue.start, cue.end) for cue in transcript.cues] == [(0.16, 2.399), (2.399, 4.08), (4.08, 8.0)]


def test_who_says_a_thing_twice_is_heard_twice() -> None:
    transcript = parse_transcript(PLAIN_SRT)
    assert transcript.text == "Is it empty? No. No. Then we take the last one: 42 Right. Good. Bye."
    assert transcript.format is Format.SRT


def test_a_blank_line_ends_no_cue_and_names_are_not_said() -> None:
    head = "WEBVTT - a title\n\nNOTE\n00:01 is not a time here\n\nSTYLE\n::cue { color: red }\n\n"
    cues = "first cue\n00:01.000 --> 00:02.000\none\n \n\ntwo\n\n7\n00:03.500 --> 00:04.000 line:0\n<v Ada>three</v>\n"
    assert said(head + cues) == [(1.0, "one two"), (3.5, "three")]


def test_times_without_hours_with_commas_and_with_few_digits_are_read() -> None:
    assert said("0:1,5 --> 0:2,25\na\n") == [(1.5, "a")]
    assert said("1:02:03.004 --> 1:02:04\nb") == [(3723.004, "b")]


def test_line_ends_marks_and_other_encodings_are_read() -> None:
    text = "WEBVTT\r\n\r\n00:01.000 --> 00:02.000\r\nfür Größe\r\n"
    assert said(b"\xef\xbb\xbf" + text.encode()) == [(1.0, "für Größe")]
    assert said(text.encode("cp1252")) == [(1.0, "für Größe")]
    assert said(text.encode("utf-16")) == [(1.0, "für Größe")]


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        ("[Music]", ""),
        ("so [Applause] thank you", "so thank you"),
        ("[&nbsp;__&nbsp;] happens", "happens"),
        (">> and you?", "and you?"),
        ("&gt;&gt; and you?", "and you?"),
        (">>> print(names[0])", ">>> print(names[0])"),
        ("take names[First] or [1, 2]", "take names[First] or [1, 2]"),
        ("a &lt; b &amp;amp; c", "a < b & c"),
        ("if a < b and c > d", "if a < b and c > d"),
        ("\u200b♪ la\u00a0la ♪", "la la"),
        ('<font color="#fff">white</font> <c.red>red</c>', "white red"),
    ],
)
def test_what_nobody_says_is_dropped(line: str, heard: str) -> None:
    texts = [text for _, text in said(f"00:01.000 --> 00:02.000\n{line}\n\n00:03.000 --> 00:04.000\nend\n")]
    assert texts == [*filter(None, [heard]), "end"]


# ---- others


def test_sbv_is_read() -> None:
    transcript = parse_transcript("0:00:01.500,0:00:03.000\nhello\nworld\n\n0:00:04.000,0:00:05.000\nagain\n")
    assert [(cue.start, cue.end, cue.text) for cue in transcript.cues] == [(1.5, 3, "hello world"), (4, 5, "again")]
    assert transcript.format is Format.SBV


def test_lines_with_seconds_are_read() -> None:
    transcript = parse_transcript("[0] hello\n[4.84] lists\nand more\n[1:03] the end of it\n")
    assert [(cue.start, cue.text) for cue in transcript.cues] == [
        (0, "hello"),
        (4.84, "lists and more"),
        (63, "the end of it"),
    ]
    assert transcript.cues[0].end == 4.84
    assert transcript.end == pytest.approx(63 + 4 / 2.5)


def test_a_page_that_was_copied_is_read_with_its_chapters() -> None:
    transcript = parse_transcript(PASTED)
    assert transcript.format is Format.PAGE
    assert [(cue.start, cue.text) for cue in transcript.cues] == [
        (0, "welcome to this video about loops"),
        (7, "we start with a list of names"),
        (63, "a while loop runs as long as"),
        (69, "5 seconds later it is done"),
        (3603, "and that was a long video"),
    ]
    assert transcript.chapters == (Chapter(0, "Introduction"), Chapter(63, "The while loop"))


def test_times_and_text_of_a_page_may_share_a_line() -> None:
    assert said("0:00 hello there\n0:04 and welcome\nto lists\n0:09 bye\n0:12 now\n") == [
        (0, "hello there"),
        (4, "and welcome"),  # "to lists" is the title of what begins at 0:09
        (9, "bye"),
        (12, "now"),
    ]


def test_broken_lines_of_a_page_are_not_chapters() -> None:
    transcript = parse_transcript("0:00\nhello\nthere\n0:04\nand\nwelcome\n0:09\nto\nlists\n")
    assert transcript.text == "hello there and welcome to lists"
    assert transcript.chapters == ()


def test_a_time_that_goes_back_is_text() -> None:
    assert said("1:00\nthe bus leaves at\n0:45\nand not later\n1:05\nbye\n")[0] == (
        60,
        "the bus leaves at 0:45 and not later",
    )


# ---- languages and chapters


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("so this is a list and we can take the first of the names in it", "en"),
        ("das ist eine Liste und wir nehmen den ersten Namen, der auf der Liste steht", "de"),
        ("esta es una lista y vamos a tomar el primero de los nombres que hay en la lista", "es"),
        ("voici une liste et nous prenons le premier des noms qui est dans la liste", "fr"),
        ("αυτή είναι μια λίστα και παίρνουμε το πρώτο όνομα", "el"),
        ("это список, и мы берём первое имя", "ru"),
        ("xyzzy plugh", ""),
    ],
)
def test_the_language_is_seen_by_its_commonest_words(text: str, language: str) -> None:
    assert parse_transcript(f"[1] {text}").language == language


def test_a_language_that_is_told_counts_more() -> None:
    assert parse_transcript("WEBVTT\nLanguage: pt-BR\n\n00:01.000 --> 00:02.000\nthe list of it\n").language == "pt"
    assert parse_transcript("[1] the list of it", language="DE").language == "de"


def test_chapters_of_a_description_are_read() -> None:
    text = "A course.\n\n0:00 Intro\n(1:30) \u2013 Lists\n• 1:00:00 - The end\nhttps://example.org at 5:00\n"
    assert parse_chapters(text) == (Chapter(0, "Intro"), Chapter(90, "Lists"), Chapter(3600, "The end"))
    assert parse_transcript("[1] hello", description=text).chapters == parse_chapters(text)


@pytest.mark.parametrize(
    "text",
    ["0:00 A\n1:00 B", "0:05 A\n1:00 B\n2:00 C", "0:00 A\n2:00 B\n1:00 C", "0:00 A\n0:09 B\n1:00 C", "nothing"],
)
def test_what_are_no_chapters_for_youtube_are_none_here(text: str) -> None:
    assert parse_chapters(text) == ()


# ---- refusals


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("just a text\nof two lines", "no times were found in the text. WebVTT, SubRip"),
        (b"\x89PNG\0\0", "this is not text"),
        ("00:01.000 --> 00:02.000\n[Music]\n", r"has times \(vtt\), and no words"),
        ("13:00:00.000 --> 13:00:01.000\nlate\n", "more than 12 hours"),
        ("[1] a" + " a" * (1 << 20), "has 2,097,157 bytes; at most 2,097,152 are read"),
        ("\n".join(f"[{n}] a" for n in range(20_001)), "has 20,001 cues; at most 20,000 are read"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(source: str | bytes, why: str) -> None:
    with pytest.raises(TranscriptError, match=why):
        parse_transcript(source)


def test_text_is_bounded_as_bytes_are() -> None:
    with pytest.raises(TranscriptError, match="at most"):
        parse_transcript("[1] " + "ä" * (parser.LARGEST // 2))


def test_times_are_written_as_people_read_them() -> None:
    assert [clock(seconds) for seconds in (0, 63.9, 3603)] == ["0:00", "1:03", "1:00:03"]
