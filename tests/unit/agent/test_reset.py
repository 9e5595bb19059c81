"""After a reset nothing of a run is left: no process, no file, no time stamp; or the sandbox is given up."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sandbox_agent
from sandbox_agent.supervisor import reset
from sandbox_agent.supervisor.reset import Box, ResetError, empty

UID = 52_123
SRC = str(Path(sandbox_agent.__file__).parents[1])

InChild = Callable[[Callable[[], Any]], Any]


# ---- emptying a directory


def nest(depth: int) -> None:
    """Make directories in directories below the working directory, deeper than any path can name."""
    for level in range(depth):
        os.mkdir("d")
        os.chdir("d")
        if level % 100 == 0:
            Path("file").write_text("x")


def as_run(box: Path, work: Callable[[], Any]) -> Callable[[], Any]:
    """Do something in the box, under the uid of a run."""

    def enter_and_work() -> Any:
        os.chdir(box)
        os.umask(0o077)
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
        return work()

    return enter_and_work


def locked() -> None:
    for name in ("a", "a/b", "a/b/c", "sealed"):
        os.mkdir(name)
        Path(name, "file").write_text("x")
    for name, mode in (("a/b/c/file", 0), ("a/b/c", 0), ("a/b", 0o111), ("a", 0o500), ("sealed", 0o400)):
        os.chmod(name, mode)


def strange() -> None:
    os.mkfifo("fifo")
    socket.socket(socket.AF_UNIX).bind("socket")
    os.symlink("/nowhere", "dangling")
    os.symlink(".", "loop")
    os.link("fifo", "same")
    for name in (b"\xff\xfe", b"new\nline", b"-rf", b"*", b" ", b"." * 3, b"x" * 255):
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        os.mkdir(name + b"d" if len(name) < 200 else b"y" * 255)


def many() -> None:
    for number in range(5_000):
        os.close(os.open(f"f{number}", os.O_CREAT | os.O_WRONLY))


def wide() -> None:
    for number in range(400):
        os.makedirs(f"d{number}/e/f")
        os.close(os.open(f"d{number}/e/f/g", os.O_CREAT | os.O_WRONLY))


LEFT_BEHIND: dict[str, Callable[[], Any]] = {
    "1,500 nested directories": lambda: nest(1_500),
    "locked directories": locked,
    "FIFOs, sockets, links and names": strange,
    "5,000 files": many,
    "many directories": wide,
    "a full disk": lambda: Path("full").write_bytes(bytes(15 << 20)),
}


@pytest.fixture
def box(tmpfs: Callable[..., Path]) -> Path:
    return tmpfs(f"size=16m,nr_inodes=8192,mode=0700,uid={UID},gid={UID}")


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_whatever_a_run_left_is_removed_and_that_is_proved(what: str, box: Path, in_child: InChild) -> None:
    clean = Box((str(box),), UID)
    in_child(as_run(box, lambda: (LEFT_BEHIND[what](), None)[1]))
    assert clean.dirty() == [str(box)]
    clean.wipe()
    assert clean.dirty() == []
    assert os.listdir(box) == []


def test_nothing_outside_is_touched(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "directory").mkdir(parents=True)
    (outside / "file").write_text("precious")
    (outside / "directory").chmod(0o500)
    inside = tmp_path / "box"
    (inside / "a").mkdir(parents=True)
    for where in (inside, inside / "a"):
        (where / "file").symlink_to(outside / "file")
        (where / "directory").symlink_to(outside / "directory")
        (where / "outside").symlink_to(outside)
        (where / "up").symlink_to("..")
        os.link(outside / "file", where / "hard")
    before = {path: path.stat().st_mode for path in outside.rglob("*")}
    empty(str(inside))
    assert os.listdir(inside) == []
    assert {path: path.stat().st_mode for path in outside.rglob("*")} == before
    assert (outside / "file").read_text() == "precious"


def test_a_box_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "box").symlink_to("precious")
    with pytest.raises(OSError, match="box"):
        empty(str(tmp_path / "box"))
    assert (tmp_path / "precious" / "file").exists()


def test_depth_costs_no_descriptors(tmpfs: Callable[..., Path], in_child: InChild) -> None:
    box = tmpfs()

    def nest_and_empty() -> list[str]:
        os.chdir(box)
        nest(1_500)
        room = max(map(int, os.listdir("/proc/self/fd"))) + 4
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
        empty(str(box))
        return os.listdir(box)

    assert in_child(nest_and_empty) == []


# ---- noticing


def come_and_go(box: Path) -> None:
    (box / "file").touch()
    (box / "file").unlink()


CHANGES: dict[str, Callable[[Path], Any]] = {
    "an empty file": lambda box: (box / "file").touch(),
    "bytes in a file": lambda box: (box / "file").write_bytes(b"x"),
    "a directory": lambda box: (box / "directory").mkdir(),
    "a link": lambda box: (box / "link").symlink_to("x"),
    "a file that came and went": come_and_go,
    "the mode of the box": lambda box: box.chmod(0o777),
    "the time of the box": lambda box: os.utime(box, (1, 1)),
    "the time of its last reading": lambda box: os.utime(box, ns=(1, box.stat().st_mtime_ns)),
    "the group of the box": lambda box: os.chown(box, -1, 0),
    "the owner of the box": lambda box: os.chown(box, 0, -1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed(what: str, box: Path) -> None:
    clean = Box((str(box),), UID)
    CHANGES[what](box)
    assert clean.dirty() == [str(box)]


def test_a_file_that_is_deleted_but_open_is_noticed(box: Path) -> None:
    clean = Box((str(box),), UID)
    times = os.stat(box)
    with (box / "file").open("wb") as file:
        file.write(b"x")
        file.flush()
        (box / "file").unlink()
        os.utime(box, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert clean.dirty() == [str(box)]


def test_reading_changes_nothing(box: Path) -> None:
    clean = Box((str(box),), UID)
    os.listdir(box)
    assert clean.dirty() == []
    clean.wipe()


def test_a_run_does_not_leave_a_time_or_a_mode(box: Path, in_child: InChild) -> None:
    def leave_traces() -> None:
        Path("file").touch()
        os.utime(".", (5, 5))
        os.chmod(".", 0)

    before = box.stat()
    clean = Box((str(box),), UID)
    in_child(as_run(box, leave_traces))
    clean.wipe()
    after = box.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert (after.st_atime_ns, after.st_mtime_ns) == (before.st_atime_ns, before.st_mtime_ns)


def test_every_file_system_is_wiped_and_a_missing_one_is_none(tmpfs: Callable[..., Path], in_child: InChild) -> None:
    boxes = [tmpfs(f"size=1m,mode=0700,uid={UID},gid={UID}") for _ in range(3)]
    clean = Box((*map(str, boxes), "/nowhere"), UID)
    for box in boxes[1:]:
        in_child(as_run(box, lambda: Path("file").write_text("x")))
    assert clean.dirty() == [str(box) for box in boxes[1:]]
    clean.wipe()
    assert clean.dirty() == []


def test_a_wipe_without_a_uid_is_this_users(tmpfs: Callable[..., Path]) -> None:
    box = tmpfs()
    clean = Box((str(box),), None)
    (box / "directory").mkdir()
    (box / "directory" / "file").touch()
    clean.wipe()
    assert clean.dirty() == []


def test_who_wipes_has_the_uid_and_the_group_of_the_run_and_no_other(
    box: Path, in_child: InChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = Box((str(box),), UID)
    (box / "file").touch()
    reader, writer = os.pipe()

    def tell(_: str) -> None:
        os.write(writer, json.dumps([os.getresuid(), os.getresgid(), os.getgroups()]).encode())

    def wipe() -> Any:
        os.setgroups([UID + 1])
        with pytest.raises(ResetError):
            clean.wipe()
        return json.loads(os.read(reader, 4096))

    monkeypatch.setattr(reset, "empty", tell)
    assert in_child(wipe) == [[UID] * 3, [UID] * 3, []]
    os.close(reader)
    os.close(writer)


def test_a_clean_box_is_not_wiped(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", lambda: pytest.fail("a helper was started for nothing"))
    Box((str(box),), UID).wipe()


# ---- giving up


def test_what_cannot_be_removed_ends_the_sandbox(box: Path) -> None:
    clean = Box((str(box),), UID)
    (box / "roots").mkdir(mode=0o755)  # root's: the helper is not
    (box / "roots" / "file").touch()
    with pytest.raises(ResetError, match=f"not empty after the wipe: {box}"):
        clean.wipe()
    assert (box / "roots" / "file").exists()


def test_what_is_mounted_inside_ends_the_sandbox(box: Path) -> None:
    clean = Box((str(box),), UID)
    (box / "mount").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", box / "mount"], check=True)
    try:
        with pytest.raises(ResetError, match="not empty"):
            clean.wipe()
    finally:
        subprocess.run(["umount", box / "mount"], check=True)


def test_a_wipe_that_takes_too_long_ends_the_sandbox(box: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = children.read_text()
    clean = Box((str(box),), UID)
    (box / "file").touch()
    monkeypatch.setattr(reset, "WIPE_WITHIN", 0.0)
    monkeypatch.setattr(Box, "_wipe_and_exit", lambda *_: signal.pause())
    with pytest.raises(ResetError, match="too long"):
        clean.wipe()
    assert children.read_text() == before, "the helper outlived it"
