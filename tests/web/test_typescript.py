"""The types of web/ fit together, and its unit tests (web/tests) pass."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.browser.conftest import need
from tests.web.conftest import NO_NPM, WEB

SKIPPED_BY_OLD_NODE = 3
"""Tests that need a Node.js of 20.12 or newer."""


def npm(*arguments: str) -> subprocess.CompletedProcess[str]:
    need(NO_NPM)
    return subprocess.run(
        ["npm", *arguments], cwd=WEB, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


@pytest.mark.timeout(300)
def test_types_fit_together() -> None:
    done = npm("run", "check")
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_unit_tests_pass() -> None:
    done = npm("test")
    assert done.returncode == 0, done.stdout
    passed = re.search(r"\bpass (\d+)$", done.stdout, re.MULTILINE)
    assert passed, done.stdout
    sources = "".join(path.read_text() for path in (WEB / "tests").glob("*.test.ts"))
    assert int(passed[1]) >= len(re.findall(r"^test\(", sources, re.MULTILINE)) - SKIPPED_BY_OLD_NODE
