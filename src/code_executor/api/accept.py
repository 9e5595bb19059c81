"""Whether a client wants something else than the usual answer: its ``Accept``, as RFC 9110 §12.5.1 reads it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from starlette.datastructures import Headers

EVENTS = ("text", "event-stream")
LINES = ("application", "x-ndjson")
GRADESCOPE = ("application", "vnd.gradescope+json")
JUNIT = ("application", "junit+xml")
_JSON = ("application", "json")
_OPEN_METRICS, _TEXT = ("application", "openmetrics-text"), ("text", "plain")

_QUOTED = r'"(?:[^"\\]|\\.?)*"?'  # up to the end, if it has none: to look for one again would take ever longer
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED})+')
_PART = re.compile(rf'(?:[^;"]|{_QUOTED})+')
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_ENCODING = ("charset", "utf-8")
"""The one parameter that all answers can be said to have."""
_VERSIONS = frozenset({_ENCODING, ("version", "1.0.0"), ("version", "0.0.1"), ("version", "0.0.4")})
_ESCAPING = "escaping"
"""How names of metrics are written that ours are not like."""


class _Range(NamedTuple):
    """A media range: ``*`` in both, or in the latter, is any; ``weight`` from 0 to 1."""

    type: str
    subtype: str
    specific: bool
    weight: float

    def precedence(self, media: tuple[str, str]) -> int:
        """Return how precisely it names ``media``; 0: not at all."""
        if (self.type, self.subtype) == media:
            return 4 if self.specific else 3
        if self.subtype != "*":
            return 0
        return {media[0]: 2, "*": 1}.get(self.type, 0)


def wants_events(headers: Sequence[str]) -> bool:
    """Whether events are wanted more than JSON by all ``Accept`` headers of a request together.

    Of two that are wanted alike, the one that is named more precisely is; else JSON. What is malformed does not count.
    """
    return _prefers(headers, EVENTS)


def wants_lines(headers: Sequence[str]) -> bool:
    """Whether lines of JSON are wanted more than JSON, likewise."""
    return _prefers(headers, LINES)


def export_wanted(headers: Sequence[str]) -> tuple[str, str] | None:
    """Return `GRADESCOPE` or `JUNIT`, if that is wanted more than JSON, likewise, and than events; else None."""
    ranges = list(_ranges(",".join(headers).lower()))
    first = max((GRADESCOPE, JUNIT), key=lambda media: _wanted(ranges, media))
    return first if _wanted(ranges, first) > max(_wanted(ranges, EVENTS), _plain(ranges)) else None


def wants_open_metrics(headers: Sequence[str]) -> bool:
    """Whether OpenMetrics is wanted more than Prometheus' text format, likewise."""
    ranges = list(_ranges(",".join(headers).lower(), _is_of_metrics))
    return _wanted(ranges, _OPEN_METRICS) > _plain(ranges, _TEXT)


def _prefers(headers: Sequence[str], media: tuple[str, str]) -> bool:
    accepted = ",".join(headers).lower()
    if not accepted:
        return False
    ranges = list(_ranges(accepted))
    return _wanted(ranges, media) > _plain(ranges)


def _plain(ranges: list[_Range], usual: tuple[str, str] = _JSON) -> tuple[float, int]:
    """Return what another type must be wanted more than, so that the usual one is not sent."""
    return max(_wanted(ranges, usual), (0.0, 4))


def _is_usual(key: str, value: str) -> bool:
    return (key, value) == _ENCODING


def _is_of_metrics(key: str, value: str) -> bool:
    return (key, value) in _VERSIONS or key == _ESCAPING


def _wanted(ranges: list[_Range], media: tuple[str, str]) -> tuple[float, int]:
    """Return the weight of the most precise range for ``media``, and how precise it is."""
    found = [(each.precedence(media), each.weight) for each in ranges]
    precedence, weight = max(found, default=(0, 0.0))
    return (weight, precedence) if precedence else (0.0, 0)


def _ranges(header: str, is_known: Callable[[str, str], bool] = _is_usual) -> Iterator[_Range]:
    for element in _ELEMENT.findall(header):
        name, *parameters = [part.strip() for part in _PART.findall(element)] or [""]
        kind, slash, subtype = name.partition("/")
        weight = 1.0
        specific = False
        right = bool(slash and _TOKEN.fullmatch(kind) and _TOKEN.fullmatch(subtype)) and (kind != "*" or subtype == "*")
        for parameter in filter(None, parameters):
            key, _, value = parameter.partition("=")
            if key == "q":
                right = right and _WEIGHT.fullmatch(value) is not None
                weight = float(value) if right else 0.0
                break  # no more belongs to the range
            right = right and is_known(key, value.strip('"'))
            specific = True
        if right:
            yield _Range(kind, subtype, specific, weight)


def prefers_async(headers: Headers) -> bool:
    """Whether a client prefers not to wait (RFC 7240)."""
    preferences = (each.partition(";")[0] for value in headers.getlist("prefer") for each in value.split(","))
    return any(each.strip().lower() == "respond-async" for each in preferences)
