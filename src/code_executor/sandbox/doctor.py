"""Which layers of protection truly hold: found out by trying, in a sandbox of the configured engine.

`examine` runs a probe as an ordinary execution, twice: the first leaves something behind for the second to miss. The
server does the same at start and refuses to serve where a required layer is missing.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from code_executor.core.errors import CodeExecutorError, ConfigurationError
from code_executor.core.limits import Limits
from code_executor.core.models import Execution, Reason
from code_executor.core.runner import Runner, run

REQUIRED = {
    "docker": frozenset(
        {
            "uid", "capabilities", "no_new_privs", "seccomp", "landlock", "no_exec", "network", "pid_namespace",
            "read_only_root", "own_files", "devices", "memory", "cpu", "processes", "disk", "no_core", "descriptors",
            "environment", "reset",
        }
    ),
    "native": frozenset(
        {
            "capabilities", "no_new_privs", "seccomp", "landlock", "no_exec", "network", "pid_namespace",
            "read_only_root", "devices", "disk", "no_core", "descriptors", "environment", "reset",
        }
    ),
}  # fmt: skip
"""Layers without which an engine does not serve, unless the operator accepts to miss them (``ALLOW_MISSING``)."""

_GVISOR = "4.4.0"  # the release that gVisor says it is, wherever it runs; a kernel of that age cannot confine a child
_NO_LANDLOCK = "gVisor has none, and its own kernel stands between programs and the host's"
_NO_READ_ONLY_PATHS = "gVisor does not make single paths read-only; its devices are its own, and no run's after it"


@dataclass(frozen=True, slots=True)
class Finding:
    """One layer: whether it holds, and what shows it.

    ``excuse``: why it is not required where it was looked for, though it is elsewhere; empty as a rule.
    """

    layer: str
    held: bool
    evidence: str
    excuse: str = ""


async def examine(runner: Runner, introduction: Mapping[str, Any]) -> list[Finding]:
    """Probe a sandbox; raise ``CodeExecutorError`` where the probe itself cannot run."""
    first = await _probe(runner)
    second = await _probe(runner)
    limits = runner.limits
    return [*_of_container(introduction, limits), *_of_child(first, limits, introduction), _reset(second)]


async def _probe(runner: Runner) -> dict[str, Any]:
    code = importlib.resources.files("code_executor.sandbox").joinpath("probe.py").read_text()
    result = await run(runner, Execution(code, policy=False, timeout=10))
    if result.reason is not Reason.COMPLETED:
        raise CodeExecutorError(f"the probe ended with {result.reason}: {result.error.strip()[-500:]}")
    answer: dict[str, Any] = json.loads(result.output)
    return answer


def _of_container(seen: Mapping[str, Any], limits: Limits) -> list[Finding]:
    """What the supervisor found around it when it started."""
    cgroup = seen.get("cgroup", {})
    capabilities = int(seen.get("capabilities") or "0", 16)
    interfaces = seen.get("interfaces", [])
    mask = 1 << 5 | 1 << 6 | 1 << 7
    return [
        Finding(
            "capabilities",
            capabilities & ~mask == 0,
            f"the supervisor has {capabilities:#x} (KILL, SETGID, SETUID: {mask:#x})",
        ),
        Finding("no_new_privs", seen.get("no_new_privs") == "1", f"NoNewPrivs: {seen.get('no_new_privs')}"),
        Finding("network", set(interfaces) <= {"lo"}, f"interfaces: {', '.join(interfaces) or 'none'}"),
        Finding(
            "read_only_root",
            bool(seen.get("read_only_root")),
            "/ takes no changes" if seen.get("read_only_root") else "/ is writable",
        ),
        _own_files(seen.get("shared")),
        _cgroup_limit("memory", cgroup.get("memory"), limits.memory, "bytes"),
        _cgroup_limit("cpu", cgroup.get("cpus"), limits.cpus, "cores"),
        _cgroup_limit("processes", cgroup.get("processes"), limits.tasks + 2, "processes"),
    ]


def _own_files(shared: list[str] | None) -> Finding:
    if shared is None:
        return Finding("own_files", held=False, evidence="it does not say which files are its own")
    what = f"the machine's own: {', '.join(shared)}" if shared else "locks are met by nobody outside"
    return Finding("own_files", not shared, what)


def _cgroup_limit(layer: str, found: float | None, wanted: float, unit: str) -> Finding:
    if found is None:
        return Finding(layer, held=False, evidence="no control group limits it")
    return Finding(layer, found <= wanted, f"the control group allows {found} {unit}")


def _of_child(probe: Mapping[str, Any], limits: Limits, seen: Mapping[str, Any]) -> list[Finding]:
    """What the probe could not do."""
    disk = probe["disk"]
    disk_held = 0 < disk["bytes"] <= limits.disk and 0 < disk["files"] <= limits.files and disk["flags_held"]
    seccomp_held = probe["ptrace"] == "killed by SIGSYS" and probe["socket"] == "EACCES"
    # a /proc that is not there, or does not show the process, cannot be opened whatever Landlock says
    landlock_held = probe["listdir_root"] == "EACCES" and probe["open_proc"] in ("EACCES", "ENOENT")
    foreign = probe["foreign_environment"]
    landlock = f"listing /: {probe['listdir_root']}; opening /proc/self/status: {probe['open_proc']}"
    room = f"{disk['bytes']} bytes and {disk['files']} files in all, nosuid,nodev,noexec: {disk['flags_held']}"
    descriptors = f"{probe['descriptors']} open: stdin, stdout, stderr, the hint and the line of a failure"
    return [
        Finding("uid", probe["uid"] != 0, f"runs as uid {probe['uid']}, its supervisor as uid 0 of the sandbox"),
        Finding("seccomp", seccomp_held, f"ptrace: {probe['ptrace']}; socket: {probe['socket']}"),
        Finding("landlock", landlock_held, landlock, _NO_LANDLOCK if seen.get("kernel") == _GVISOR else ""),
        Finding("no_exec", probe["exec"] in ("EPERM", "EACCES"), f"execve: {probe['exec']}"),
        Finding("pid_namespace", probe["ppid"] == 1, f"its parent is process {probe['ppid']}"),
        Finding("disk", disk_held, room),
        Finding(
            "devices",
            probe["touch_devices"] == ["EROFS"],
            f"setting their times: {', '.join(probe['touch_devices'])}",
            _NO_READ_ONLY_PATHS if seen.get("kernel") == _GVISOR else "",
        ),
        Finding(
            "no_core",
            probe["core"] == 0 and probe["dumpable"] == 0,
            f"RLIMIT_CORE: {probe['core']}; dumpable: {probe['dumpable']}",
        ),
        Finding("descriptors", probe["descriptors"] <= 5, descriptors),
        Finding("environment", not foreign, f"has {foreign}" if foreign else "nothing of the server's"),
    ]


def _reset(second: Mapping[str, Any]) -> Finding:
    left = second["left_behind"]
    return Finding("reset", not left, "a second run found nothing of the first" if not left else f"found {left}")


def missing(findings: list[Finding], engine: str, accepted: Collection[str]) -> list[Finding]:
    """Return the required layers that do not hold; raise ``ConfigurationError`` for an accepted one that is none."""
    known = {finding.layer for finding in findings}
    if unknown := set(accepted) - known:
        raise ConfigurationError(
            f"CODE_EXECUTOR_ALLOW_MISSING: no layer is called {min(unknown)!r} ({', '.join(sorted(known))})"
        )
    required = REQUIRED[engine].difference(accepted)
    return [f for f in findings if not f.held and not f.excuse and f.layer in required]
