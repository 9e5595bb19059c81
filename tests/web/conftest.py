"""What TypeScript's own tools say of web/. Without npm these tests are skipped, and the summary says so; with CI=true
that is a failure.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"

NO_NPM = ""
if shutil.which("npm") is None:
    NO_NPM = "npm is not installed (apt install nodejs npm)"
elif not (WEB / "node_modules/.package-lock.json").exists():
    NO_NPM = "web/node_modules is not there (make web)"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if NO_NPM:
        terminalreporter.section("NOT TESTED: web/, by its types and unit tests", sep="!", red=True)
        terminalreporter.line(NO_NPM)
