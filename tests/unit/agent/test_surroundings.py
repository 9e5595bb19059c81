"""What a run could change around its directories is found, and a change of it ends the sandbox."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox_agent.confinement import kernel
from sandbox_agent.supervisor.reset import ResetError
from sandbox_agent.supervisor.surroundings import Surroundings, changeable

UID = 52_123

InChild = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def tree(tmpfs: Callable[..., Path]) -> Path:
    """A file system of root's, with one thing of every kind that somebody else can change, and of those they cannot."""
    top = tmpfs("size=1m,mode=0755")
    for name, mode in (("for all", 0o666), ("of root", 0o644), ("of the run", 0o600), ("of its group", 0o660)):
        (top / name).touch()
        (top / name).chmod(mode)
    os.chown(top / "of the run", UID, 0)
    os.chown(top / "of its group", 0, UID)
    (top / "link").symlink_to("nowhere")
    for name, mode in (("open", 0o755), ("closed", 0o700), ("sticky", 0o1777)):
        (top / name).mkdir()
        (top / name / "for all").touch()
        (top / name / "for all").chmod(0o666)
        (top / name).chmod(mode)
    return top


CHANGEABLE = {"for all", "of the run", "of its group", "link", "open/for all", "sticky", "sticky/for all"}


def found(top: Path, own: tuple[str, ...] = ()) -> set[str]:
    return {str(Path(path).relative_to(top)) for path in changeable((str(top),), own, UID)}


def test_what_a_run_could_change_is_found_and_nothing_else(tree: Path) -> None:
    assert found(tree) == CHANGEABLE


def test_what_it_says_is_what_the_kernel_says(tree: Path, in_child: InChild) -> None:
    everything = [str(path.relative_to(tree)) for path in tree.rglob("*")]

    def touched() -> list[str]:
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
        done = []
        for name in everything:
            try:
                os.utime(tree / name, follow_symlinks=False)
            except OSError:
                continue
            done.append(name)
        return done

    assert set(in_child(touched)) == CHANGEABLE


def test_the_runs_own_directories_and_what_is_read_only_are_left_out(tree: Path, tmpfs: Callable[..., Path]) -> None:
    assert found(tree, own=(str(tree),)) == set()
    kernel.bind_read_only(str(tree), str(tree))
    try:
        assert found(tree) == set()
    finally:
        kernel.unmount(str(tree))


CHANGES: dict[str, Callable[[Path], Any]] = {
    "a time of now": lambda top: os.utime(top / "for all"),
    "the time of a link": lambda top: os.utime(top / "link", follow_symlinks=False),
    "a time of reading": lambda top: os.utime(top / "for all", ns=(1, (top / "for all").stat().st_mtime_ns)),
    "a mode": lambda top: (top / "of the run").chmod(0o666),
    "an owner": lambda top: os.chown(top / "of the run", 0, -1),
    "a group": lambda top: os.chown(top / "of the run", -1, UID),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_ends_the_sandbox(what: str, tree: Path) -> None:
    around = Surroundings((str(tree),), (), UID)
    around.prove_unchanged()
    CHANGES[what](tree)
    with pytest.raises(ResetError, match=f"changed by a run: {tree}/"):
        around.prove_unchanged()


def test_a_change_that_is_put_back_is_one_all_the_same(tree: Path) -> None:
    around = Surroundings((str(tree),), (), UID)
    before = (tree / "for all").stat()
    time.sleep(0.02)  # the clock of files stands still for some milliseconds
    os.utime(tree / "for all", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ResetError):
        around.prove_unchanged()


def test_reading_a_link_of_proc_is_no_change() -> None:
    around = Surroundings(("/proc",), (), UID)
    for name in ("self", "thread-self", "mounts", "net"):
        os.readlink(f"/proc/{name}")
        os.path.realpath(f"/proc/{name}")
    around.prove_unchanged()


def test_where_nothing_is_watched_nothing_is_proved() -> None:
    around = Surroundings((), (), UID)
    assert around._held == {}
    around.prove_unchanged()
