"""What is signed is verified by the library that receivers use, and nothing else is."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from code_executor.accounts.secret import ServerSecret
from code_executor.jobs.signing import Generation, signed_headers, webhook_secret

SERVER = ServerSecret(bytes(range(32)))
OLD, NEW = webhook_secret(SERVER, "k3x9q2pa", 1), webhook_secret(SERVER, "k3x9q2pa", 2)
BODY = '{"type":"job.done","data":"ä"}'.encode()


def verified(secret: str, headers: Mapping[str, str], body: bytes = BODY) -> object:
    return Webhook(secret).verify(body, dict(headers))


def test_the_library_verifies_what_is_signed() -> None:
    headers = signed_headers("msg_1", int(time.time()), BODY, [OLD])
    assert verified(OLD, headers) == {"type": "job.done", "data": "ä"}


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "webhook-signature", "body", "secret"])
def test_the_library_refuses_what_was_changed(changed: str) -> None:
    headers = dict(signed_headers("msg_1", int(time.time()), BODY, [OLD]))
    if changed == "webhook-timestamp":
        headers[changed] = str(int(headers[changed]) + 1)
    elif changed == "webhook-id":
        headers[changed] += "x"
    elif changed == "webhook-signature":
        headers[changed] = "v1," + headers[changed][3:].swapcase()
    body = BODY + b" " if changed == "body" else BODY
    with pytest.raises(WebhookVerificationError):
        verified(NEW if changed == "secret" else OLD, headers, body)


def test_during_a_rotation_both_secrets_verify_and_afterwards_the_new_one_alone() -> None:
    rotated = Generation(2, previous_until=100.0)
    for now, good, bad in ((99.0, (OLD, NEW), ()), (100.0, (NEW,), (OLD,))):
        secrets = [webhook_secret(SERVER, "k3x9q2pa", number) for number in rotated.valid(now)]
        headers = signed_headers("msg_1", int(time.time()), BODY, secrets)
        for secret in good:
            verified(secret, headers)
        for secret in bad:
            with pytest.raises(WebhookVerificationError):
                verified(secret, headers)


def test_a_secret_is_of_one_key_and_one_server_and_no_learner_token_has_it() -> None:
    from code_executor.accounts.learners import token_secret
    from tests.unit.accounts.test_keys import made

    _, key = made()
    other = ServerSecret(bytes(32))
    all_of_them = {OLD, NEW, webhook_secret(SERVER, "k3x9q2pb", 1), webhook_secret(other, "k3x9q2pa", 1)}
    assert len(all_of_them) == 4
    assert token_secret(SERVER, key, 1).removeprefix("ces_")[:20] not in webhook_secret(SERVER, key.id, 1)
