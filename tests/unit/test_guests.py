"""How many connections there may be, stepped through."""

from __future__ import annotations

import pytest

from code_executor.app.guests import Full, Guests, room


def test_a_client_has_so_many_and_all_have_so_many() -> None:
    guests = Guests(most=3, per_client=2)
    assert [guests.enter("a") for _ in range(3)] == [None, None, Full.CLIENT]
    assert guests.enter("b") is None
    assert guests.enter("b") is Full.SERVER
    guests.leave("a")
    assert guests.enter("b") is None
    assert guests.enter("b") is Full.CLIENT


def test_a_proxy_counts_among_all_only() -> None:
    guests = Guests(most=5, per_client=1)
    assert [guests.enter(None) for _ in range(6)] == [None] * 5 + [Full.SERVER]
    guests.leave(None)
    assert guests.enter(None) is None


def test_what_left_is_forgotten() -> None:
    guests = Guests(most=10, per_client=1)
    for number in range(1000):
        assert guests.enter(str(number)) is None
        guests.leave(str(number))
    assert not guests._of_client


@pytest.mark.parametrize("descriptors", [64, 128, 1024, 65536])
@pytest.mark.parametrize("workers", [1, 2, 16])
@pytest.mark.parametrize("sandboxes", [1, 8, 100])
def test_connections_never_get_all_descriptors(descriptors: int, workers: int, sandboxes: int) -> None:
    assert 16 <= room(descriptors, sandboxes, workers) <= descriptors - 48


def test_where_descriptors_are_plenty_the_pool_has_its_own() -> None:
    assert room(65536, 100, 1) <= 65536 - 100 * 12
    assert 4 * room(65536, 100, 4) <= 65536 - 100 * 12
