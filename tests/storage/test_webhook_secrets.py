"""``code-executor keys webhook-secret`` shows what signs, as often as it is asked, and makes a new one when told to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from code_executor.accounts.secret import ServerSecret
from code_executor.jobs.signing import webhook_secret
from code_executor.storage.database import Database
from code_executor.storage.webhooks import SqlWebhookStore
from tests.api.test_keys import attempt, keys, made

pytestmark = pytest.mark.anyio


def secrets(printed: str) -> list[str]:
    return re.findall(r"^whsec_\S+$", printed, re.MULTILINE)


async def test_the_secret_of_a_key_is_shown_and_rotated(tmp_path: Path, migrated_url: str) -> None:
    settings = {"database": migrated_url}
    keys(tmp_path, "add", "--name", "moodle", **settings)
    key_id = keys(tmp_path, "list", **settings).split()[0]
    secret = ServerSecret.read(str(tmp_path / "secret"))
    assert secret is not None
    first, second, third = (webhook_secret(secret, key_id, number) for number in (1, 2, 3))

    assert keys(tmp_path, "webhook-secret", "moodle", **settings) == f"{first}\n"
    assert secrets(keys(tmp_path, "webhook-secret", key_id, "--rotate", **settings)) == [second, first]
    again = keys(tmp_path, "webhook-secret", "moodle", **settings)
    assert secrets(again) == [second, first]
    assert "Both sign until" in again
    assert keys(tmp_path, "webhook-secret", "moodle", "--rotate", "--grace", "0m", **settings) == f"{third}\n"
    keys(tmp_path, "rotate", "moodle", **settings)
    assert keys(tmp_path, "webhook-secret", "moodle", **settings) == f"{third}\n"
    async with Database.open(migrated_url) as database:
        assert (await SqlWebhookStore(database).generation(key_id)).number == 3


def test_a_key_of_a_file_has_a_secret_too(tmp_path: Path) -> None:
    table = attempt(tmp_path, "keys", "add", "--name", "git", "--toml").stdout
    file = tmp_path / "keys.toml"
    file.write_text(table)
    assert len(secrets(keys(tmp_path, "webhook-secret", "git", keys=str(file)))) == 1
    assert not list(tmp_path.glob("*.db"))
    assert len(secrets(keys(tmp_path, "webhook-secret", "git", "--rotate", keys=str(file)))) == 2


def test_a_key_that_there_is_not_has_none(tmp_path: Path) -> None:
    made(tmp_path, "moodle")
    done = attempt(tmp_path, "keys", "webhook-secret", "noodle")
    assert done.returncode != 0
    assert "there is no key noodle" in done.stderr
    keys(tmp_path, "revoke", "moodle")
    assert "there is no key moodle" in attempt(tmp_path, "keys", "webhook-secret", "moodle").stderr


def test_another_server_secret_makes_no_secret_that_nothing_is_signed_with(tmp_path: Path) -> None:
    made(tmp_path, "moodle")
    (tmp_path / "secret").write_text("ab" * 32)
    assert "another server secret" in attempt(tmp_path, "keys", "webhook-secret", "moodle").stderr
