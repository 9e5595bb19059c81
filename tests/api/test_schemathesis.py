"""Requests made from the OpenAPI description, right ones and wrong ones: the server keeps to every word of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve, Server

CONFIGURATION = """
[phases.fuzzing.error-feedback]
enabled = false

[[operations]]
include-path-regex = "^/api/(jobs|batches)/"
checks.use_after_free.enabled = false

[[operations]]
include-path-regex = "^/api/(suites/.*|grade|receipts/verify|jobs|batches)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "422"]
"""
"""What it reads out of the sentences of refusals is not always so, and in the end it finds no suite at all to ask with:
it keeps to the description. All checks, but: `DELETE` cancels a job, which is there all the same. And no schema says
that two tests must not have one id, that an expected text must be JSON, what a receipt is, or where webhooks may go:
what is as described may be refused there."""


@pytest.fixture(scope="module")
def described(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"rate_limit": "off", "check_rate_limit": "off", "max_timeout": 1}
    data = tmp_path_factory.mktemp("data")
    with serve("native", preload="", pool_size=2, data=data, **settings) as running:
        yield running


@pytest.mark.timeout(600)
def test_the_server_does_what_it_describes(described: Server, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{described.url}/openapi.json"]
    options = ["--max-examples", "25", "--seed", "1", "--continue-on-failure"]
    patience = ["--request-timeout", "90", "--max-response-time", "60"]  # of a suite with a thousand tests
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    done = subprocess.run(
        [*command, *options, *patience],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("schemathesis_hooks.py"))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Operations:       33 selected / 33 total" in done.stdout
