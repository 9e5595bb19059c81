"""A server that is killed between sending a webhook and writing that down sends it again: it arrives at least once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import pytest
from standardwebhooks.webhooks import Webhook

from code_executor.accounts.secret import ServerSecret
from code_executor.jobs.signing import webhook_secret
from code_executor.jobs.webhooks import State
from code_executor.storage.database import Database
from code_executor.storage.webhooks import SqlWebhookStore
from tests.receiver import OK, Got, receiving
from tests.storage.test_webhooks import KEY, delivery_to, ended, put, sending, until

pytestmark = pytest.mark.anyio

SERVER = """
import asyncio, sys
from code_executor.accounts.accounts import Accounts
from code_executor.accounts.keys import Key
from code_executor.accounts.secret import ServerSecret
from code_executor.app.hooks import send_webhooks
from code_executor.app.settings import Settings
from code_executor.service.metrics import Metrics
from code_executor.storage.database import Database
from code_executor.storage.webhooks import SqlWebhookStore

class Keys:
    async def keys(self):
        return [Key(sys.argv[2], "moodle", b"", "")]

async def main():
    accounts = Accounts([Keys()], lambda: ServerSecret(bytes(range(32))))
    await accounts.refresh()
    async with Database.open(sys.argv[1]) as database:
        store = SqlWebhookStore(database)
        async with send_webhooks(Settings.load(webhook_allow="127.0.0.1"), store, accounts, Metrics()):
            await asyncio.Event().wait()

asyncio.run(main())
"""
COUNT = 12


async def test_every_webhook_arrives_though_the_server_is_killed_in_the_middle(
    database: Database, migrated_url: str
) -> None:
    store = SqlWebhookStore(database)
    served: list[asyncio.subprocess.Process] = []

    async def kill_at_the_seventh(got: Got, writer: asyncio.StreamWriter) -> None:
        if len(receiver.got) == 7:
            os.kill(served[0].pid, signal.SIGKILL)
            await served[0].wait()
        writer.write(OK)

    async with receiving(act=kill_at_the_seventh) as receiver:
        await put(database, *(delivery_to(receiver.url(), f"job-{number}") for number in range(COUNT)))
        command = [sys.executable, "-c", SERVER, migrated_url, KEY.id]
        served.append(await asyncio.create_subprocess_exec(*command))
        async with asyncio.timeout(60):
            assert await served[0].wait() == -signal.SIGKILL
        killed_at = [await store.standing(f"job-{number}") for number in range(COUNT)]
        left = [standing for standing in killed_at if standing is not None and standing.state is State.PENDING]
        assert [standing for standing in left if standing.sending]
        first = {got.headers["webhook-id"] for got in receiver.got}
        assert first & {standing.id for standing in left}  # one arrived, and nobody wrote that down

        async with sending(store, now=lambda: time.time() + 60):  # once the leases have run out
            await asyncio.gather(*(until(store, ended, f"job-{number}") for number in range(COUNT)))
    assert len({got.headers["webhook-id"] for got in receiver.got}) == COUNT
    assert len(receiver.got) > COUNT
    secret = webhook_secret(ServerSecret(bytes(range(32))), KEY.id, 1)
    for got in receiver.got:
        Webhook(secret).verify(got.body, got.headers)
