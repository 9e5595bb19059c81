"""Suites in a database: versions never change, the newest is the one stored last, and nobody has another's."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from code_executor.grading import forms
from code_executor.grading.store import Kept, Suites, SuiteStore
from code_executor.grading.suite import SuitesFullError, SuiteUnknownError
from code_executor.storage.database import Database
from code_executor.storage.suites import SqlSuiteStore
from tests.unit.grading.made import call, io, suite

pytestmark = pytest.mark.anyio


def store_on(database: Database, **more: int) -> SqlSuiteStore:
    ticks = itertools.count(1.0)
    return SqlSuiteStore(database, now=lambda: next(ticks), **more)


def kept(name: str, text: bytes) -> Kept:
    return Kept(name, forms.address(text), text)


async def test_the_newest_is_the_one_that_was_stored_last(database: Database) -> None:
    store = store_on(database)
    one, two = kept("week-1", b"one"), kept("week-1", b"two")
    assert [await store.put("a", each) for each in (one, two, one)] == [True, True, False]
    assert await store.get("a", "week-1", None) == one
    assert await store.get("a", "week-1", two.version) == two
    assert await store.get("a", "week-1", "0" * 64) is None
    assert await store.get("a", "week-2", None) is None


async def test_nobody_has_what_is_anothers(database: Database) -> None:
    store = store_on(database)
    await store.put("a", kept("week-1", b"one"))
    assert await store.get("b", "week-1", None) is None
    assert await store.put("b", kept("week-1", b"one"))
    assert await store.get("b", "week-1", None) == kept("week-1", b"one")


async def test_there_is_a_bound_for_each_owner(database: Database) -> None:
    store = store_on(database, most_versions=2, most_bytes=10)
    await store.put("a", kept("x", b"1234"))
    with pytest.raises(SuitesFullError):
        await store.put("a", kept("x", b"1234567"))
    await store.put("a", kept("x", b"123456"))
    with pytest.raises(SuitesFullError):
        await store.put("a", kept("y", b""))
    assert not await store.put("a", kept("x", b"1234"))  # which is there
    assert await store.put("b", kept("x", b"1234"))


async def test_the_same_at_once_is_one_version(database: Database) -> None:
    store = SqlSuiteStore(database)
    made = await asyncio.gather(*[store.put("a", kept("x", b"same")) for _ in range(8)])
    assert sorted(made) == [False] * 7 + [True]


async def test_what_is_stored_is_graded_with(database: Database) -> None:
    store = store_on(database)

    async def opened(make: bool) -> SuiteStore:
        assert make in (True, False)
        return store

    suites = Suites(opened)
    made = suite(io("é\u2028", visibility="hidden"), call(expected={"$tuple": [None]}))
    version, is_new = await suites.put("a", "week-1", made)
    assert is_new
    assert await suites.suite("a", "week-1") == made
    assert await suites.suite("a", f"week-1@{version.version}") is await suites.suite("a", "week-1")  # read once
    with pytest.raises(SuiteUnknownError):
        await suites.suite("b", f"week-1@{version.version}")  # though it is in memory


async def test_without_a_store_there_are_none() -> None:
    async def nothing(_: bool) -> None:
        """There is none."""

    with pytest.raises(SuiteUnknownError):
        await Suites(nothing).suite("a", "week-1")
