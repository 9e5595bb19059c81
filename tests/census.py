"""What a server or an executor has in the world, and whether it is gone: containers, control groups, processes."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

GONE_WITHIN = 30.0


def containers_of(pid: int) -> list[str]:
    """Names of the sandboxes, running or not, whose owner is process ``pid``."""
    question = ["docker", "ps", "--all", "--no-trunc", "--filter", "label=code-executor=sandbox"]
    form = '{{.Names}} {{.Label "code-executor.owner"}}'
    done = subprocess.run([*question, "--format", form], capture_output=True, text=True, check=False, timeout=60)
    return [line.split()[0] for line in done.stdout.splitlines() if f"/{pid}/" in line]


def groups_of(pid: int) -> list[str]:
    """Control groups of process ``pid``'s native sandboxes."""
    directories = (directory for directory, _, _ in os.walk("/sys/fs/cgroup"))
    return sorted(each for each in directories if re.match(rf"code-executor-\w+\.{pid}\.", os.path.basename(each)))


def session_of(pid: int) -> list[str]:
    """Processes of the session that ``pid`` leads, itself left out: "pid command"."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = stat.read_text().rpartition(")")
        except OSError:
            continue  # it ended while we looked
        state, _, _, session = tail.split()[:4]
        if int(session) == pid != int(stat.parent.name) and state != "Z":
            found.append(head)
    return found


def everything_of(pid: int) -> list[str]:
    return [*containers_of(pid), *groups_of(pid), *session_of(pid)]


def census(pid: int) -> dict[str, int]:
    """How many of each thing server ``pid`` has."""
    return {
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": len(os.listdir(f"/proc/{pid}/task")),
        "processes": len(session_of(pid)),
        "control groups": len(groups_of(pid)),
        "containers": len(containers_of(pid)),
    }


def eventually(condition: Callable[[], object], within: float = GONE_WITHIN) -> bool:
    """Ask again and again until ``condition`` holds; False where it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


async def until(condition: Callable[[], object], within: float = GONE_WITHIN) -> None:
    """As `eventually`, for what happens in this event loop; raise ``TimeoutError``."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  # the state of a pool has no event of its own
            await asyncio.sleep(0.005)
