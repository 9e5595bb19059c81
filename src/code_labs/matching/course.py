"""A course's videos, cut into windows and indexed; labs are looked up in it, and seconds of a video.

The score of a window for a lab is BM25 of the lab's text, where the title and the goals count half as much again, plus
BM25 of the words with which a teacher speaks of what its solution uses (`CODE`), plus BM25 of the names and short
strings in the solution (`NAMES`). All use the idf of the course.

A score alone cannot tell a good match from the best of bad ones. So each match has a confidence, and below `LEAST`
there is no good match. A teacher's pin counts more than any score.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from code_labs.errors import LabsError
from code_labs.matching.bm25 import Index
from code_labs.matching.features import features_of, weighed
from code_labs.matching.vocabulary import vocabulary
from code_labs.matching.windows import SECONDS, Window, windows
from code_labs.matching.words import Words
from code_labs.transcripts import Transcript
from code_labs.transcripts.languages import guess_language

TOPIC = 1.5
CODE = 0.8
NAMES = 0.5
"""How much words of the topic, words of the code, and names in it count beside words of the text."""

APART = 0.9
"""Of the length of a window: how far the next that is shown must start from it. Nearer ones are the same place."""

LEAST = 0.5
"""The least confidence of a good match."""

SURE = 1.45
"""The evidence that is just enough. Evidence is the score, in words that one window alone has, times the root of the
share of the lab that is said there. So neither a long task nor a single rare word is enough."""

MOST_REASONS = 8


class Kind(StrEnum):
    """Where a word that matched came from."""

    TEXT = "text"
    CODE = "code"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Reason:
    """A word that is said in a window, and part of the lab. ``score``: what it adds."""

    word: str
    kind: Kind
    score: float


@dataclass(frozen=True, slots=True)
class Lecture:
    """A video with its transcript. ``id``: what the course calls it."""

    id: str
    transcript: Transcript
    title: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """A lab, as far as it says what it is about. ``text``: the task. ``topic``: its title and goals.

    ``solution``: Python. ``language``: of the text, as ``en``, if it is known.
    """

    id: str
    text: str
    topic: str = ""
    solution: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True)
class Pin:
    """A teacher says where a lab belongs (seconds). It always counts more than a score."""

    lab: str
    lecture: str
    start: float
    end: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A stretch of a video (seconds) for a lab. ``shown``: where to start watching. ``confidence``: 0 to 1.

    ``pinned``: a teacher said so; the confidence is 1 then, whatever the words say.
    """

    lab: str
    lecture: str
    start: float
    end: float
    shown: float
    score: float
    confidence: float
    reasons: tuple[Reason, ...] = ()
    pinned: bool = False

    @property
    def good(self) -> bool:
        """Whether it may be shown to a learner."""
        return self.pinned or self.confidence >= LEAST


