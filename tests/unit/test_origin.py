"""What doctor says of an image's age, and of an interpreter's libraries."""

from __future__ import annotations

import sys
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from code_executor.core.errors import EngineError
from code_executor.sandbox.origin import OLD, Origin, describe_image, differences, lock_file, of_image, of_interpreter
from tests.conftest import IMAGE

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
LABELS = {
    "org.opencontainers.image.created": "2026-11-17T10:00:00Z",
    "org.opencontainers.image.base.name": "python:3.13-slim-bookworm@sha256:" + "0" * 64,
    "code-executor.packages": "2026-11-10",
}


def described(labels: dict[str, str] | None, created: str = "2026-01-01T00:00:00.123456789Z") -> Origin:
    return describe_image("image:1", {"Created": created, "Config": {"Labels": labels}}, NOW)


def test_an_image_is_told_with_its_day_its_base_and_the_day_of_its_packages() -> None:
    origin = described(LABELS)
    assert origin.line == (
        "image: image:1, built 12 days ago (2026-11-17) from python:3.13-slim-bookworm, with packages of 2026-11-10"
    )
    assert origin.facts == {
        "image": "image:1",
        "built": "2026-11-17",
        "packages": "2026-11-10",
        "packagesDays": 19,
        "base": LABELS["org.opencontainers.image.base.name"],
    }
    assert origin.warning == ""


@pytest.mark.parametrize(("packages", "days"), [("2026-10-30", 30), ("2026-10-29T23:59:59Z", 31), ("2025-11-29", 365)])
def test_packages_of_more_than_thirty_days_are_a_warning(packages: str, days: int) -> None:
    """However lately the image was built: a build takes what lies in the builder's cache."""
    warning = described(LABELS | {"code-executor.packages": packages}).warning
    assert OLD == 30
    assert bool(warning) == (days > OLD)
    assert not warning or warning.startswith(f"the packages of the image are {days} days old; `make image REFRESH=1`")


@pytest.mark.parametrize("labels", [None, {}, {"code-executor.packages": "", "org.opencontainers.image.created": "?"}])
def test_an_image_without_labels_is_as_old_as_docker_says(labels: dict[str, str] | None) -> None:
    origin = described(labels, "2026-11-28T23:00:00.5Z")
    assert origin.line == "image: image:1, built yesterday, with packages of that day"
    assert (origin.facts["packagesDays"], origin.warning) == (1, "")
    assert described(labels).warning.startswith("the packages of the image are 332 days old; ")


def test_an_image_that_says_nothing_of_its_age_is_no_failure() -> None:
    origin = describe_image("image:1", {"Config": {}}, NOW)
    assert origin.line.startswith("image: image:1, built on a day that is not known")
    assert (origin.facts["packages"], origin.warning) == (None, "")


@pytest.mark.anyio
async def test_the_image_of_the_tests_tells_its_age(docker: None) -> None:
    facts: dict[str, Any] = (await of_image(IMAGE)).facts
    assert 0 <= facts["packagesDays"] < 10_000
    assert facts["base"]


@pytest.mark.anyio
async def test_an_image_that_is_not_there_is_an_error(docker: None) -> None:
    with pytest.raises(EngineError, match="No such image"):
        await of_image("code-executor-no-such-image:latest")


# ---- interpreters

LOCK = """
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:00
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:00
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:00
    # via -r requirements.txt
python-dateutil==4.0.0 \\
    --hash=sha256:00
"""


@pytest.mark.parametrize(
    ("installed", "other"),
    [
        ({"numpy": "2.4.6", "python_dateutil": "4.0.0", "pip": "25"}, {}),
        ({"Numpy": "2.5.5", "python.dateutil": "4.0.0"}, {}),
        ({"numpy": "2.4.5", "python-dateutil": "4.0.0"}, {"numpy": "2.4.5"}),
        ({"numpy": "2.4.6"}, {"python-dateutil": ""}),
    ],
)
def test_an_interpreter_has_the_libraries_of_the_lock_or_it_is_told_which_not(
    installed: dict[str, str], other: dict[str, str]
) -> None:
    assert differences(installed, LOCK) == other


def test_the_lock_is_that_of_the_checkout() -> None:
    assert lock_file() == Path(__file__).parents[2] / "requirements.lock"


@pytest.mark.anyio
async def test_an_interpreter_without_the_libraries_is_told_so(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    (tmp_path / "lock").write_text(LOCK)
    python = str(tmp_path / "bare/bin/python")
    origin = await of_interpreter(python, tmp_path / "lock")
    version = ".".join(map(str, sys.version_info[:3]))
    assert origin.line == (
        f"python: {python} ({version}); "
        "its libraries are not those of requirements.lock: without numpy, python-dateutil"
    )
    assert origin.facts == {"python": python, "version": version, "matchesLock": False}
    (tmp_path / "lock").write_text("")
    assert (await of_interpreter(python, tmp_path / "lock")).line.endswith(
        "; its libraries are those of requirements.lock"
    )


@pytest.mark.anyio
async def test_what_is_no_interpreter_is_an_error() -> None:
    for path in ("/nowhere/python", "/bin/true"):
        with pytest.raises(EngineError, match=f"cannot ask {path} what is installed"):
            await of_interpreter(path)
