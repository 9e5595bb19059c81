"""A key is found by its id and compared by the hash of its secret; whatever is not exactly a valid key is nothing."""

from __future__ import annotations

import hmac
import random
import timeit
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from code_executor.accounts import credentials
from code_executor.accounts.accounts import STALE, Accounts, Identity, Presented
from code_executor.accounts.keys import (
    USUAL,
    Key,
    KeyLimits,
    MissingScopeError,
    Scope,
    UnknownCredentialError,
    parse_scopes,
)
from code_executor.core.caller import Caller
from code_executor.core.errors import ConfigurationError, StorageError

NOW = 1_800_000_000.0


def made(name: str = "moodle", **more: object) -> tuple[str, Key]:
    """Return a new key, as its owner has it and as it is kept."""
    key_id = credentials.new_id()
    credential = credentials.new_credential(key_id)
    return credential, Key(key_id, name, hash_of(credential), "", **more)  # type: ignore[arg-type]


def hash_of(credential: str) -> bytes:
    parsed = credentials.parse(credential)
    assert parsed
    return credentials.digest(parsed[1])


class Source:
    """A source of keys that a test changes."""

    def __init__(self, *keys: Key) -> None:
        self.all: Sequence[Key] = keys
        self.error: Exception | None = None

    async def keys(self) -> Sequence[Key]:
        if self.error:
            raise self.error
        return self.all


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


async def knowing(*keys: Key, clock: Clock | None = None) -> Accounts:
    accounts = Accounts([Source(*keys)], now=clock or Clock())
    await accounts.refresh()
    return accounts


def refused(accounts: Accounts, credential: str | None) -> str:
    with pytest.raises(UnknownCredentialError) as caught:
        accounts.identify(Presented(credential), "192.0.2.1")
    return str(caught.value)


# ---- what a key looks like


def test_a_key_has_an_id_256_random_bits_and_a_check() -> None:
    credential = credentials.new_credential("k3x9q2pa")
    assert credentials.PATTERN.fullmatch(credential)
    assert len(credential) == len("ce_k3x9q2pa_") + 43 + 6
    parsed = credentials.parse(credential)
    assert parsed
    assert parsed[0] == "k3x9q2pa"
    assert len({credentials.new_credential("k3x9q2pa") for _ in range(100)}) == 100


def test_a_mistyped_key_is_known_without_a_look_at_any_other() -> None:
    credential = credentials.new_credential("k3x9q2pa")
    for position in range(len(credential)):
        for letter in "0aZ_":
            changed = credential[:position] + letter + credential[position + 1 :]
            assert (credentials.parse(changed) is None) == (changed != credential)


@pytest.mark.fuzz
@given(st.one_of(st.text(), st.binary().map(lambda b: b.decode("latin-1")), st.from_regex(credentials.PATTERN)))
def test_nothing_else_is_a_key(text: str) -> None:
    assert credentials.parse(text) is None


# ---- who asks


async def test_while_there_is_no_key_everybody_may_do_everything() -> None:
    accounts = await knowing()
    who = accounts.identify(Presented("anything"), "192.0.2.1")
    assert who == Identity(Caller("192.0.2.1"))
    for scope in Scope:
        who.require(scope)


async def test_a_key_is_known_and_what_it_may() -> None:
    credential, key = made(scopes=frozenset({Scope.RUN}), limits=KeyLimits(weight=3, rate="9/minute", running=4))
    who = (await knowing(key)).identify(Presented(credential), "192.0.2.1")
    assert (who.caller.id, who.caller.weight) == (f"ce_{key.id}", 3)
    assert who.caller.terms
    assert (who.caller.terms.rate, who.caller.terms.running) == ("9/minute", 4)
    who.require(Scope.RUN)
    with pytest.raises(MissingScopeError, match=r"^this needs a key with the scope metrics$"):
        who.require(Scope.METRICS)


async def test_once_there_is_a_key_nobody_comes_in_without() -> None:
    credential, key = made()
    accounts = await knowing(key)
    other, _ = made()
    assert refused(accounts, None) == "this needs a key: send it as `Authorization: Bearer`"
    wrong = {refused(accounts, each) for each in ("", "x", other, credential[:-1], credential + "0", " " + credential)}
    assert wrong == {"the key or token is not valid"}


async def test_the_secret_of_one_key_does_not_fit_the_id_of_another() -> None:
    (one, key), (other, another) = made("a"), made("b")
    accounts = await knowing(key, another)
    begin = f"ce_{key.id}_{other[12:-6]}"
    assert refused(accounts, begin + credentials._check(begin)) == "the key or token is not valid"
    assert accounts.find(one) is key


