"""What stands in captions and is not said: tags, escapes, sounds in brackets, marks of speakers."""

from __future__ import annotations

import html
import re

WORD_STAMP = re.compile(r"<\d{1,3}:\d\d(?::\d\d)?\.\d{3}>")
"""Before each word but the first of a line of automatic captions: when it is said."""

_TAG = re.compile(r"</?(?:c|i|b|u|s|v|lang|ruby|rt|font)(?:[.\s][^<>]*)?>", re.IGNORECASE)
_PLACE = re.compile(r"\{\\[^{}]*\}")  # {\an8}: where on the screen
# [Music], [Ominous music], [ __ ] for what is censored. Not [0] or [a, b], nor what follows a name: those are code
_SOUND = re.compile(r"(?<![\w\])])\[\s*(?:_+|[^\W\d_a-z][^\W\d_]+(?: [^\W\d_]+){0,3})\s*\]")
_SPEAKER = re.compile(r"(?:^|(?<=\s))(?:>>|»)(?=\s|\w|$)")  # not >>>, the prompt
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad♪♫"))


def cleaned(line: str) -> str:
    """Return what is said in a line: one line without tags and noise, perhaps empty."""
    line = _TAG.sub("", WORD_STAMP.sub("", line))
    line = html.unescape(html.unescape(line))  # what was escaped twice is common
    line = " ".join(_PLACE.sub(" ", line).translate(_UNSEEN).split())
    line = _SPEAKER.sub(" ", _SOUND.sub(" ", line))
    return " ".join("".join(c if c.isprintable() else " " for c in line).split())
