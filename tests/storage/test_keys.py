"""The store of keys keeps what it is given, on both databases, and never a secret."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from code_executor.accounts.accounts import Accounts
from code_executor.accounts.keys import KeyLimits, KeyNameError, Scope, UnknownCredentialError
from code_executor.accounts.usage import Usage
from code_executor.core.caller import Caller, Terms
from code_executor.core.errors import StorageError
from code_executor.service.budgets import Budgets
from code_executor.storage.database import Database
from code_executor.storage.keys import SqlKeyStore
from tests.unit.accounts.test_keys import made

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(database: Database) -> SqlKeyStore:
    return SqlKeyStore(database)


async def test_a_key_comes_back_as_it_was(store: SqlKeyStore) -> None:
    limits = KeyLimits(rate="9/minute", weight=2.5, origins=("https://a.example", "https://b.example"))
    _, key = made(scopes=frozenset({Scope.GRADE_FULL, Scope.RUN}), limits=limits, created=1.5, expires=2.5)
    _, plain = made("other", created=2.0)
    await store.add(key)
    await store.add(plain)
    assert await store.keys() == [key, plain]
    rotated = replace(key, generation=2, previous=key.hash, previous_until=9.5, hash=bytes(32))
    await store.replace(rotated)
    assert await store.keys() == [rotated, plain]


async def test_of_the_keys_that_live_only_one_has_a_name(store: SqlKeyStore) -> None:
    (_, one), (_, other) = made("same"), made("same")
    await store.add(one)
    with pytest.raises(KeyNameError, match="there is a key with the name same already"):
        await store.add(other)
    await store.replace(replace(one, revoked=1.0))
    await store.add(other)
    assert len(await store.keys()) == 2


async def test_no_secret_is_in_the_database(store: SqlKeyStore, database: Database) -> None:
    credential, key = made()
    await store.add(key)
    async with database.reading() as connection:
        rows = str((await connection.execute(text("SELECT * FROM keys"))).fetchall())
    assert credential[12:-6] not in rows


async def test_a_change_by_one_server_counts_at_the_next_look_of_another(migrated_url: str) -> None:
    async with Database.open(migrated_url) as one, Database.open(migrated_url) as other:
        credential, key = made()
        accounts = Accounts([SqlKeyStore(other)])
        await accounts.refresh()
        await SqlKeyStore(one).add(key)
        await accounts.refresh()
        assert accounts.find(credential) == key
        await SqlKeyStore(one).replace(replace(key, revoked=1.0))
        await accounts.refresh()
        with pytest.raises(UnknownCredentialError):
            accounts.find(credential)


# ---- what was used


async def test_seconds_of_several_servers_add_up(store: SqlKeyStore) -> None:
    await asyncio.gather(*(store.add_seconds("2026-11-29", {"a": 1.5, "b": 0.5}) for _ in range(10)))
    assert await store.add_seconds("2026-11-29", {"a": 1.0}) == {"a": 16.0, "b": 5.0}
    assert await store.add_seconds("2026-11-30", {}) == {}


async def test_a_server_that_starts_again_knows_what_was_used_today(store: SqlKeyStore) -> None:
    async def find_store() -> SqlKeyStore:
        return store

    who = Caller("ce_k3x9q2pa", terms=Terms(seconds=10))
    budgets = Budgets()
    async with Usage(budgets, find_store):
        budgets.begin("run", who)
        await asyncio.sleep(0.05)
        budgets.end("run")
    again = Budgets()
    usage = Usage(again, find_store)
    await usage.tell()
    assert again.used(who) == pytest.approx(budgets.used(who))
    assert again.used(who) > 0  # the two clocks differ by parts of a millisecond, so not by how much


async def test_what_could_not_be_kept_is_kept_later(store: SqlKeyStore) -> None:
    broken = True

    async def find_store() -> SqlKeyStore:
        if broken:
            raise StorageError("the database is out of reach")
        return store

    who = Caller("ce_k3x9q2pa", terms=Terms(seconds=10))
    clock = [0.0]
    budgets = Budgets(clock=lambda: clock[0])
    usage = Usage(budgets, find_store)
    budgets.begin("run", who)
    clock[0] += 3
    await usage.tell()
    assert budgets.used(who) == 3
    broken = False
    await usage.tell()
    assert await store.add_seconds(budgets.today(), {}) == {"k3x9q2pa": 3.0}
    assert budgets.used(who) == 3
