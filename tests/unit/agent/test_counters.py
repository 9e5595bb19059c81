"""Counters and limits are read from a cgroup of either version, as a container sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox_agent.supervisor import counters

V1 = {
    "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory/memory.limit_in_bytes": "536870912\n",
    "pids/pids.events": "max 3\n",
    "pids/pids.max": "11\n",
    "cpu/cpu.cfs_quota_us": "50000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
}
V2 = {
    "memory.events": "low 0\nhigh 0\nmax 7\noom 1\noom_kill 2\noom_group_kill 0\n",
    "memory.max": "536870912\n",
    "pids.events": "max 3\n",
    "pids.max": "11\n",
    "cpu.max": "50000 100000\n",
}


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
def test_what_the_cgroup_counted_is_read(tmp_path: Path, files: dict[str, str]) -> None:
    root = write(tmp_path, files)
    assert counters.oom_kills(root).read() == 2
    assert counters.refused_forks(root).read() == 3
    assert counters.oom_kills(root).available


@pytest.mark.parametrize(
    ("files", "name"), [(V1, "memory/memory.oom_control"), (V2, "memory.events")], ids=["v1", "v2"]
)
def test_a_counter_sees_what_is_counted_later(tmp_path: Path, files: dict[str, str], name: str) -> None:
    counter = counters.oom_kills(write(tmp_path, files))
    before = counter.read()
    (tmp_path / name).write_text(files[name].replace("oom_kill 2", "oom_kill 41"))
    assert (before, counter.read()) == (2, 41)


def test_without_a_cgroup_nothing_was_counted(tmp_path: Path) -> None:
    for counter in (counters.oom_kills(tmp_path), counters.refused_forks(tmp_path)):
        assert not counter.available
        assert counter.read() == 0
    assert counters.limits(tmp_path) == {"memory": None, "cpus": None, "processes": None}


@pytest.mark.parametrize("text", ["", "oom_kill\n", "oom_kill x\n", "oom_kill 1 2\n", "other 5\n", "oom_kill -1\n"])
def test_a_file_that_says_nothing_counts_nothing(tmp_path: Path, text: str) -> None:
    assert counters.oom_kills(write(tmp_path, {"memory.events": text})).read() == 0


@pytest.mark.parametrize("files", [V1, V2], ids=["v1", "v2"])
def test_the_limits_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    assert counters.limits(write(tmp_path, files)) == {"memory": 512 << 20, "cpus": 0.5, "processes": 11}


@pytest.mark.parametrize(
    "files",
    [
        {
            "memory/memory.limit_in_bytes": "9223372036854771712\n",
            "pids/pids.max": "max\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
        },
        {"memory.max": "max\n", "pids.max": "max\n", "cpu.max": "max 100000\n"},
    ],
    ids=["v1", "v2"],
)
def test_no_limit_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    assert counters.limits(write(tmp_path, files)) == {"memory": None, "cpus": None, "processes": None}


def test_the_cpu_controller_may_share_its_mount(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        f"cpu,cpuacct/{name}": V1[f"cpu/{name}"] for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    }
    assert counters.limits(write(tmp_path, files))["cpus"] == 0.5
