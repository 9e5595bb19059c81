"""What is built of what, and when again: the lock, the pinned base, and the decisions of scripts/build-image.

Docker is a stand-in here that knows the images it is told of: whether a real one builds them is shown by the tests
that use the images.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TAG = "code-executor:latest"
PINNED = "python:3.13-slim-bookworm@sha256:" + "1" * 64
TODAY = f"{datetime.now(UTC):%F}"

DOCKER = f"""#!{sys.executable}
import json, os, re, sys
path = os.environ["STATE"]
state = json.load(open(path))
arguments = sys.argv[1:]
def after(option):
    return [value for name, value in zip(arguments, arguments[1:]) if name == option]
if arguments[0] == "pull":
    if arguments[1] not in state["registry"]:
        sys.exit("no registry is to be reached")
    print("Digest: " + state["registry"][arguments[1]])
    state["images"].setdefault(arguments[1], {{"Created": "2026-10-01T00:00:00Z", "Labels": {{}}}})
elif arguments[:2] == ["image", "inspect"]:
    image = state["images"].get(arguments[-1])
    if image is None:
        sys.exit("No such image")
    for template in after("--format"):
        if ".Created" in template:
            print(image["Created"])
        elif "Labels" in template:
            print(image["Labels"].get(re.search(r'"(.*)"', template)[1], ""))
elif arguments[0] == "build":
    if (fails := state.get("fails")):
        sys.exit(fails)
    arguments_of_build = dict(value.split("=", 1) for value in after("--build-arg"))
    state["builds"].append(arguments_of_build)
    labels = dict(value.split("=", 1) for value in after("--label"))
    state["images"][after("--tag")[0]] = {{"Created": "", "Labels": labels}}
