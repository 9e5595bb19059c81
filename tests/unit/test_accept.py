"""A client gets events where its ``Accept`` wants them more than JSON, and JSON everywhere else."""

from __future__ import annotations

import pytest

from code_executor.api.accept import GRADESCOPE, JUNIT, export_wanted, wants_events, wants_open_metrics

EVENTS = [
    ["text/event-stream"],
    ["TEXT/Event-Stream"],
    [" text/event-stream ;q=1 "],
    ["text/event-stream;charset=utf-8"],
    ['text/event-stream; charset="UTF-8"'],
    ["text/event-stream, application/json;q=0.9"],
    ["application/json;q=0.5,text/event-stream;q=0.51"],
    ["application/json;q=0.5", "text/event-stream"],
    ["text/event-stream;q=0.001"],
    ["text/event-stream, */*;q=0.1"],
    ["text/event-stream, */*"],
    ["text/event-stream, application/*"],
    ["text/*"],
    ["text/*;q=0.5, */*;q=0.4"],
    ["*/*;q=0.3, text/*;q=0.4, application/json;q=0.1"],
    ["application/json;q=0, */*"],
    ["application/json;q=0, text/event-stream;q=0.1"],
    ["application/json;version=2, text/event-stream;q=0.1"],
    ["text/event-stream;q=0.9, application/json;q=x"],
    [",, text/event-stream ,,"],
    ['application/x;a="text, application/json", text/event-stream'],
    ["text/event-stream;q=1;application/json=1"],
]

JSON: list[list[str]] = [
    [],
    [""],
    ["*/*"],
    ["application/json"],
    ["application/*"],
    ["application/json, text/event-stream"],
    ["text/event-stream, application/json"],
    ["application/json", "text/event-stream"],
    ["text/event-stream;q=0.1, application/json;q=0.9"],
    ["text/event-stream;q=0.1, */*"],
    ["text/event-stream;q=0.1, application/*;q=0.2"],
    ["text/event-stream;q=0"],
    ["text/event-stream;q=0.000"],
    ["text/event-stream;q=0, */*"],
    ["text/event-stream;q=0, application/json;q=0"],
    ["text/*;q=0.9, */*"],
    ["text/*, text/event-stream;q=0.2, application/json;q=0.3"],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    ["text/html"],
    ["text/event-streams"],
    ["x-text/event-stream"],
    ['application/x;a="text/event-stream"'],
    ['application/x;a="\\", text/event-stream"'],
    ["text/event-stream;version=2"],
    ["text/event-stream;q=2"],
    ["text/event-stream;q=-1"],
    ["text/event-stream;q=high"],
    ["text/event-stream;q="],
    ["text/event-stream;q"],
    ["text/event-stream;q=0.1234"],
    ["text/event-stream;q=nan"],
    ["text /event-stream"],
    ["text"],
    ["*/event-stream"],
    ["/"],
    [";"],
    ['"'],
    ["*;q=.2, text/html"],
]


@pytest.mark.parametrize("headers", EVENTS)
def test_a_client_that_wants_events_more_gets_events(headers: list[str]) -> None:
    assert wants_events(headers)


@pytest.mark.parametrize("headers", JSON)
def test_every_other_client_gets_json(headers: list[str]) -> None:
    assert not wants_events(headers)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        (["application/junit+xml"], JUNIT),
        (["application/vnd.gradescope+json"], GRADESCOPE),
        (["application/vnd.gradescope+json;q=0.5, application/junit+xml"], JUNIT),
        (["application/vnd.gradescope+json, */*"], GRADESCOPE),
        (["application/junit+xml, application/json;q=0.9"], JUNIT),
        (["application/junit+xml, text/event-stream;q=0.9"], JUNIT),
        (["application/junit+xml;q=0.5, text/event-stream"], None),
        (["application/junit+xml, application/json"], None),
        (["application/*"], None),
        (["*/*"], None),
        (["text/xml"], None),
        ([], None),
    ],
)
def test_an_export_is_sent_where_it_is_wanted_more_than_anything_else(
    headers: list[str], wanted: tuple[str, str] | None
) -> None:
    assert export_wanted(headers) == wanted


@pytest.mark.parametrize("header", ['"' * 60_000, "," * 60_000, ";" * 60_000, '"' + '\\"' * 30_000, "a;" * 30_000])
def test_a_long_header_of_nothing_gets_json(header: str) -> None:
    assert not wants_events([header])


PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 sends."""


@pytest.mark.parametrize(
    "headers",
    [
        [PROMETHEUS],
        ["application/openmetrics-text"],
        ["application/openmetrics-text; version=1.0.0; charset=utf-8"],
        ["application/openmetrics-text", "text/plain;q=0.9"],
        ["application/openmetrics-text;version=2.0.0, application/openmetrics-text;version=1.0.0;q=0.5"],
        ["application/openmetrics-text, */*"],
    ],
)
def test_open_metrics_are_for_who_wants_them_more(headers: list[str]) -> None:
    assert wants_open_metrics(headers)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        ["*/*"],
        ["text/plain"],
        ["text/plain;version=0.0.4;q=0.5,*/*;q=0.1"],
        ["application/openmetrics-text, text/plain"],
        ["application/openmetrics-text;q=0.4, text/plain;version=0.0.4;q=0.5"],
        ["application/openmetrics-text;q=0"],
        ["application/openmetrics-text;version=2.0.0"],
        ["application/json"],
        ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
    ],
)
def test_everybody_else_gets_the_text_format(headers: list[str]) -> None:
    assert not wants_open_metrics(headers)
