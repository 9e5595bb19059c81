"""Control groups: where they can be made is found out on both versions, and what is written is what was asked for."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from code_executor.core.limits import Limits
from code_executor.sandbox import cgroups
from code_executor.sandbox.cgroups import Group, Home, find_home
from code_executor.sandbox.owner import Owner
from sandbox_agent.supervisor import counters

LIMITS = Limits(memory=128 << 20, cpus=0.5)
CONTROLLERS = ("memory", "cpu", "pids")


def v1(root: Path, *mounts: str) -> Path:
    for mount in mounts:
        (root / mount / "own" / "group").mkdir(parents=True)
    return root


@pytest.fixture
def v2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree whose ``cgroup.subtree_control`` files behave as the kernel's: "+cpu" is written and "cpu" is read."""
    write_text = Path.write_text

    def as_the_kernel(path: Path, text: str) -> int:
        if path.name == "cgroup.subtree_control" and text.startswith("+"):
            if not path.exists() or (path.parent / "has processes").exists():
                raise OSError(16, "Device or resource busy")
            text = " ".join(word.removeprefix("+") for word in text.split())
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", as_the_kernel)
    for directory in (tmp_path, tmp_path / "slice", tmp_path / "slice" / "service"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.subtree_control").touch()
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids")
    return tmp_path


# ---- where


def test_v1_groups_are_made_below_our_own(tmp_path: Path) -> None:
    root = v1(tmp_path, *CONTROLLERS)
    home = find_home(root, "9:name=systemd:/x\n8:pids:/own/group\n4:memory:/own/group\n1:cpu:/own/group\n0::/\n")
    assert home == Home(1, {name: root / name / "own" / "group" for name in CONTROLLERS})


def test_v1_controllers_may_share_a_mount(tmp_path: Path) -> None:
    root = v1(tmp_path, "cpu,cpuacct", "memory")
    home = find_home(root, "4:memory:/own/group\n1:cpu,cpuacct:/own/group\n")
    assert home is not None
    assert home.directories["cpu"] == root / "cpu,cpuacct" / "own" / "group"


def test_v1_in_a_container_whose_own_path_is_not_there_the_mount_is_taken(tmp_path: Path) -> None:
    root = v1(tmp_path, "memory")
    home = find_home(root, "4:memory:/docker/0123456789\n")
    assert home == Home(1, {"memory": root / "memory"})


def test_v1_what_is_not_there_is_done_without(tmp_path: Path) -> None:
    home = find_home(v1(tmp_path, "pids"), "8:pids:/\n4:memory:/\n")
    assert home == Home(1, {"pids": tmp_path / "pids"})


@pytest.mark.parametrize("own", ["", "0::/\n", "4:memory:/\n", "9:name=systemd:/\n"])
def test_v1_without_controllers_there_is_no_home(tmp_path: Path, own: str) -> None:
    assert find_home(tmp_path, own) is None


def test_v1_what_cannot_be_written_is_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = v1(tmp_path, "memory")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere but on a read-only mount
    assert find_home(root, "4:memory:/own/group\n") is None


def test_v2_groups_are_made_beside_our_own(v2: Path) -> None:
    """Not below it: a group with processes in it hands nothing down."""
    home = find_home(v2, "0::/slice/service\n")
    assert home == Home(2, dict.fromkeys(CONTROLLERS, v2 / "slice"))


def test_v2_where_nothing_is_handed_down_the_root_is_tried(v2: Path) -> None:
    (v2 / "slice" / "has processes").touch()
    home = find_home(v2, "0::/slice/service\n")
    assert home == Home(2, dict.fromkeys(CONTROLLERS, v2))


def test_v2_in_the_root_groups_are_made_in_the_root(v2: Path) -> None:
    assert find_home(v2, "0::/\n") == Home(2, dict.fromkeys(CONTROLLERS, v2))


def test_v2_what_was_handed_down_already_is_enough(v2: Path) -> None:
    (v2 / "slice" / "has processes").touch()
    (v2 / "slice" / "cgroup.subtree_control").write_text("memory pids io")
    assert find_home(v2, "0::/slice/service\n") == Home(2, dict.fromkeys(("memory", "pids"), v2 / "slice"))


@pytest.mark.parametrize("handed_down", ["", "cpu", "memory", "pids cpu"])
def test_v2_without_memory_and_pids_there_is_no_home(v2: Path, handed_down: str) -> None:
    for directory in (v2, v2 / "slice"):
        (directory / "has processes").touch()
        (directory / "cgroup.subtree_control").write_text(handed_down)
    assert find_home(v2, "0::/slice/service\n") is None


# ---- what


def read(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_v1_the_limits_are_written_under_their_names(tmp_path: Path) -> None:
    home = Home(1, {name: v1(tmp_path, name) / name for name in CONTROLLERS})
    group = home.create("1-x", LIMITS, processes=11)
    assert set(group.directories.values()) == {tmp_path / name / "code-executor-1-x" for name in CONTROLLERS}
    memory = str(128 << 20)
    assert read(group.directories["memory"]) == {
        "memory.limit_in_bytes": memory,
        "memory.memsw.limit_in_bytes": memory,
    }
    assert read(group.directories["cpu"]) == {"cpu.cfs_period_us": "500000", "cpu.cfs_quota_us": "250000"}
    assert read(group.directories["pids"]) == {"pids.max": "11"}


def test_v2_the_limits_are_written_under_their_names(tmp_path: Path) -> None:
    group = Home(2, dict.fromkeys(CONTROLLERS, tmp_path)).create("1-x", LIMITS, processes=11)
    assert read(tmp_path / "code-executor-1-x") == {
        "memory.max": str(128 << 20),
        "memory.swap.max": "0",
        "cpu.max": "250000 500000",
        "pids.max": "11",
    }
    group.add(4711)
    assert (tmp_path / "code-executor-1-x" / "cgroup.procs").read_text() == "4711"


def test_where_a_group_may_save_up_it_gets_as_much_at_once_in_half_the_time(tmp_path: Path) -> None:
    directory = tmp_path / "code-executor-1-x"
    directory.mkdir()
    (directory / "cpu.cfs_burst_us").write_text("0")
    (directory / "cpu.max.burst").write_text("0")
    Home(1, {"cpu": tmp_path}).create("1-x", LIMITS, processes=11)
    Home(2, {"cpu": tmp_path}).create("1-x", LIMITS, processes=11)
    assert read(directory) == {
        "cpu.cfs_period_us": "250000",
        "cpu.cfs_quota_us": "125000",
        "cpu.cfs_burst_us": "125000",
        "cpu.max": "125000 250000",
        "cpu.max.burst": "125000",
    }


@pytest.mark.parametrize("cpus", [0.1, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("version", [1, 2])
def test_what_is_written_is_what_the_sandbox_reads(tmp_path: Path, version: int, cpus: float) -> None:
    """The host's names and the agent's are the same: what one writes, the other finds in what is bound for it."""
    directories = {name: tmp_path if version == 2 else v1(tmp_path, name) / name for name in CONTROLLERS}
    group = Home(version, directories).create("1-x", Limits(memory=64 << 20, cpus=cpus), processes=5)
    inside = tmp_path / "inside"
    inside.mkdir()
    for source, target in group.binds():
        path = inside / Path(target).relative_to(cgroups.ROOT)
        if path != inside:
            path.symlink_to(source)
        else:
            inside = Path(source)
    assert counters.limits(inside) == {"memory": 64 << 20, "cpus": cpus, "processes": 5}


@pytest.mark.parametrize(
    ("version", "optional", "required"),
    [(1, "memory.memsw.limit_in_bytes", "memory.limit_in_bytes"), (2, "memory.swap.max", "memory.max")],
)
def test_a_kernel_without_swap_accounting_is_accepted_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int, optional: str, required: str
) -> None:
    write_text = Path.write_text
    missing = optional

    def without(path: Path, text: str) -> int:
        if path.name == missing:
            raise FileNotFoundError(path)
        return write_text(path, text)

    monkeypatch.setattr(Path, "write_text", without)
    home = Home(version, {"memory": tmp_path})
    home.create("1-x", LIMITS, processes=5)
    missing = required
    with pytest.raises(FileNotFoundError):
        home.create("1-y", LIMITS, processes=5)
    assert not (tmp_path / "code-executor-1-y").exists()


# ---- afterwards


def test_strays_are_removed_but_not_those_of_a_server_that_lives(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    here = Owner.this()
    stray, living = (f"code-executor-{owner.tag}-a" for owner in (replace(here, pid=gone.pid), here))
    apart = f"code-executor-{replace(here, pid=gone.pid, namespace='1').tag}-a"
    for name in (stray, living, apart, "somebody-elses", "code-executor-1-of-an-older-version"):
        (tmp_path / name).mkdir()
    Home(2, dict.fromkeys(CONTROLLERS, tmp_path)).remove_strays()
    assert {path.name for path in tmp_path.iterdir()} == {
        living,
        apart,
        "somebody-elses",
        "code-executor-1-of-an-older-version",
    }


def test_a_group_that_is_gone_already_is_removed(tmp_path: Path) -> None:
    assert Group(2, {"memory": tmp_path / "gone"}).rmdir()


# ---- kills for want of memory


@pytest.mark.parametrize(
    ("version", "file", "before", "after"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 9\n", "under_oom 1\noom_kill 10\n"),
        (2, "memory.events", "oom 3\noom_kill 9\noom_group_kill 0\n", "oom 3\noom_kill 10\noom_group_kill 0\n"),
    ],
)
def test_only_kills_since_a_run_began_are_its(tmp_path: Path, version: int, file: str, before: str, after: str) -> None:
    (tmp_path / file).write_text(before)
    kills = Group(version, {"memory": tmp_path}).oom_kills()
    assert kills is not None
    kills.begin()
    (tmp_path / file).write_text(before.replace("oom 3", "oom 4"))
    assert not kills.grew()
    (tmp_path / file).write_text(after)
    assert kills.grew()
    kills.begin()
    assert not kills.grew()
    kills.close()


def test_where_the_kernel_does_not_count_there_is_no_counter(tmp_path: Path) -> None:
    assert Group(2, {"memory": tmp_path}).oom_kills() is None
    assert Group(1, {"cpu": tmp_path}).oom_kills() is None


# ---- the kernel's own


def test_a_real_group_holds_its_limits_and_goes_once_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    home = find_home()
    if home is None or not {"memory", "pids"} <= set(home.directories):
        pytest.skip("NOT TESTED: control groups cannot be written here")
    group = home.create(f"{os.getpid()}-{secrets.token_hex(4)}", LIMITS, processes=7)
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            group.add(process.pid)
            for directory in group.directories.values():
                assert str(process.pid) in (directory / "cgroup.procs").read_text().split()
            name = {1: "memory.limit_in_bytes", 2: "memory.max"}[home.version]
            assert int((group.directories["memory"] / name).read_text()) == LIMITS.memory
            assert int((group.directories["pids"] / "pids.max").read_text()) == 7
            assert not group.rmdir()
            monkeypatch.setattr(cgroups, "_GONE_WITHIN", 0.0)
            assert not asyncio.run(group.remove())
        finally:
            process.kill()
    monkeypatch.undo()
    assert asyncio.run(group.remove())
    assert not any(directory.exists() for directory in group.directories.values())
