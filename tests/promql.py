"""What an expression of PromQL asks for, and what of it a server does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser
from prometheus_client.parser import text_string_to_metric_families

Labels = Mapping[str, str]
Series = dict[str, list[Labels]]
"""The labels of each series, by the name of the metric."""

SCRAPED = {"instance": "localhost:8000", "job": "code-executor"}
"""What Prometheus adds to all that it reads from one server."""

_VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$kind": ".*", "$key": ".*"}
_CHILDREN = ("expr", "lhs", "rhs", "vector_selector", "param")


def series_of(text: str) -> Series:
    """Read what a server answers, as Prometheus keeps it."""
    found: Series = {"up": [SCRAPED]}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append({**sample.labels, **SCRAPED})
    return found


@dataclass(frozen=True)
class _Set:
    """Part of an expression: the series that come out of it, or None where that is a number."""

    series: Sequence[Labels] | None
    faults: tuple[str, ...] = ()


def faults(expression: str, series: Series) -> list[str]:
    """Return why the expression finds nothing in ``series``: names, labels and values that are not there.

    Raises ``ValueError`` if it is no PromQL. Whether the numbers make it true is not looked at.
    """
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return list(dict.fromkeys(_look(promql_parser.parse(expression), series).faults))


def _look(node: Any, series: Series) -> _Set:
    if isinstance(node, promql_parser.VectorSelector):
        return _select(node, series)
    if isinstance(node, promql_parser.AggregateExpr):
        return _aggregate(node, series)
    below = [_look(child, series) for child in _children(node)]
    found = tuple(fault for each in below for fault in each.faults)
    vectors = [each.series for each in below if each.series is not None]
    joined: list[Labels] | None = [labels for vector in vectors for labels in vector] if vectors else None
    if isinstance(node, promql_parser.Call) and node.func.name == "histogram_quantile":
        if not any("le" in labels for labels in joined or []):
            found = (*found, "histogram_quantile without le")
        joined = [{name: value for name, value in labels.items() if name != "le"} for labels in joined or []]
    return _Set(joined, found)


def _children(node: Any) -> Iterator[Any]:
    yield from getattr(node, "args", ())
    for name in _CHILDREN:
        child = getattr(node, name, None)
        if child is not None:
            yield child


def _select(node: Any, series: Series) -> _Set:
    if node.name not in series:
        return _Set([], (f"no metric {node.name}",))
    left: list[Labels] = list(series[node.name])
    for matcher in node.matchers.matchers:
        if not any(matcher.name in labels for labels in left):
            return _Set([], (f"{node.name} has no label {matcher.name}",))
        left = [labels for labels in left if _matches(matcher, labels.get(matcher.name, ""))]
        if not left:
            return _Set([], (f"no {node.name} with {matcher.name} {matcher.value!r}",))
    return _Set(left)


def _matches(matcher: Any, value: str) -> bool:
    match str(matcher.op):
        case "MatchOp.Equal":
            return bool(value == matcher.value)
        case "MatchOp.NotEqual":
            return bool(value != matcher.value)
        case "MatchOp.Re":
            return re.fullmatch(matcher.value, value) is not None
        case "MatchOp.NotRe":
            return re.fullmatch(matcher.value, value) is None
    raise ValueError(f"an unknown comparison: {matcher.op}")


def _aggregate(node: Any, series: Series) -> _Set:
    inner = _look(node.expr, series)
    names = set(node.modifier.labels) if node.modifier is not None else set()
    without = node.modifier is not None and str(node.modifier.type).endswith("Without")
    there = {name for labels in inner.series or [] for name in labels}
    missing = tuple(f"nothing has the label {name} in {node.prettify()}" for name in sorted(names - there))
    kept = [{n: v for n, v in labels.items() if (n in names) is not without} for labels in inner.series or []]
    return _Set(kept, inner.faults or missing)
