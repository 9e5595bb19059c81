"""What the tests of a release share: the page, built, and uv."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them are marked: ``-m release`` selects them, and ``-m "not release"`` does without their minutes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("release")


def run(*command: str | Path, cwd: Path = ROOT, timeout: float = 600, **environment: str) -> str:
    """Run a command of ours that must not fail; return what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | {"UV_PYTHON_DOWNLOADS": "never"} | environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def page() -> None:
    """Ask for the built page, which needs npm."""
    if shutil.which("npm") is None and os.environ.get("CI") != "true":
        done = subprocess.run([ROOT / "scripts/build-web"], capture_output=True, timeout=600, check=False)
        if done.returncode != 0:
            pytest.skip("npm is not installed, and the page is not built")
    run("scripts/build-web")


@pytest.fixture(scope="session")
def uv() -> str:
    return run("scripts/setup", "uv").strip()
