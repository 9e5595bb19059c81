"""Requests made from the OpenAPI description, right ones and wrong ones: the server keeps to every word of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve, Server

BEYOND_SCHEMAS = """
[[operations]]
include-path-regex = "^/api/(suites/.*|grade)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "404", "422"]
"""
"""No schema says that two tests must not have one id, or that an expected text must be JSON: suites may be refused."""


@pytest.fixture(scope="module")
def described(serve: Serve) -> Iterator[Server]:
    with serve("native", preload="", pool_size=2, rate_limit="off", check_rate_limit="off", max_timeout=1) as running:
        yield running


@pytest.mark.timeout(300)
def test_the_server_does_what_it_describes(described: Server, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(BEYOND_SCHEMAS)
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{described.url}/openapi.json"]
    options = ["--checks", "all", "--max-examples", "40", "--seed", "1", "--continue-on-failure"]
    patience = ["--request-timeout", "60", "--max-response-time", "60"]  # of a suite with a thousand tests
    done = subprocess.run(
        [*command, *options, *patience],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "Operations:       21 selected / 21 total" in done.stdout
