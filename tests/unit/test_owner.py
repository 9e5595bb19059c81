"""Only who is dead for sure is said to be gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest

from code_executor.sandbox import owner
from code_executor.sandbox.owner import Owner

HERE = Owner("machine", "boot", "4026531836", 1234, "777")


@pytest.fixture(autouse=True)
def _is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_surroundings", lambda: (HERE.machine, HERE.boot, HERE.namespace))


def dead() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("change", "is_gone"),
    [
        (lambda here: here, False),
        (lambda here: replace(here, pid=dead()), True),
        (lambda here: replace(here, started="1"), True),  # its number is another's now
        (lambda here: replace(here, boot="before", namespace="1"), True),
        (lambda here: replace(here, pid=dead(), namespace="1"), False),
        (lambda here: replace(here, pid=dead(), machine="another"), False),
        (lambda here: replace(here, boot="another", machine="another"), False),
        (lambda here: replace(here, pid=dead(), machine=""), False),
    ],
)
def test_an_owner_is_gone_if_that_is_sure(change: Callable[[Owner], Owner], is_gone: bool) -> None:
    found = Owner.of_label(change(Owner.this()).label)
    assert found is not None
    assert found.is_gone() is is_gone


def test_another_boot_of_a_machine_without_a_name_may_be_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_surroundings", lambda: ("", "boot", "1"))
    assert not Owner("", "another", "1", dead(), "1").is_gone()
    assert Owner("", "boot", "1", dead(), "1").is_gone()


@pytest.mark.parametrize("label", ["", "host/12/345", "a/b/c/d/e", "a/b/c/1/e/f", "a/b/c/-1/e"])
def test_what_is_no_label_names_nobody(label: str) -> None:
    assert Owner.of_label(label) is None


@pytest.mark.parametrize("tag", ["", "1234", "x.1.1", "..", "1.2.3.4"])
def test_what_is_no_tag_is_left_alone(tag: str) -> None:
    assert not owner.is_gone(tag)


def test_a_tag_says_the_same_as_a_label_on_this_machine() -> None:
    here = Owner.this()
    assert "-" not in here.tag
    assert not owner.is_gone(here.tag)
    assert owner.is_gone(replace(here, pid=dead()).tag)
    assert owner.is_gone(replace(here, started="1").tag)
    assert not owner.is_gone(replace(here, pid=dead(), namespace="1").tag)
    assert not owner.is_gone(replace(here, pid=dead(), boot="another").tag)


def test_where_proc_shows_another_namespace_nobody_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = replace(Owner.this(), pid=dead())
    assert gone.is_gone()
    monkeypatch.setattr(os, "getpid", lambda: 2)
    assert not gone.is_gone()
    assert not owner.is_gone(gone.tag)


def test_a_machine_is_not_named_by_what_is_secret_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert Owner.this().boot == file.read().strip()
    assert Owner.this().started == owner.started(os.getpid())
