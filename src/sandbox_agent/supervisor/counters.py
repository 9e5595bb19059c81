"""The cgroup's own word on what happened: out-of-memory kills and refused forks, and the limits that are set.

Works on cgroup v1 and v2, as a container sees its own cgroup below /sys/fs/cgroup; where nothing can be read, counters
stay at zero and the limits are unknown.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_LONGEST = 1 << 14  # bytes of a file of counters


def _keyed(text: str) -> dict[str, int]:
    """Parse "key value" lines."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


class Counter:
    """Lines of a "key value" file of the cgroup, added up, read from a descriptor that is opened once."""

    def __init__(self, candidates: list[Path], *keys: str) -> None:
        self._keys = keys
        self._fd: int | None = None
        for path in candidates:
            try:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            break

    @property
    def available(self) -> bool:
        return self._fd is not None

    def read(self) -> int:
        if self._fd is None:
            return 0
        found = _keyed(os.pread(self._fd, _LONGEST, 0).decode())
        return sum(found.get(key, 0) for key in self._keys)


def oom_kills(root: Path = ROOT) -> Counter:
    return Counter([root / "memory.events", root / "memory/memory.oom_control"], "oom_kill")


def refused_forks(root: Path = ROOT) -> Counter:
    return Counter([root / "pids.events", root / "pids/pids.events"], "max")


@functools.cache
def memory_in_use(root: Path = ROOT) -> Counter:
    """Bytes that processes have, and what lies in file systems of memory; not the pages of other files."""
    return Counter([root / "memory.stat", root / "memory/memory.stat"], "anon", "rss", "shmem")


def limits(root: Path = ROOT) -> dict[str, int | float | None]:
    """Return ``{"memory": bytes, "cpus": cores, "processes": n}`` as the cgroup has it; None: no limit, or unknown."""
    memory = _number(root / "memory.max", root / "memory/memory.limit_in_bytes")
    if memory is not None and memory >= 1 << 60:  # v1's way to say "no limit"
        memory = None
    return {
        "memory": memory,
        "cpus": _cpus(root),
        "processes": _number(root / "pids.max", root / "pids/pids.max"),
    }


def _number(*candidates: Path) -> int | None:
    for path in candidates:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def _cpus(root: Path) -> float | None:
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except OSError:
        pass
    for controller in ("cpu", "cpu,cpuacct"):
        quota_v1 = _number(root / controller / "cpu.cfs_quota_us")
        period_v1 = _number(root / controller / "cpu.cfs_period_us")
        if quota_v1 is not None and period_v1:
            return quota_v1 / period_v1
    return None
