"""Where webhooks are asked for, and asked about, on both databases."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from code_executor.accounts.accounts import Accounts
from code_executor.app.hooks import desk_of, send_webhooks
from code_executor.app.settings import Settings
from code_executor.core.caller import Caller
from code_executor.core.errors import StorageError, WebhookRefusedError, WebhookUnknownError
from code_executor.jobs.addresses import Allowed
from code_executor.jobs.guard import Guard
from code_executor.jobs.webhooks import Answer, OpenStore, State, Verdict, WebhookDesk, new_delivery
from code_executor.service.metrics import Metrics
from code_executor.storage.database import Database
from code_executor.storage.webhooks import SqlWebhookStore, queue
from tests.receiver import OK, answer, receiving
from tests.storage.test_webhooks import KEY, accounts_of, delivery_to, ended, put, until, verify
from tests.unit.accounts.test_keys import Source

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(database: Database) -> SqlWebhookStore:
    return SqlWebhookStore(database)


def opening(store: SqlWebhookStore) -> OpenStore:
    async def opened() -> SqlWebhookStore:
        return store

    return opened


@pytest.fixture
async def desk(store: SqlWebhookStore) -> WebhookDesk:
    return WebhookDesk(opening(store), Guard(Allowed()), await accounts_of(KEY))


async def test_whoever_has_a_key_may_name_a_public_address(desk: WebhookDesk) -> None:
    assert await desk.admit(KEY.caller, "https://8.8.8.8/hook") == KEY.id
    assert await desk.admit(replace(KEY.caller, learner="abc"), "https://8.8.8.8/hook") == KEY.id


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://8.8.8.8/", "https://user@8.8.8.8/", "nonsense"])
async def test_another_address_is_refused(desk: WebhookDesk, url: str) -> None:
    with pytest.raises(WebhookRefusedError):
        await desk.admit(KEY.caller, url)


@pytest.mark.parametrize("caller", [Caller.of_address("8.8.8.8"), Caller("ce_unknown1"), Caller(KEY.id), Caller()])
async def test_whoever_has_no_key_has_no_secret(desk: WebhookDesk, caller: Caller) -> None:
    with pytest.raises(WebhookRefusedError, match="a webhook needs a key"):
        await desk.admit(caller, "https://8.8.8.8/hook")


async def test_without_the_server_secret_nothing_is_accepted(store: SqlWebhookStore) -> None:
    accounts = Accounts([Source(KEY)])
    await accounts.refresh()
    desk = WebhookDesk(opening(store), Guard(Allowed()), accounts)
    with pytest.raises(StorageError):
        await desk.admit(KEY.caller, "https://8.8.8.8/hook")


async def test_a_job_without_a_webhook_has_none_to_send_again(desk: WebhookDesk) -> None:
    assert await desk.standing("job-1") is None
    with pytest.raises(WebhookUnknownError):
        await desk.send_again("job-1")


async def test_what_is_under_way_is_not_sent_twice_by_asking_again(
    database: Database, store: SqlWebhookStore, desk: WebhookDesk
) -> None:
    await put(database, delivery_to("https://example.org/"))
    now = time.time()
    (taken,) = await store.lease(now, now + 30, lambda due: due)
    standing = await desk.send_again("job-1")
    assert (standing.sending, standing.next_at) == (True, now + 30)
    assert standing.as_object()["nextAttempt"] is None
    await store.settle(taken, Verdict(State.GONE, now, Answer(410, "answered with 410")))
    standing = await desk.send_again("job-1")
    assert (standing.state, standing.attempts, standing.sending) == (State.PENDING, 0, False)
    assert json.loads(json.dumps(standing.as_object())) == {
        "id": standing.id,
        "url": "https://example.org/",
        "state": "pending",
        "attempts": 0,
        "status": 410,
        "error": "answered with 410",
        "nextAttempt": standing.as_object()["nextAttempt"],
    }


async def test_the_parts_are_put_together_by_the_settings(database: Database) -> None:
    async with receiving(answer(500), OK) as receiver:
        settings = Settings.load(webhook_allow="127.0.0.0/8", webhook_retries="0", webhook_timeout=5)
        metrics = Metrics()
        async with send_webhooks(settings, SqlWebhookStore(database), await accounts_of(KEY), metrics) as sender:
            desk = desk_of(settings, opening(SqlWebhookStore(database)), await accounts_of(KEY))
            key = await desk.admit(KEY.caller, receiver.url())
            sent = new_delivery("job-1", key, receiver.url(), b'{"id":"job-1"}', time.time())
            async with database.writing() as connection:
                await queue(connection, sent)
            sender.wake()
            assert (await until(desk, ended)).attempts == 2
            assert (await desk.send_again("job-1")).state is State.PENDING
            await receiver.wait_for(3)
        for got in receiver.got:
            assert verify(got)["data"] == {"id": "job-1"}
    told = metrics.render().decode()
    assert 'code_executor_webhooks_total{outcome="retried"} 1.0' in told
    assert 'code_executor_webhooks_total{outcome="failed"} 0.0' in told
    assert "code_executor_webhook_lag_seconds_count" in told
