"""Webhooks arrive, signed, until they are delivered or given up, on both databases, whatever the receiver does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook
from structlog.testing import capture_logs

from code_executor.accounts.accounts import Accounts
from code_executor.accounts.keys import Key
from code_executor.accounts.secret import ServerSecret
from code_executor.core.errors import StorageError
from code_executor.jobs.addresses import Allowed
from code_executor.jobs.guard import Guard
from code_executor.jobs.post import Poster
from code_executor.jobs.sender import Sender, Slots
from code_executor.jobs.signing import Generation, webhook_secret
from code_executor.jobs.webhooks import (
    Answer,
    Delivery,
    Due,
    Leased,
    Standing,
    State,
    Verdict,
    WebhookDesk,
    new_delivery,
)
from code_executor.storage.database import Database
from code_executor.storage.webhooks import SqlWebhookStore, forget, queue
from tests.receiver import OK, Got, answer, receiving
from tests.unit.accounts.test_keys import Source, made

pytestmark = pytest.mark.anyio

SERVER = ServerSecret(bytes(range(32)))
_, KEY = made()
SOON = (0.0, 0.0, 0.0)
"""A schedule that waits for nothing, so three attempts follow the first."""


@pytest.fixture
def store(database: Database) -> SqlWebhookStore:
    return SqlWebhookStore(database)


def delivery_to(url: str, job: str = "job-1", key: Key = KEY, **view: object) -> Delivery:
    return new_delivery(job, key.id, url, {"id": job, "state": "done", **view}, time.time())


async def put(database: Database, *deliveries: Delivery) -> None:
    async with database.writing() as connection:
        for each in deliveries:
            await queue(connection, each)


@dataclass
class Noted:
    """What an observer was told."""

    outcomes: list[str] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    def __call__(self, outcome: str, lag: float | None) -> None:
        self.outcomes.append(outcome)
        if lag is not None:
            self.lags.append(lag)


async def accounts_of(*keys: Key) -> Accounts:
    accounts = Accounts([Source(*keys)], lambda: SERVER)
    await accounts.refresh()
    return accounts


@contextlib.asynccontextmanager
async def sending(
    store: SqlWebhookStore, keys: Sequence[Key] = (KEY,), patience: float = 10.0, **options: Any
) -> AsyncIterator[Noted]:
    noted = Noted()
    poster = Poster(Guard(Allowed(["127.0.0.0/8"])), timeout=patience)
    async with Sender(store, poster, await accounts_of(*keys), noted, **{"schedule": SOON, "every": 0.05, **options}):
        yield noted


async def until(
    store: SqlWebhookStore | WebhookDesk, holds: Callable[[Standing], bool], job: str = "job-1"
) -> Standing:
    """Return how a webhook stands once that holds."""
    async with asyncio.timeout(30):
        while True:
            standing = await store.standing(job)
            assert standing is not None
            if holds(standing):
                return standing
            await asyncio.sleep(0.01)


def ended(standing: Standing) -> bool:
    return standing.state is not State.PENDING


def verify(got: Got, number: int = 1) -> Any:
    return Webhook(webhook_secret(SERVER, KEY.id, number)).verify(got.body, got.headers)


# ---- what arrives


async def test_a_webhook_arrives_signed_and_says_what_ended(database: Database, store: SqlWebhookStore) -> None:
    async with receiving() as receiver, sending(store) as noted:
        sent = delivery_to(receiver.url(), output="gr\u00fc\u00dfe \U0001f600")
        await put(database, sent)
        standing = await until(store, ended)
        (got,) = receiver.got
    assert got.body == sent.body
    said = verify(got)
    assert said["type"] == "job.done"
    assert said["timestamp"].endswith("Z")
    assert said["data"] == {"id": "job-1", "state": "done", "output": "gr\u00fc\u00dfe \U0001f600"}
    assert got.headers["webhook-id"] == sent.id == standing.id
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("code-executor/")
    assert (standing.state, standing.attempts, standing.status, standing.error) == (State.DELIVERED, 1, 200, "")
    assert noted.outcomes == ["delivered"]
    assert len(noted.lags) == 1


async def test_retries_have_the_same_id_and_body_and_a_signature_of_their_own(
    database: Database, store: SqlWebhookStore
) -> None:
    answers = answer(500), answer(302, "Location: /x"), answer(404), OK
    async with receiving(*answers) as receiver, sending(store) as noted:
        await put(database, delivery_to(receiver.url()))
        standing = await until(store, ended)
    assert [(got.headers["webhook-id"], got.body) for got in receiver.got] == [
        (receiver.got[0].headers["webhook-id"], receiver.got[0].body)
    ] * 4
    for got in receiver.got:
        verify(got)
    assert (standing.state, standing.attempts) == (State.DELIVERED, 4)
    assert noted.outcomes == ["retried", "retried", "retried", "delivered"]


async def test_after_the_last_attempt_it_is_given_up(database: Database, store: SqlWebhookStore) -> None:
    async with receiving(answer(503)) as receiver, sending(store) as noted:
        await put(database, delivery_to(receiver.url()))
        standing = await until(store, ended)
        assert (standing.state, standing.attempts, standing.status) == (State.FAILED, 4, 503)
        assert standing.error == "answered with 503"
        assert noted.outcomes == ["retried"] * 3 + ["failed"]
        receiver.answers = [OK]
        assert await store.again("job-1", time.time())
        standing = await until(store, ended)
    assert (standing.state, standing.attempts) == (State.DELIVERED, 1)
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len(receiver.got) == 5


async def test_410_ends_it(database: Database, store: SqlWebhookStore) -> None:
    async with receiving(answer(410)) as receiver, sending(store) as noted:
        await put(database, delivery_to(receiver.url()))
        standing = await until(store, ended)
        assert (standing.state, standing.attempts, standing.status) == (State.GONE, 1, 410)
        assert noted.outcomes == ["gone"]
        assert await store.next_due() is None
    assert len(receiver.got) == 1


async def test_a_slow_receiver_is_tried_again(database: Database, store: SqlWebhookStore) -> None:
    slow = asyncio.Event()

    async def first_never(got: Got, writer: asyncio.StreamWriter) -> None:
        if not slow.is_set():
            slow.set()
            await asyncio.Event().wait()
        writer.write(OK)

    async with receiving(act=first_never) as receiver, sending(store, patience=0.3) as noted:
        await put(database, delivery_to(receiver.url()))
        standing = await until(store, ended)
        assert (standing.state, standing.attempts) == (State.DELIVERED, 2)
        assert noted.outcomes == ["retried", "delivered"]


async def test_an_inner_address_is_refused_when_it_is_sent_to(database: Database, store: SqlWebhookStore) -> None:
    async with receiving() as receiver:
        noted = Noted()
        guarded = Poster(Guard(Allowed()))
        async with Sender(store, guarded, await accounts_of(KEY), noted, schedule=(), every=0.05):
            await put(database, delivery_to(receiver.url(scheme="https")))
            standing = await until(store, ended)
        assert receiver.connections == 0
    assert (standing.state, standing.status) == (State.FAILED, None)
    assert "public internet" in standing.error


async def test_both_secrets_sign_during_a_rotation(database: Database, store: SqlWebhookStore) -> None:
    now = time.time()
    assert await store.generation(KEY.id) == Generation(1)
    assert await store.rotate(KEY.id, now + 60) == Generation(2, now + 60)
    async with receiving() as receiver, sending(store):
        await put(database, delivery_to(receiver.url()))
        await until(store, ended)
        (got,) = receiver.got
        assert verify(got, 1) == verify(got, 2)
        await store.rotate(KEY.id, now)
        await put(database, delivery_to(receiver.url(), "job-2"))
        await until(store, ended, "job-2")
        assert len(receiver.got[1].headers["webhook-signature"].split()) == 1
        verify(receiver.got[1], 3)


async def test_the_webhook_of_a_key_that_is_revoked_is_not_sent(database: Database, store: SqlWebhookStore) -> None:
    revoked = replace(KEY, revoked=1.0)
    for keys in ((revoked,), ()):
        async with receiving() as receiver, sending(store, keys):
            await put(database, delivery_to(receiver.url(), f"job-{len(keys)}"))
            standing = await until(store, ended, f"job-{len(keys)}")
        assert (standing.state, standing.attempts, receiver.connections) == (State.FAILED, 1, 0)
        assert standing.error == "its key is not valid any more"


async def test_the_log_has_neither_body_nor_secret(database: Database, store: SqlWebhookStore) -> None:
    with capture_logs() as lines:
        async with receiving(answer(500), OK) as receiver, sending(store):
            await put(database, delivery_to(receiver.url(path="/hook?token=hidden"), output="confidential"))
            await until(store, ended)
    told = [line for line in lines if line["event"] == "webhook"]
    assert [(line["outcome"], line["attempt"], line["status"]) for line in told] == [
        ("retried", 1, 500),
        ("delivered", 2, 200),
    ]
    assert {line["client"] for line in told} == {f"ce_{KEY.id}"}
    assert not [word for word in ("confidential", "hidden", "whsec_") if word in str(lines)]


async def test_a_trace_goes_along(database: Database, store: SqlWebhookStore) -> None:
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    async with receiving() as receiver, sending(store):
        await put(database, replace(delivery_to(receiver.url()), trace=trace))
        await until(store, ended)
    assert receiver.got[0].headers["traceparent"] == trace


# ---- who sends


async def test_two_servers_send_each_once(database: Database, store: SqlWebhookStore, migrated_url: str) -> None:
    async with receiving() as receiver:
        await put(database, *(delivery_to(receiver.url(), f"job-{number}") for number in range(30)))
        async with Database.open(migrated_url) as other, sending(store), sending(SqlWebhookStore(other)):
            await asyncio.gather(*(until(store, ended, f"job-{number}") for number in range(30)))
    assert len(receiver.got) == 30
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 30


async def test_one_host_gets_four_at_once_and_keeps_nobody_else(database: Database, store: SqlWebhookStore) -> None:
    hold = asyncio.Event()

    async def held(got: Got, writer: asyncio.StreamWriter) -> None:
        await hold.wait()
        writer.write(OK)

    async with receiving(act=held) as slow, receiving() as quick:
        await put(database, *(delivery_to(slow.url(), f"slow-{number}") for number in range(20)))
        await put(database, delivery_to(quick.url(), "quick"))
        async with sending(store):
            await until(store, ended, "quick")
            await slow.wait_for(4)
            assert slow.open == 4
            hold.set()
            await asyncio.gather(*(until(store, ended, f"slow-{number}") for number in range(20)))
            assert slow.most_open == 4


def test_a_key_with_many_hosts_has_half_of_all_slots() -> None:
    slots = Slots(most=8)
    due = [Due(str(number), f"host-{number}", "a" if number < 10 else "b", 1) for number in range(20)]
    chosen = slots.choose(due)
    assert [each.key for each in chosen] == ["a"] * 4 + ["b"] * 4
    leases = [leased(each) for each in chosen]
    for each in leases:
        slots.take(each)
    assert (slots.free, slots.full_hosts, sorted(slots.full_keys)) == (0, [], ["a", "b"])
    assert slots.choose(due) == []
    for each in leases:
        slots.give(each)
    assert (slots.free, slots.full_keys) == (8, [])


def test_the_bodies_that_are_held_are_bounded_and_the_first_has_its_turn() -> None:
    slots = Slots(most_bytes=10)
    huge, small, large = (Due(str(size), str(size), "a", size) for size in (11, 4, 7))
    assert slots.choose([huge, small]) == [huge]
    assert slots.choose([small, large, small]) == [small]
    taken = leased(small)
    slots.take(taken)
    assert slots.choose([huge, small]) == []
    assert slots.choose([small]) == [small]
    slots.give(taken)
    assert slots.choose([huge, small]) == [huge]


def leased(due: Due) -> Leased:
    return Leased(Delivery(due.id, due.id, due.key, "", due.host, bytes(due.size), 0.0), "lease", 0)


async def test_a_lease_that_ran_out_is_somebody_elses(database: Database, store: SqlWebhookStore) -> None:
    await put(database, delivery_to("https://example.org/"))
    now = time.time()
    (first,) = await store.lease(now, now + 30, lambda due: due)
    assert await store.lease(now + 29, now + 60, lambda due: due) == []
    assert await store.next_due() == now + 30
    (second,) = await store.lease(now + 30, now + 60, lambda due: due)
    assert first.delivery == second.delivery
    assert first.lease != second.lease
    late = Verdict(State.FAILED, now, Answer(500, "answered with 500"))
    assert not await store.settle(first, late)
    assert await store.settle(second, Verdict(State.DELIVERED, now, Answer(200)))
    assert not await store.settle(second, late)
    standing = await store.standing("job-1")
    assert standing is not None
    assert (standing.state, standing.attempts, standing.sending) == (State.DELIVERED, 1, False)


async def test_hosts_and_keys_without_a_slot_are_passed_over(database: Database, store: SqlWebhookStore) -> None:
    _, other = made()
    await put(database, *(delivery_to(f"https://{name}.example/", name) for name in ("a", "b")))
    await put(database, delivery_to("https://c.example/", "c", other))
    now = time.time()
    taken = await store.lease(now, now + 30, lambda due: due, ["a.example:443"], [other.id])
    assert [each.delivery.job for each in taken] == ["b"]


async def test_what_was_on_its_way_when_a_server_stops_is_sent_by_the_next(
    database: Database, store: SqlWebhookStore
) -> None:
    hold = asyncio.Event()

    async def held(got: Got, writer: asyncio.StreamWriter) -> None:
        if not hold.is_set():
            hold.set()
            await asyncio.Event().wait()
        writer.write(OK)

    async with receiving(act=held) as receiver:
        await put(database, delivery_to(receiver.url()))
        async with sending(store):
            await hold.wait()
        standing = await store.standing("job-1")
        assert standing is not None
        assert (standing.state, standing.attempts, standing.sending) == (State.PENDING, 0, False)
        async with sending(store):
            standing = await until(store, ended)
        assert (standing.state, standing.attempts) == (State.DELIVERED, 1)


async def test_a_database_that_fails_for_a_while_ends_nothing(database: Database) -> None:
    class Failing(SqlWebhookStore):
        failures = 3

        async def next_due(self) -> float | None:
            if self.failures:
                self.failures -= 1
                raise StorageError("the database is locked")
            return await super().next_due()

    store = Failing(database)
    with capture_logs() as lines:
        async with receiving() as receiver, sending(store):
            await put(database, delivery_to(receiver.url()))
            assert (await until(store, ended)).state is State.DELIVERED
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["webhooks_unreadable"]


# ---- the transaction that ends a job


async def test_a_webhook_is_written_with_what_ended_or_not_at_all(database: Database, store: SqlWebhookStore) -> None:
    class UndoneError(Exception):
        pass

    with pytest.raises(UndoneError):
        async with database.writing() as connection:
            await queue(connection, delivery_to("https://example.org/"))
            raise UndoneError
    assert await store.standing("job-1") is None
    assert await store.next_due() is None


async def test_webhooks_are_forgotten_with_their_jobs(database: Database, store: SqlWebhookStore) -> None:
    await put(database, *(delivery_to("https://example.org/", f"job-{number}") for number in range(1200)))
    async with database.writing() as connection:
        await forget(connection, [f"job-{number}" for number in range(1199)])
        await forget(connection, [])
    async with database.reading() as connection:
        assert [row.job for row in await connection.execute(text("SELECT job FROM webhooks"))] == ["job-1199"]
