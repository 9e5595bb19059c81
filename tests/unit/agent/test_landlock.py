"""The ruleset lets a program read here, write there, and do nothing anywhere else: asked of the kernel."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox_agent.confinement import kernel, landlock

pytestmark = pytest.mark.usefixtures("landlock_abi")


@dataclass(frozen=True)
class Tree:
    """``readable`` and ``writable`` are granted, ``outside`` is not. In each: a file, directory, link and program."""

    readable: Path
    writable: Path
    outside: Path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    for name in ("readable", "writable", "outside"):
        directory = tmp_path / name
        (directory / "directory").mkdir(parents=True)
        (directory / "file").write_text("text")
        (directory / "link").symlink_to(tmp_path / "outside" / "file")
        shutil.copy("/bin/true", directory / "program")
    return Tree(tmp_path / "readable", tmp_path / "writable", tmp_path / "outside")


@pytest.fixture
def confined(tree: Tree, in_child: Any) -> Callable[[Callable[[], Any]], Any]:
    """Call something in a child that is confined to ``tree``, and to what it takes to start a program."""

    def call(work: Callable[[], Any]) -> Any:
        def confine_and_work() -> Any:
            readable = [str(tree.readable), "/usr", "/lib", "/lib64", "/nowhere"]
            ruleset = landlock.ruleset(readable, [str(tree.writable)], ["/dev/null", "/dev/zero"])
            assert ruleset is not None
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            landlock.restrict_self(ruleset)
            return work()

        return in_child(confine_and_work)

    return call


def start(path: Path) -> int:
    return subprocess.run([path], check=False).returncode


ALLOWED: dict[str, Callable[[Tree], Any]] = {
    "read a file": lambda tree: (tree.readable / "file").read_text(),
    "list a directory": lambda tree: len(os.listdir(tree.readable)),
    "start a program": lambda tree: start(tree.readable / "program"),
    "read in the box": lambda tree: (tree.writable / "file").read_text(),
    "list the box": lambda tree: len(os.listdir(tree.writable)),
    "write in the box": lambda tree: (tree.writable / "file").write_text("x"),
    "make a file": lambda tree: (tree.writable / "directory" / "new").write_text("x"),
    "truncate a file": lambda tree: os.truncate(tree.writable / "file", 1),
    "make a directory": lambda tree: os.mkdir(tree.writable / "new"),
    "make a link": lambda tree: os.symlink("file", tree.writable / "new"),
    "rename": lambda tree: os.rename(tree.writable / "file", tree.writable / "new"),
    "move to another directory": lambda tree: os.rename(tree.writable / "file", tree.writable / "directory" / "file"),
    "link to another directory": lambda tree: os.link(tree.writable / "file", tree.writable / "directory" / "file"),
    "remove a file": lambda tree: os.unlink(tree.writable / "file"),
    "remove a directory": lambda tree: os.rmdir(tree.writable / "directory"),
    "write to a device": lambda _: Path("/dev/null").write_text("x"),
    "read from a device": lambda _: len(os.read(os.open("/dev/zero", os.O_RDONLY), 3)),
    "stat what is elsewhere": lambda tree: os.stat(tree.outside / "file").st_size,  # no right of Landlock's
}

DENIED: dict[str, Callable[[Tree], Any]] = {
    "write where only reading is granted": lambda tree: (tree.readable / "file").write_text("x"),
    "open for writing there": lambda tree: os.open(tree.readable / "file", os.O_WRONLY),
    "truncate there": lambda tree: os.truncate(tree.readable / "file", 0),
    "make a file there": lambda tree: (tree.readable / "new").write_text("x"),
    "make a directory there": lambda tree: os.mkdir(tree.readable / "new"),
    "make a link there": lambda tree: os.symlink("file", tree.readable / "new"),
    "rename there": lambda tree: os.rename(tree.readable / "file", tree.readable / "new"),
    "remove a file there": lambda tree: os.unlink(tree.readable / "file"),
    "remove a directory there": lambda tree: os.rmdir(tree.readable / "directory"),
    "start a program in the box": lambda tree: start(tree.writable / "program"),
    "make a FIFO in the box": lambda tree: os.mkfifo(tree.writable / "new"),
    "make a device in the box": lambda tree: os.mknod(tree.writable / "new", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    "make a disk in the box": lambda tree: os.mknod(tree.writable / "new", stat.S_IFBLK | 0o600, os.makedev(7, 0)),
    "make a socket in the box": lambda tree: socket.socket(socket.AF_UNIX).bind(str(tree.writable / "new")),
    "read elsewhere": lambda tree: (tree.outside / "file").read_text(),
    "read elsewhere through a link": lambda tree: (tree.writable / "link").read_text(),
    "list elsewhere": lambda tree: os.listdir(tree.outside),
    "write elsewhere": lambda tree: (tree.outside / "file").write_text("x"),
    "make a file elsewhere": lambda tree: (tree.outside / "new").write_text("x"),
    "start a program elsewhere": lambda tree: start(tree.outside / "program"),
    "move out of the box": lambda tree: os.rename(tree.writable / "file", tree.outside / "new"),
    "move into the box": lambda tree: os.rename(tree.readable / "program", tree.writable / "new"),
    "link into the box": lambda tree: os.link(tree.readable / "file", tree.writable / "new"),
    "read the list of processes": lambda _: os.listdir("/proc"),
    "read its own memory map": lambda _: Path("/proc/self/maps").read_text(),
    "read another device": lambda _: os.open("/dev/full", os.O_RDONLY),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_a_program_may(what: str, tree: Tree, confined: Callable[..., Any]) -> None:
    confined(lambda: ALLOWED[what](tree))


@pytest.mark.parametrize("what", DENIED)
def test_a_program_may_not(what: str, tree: Tree, confined: Callable[..., Any], root: None) -> None:
    with pytest.raises(OSError) as caught:
        confined(lambda: DENIED[what](tree))
    assert caught.value.errno in (errno.EACCES, errno.EPERM, errno.EXDEV)  # EXDEV: moved to where it had more rights


def test_sockets_can_be_made_in_the_box_where_that_was_said_and_nowhere_else(tree: Tree, in_child: Any) -> None:
    def bound(path: Path) -> bool:
        ruleset = landlock.ruleset([str(tree.readable)], [str(tree.writable)], [], sockets=True)
        assert ruleset is not None
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        landlock.restrict_self(ruleset)
        socket.socket(socket.AF_UNIX).bind(str(path))
        return path.is_socket()

    assert in_child(lambda: bound(tree.writable / "new"))
    for place in (tree.readable, tree.outside):
        with pytest.raises(PermissionError):
            in_child(lambda place=place: bound(place / "new"))


@pytest.mark.parametrize("what", DENIED)
def test_without_landlock_nothing_of_that_is_refused(what: str, tree: Tree, in_child: Any, root: None) -> None:
    in_child(lambda: (DENIED[what](tree), None)[1])


def test_root_may_not_mount(tree: Tree, confined: Callable[..., Any], root: None) -> None:
    with pytest.raises(PermissionError):
        confined(lambda: kernel.mount_tmpfs(str(tree.writable), ""))


def test_there_is_no_tcp(confined: Callable[..., Any], landlock_abi: int) -> None:
    if landlock_abi < 4:
        pytest.skip("Landlock handles TCP from ABI 4 on")

    def bind() -> None:
        socket.socket().bind(("127.0.0.1", 0))

    def connect(port: int) -> None:
        socket.socket().connect(("127.0.0.1", port))

    with socket.create_server(("127.0.0.1", 0)) as server:
        for attempt in (bind, lambda: connect(server.getsockname()[1])):
            with pytest.raises(PermissionError):
                confined(attempt)


def test_signals_and_abstract_sockets_end_at_the_sandbox(confined: Callable[..., Any], landlock_abi: int) -> None:
    if landlock_abi < 6:
        pytest.skip("Landlock has scopes from ABI 6 on")
    address = f"\0code-executor-{os.getpid()}"
    parent = os.getpid()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        with pytest.raises(PermissionError):
            confined(lambda: socket.socket(socket.AF_UNIX).connect(address))
    with pytest.raises(PermissionError):
        confined(lambda: os.kill(parent, 0))
    assert confined(lambda: os.kill(os.getpid(), signal.SIGCONT)) is None


def test_a_ruleset_handles_every_right_that_this_kernel_knows(tree: Tree, in_child: Any, landlock_abi: int) -> None:
    """A right that is not handled is not denied, so: nothing is granted, and then nothing may be possible."""

    def confine_and_count() -> list[str]:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        ruleset = landlock.ruleset([], [], [])
        assert ruleset is not None
        landlock.restrict_self(ruleset)
        possible = []
        for what, attempt in DENIED.items():
            try:
                attempt(tree)
            except OSError:
                continue
            possible.append(what)
        return possible

    assert in_child(confine_and_count) == []


def test_descriptors_are_not_left_open(tree: Tree) -> None:
    before = len(os.listdir("/proc/self/fd"))
    ruleset = landlock.ruleset([str(tree.readable), "/etc/passwd", "/nowhere"], [str(tree.writable)], ["/dev/null"])
    assert ruleset is not None
    assert len(os.listdir("/proc/self/fd")) == before + 1
    os.close(ruleset)


@pytest.mark.parametrize(("abi", "flags"), [(6, 0), (7, 1), (9, 1)])
def test_what_is_refused_is_not_written_into_the_machines_log(
    abi: int, flags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(landlock, "abi", lambda: abi)
    monkeypatch.setattr(kernel, "syscall", lambda *arguments: asked.append(arguments))
    landlock.restrict_self(5)
    assert asked == [(kernel.LANDLOCK_RESTRICT_SELF, 5, flags)]
