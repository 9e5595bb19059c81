"""Control groups for the native engine: memory, CPU and process limits, on cgroup v1 and v2, where they can be written.

A *home* is where sandboxes' groups are made. On v1: below this process's own group of each controller. On v2: beside
this process's own group, or below the root's, wherever memory and pids are handed down and a group can be made.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from code_executor.core.limits import Limits
from code_executor.sandbox import owner

ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("memory", "cpu", "pids")
_PREFIX = "code-executor-"
_GONE_WITHIN = 5.0
_LONGEST = 4096  # bytes of a file of counters


_BURST = {1: "cpu.cfs_burst_us", 2: "cpu.max.burst"}
"""Where a group may save up what it did not use, since Linux 5.14."""


def settings(version: int, limits: Limits, processes: int, *, bursts: bool = False) -> dict[str, dict[str, str]]:
    """Return what to write: controller to file name to value. On v2 the controllers share one directory.

    ``bursts``: a group may save up. Then it gets as much at once with half the period, and waits half as long.
    """
    period = int(limits.cpu_period * 1e6 / (2 if bursts else 1))
    quota = str(int(limits.cpus * period))
    burst = {_BURST[version]: quota} if bursts else {}
    memory = _memory(version, limits.memory)
    if version == 1:
        return {
            "memory": memory,
            "cpu": {"cpu.cfs_period_us": str(period), "cpu.cfs_quota_us": quota, **burst},
            "pids": {"pids.max": str(processes)},
        }
    return {
        "memory": memory,
        "cpu": {"cpu.max": f"{quota} {period}", **burst},
        "pids": {"pids.max": str(processes)},
    }


def _memory(version: int, most: int) -> dict[str, str]:
    """Return the limit, and that there is no swap beside it, in the order in which it can be lowered."""
    if version == 1:
        return {"memory.limit_in_bytes": str(most), "memory.memsw.limit_in_bytes": str(most)}
    return {"memory.max": str(most), "memory.swap.max": "0"}


_OPTIONAL = frozenset({"memory.memsw.limit_in_bytes", "memory.swap.max"})  # absent without swap accounting


@dataclass(frozen=True)
class Home:
    """Where groups can be made: ``directories`` maps each controller that is there to its directory."""

    version: int
    directories: dict[str, Path]

    def create(self, name: str, limits: Limits, processes: int) -> Group:
        """Make the group of one sandbox, whose name begins with its owner's tag and a dash; raise ``OSError``."""
        group = Group(self.version, {c: d / (_PREFIX + name) for c, d in self.directories.items()})
        try:
            group.make(limits, processes)
        except BaseException:
            group.rmdir()
            raise
        return group

    def remove_strays(self) -> None:
        """Remove the groups of servers that are gone; one with processes in it cannot be removed."""
        for directory in set(self.directories.values()):
            for group in directory.glob(_PREFIX + "*"):
                # a living server's may be empty because it is new
                if owner.is_gone(group.name.removeprefix(_PREFIX).partition("-")[0]):
                    with contextlib.suppress(OSError):
                        group.rmdir()