json.dump(state, open(path, "w"))
"""


class Checkout:
    """A copy of what the scripts use, and the stand-in for Docker."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "checkout"
        shutil.copytree(ROOT / "scripts", self.root / "scripts")
        shutil.copytree(ROOT / "src/sandbox_agent", self.root / "src/sandbox_agent")
        for name in ("Dockerfile", "Dockerfile.server", "requirements.txt", "requirements.lock"):
            shutil.copy(ROOT / name, self.root / name)
        self.pin(PINNED, "2026-10-06")
        self.state_file = directory / "state"
        self.save({"registry": {PINNED: PINNED.partition("@")[2]}, "images": {}, "builds": []})
        tools = directory / "tools"
        tools.mkdir()
        (tools / "docker").write_text(DOCKER)
        (tools / "docker").chmod(0o755)
        self.path = f"{tools}:{os.environ['PATH']}"

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state

    def save(self, state: dict[str, Any]) -> None:
        self.state_file.write_text(json.dumps(state))

    def pin(self, base: str, day: str) -> None:
        for name in ("Dockerfile", "Dockerfile.server"):
            text = (self.root / name).read_text()
            text = re.sub(r"^ARG BASE_IMAGE=.*", f"ARG BASE_IMAGE={base}", text, flags=re.MULTILINE)
            text = re.sub(r"^ARG BASE_DATE=.*", f"ARG BASE_DATE={day}", text, flags=re.MULTILINE)
            (self.root / name).write_text(text)

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.root,
            env={"PATH": self.path, "STATE": str(self.state_file), "HOME": str(self.root)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def build(self, **environment: str) -> dict[str, str] | None:
        """Run scripts/build-image; return the arguments of the build, None where it built nothing."""
        before = len(self.state["builds"])
        done = self.run("scripts/build-image", **environment)
        assert (done.returncode, done.stdout) == (0, f"{TAG}\n"), done.stderr
        builds = self.state["builds"][before:]
        assert len(builds) <= 1
        return builds[0] if builds else None

    def label(self, name: str) -> str:
        label: str = self.state["images"][TAG]["Labels"][name]
        return label

    def change_agent(self) -> None:
        with (self.root / "src/sandbox_agent/__init__.py").open("a") as file:
            file.write("# changed\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


# ---- the image


def test_the_image_is_built_of_the_pinned_base_as_it_is(checkout: Checkout) -> None:
    assert checkout.build() == {"BASE_IMAGE": PINNED, "BASE_DATE": "2026-10-06", "UPDATED": ""}
    assert checkout.label("org.opencontainers.image.base.digest") == PINNED.partition("@")[2]
    assert checkout.label("org.opencontainers.image.created").startswith(TODAY[:4])


def test_unchanged_sources_build_nothing(checkout: Checkout) -> None:
    assert checkout.build()
    assert checkout.build() is None


@pytest.mark.parametrize("what", ["Dockerfile", "requirements.lock", "src/sandbox_agent/__main__.py"])
def test_whatever_changes_the_image_builds_it_again(checkout: Checkout, what: str) -> None:
    assert checkout.build()
    with (checkout.root / what).open("a") as file:
        file.write("\n# changed\n")
    assert checkout.build()


def test_other_libraries_make_another_image(checkout: Checkout) -> None:
    assert checkout.build()
    (checkout.root / "other.lock").write_text("attrs==25.4.0\n")
    assert checkout.build(REQUIREMENTS="other.lock")
    assert checkout.build(REQUIREMENTS="other.lock") is None
    assert not (checkout.root / "build-requirements.lock").exists()
    assert checkout.build()


def test_a_refresh_builds_unchanged_sources_with_the_updates_of_now(checkout: Checkout) -> None:
    checkout.build()
    refreshed = checkout.build(REFRESH="1")
    assert refreshed
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", refreshed["UPDATED"])
    assert checkout.build() is None


def test_a_build_after_a_refresh_does_not_bring_the_old_packages_back(checkout: Checkout) -> None:
    checkout.build()
    refreshed = checkout.build(REFRESH="1")
    checkout.change_agent()
    assert checkout.build() == refreshed


def test_a_base_newer_than_the_refresh_needs_it_no_more(checkout: Checkout) -> None:
    checkout.build(REFRESH="1")
    checkout.pin(PINNED, "2999-01-01")
    assert checkout.build() == {"BASE_IMAGE": PINNED, "BASE_DATE": "2999-01-01", "UPDATED": ""}


def test_another_base_is_taken_with_its_own_day(checkout: Checkout) -> None:
    checkout.save(checkout.state | {"images": {"mine:1": {"Created": "2026-07-08T09:10:11.5Z", "Labels": {}}}})
    built = checkout.build(BASE_IMAGE="mine:1")
    assert built == {"BASE_IMAGE": "mine:1", "BASE_DATE": "2026-07-08", "UPDATED": ""}
    assert "org.opencontainers.image.base.digest" not in checkout.state["images"][TAG]["Labels"]


def test_without_a_registry_the_base_made_of_debians_packages_is_taken_with_their_updates(checkout: Checkout) -> None:
    images = {"code-executor-base:trixie": {"Created": "2026-01-02T03:04:05.6Z", "Labels": {}}}
    checkout.save(checkout.state | {"registry": {}, "images": images})
    first = checkout.build()
    assert first == {"BASE_IMAGE": "code-executor-base:trixie", "BASE_DATE": "2026-01-02", "UPDATED": TODAY}
    checkout.change_agent()
    assert checkout.build() == first


def test_a_failed_build_shows_its_log_and_leaves_no_certificates(checkout: Checkout) -> None:
    (checkout.root / "ca").write_text("certificates")
    checkout.save(checkout.state | {"fails": "pip did not like that"})
    done = checkout.run("scripts/build-image", PIP_CERT=str(checkout.root / "ca"))
    assert done.returncode == 1
    assert "pip did not like that" in done.stderr
    assert not (checkout.root / "build-ca.crt").exists()


# ---- the base


def test_both_images_have_the_same_base_pinned_by_its_digest() -> None:
    pins = {
        tuple(re.findall(r"^ARG BASE_(?:IMAGE|DATE)=(.+)$", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("Dockerfile", "Dockerfile.server")
    }
    ((image, day),) = pins
    assert re.fullmatch(r"python:3\.\d+-slim-\w+@sha256:[0-9a-f]{64}", image)
    assert datetime.fromisoformat(day)


@pytest.mark.parametrize("tag", ["python:3.13-slim-bookworm", "python:3.14-slim-trixie"])
def test_renewing_the_base_writes_what_the_registry_says_into_both_files(checkout: Checkout, tag: str) -> None:
    new = "sha256:" + "2" * 64
    checkout.save(checkout.state | {"registry": {tag: new}})
    done = checkout.run("scripts/renew-base", *([] if "3.13" in tag else [tag]))
    assert done.returncode == 0, done.stderr
    assert f"is now {tag}@{new}" in done.stdout
    for name in ("Dockerfile", "Dockerfile.server"):
        lines = (checkout.root / name).read_text().splitlines()
        assert f"ARG BASE_IMAGE={tag}@{new}" in lines
        assert f"ARG BASE_DATE={TODAY}" in lines
        assert len([line for line in lines if line.startswith("ARG BASE_")]) >= 2


def test_a_base_that_is_still_the_same_is_told_so(checkout: Checkout) -> None:
    checkout.save(checkout.state | {"registry": {PINNED.partition("@")[0]: PINNED.partition("@")[2]}})
    assert checkout.run("scripts/renew-base").stdout == f"{PINNED} is still what the tag means\n"
    assert f"ARG BASE_DATE={TODAY}" in (checkout.root / "Dockerfile").read_text()


@pytest.mark.parametrize("registry", [{}, {PINNED.partition("@")[0]: "sha256:short"}], ids=["away", "odd"])
def test_without_an_answer_of_the_registry_no_file_is_touched(checkout: Checkout, registry: dict[str, str]) -> None:
    checkout.save(checkout.state | {"registry": registry})
    before = (checkout.root / "Dockerfile").read_text()
    assert checkout.run("scripts/renew-base").returncode != 0
    assert (checkout.root / "Dockerfile").read_text() == before


# ---- the lock


def locked() -> dict[str, list[str]]:
    """The packages of requirements.lock, by name: the text of each of their entries."""
    entries: dict[str, list[str]] = {}
    for entry in re.split(r"^(?=\w)", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]:
        entries.setdefault(entry.partition("==")[0], []).append(entry)
    return entries


def required() -> set[str]:
    """What requirements.txt names."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    return {re.split(r"[^\w-]", line)[0] for line in lines if line}


def test_the_lock_is_of_the_requirements_as_they_are(checkout: Checkout) -> None:
    assert checkout.run("scripts/lock", "--check").returncode == 0
    by_name = {name for name, entries in locked().items() if "-r requirements.txt" in entries[0]}
    assert by_name == required()
    assert "pytest" in by_name


def test_every_locked_package_has_one_version_and_hashes() -> None:
    entries = [entry for entries in locked().values() for entry in entries]
    assert len(entries) > 15
    for entry in entries:
        assert re.match(r"[\w-]+==[\w.]+( ; .+)? \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry


@pytest.mark.parametrize(
    ("requirements", "fits"),
    [
        ("{}", True),
        ("# a comment\n\n{}  # and another\n", True),
        ("{}\nseaborn\n", False),
        ("", False),
    ],
)
def test_changed_requirements_are_noticed_before_anything_is_built(
    checkout: Checkout, requirements: str, fits: bool
) -> None:
    now = "\n".join(sorted(required(), reverse=True))
    (checkout.root / "requirements.txt").write_text(requirements.format(now))
    done = checkout.run("scripts/build-image")
    assert (done.returncode == 0) == fits
    assert (done.stderr == "requirements.txt has changed since requirements.lock was made: run `make lock`\n") != fits


def test_image_and_native_interpreter_are_made_of_the_lock() -> None:
    for name in ("Dockerfile", "scripts/setup"):
        install = re.search(
            r"--require-hashes -r (?:/build/)?(\S+?)(?:; \\)?$", (ROOT / name).read_text(), re.MULTILINE
        )
        assert install, name
        assert install[1] == "requirements.lock"
        assert "requirements.txt" not in (ROOT / name).read_text()