@dataclass(frozen=True, slots=True)
class _Place:
    """A window, and whose it is. ``row``: its number in the index of its language."""

    lecture: str
    window: Window
    language: str
    row: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query as stems, in one language. ``kinds``: where each came from. ``full``: the weight of all together."""

    factors: Mapping[str, float]
    kinds: Mapping[str, Kind]
    full: float


@dataclass(slots=True)
class _Group:
    """The windows of one language. ``rows``: their numbers in the course."""

    words: Words
    index: Index
    rows: list[int]


class Course:
    """Videos in their order, indexed. They are cut and counted once, here."""

    def __init__(self, lectures: Iterable[Lecture], pins: Iterable[Pin] = (), *, seconds: float = SECONDS) -> None:
        self.lectures = {lecture.id: lecture for lecture in lectures}
        self.pins = {pin.lab: pin for pin in pins}
        for pin in self.pins.values():
            if pin.lecture not in self.lectures:
                raise LabsError(f"the lab {pin.lab!r} is pinned to the video {pin.lecture!r}, which the course lacks")
        self._places: list[_Place] = []
        self._groups: dict[str, _Group] = {}
        self.seconds = seconds
        self._fill(seconds)

    def _fill(self, seconds: float) -> None:
        documents: dict[str, list[list[str]]] = {}
        words: dict[str, Words] = {}
        rows: dict[str, list[int]] = {}
        for lecture in self.lectures.values():
            language = lecture.transcript.language
            stems = words.setdefault(language, Words(language))
            heard = {cue: stems.of(cue.text) for cue in lecture.transcript.cues}
            for window in windows(lecture.transcript, seconds):
                rows.setdefault(language, []).append(len(self._places))
                said = documents.setdefault(language, [])
                self._places.append(_Place(lecture.id, window, language, len(said)))
                title = stems.of(window.chapter)
                said.append([*title, *(stem for cue in window.cues for stem in heard[cue])])
        for language, said in documents.items():
            self._groups[language] = _Group(words[language], Index(said), rows[language])

    @property
    def windows(self) -> list[tuple[str, Window]]:
        """All windows, in the order of the course, each with the id of its video."""
        return [(place.lecture, place.window) for place in self._places]

    # ---- a lab → seconds

    def match(self, query: Query) -> Match | None:
        """Return where a lab belongs, or None: there is no good match."""
        best = next(iter(self.rank(query, limit=1)), None)
        return best if best and best.good else None

    def rank(self, query: Query, *, limit: int = 5, lecture: str = "") -> list[Match]:
        """Return the windows that are most like a lab, the best first, good or not. ``lecture``: in this video only.

        The pin of the lab comes first. A window that shares no word with the lab is not in it.
        """
        asked = self._asked(query)
        totals = self._totals(asked)
        order = sorted(
            (n for n, place in enumerate(self._places) if totals[n] > 0 and lecture in ("", place.lecture)),
            key=lambda n: -totals[n],
        )
        pinned = [self._pinned(query, asked, totals)] if lecture in ("", self._pinned_to(query)) else []
        found = [match for match in pinned if match]
        for number in order:
            if len(found) >= limit:
                break
            place = self._places[number]
            if not any(self._is_near(place, match) for match in found):
                found.append(self._match(query, asked, totals, number))
        return found

    def _is_near(self, place: _Place, match: Match) -> bool:
        return place.lecture == match.lecture and abs(place.window.start - match.start) < APART * self.seconds

    def at(self, query: Query, number: int) -> Match:
        """Return the match of a lab with a window, by its number in the course, or with its pin."""
        asked = self._asked(query)
        totals = self._totals(asked)
        return self._pinned(query, asked, totals) or self._match(query, asked, totals, number)

    def without_pins(self) -> Course:
        """Return the same course, in which words alone count."""
        blind = copy.copy(self)
        blind.pins = {}
        return blind

    def _pinned_to(self, query: Query) -> str | None:
        pin = self.pins.get(query.id)
        return pin.lecture if pin else None

    def _pinned(self, query: Query, asked: Mapping[str, _Asked], totals: Sequence[float]) -> Match | None:
        pin = self.pins.get(query.id)
        if pin is None:
            return None
        number = self.place_of(pin.lecture, pin.start)
        scored = self._match(query, asked, totals, number)
        end = pin.end if pin.end is not None else max(scored.end, pin.start)
        return Match(query.id, pin.lecture, pin.start, end, pin.start, scored.score, 1.0, scored.reasons, pinned=True)

    def place_of(self, lecture: str, second: float) -> int:
        """Return the number of the window in which a second lies, or the last before it; raise ``LabsError``."""
        if lecture not in self.lectures:
            raise LabsError(f"the course has no video {lecture!r}; it has {', '.join(self.lectures) or 'none'}")
        own = [n for n, place in enumerate(self._places) if place.lecture == lecture]
        return max((n for n in own if self._places[n].window.start <= second), default=own[0])

    # ---- scores

    def _asked(self, query: Query) -> dict[str, _Asked]:
        """Make stems of a lab, for each language of the course. Text of another language does not count."""
        language = query.language or guess_language(f"{query.topic} {query.text}")
        features = features_of(query.solution) if query.solution else None
        asked = {}
        for spoken, group in self._groups.items():
            factors: dict[str, float] = {}
            kinds: dict[str, Kind] = {}
            of_code: dict[str, float] = {}

            def count(
                stems: Iterable[str],
                factor: float,
                kind: Kind,
                factors: dict[str, float] = factors,
                kinds: dict[str, Kind] = kinds,
            ) -> None:
                for stem in set(stems):
                    factors[stem] = factors.get(stem, 0.0) + factor
                    kinds.setdefault(stem, kind)

            if not language or not spoken or language == spoken:
                topic = set(group.words.of(query.topic))
                count(topic, TOPIC, Kind.TEXT)
                count(set(group.words.of(query.text)) - topic, 1.0, Kind.TEXT)
            if features:
                for concept, factor in weighed(features.concepts).items():
                    for stem in group.words.of(vocabulary(spoken).get(concept, "")):
                        of_code[stem] = max(of_code.get(stem, 0.0), CODE * factor)
                for stem, factor in of_code.items():
                    count([stem], factor, Kind.CODE)
                count((s for name in features.names for s in group.words.of_name(name)), NAMES, Kind.NAME)
            full = sum(factor * group.index.weight(stem) for stem, factor in factors.items())
            asked[spoken] = _Asked(factors, kinds, full)
        return asked

    def _totals(self, asked: Mapping[str, _Asked]) -> list[float]:
        totals = [0.0] * len(self._places)
        for language, group in self._groups.items():
            scores = group.index.scores(asked[language].factors)
            for row, number in enumerate(group.rows):
                totals[number] = scores[row]
        return totals

    def confidences(self, query: Query) -> list[float]:
        """Return, for each window, how sure a match of the lab with it would be. Comparable between labs."""
        asked = self._asked(query)
        totals = self._totals(asked)
        return [self._confidence(asked, totals, number) for number in range(len(self._places))]

    def _confidence(self, asked: Mapping[str, _Asked], totals: Sequence[float], number: int) -> float:
        language = self._places[number].language
        score, full = totals[number], asked[language].full
        evidence = score / self._groups[language].index.rarest * math.sqrt(score / full) if full else 0.0
        return evidence / (evidence + SURE)

    def _match(self, query: Query, asked: Mapping[str, _Asked], totals: Sequence[float], number: int) -> Match:
        place = self._places[number]
        window = place.window
        return Match(
            query.id,
            place.lecture,
            window.start,
            window.end,
            window.shown,
            totals[number],
            self._confidence(asked, totals, number),
            self._reasons(asked[place.language], place),
        )

    def _reasons(self, asked: _Asked, place: _Place) -> tuple[Reason, ...]:
        """Return the words that matched, as they are said, those that add most first."""
        group = self._groups[place.language]
        parts = group.index.parts(asked.factors, place.row)
        spoken: dict[str, str] = {}
        for stem, word in group.words.pairs(f"{place.window.chapter} {place.window.text}"):
            spoken.setdefault(stem, word)
        best = sorted(parts, key=lambda stem: -parts[stem])[:MOST_REASONS]
        return tuple(Reason(spoken[stem], asked.kinds[stem], parts[stem]) for stem in best)