@dataclass(frozen=True)
class Group:
    version: int
    directories: dict[str, Path]

    def make(self, limits: Limits, processes: int) -> None:
        for directory in self.directories.values():
            directory.mkdir(exist_ok=True)
        cpu = self.directories.get("cpu")
        bursts = cpu is not None and (cpu / _BURST[self.version]).exists()
        values = settings(self.version, limits, processes, bursts=bursts)
        for controller, directory in self.directories.items():
            for file, value in values[controller].items():
                try:
                    (directory / file).write_text(value)
                except FileNotFoundError:
                    if file not in _OPTIONAL:
                        raise

    def hold_memory(self, most: int) -> None:
        """Give the group ``most`` bytes of memory, which is less than it had."""
        for file, value in _memory(self.version, most).items():
            with contextlib.suppress(FileNotFoundError):  # no memory is counted, or no swap
                (self.directories["memory"] / file).write_text(value)

    def add(self, pid: int) -> None:
        """Move a process into the group, and so all that it will start."""
        for directory in set(self.directories.values()):
            (directory / "cgroup.procs").write_text(str(pid))

    def rmdir(self) -> bool:
        """Remove the group; False while a process is left in it."""
        for directory in set(self.directories.values()):
            try:
                directory.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    async def remove(self) -> bool:
        """Wait until the group is empty and remove it; False where it did not empty in time."""
        deadline = asyncio.get_running_loop().time() + _GONE_WITHIN
        while not self.rmdir():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True

    def oom_kills(self) -> OomKills | None:
        """Return the counter of what the kernel killed in it for want of memory; None where it does not count."""
        directory = self.directories.get("memory")
        file = "memory.oom_control" if self.version == 1 else "memory.events"
        return OomKills(directory / file) if directory is not None and (directory / file).exists() else None

    def binds(self) -> list[tuple[str, str]]:
        """Return host path and path in the sandbox, for the supervisor to read its counters from."""
        if self.version == 2:
            return [(str(next(iter(self.directories.values()))), str(ROOT))]
        return [(str(directory), str(ROOT / controller)) for controller, directory in self.directories.items()]


class OomKills:
    """A counter of a group, read for every run: from a descriptor, which takes 2 µs, and parsed only if asked."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._before = b""

    def begin(self) -> None:
        self._before = os.pread(self._fd, _LONGEST, 0)

    def grew(self) -> bool:
        """Whether there were any since `begin`."""
        return _kills(os.pread(self._fd, _LONGEST, 0)) > _kills(self._before)

    def close(self) -> None:
        os.close(self._fd)


def _kills(text: bytes) -> int:
    found = re.search(rb"^oom_kill ([0-9]+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


def is_held(pid: int, within: str = "", root: Path = ROOT) -> bool:
    """Whether a process is stopped by a signal, or its control group is frozen. False in doubt.

    ``within``: a part of its group's name, if ``pid`` may be another's here.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        groups = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    except (OSError, IndexError):
        return False
    if not any(within in path for _, _, path in groups):
        return False
    if state in ("T", "t"):
        return True
    for _, controllers, path in groups:
        if controllers == "freezer":
            directory, file, frozen = root / "freezer" / path.lstrip("/"), "freezer.state", "FROZEN"
        elif not controllers:
            directory, file, frozen = root / path.lstrip("/"), "cgroup.events", "frozen 1"
        else:
            continue
        with contextlib.suppress(OSError):
            if frozen in (directory / file).read_text():
                return True
    return False


def find_home(root: Path = ROOT, own: str | None = None) -> Home | None:
    """Find out where groups can be made; None where they cannot. ``own``: the text of /proc/self/cgroup."""
    own = Path("/proc/self/cgroup").read_text() if own is None else own
    return _home_v2(root, own) if (root / "cgroup.controllers").exists() else _home_v1(root, own)


def _home_v1(root: Path, own: str) -> Home | None:
    directories = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in set(controllers.split(",")) & set(_CONTROLLERS):
            for mounted in (root / controller, root / controllers):
                if mounted.is_dir():
                    directory = mounted / path.lstrip("/")
                    directories[controller] = directory if directory.is_dir() else mounted
                    break
    usable = {c: d for c, d in directories.items() if os.access(d, os.W_OK)}
    return Home(1, usable) if usable else None


def _home_v2(root: Path, own: str) -> Home | None:
    path = next((line[3:] for line in own.splitlines() if line.startswith("0::")), "/")
    beside = (root / path.lstrip("/")).parent if path != "/" else root
    for directory in dict.fromkeys((beside, root)):
        if not os.access(directory, os.W_OK):
            continue
        with contextlib.suppress(OSError):
            (directory / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in _CONTROLLERS))
        try:
            handed_down = (directory / "cgroup.subtree_control").read_text().split()
        except OSError:
            continue
        usable = {c: directory for c in _CONTROLLERS if c in handed_down}
        if "memory" in usable and "pids" in usable:
            return Home(2, usable)
    return None
