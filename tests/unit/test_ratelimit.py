"""The rate limit is a moving window per client, and what is one client is decided by address."""

from __future__ import annotations

import time
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.api.allowance import headers, refusal
from code_executor.core.caller import Caller
from code_executor.core.errors import ConfigurationError
from code_executor.core.models import Allowance
from code_executor.service.ratelimit import RateLimiter, parse_rate


class Clock:
    """The time of day, as far as `limits` can see."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


async def hit(limiter: RateLimiter, client: str = "a") -> Allowance:
    allowance = await limiter.hit(Caller(client))
    assert allowance is not None
    return allowance


# ---- the window


@pytest.mark.anyio
async def test_so_many_are_allowed_and_no_more(clock: Clock) -> None:
    limiter = RateLimiter("3/minute")
    allowances = [await hit(limiter) for _ in range(5)]
    assert [allowance.allowed for allowance in allowances] == [True, True, True, False, False]
    assert [allowance.remaining for allowance in allowances] == [2, 1, 0, 0, 0]
    assert {(allowance.limit, allowance.window) for allowance in allowances} == {(3, 60)}


@pytest.mark.anyio
async def test_the_window_moves_with_every_request(clock: Clock) -> None:
    limiter = RateLimiter("2/minute")
    await hit(limiter)
    clock.now += 30
    await hit(limiter)
    clock.now += 31  # the first is out of the window, the second is not
    assert (await hit(limiter)).allowed
    assert not (await hit(limiter)).allowed
    clock.now += 30
    assert (await hit(limiter)).allowed


@pytest.mark.anyio
async def test_a_burst_at_the_turn_of_a_minute_is_no_way_around(clock: Clock) -> None:
    limiter = RateLimiter("2/minute")
    clock.now = 59.0
    assert [(await hit(limiter)).allowed for _ in range(2)] == [True, True]
    clock.now = 61.0
    assert not (await hit(limiter)).allowed


@pytest.mark.anyio
async def test_when_another_one_is_free_is_told_in_whole_seconds(clock: Clock) -> None:
    limiter = RateLimiter("2/minute")
    await hit(limiter)
    clock.now += 20.5
    await hit(limiter)
    refused = await hit(limiter)
    assert refused.reset == 40
    clock.now += refused.reset
    assert (await hit(limiter)).allowed


@pytest.mark.anyio
async def test_a_refused_request_does_not_count(clock: Clock) -> None:
    limiter = RateLimiter("1/minute")
    await hit(limiter)
    for _ in range(5):
        clock.now += 11
        await hit(limiter)
    clock.now += 6
    assert (await hit(limiter)).allowed


@pytest.mark.anyio
async def test_clients_do_not_count_for_one_another(clock: Clock) -> None:
    limiter = RateLimiter("1/minute")
    assert (await hit(limiter, "a")).allowed
    assert (await hit(limiter, "b")).allowed
    assert not (await hit(limiter, "a")).allowed


@pytest.mark.anyio
async def test_limiters_do_not_count_for_one_another(clock: Clock) -> None:
    one, other = RateLimiter("1/minute"), RateLimiter("1/minute")
    assert (await hit(one)).allowed
    assert (await hit(other)).allowed


@pytest.mark.anyio
async def test_peeking_does_not_count(clock: Clock) -> None:
    limiter = RateLimiter("1/minute")
    for _ in range(3):
        allowance = await limiter.peek(Caller("a"))
        assert allowance is not None
        assert (allowance.allowed, allowance.remaining) == (True, 1)
    await hit(limiter)
    allowance = await limiter.peek(Caller("a"))
    assert allowance is not None
    assert (allowance.allowed, allowance.remaining) == (False, 0)


@pytest.mark.anyio
async def test_off_counts_nothing() -> None:
    limiter = RateLimiter("off")
    assert await limiter.hit(Caller("a")) is None
    assert await limiter.peek(Caller("a")) is None


# ---- what a client is told


def test_the_headers_say_how_a_client_stands() -> None:
    assert headers(Allowance(allowed=True, limit=10, remaining=7, reset=42, window=60)) == {
        "RateLimit-Limit": "10",
        "RateLimit-Remaining": "7",
        "RateLimit-Reset": "42",
        "RateLimit-Policy": "10;w=60",
    }


@pytest.mark.parametrize(("reset", "seconds"), [(42, "42"), (1, "1"), (0, "1")])
def test_who_is_refused_is_told_when_to_come_again_and_never_at_once(reset: int, seconds: str) -> None:
    allowance = Allowance(allowed=False, limit=10, remaining=0, reset=reset, window=60)
    assert headers(allowance)["Retry-After"] == refusal(allowance).headers["Retry-After"] == seconds
    assert refusal(allowance).detail == f"Rate limit exceeded: 10 runs in 60 seconds. Try again in {seconds} s."


# ---- who is one client


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
        ("", "unknown"),
        ("203.0.113.999", "203.0.113.999"),
    ],
)
def test_what_is_one_client(host: str, key: str) -> None:
    assert Caller.of_address(host).id == key


@pytest.mark.fuzz
@given(st.integers(1, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_all_addresses_of_an_ipv6_network_are_one_client(network: int, one: int, other: int) -> None:
    first, second = (str(IPv6Address(network << 64 | host)) for host in (one, other))
    assert Caller.of_address(first).id == Caller.of_address(second).id == f"{IPv6Address(network << 64)}/64"


@pytest.mark.fuzz
@given(st.text())
def test_any_host_is_some_client(host: str) -> None:
    assert isinstance(Caller.of_address(host).id, str)


# ---- rates


@pytest.mark.parametrize(
    ("text", "amount", "seconds"),
    [
        ("10/minute", 10, 60),
        ("10 per minute", 10, 60),
        ("100/hour", 100, 3600),
        ("5/10seconds", 5, 10),
        ("1/second", 1, 1),
    ],
)
def test_a_rate_is_read(text: str, amount: int, seconds: int) -> None:
    rate = parse_rate(text)
    assert rate is not None
    assert (rate.amount, rate.get_expiry()) == (amount, seconds)


@pytest.mark.parametrize("text", ["off", "OFF", " off "])
def test_off_is_no_rate(text: str) -> None:
    assert parse_rate(text) is None


@pytest.mark.parametrize("text", ["", "10", "ten/minute", "10/fortnight", "-1/minute", "10/", "/minute", "10/minute x"])
def test_nothing_else_is_a_rate(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a rate"):
        parse_rate(text)


@pytest.mark.parametrize("text", ["0/minute", "0/second", "10/minute;1/second", "10/minute, 1/second"])
def test_a_rate_that_lets_nobody_in_or_is_two_is_none(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not a rate"):
        parse_rate(text)
