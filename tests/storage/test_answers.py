"""Answers that are given again, on both databases: one request is the first, whoever asks at the same time."""

from __future__ import annotations

import asyncio
import time

import pytest

from code_executor.core.caller import Caller
from code_executor.jobs.idempotency import Answer, AnswerPendingError, Answers, Claim, OtherRequestError
from code_executor.storage.answers import SqlAnswerStore
from code_executor.storage.database import Database

pytestmark = pytest.mark.anyio

ADA = Caller("ce_ada")
ANSWER = Answer(200, {"content-type": "application/json"}, b'{"a": "\xc3\xa9"}' * 100)


@pytest.fixture
def answers(database: Database) -> Answers:
    store = SqlAnswerStore(database)

    async def find() -> SqlAnswerStore:
        return store

    return Answers(find)


async def ask(
    answers: Answers, answer: Answer | None = ANSWER, *, caller: Caller = ADA, path: str = "/p", body: bytes = b"b"
) -> Answer | None:
    """Ask; return what was kept, or None if this was the first request, which is answered so."""
    async with answers.first(caller, path, "key", body) as first:
        if isinstance(first, Answer):
            return first
        first.answer = answer
    return None


async def test_the_second_gets_the_answer_of_the_first(answers: Answers) -> None:
    assert [await ask(answers) for _ in range(3)] == [None, ANSWER, ANSWER]


async def test_another_body_is_refused(answers: Answers) -> None:
    await ask(answers)
    with pytest.raises(OtherRequestError):
        await ask(answers, body=b"c")


async def test_a_key_counts_for_its_caller_its_learner_and_its_path(answers: Answers) -> None:
    await ask(answers)
    assert await ask(answers, caller=Caller("ce_bob")) is None
    assert await ask(answers, caller=Caller("ce_ada", learner="x")) is None
    assert await ask(answers, path="/q") is None


async def test_what_is_not_answered_well_can_be_asked_again(answers: Answers) -> None:
    assert await ask(answers, None) is None
    with pytest.raises(ZeroDivisionError):
        async with answers.first(ADA, "/p", "key", b"b"):
            raise ZeroDivisionError
    assert await ask(answers) is None
    assert await ask(answers) == ANSWER


async def test_of_many_at_once_on_two_servers_one_is_the_first(migrated_url: str) -> None:
    began = 0

    async def one(answers: Answers) -> str:
        nonlocal began
        try:
            async with answers.first(ADA, "/p", "key", b"b") as first:
                if isinstance(first, Claim):
                    began += 1
                    await asyncio.sleep(0.05)
                    first.answer = ANSWER
                    return "first"
                return "again"
        except AnswerPendingError:
            return "pending"

    async with Database.open(migrated_url) as left, Database.open(migrated_url) as right:
        servers = []
        for database in (left, right):
            store = SqlAnswerStore(database)

            async def find(store: SqlAnswerStore = store) -> SqlAnswerStore:
                return store

            servers.append(Answers(find))
        said = await asyncio.gather(*(one(server) for server in servers * 5))
        assert (said.count("first"), began) == (1, 1)
        assert await one(servers[1]) == "again"


async def test_the_claim_of_a_server_that_died_ends(database: Database) -> None:
    store = SqlAnswerStore(database)
    assert await store.claim(b"n" * 32, b"f" * 32, "dead", time.time() + 60) is None
    with pytest.raises(AnswerPendingError):
        await store.claim(b"n" * 32, b"f" * 32, "next", time.time() + 60)
    await store.renew([b"n" * 32], "dead", time.time())
    assert await store.claim(b"n" * 32, b"f" * 32, "next", time.time() + 60) is None
    await store.keep(b"n" * 32, "dead", ANSWER, time.time() + 60)  # too late: it is another's
    with pytest.raises(AnswerPendingError):
        await store.claim(b"n" * 32, b"f" * 32, "third", time.time() + 60)
    await store.renew([b"n" * 32], "next", time.time() + 60)
    await store.keep(b"n" * 32, "next", ANSWER, time.time() + 60)
    assert await store.claim(b"n" * 32, b"f" * 32, "third", time.time() + 60) == ANSWER