@pytest.mark.parametrize(
    "change", [{"revoked": NOW - 1}, {"expires": NOW}, {"expires": NOW - 1}, {"revoked": NOW + 60}], ids=str
)
async def test_a_revoked_or_expired_key_is_none_and_nobody_is_told_which(change: dict[str, float]) -> None:
    credential, key = made()
    accounts = await knowing(replace(key, **change))  # type: ignore[arg-type]
    assert refused(accounts, credential) == "the key or token is not valid"


async def test_if_all_keys_are_revoked_the_service_stays_closed() -> None:
    _, key = made()
    assert refused(await knowing(replace(key, revoked=1.0)), None)


async def test_two_secrets_are_valid_until_the_older_one_is_not() -> None:
    (old, _), (new, key) = made(), made()
    before = f"ce_{key.id}_{old[12:-6]}"
    before += credentials._check(before)
    clock = Clock()
    rotated = replace(key, generation=2, previous=hash_of(before), previous_until=NOW + 60)
    accounts = await knowing(rotated, clock=clock)
    assert accounts.find(new).id == accounts.find(before).id == key.id
    clock.now += 60
    assert accounts.find(new).id == key.id
    assert refused(accounts, before)


async def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known or not, current or previous: the same comparisons, by the function that is made for it."""
    compared = []

    def spy(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return hmac_compare(one, other)

    hmac_compare = hmac.compare_digest
    credential, key = made()
    stranger, _ = made()
    accounts = await knowing(key)
    monkeypatch.setattr(hmac, "compare_digest", spy)
    accounts.find(credential)
    refused(accounts, stranger)
    assert compared == [(32, 32)] * 4


async def test_what_is_kept_gives_no_key_away() -> None:
    credential, key = made()
    accounts = await knowing(key)
    secret = credential[12:-6]
    assert secret not in repr(key) + repr(accounts) + repr(accounts.identify(Presented(credential), ""))
    assert refused(accounts, f"ce_{key.id}_{key.hash.hex()}")


async def test_looking_a_key_up_costs_less_than_50_microseconds() -> None:
    pairs = [made(str(number)) for number in range(1000)]
    accounts = await knowing(*(key for _, key in pairs))
    credential = random.Random(1).choice(pairs)[0]
    best = min(timeit.repeat(lambda: accounts.identify(Presented(credential), ""), number=200, repeat=20)) / 200
    assert best < 50e-6


# ---- what changes


async def test_a_change_elsewhere_counts_after_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    credential, key = made()
    source = Source()
    accounts = Accounts([source], now=Clock())
    await accounts.refresh()
    assert not accounts.closed
    source.all = [key]
    await accounts.refresh()
    assert accounts.find(credential) is key
    source.all = [replace(key, revoked=NOW)]
    await accounts.refresh()
    assert refused(accounts, credential)
    source.all = []  # whoever deletes them has not opened the service
    await accounts.refresh()
    assert refused(accounts, None)


async def test_if_the_keys_cannot_be_read_those_that_are_known_go_on_for_an_hour() -> None:
    credential, key = made()
    source, clock = Source(key), Clock()
    accounts = Accounts([source], now=clock)
    await accounts.refresh()
    source.error = StorageError("the database is out of reach")
    with pytest.raises(StorageError):
        await accounts.refresh()
    clock.now += STALE
    assert accounts.find(credential) is key
    clock.now += 1
    with pytest.raises(StorageError, match="the keys cannot be read"):
        accounts.find(credential)


async def test_a_service_whose_keys_cannot_be_read_does_not_start() -> None:
    source = Source()
    source.error = StorageError("the database is out of reach")
    with pytest.raises(StorageError):
        async with Accounts([source]):
            pass


async def test_one_id_in_two_sources_is_an_error() -> None:
    _, key = made()
    with pytest.raises(ConfigurationError, match="same id"):
        await Accounts([Source(key), Source(key)]).refresh()


# ---- what is written


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"rate": "many"}, "rate: not a rate"),
        ({"running": -1}, "running: "),
        ({"weight": 0}, "weight: "),
        ({"weight": float("nan")}, "weight: "),
        ({"wall_time": 0.5}, "wall_time: must be at least 1 second"),
        ({"origins": ["course.example.org"]}, "origins: not an origin"),
        ({"origins": ["*"]}, "origins: not an origin"),
        ({"colour": "blue"}, "colour: "),
    ],
)
def test_a_wrong_limit_is_an_error_that_names_it(values: dict[str, object], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        KeyLimits.read(values)


def test_scopes_are_those_that_there_are() -> None:
    assert parse_scopes(["run", "grade:full"]) == {Scope.RUN, Scope.GRADE_FULL}
    assert {scope for scope in Scope if scope in USUAL} == {"run", "check", "session", "learner:any"}
    for wrong in ([], ["everything"], ["run", ""]):
        with pytest.raises(ConfigurationError, match="the scopes are run, check, session, jobs, grade, grade:full"):
            parse_scopes(wrong)


pytestmark = pytest.mark.anyio
