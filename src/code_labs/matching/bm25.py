"""BM25: how well documents answer a query, by rare words that they share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

K1 = 1.2
B = 0.75


class Index:
    """An inverted index over documents that are lists of stems. What can be calculated before a query is."""

    def __init__(self, documents: Sequence[Sequence[str]]) -> None:
        self.size = len(documents)
        average = sum(map(len, documents)) / max(1, self.size) or 1.0
        postings: dict[str, list[tuple[int, float]]] = {}
        for number, document in enumerate(documents):
            norm = K1 * (1 - B + B * len(document) / average)
            for stem, count in Counter(document).items():
                postings.setdefault(stem, []).append((number, count * (K1 + 1) / (count + norm)))
        self._weights = {stem: self._rarity(len(found)) for stem, found in postings.items()}
        self._postings = postings
        self.rarest = self._rarity(1)
        """The weight of a stem that one document has."""

    def _rarity(self, documents: int) -> float:
        return math.log(1 + (self.size - documents + 0.5) / (documents + 0.5))

    def weight(self, stem: str) -> float:
        """Return how much a stem counts: its idf. One that no document has counts as one that one document has."""
        return self._weights.get(stem) or self.rarest

    def scores(self, query: Mapping[str, float]) -> list[float]:
        """Return the score of each document for stems, each with a factor."""
        totals = [0.0] * self.size
        for stem, factor in query.items():
            weight = factor * self._weights.get(stem, 0.0)
            for number, saturated in self._postings.get(stem, ()):
                totals[number] += weight * saturated
        return totals

    def parts(self, query: Mapping[str, float], document: int) -> dict[str, float]:
        """Return what each stem adds to the score of one document."""
        found = {}
        for stem, factor in query.items():
            for number, saturated in self._postings.get(stem, ()):
                if number == document:
                    found[stem] = factor * self._weights[stem] * saturated
        return found
