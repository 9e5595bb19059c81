"""From text to the stems that are compared: of prose, and of names in programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

import snowballstemmer

from code_labs.transcripts.languages import COMMON

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")  # noqa: RUF001  # the apostrophe of typesetters
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

STOP = (
    # captions are full of spoken fillers. "while" is not here: it is Python's
    "a about again ah all also am an and any are as at be because been being but by can could did do does"
    " doing don't down each few for from further going gonna got had has have having he her here hers him his"
    " how i i'll i'm i've if in into is isn't it it's its itself just kind know let let's like little look me"
    " more most my no now of off oh ok okay on once only or other our out over own really right same see she"
    " should so some something sort such than that that's the their them then there there's these they thing"
    " things this those through to too uh um up us very want was we we'll we're we've well were what what's"
    " when where which who why will with would yeah you you'll you're you've your"
)
"""English words that say nothing of what a lecture is about, with spaces between them."""

STEMMERS = {
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "fr": "french",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
    "ru": "russian",
}
"""Language: what the library calls it."""


class _Stemmer(Protocol):
    def stemWord(self, word: str) -> str: ...  # noqa: N802  # the library's


class Words:
    """Makes stems, for one language. It remembers them: a course has few words, said often."""

    def __init__(self, language: str = "en") -> None:
        self.language = language if language in STEMMERS else "en"
        self._stemmer: _Stemmer = snowballstemmer.stemmer(STEMMERS[self.language])
        self._stop = frozenset((STOP if self.language == "en" else COMMON.get(self.language, "")).split())
        self._known: dict[str, str] = {}

    def pairs(self, text: str) -> Iterator[tuple[str, str]]:
        """Return stem and word, in order, for the words that say something."""
        for word in _WORD.findall(text.lower().replace("’", "'")):  # noqa: RUF001  # as above
            if stem := self._stem(word):
                yield stem, word

    def of(self, text: str) -> list[str]:
        """Return the stems of a text, in order."""
        return [stem for stem, _ in self.pairs(text)]

    def of_name(self, name: str) -> list[str]:
        """Return the stems of a name in a program: ``count_words``, ``countWords``."""
        return self.of(_CAMEL.sub(" ", name).replace("_", " "))

    def _stem(self, word: str) -> str:
        stem = self._known.get(word)
        if stem is None:
            bare = word.removesuffix("'s")
            stem = "" if word in self._stop or (len(bare) < 2 and not bare.isdigit()) else self._stemmer.stemWord(bare)
            self._known[word] = stem
        return stem
