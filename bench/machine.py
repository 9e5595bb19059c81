"""The machine and the programs with which the figures were measured."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
import subprocess
from pathlib import Path

from bench.server import ROOT


def facts(python: str) -> dict[str, str]:
    """Return what a reader needs to compare figures, but no name of the machine; ``python``: the bare interpreter."""
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "processor": f"{_field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores{_virtual()}",
        "memory": f"{int(_field('/proc/meminfo', 'MemTotal').split()[0]) / 1e6:.0f} GB",
        "kernel": platform.release().partition("-")[0],
        "system": _field("/etc/os-release", "PRETTY_NAME", "=").strip('"'),
        "control groups": "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1",
        "Docker": _run("docker", "version", "--format", "{{.Server.Version}}") or "none",
        "bare interpreter": f"{_shown(python)}, {_run(python, '--version')}",
        "interpreter of .sandbox": _run(str(ROOT / ".sandbox/bin/python"), "--version"),
        "interpreter of the server": _run(str(ROOT / ".venv/bin/python"), "--version"),
    }


def commit() -> str:
    """Return the commit, and whether the measured files differ from it."""
    changed = _run("git", "status", "--porcelain", "--", "src", "Dockerfile", "requirements.lock", "uv.lock")
    return _run("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def ticks() -> tuple[int, int]:
    """Return the processors' time so far, and how much of it a hypervisor gave to others."""
    times = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return sum(times), times[7]


def disturbance(before: tuple[int, int], after: tuple[int, int]) -> str:
    """Say how much processor time other virtual machines took meanwhile."""
    total = after[0] - before[0]
    return f"{(after[1] - before[1]) / total:.1%} of the processors' time stolen by the hypervisor" if total else ""


def _shown(path: str) -> str:
    """Return a path without the name of a home or checkout."""
    inside = Path(path)
    if inside.is_relative_to(ROOT):
        return str(inside.relative_to(ROOT))
    return path if path.startswith("/usr/") else inside.name


def _virtual() -> str:
    return " (a virtual machine)" if " hypervisor " in f"{_field('/proc/cpuinfo', 'flags')} " else ""


def _field(file: str, name: str, separator: str = ":") -> str:
    found = re.search(rf"^{name}\s*{separator}\s*(.*)$", Path(file).read_text(), re.MULTILINE)
    return found[1] if found else "unknown"


def _run(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
