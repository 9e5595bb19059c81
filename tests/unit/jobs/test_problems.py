"""What a client reads of a webhook that is refused, or that there is not."""

from __future__ import annotations

import pytest

from code_executor.api.problems import from_failure
from code_executor.core.errors import CodeExecutorError, WebhookRefusedError, WebhookUnknownError
from code_executor.jobs.guard import LookupFailedError


@pytest.mark.parametrize(
    ("error", "status"), [(WebhookRefusedError, 422), (LookupFailedError, 422), (WebhookUnknownError, 409)]
)
def test_the_answer_says_why(error: type[CodeExecutorError], status: int) -> None:
    refusal = from_failure(error("the address of a webhook begins with https://"))
    assert (refusal.status, refusal.detail) == (status, "The address of a webhook begins with https://.")
