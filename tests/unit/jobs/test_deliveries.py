"""What follows from the answer of a receiver, and what a webhook says."""

from __future__ import annotations

import pytest

from code_executor.jobs.webhooks import SCHEDULE, Answer, State, decide, new_delivery

KEY = "k3x9q2pa"


def test_the_schedule_is_as_documented() -> None:
    at = 0.0
    waits = []
    for attempt in range(1, 8):
        verdict = decide(attempt, Answer(500), at, jitter=lambda low, high: (low + high) / 2)
        waits.append(verdict.next_at - at)
    assert waits == [5, 30, 120, 600, 3600, 21600, 0]
    assert verdict.state is State.FAILED
    assert tuple(waits[:-1]) == SCHEDULE


def test_retries_are_spread_by_a_fifth() -> None:
    waits = [decide(1, Answer(None), 0.0).next_at for _ in range(1000)]
    assert 4.0 <= min(waits) < 4.2
    assert 5.8 < max(waits) <= 6.0


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (Answer(200), State.DELIVERED),
        (Answer(410), State.GONE),
        (Answer(500), State.PENDING),
        (Answer(302), State.PENDING),
        (Answer(None), State.PENDING),
        (Answer(None, final=True), State.FAILED),
    ],
)
def test_what_follows_from_an_answer(answer: Answer, state: State) -> None:
    assert decide(1, answer, 0.0).state is state


def test_a_view_in_json_is_taken_as_it_is() -> None:
    sent = new_delivery("job-1", KEY, "https://example.org:8443/", b'{ "id" : "job-1"}', 0.0)
    assert sent.body == b'{"type":"job.done","timestamp":"1970-01-01T00:00:00.000Z","data":{ "id" : "job-1"}}'
    assert sent.host == "example.org:8443"
    assert new_delivery("job-1", KEY, "https://example.org:8443/", {}, 0.0).id != sent.id
    assert new_delivery("job-1", KEY, "https://example.org/", {}, 0.0, trace="0" * 100).trace == ""
    assert new_delivery("job-1", KEY, "what no longer counts as an address", {}, 0.0).host == ""
