"""Which missing layers keep a server from starting."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

import pytest

from code_executor.core.errors import ConfigurationError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input, Reason, Result
from code_executor.core.runner import Runner
from code_executor.sandbox.doctor import REQUIRED, Finding, examine, missing

HELD: dict[str, Any] = {
    "dumpable": 0, "touch_devices": ["EROFS"],
    "uid": 1, "ppid": 1, "core": 0, "descriptors": 4, "ptrace": "killed by SIGSYS", "socket": "EACCES",
    "exec": "EPERM", "listdir_root": "EACCES", "open_proc": "EACCES", "foreign_environment": [], "left_behind": [],
    "disk": {"bytes": 1, "files": 1, "flags_held": True},
}  # fmt: skip
"""What the probe says where every layer holds."""

AROUND: dict[str, Any] = {
    "kernel": "6.1.0",
    "no_new_privs": "1",
    "read_only_root": True,
    "capabilities": "e0",
    "interfaces": ["lo"],
    "shared": [],
    "cgroup": {"memory": 1, "cpus": 0.1, "processes": 1},
}
"""What a supervisor introduces itself with there."""


class Probed(Runner):
    """Answers as a sandbox whose probe says this."""

    limits = Limits()

    def __init__(self, **changes: object) -> None:
        self._probe = HELD | changes

    async def stream(
        self,
        execution: Execution,
        inputs: AsyncIterator[Input] | None = None,  # noqa: ARG002  # the protocol's
    ) -> AsyncGenerator[Event, None]:
        yield Result(execution.id, Reason.COMPLETED, output=json.dumps(self._probe))


async def lacking(probe: Mapping[str, object], around: Mapping[str, object]) -> list[str]:
    findings = await examine(Probed(**probe), {**AROUND, **around})
    assert {finding.layer for finding in findings} == REQUIRED["docker"]
    return [finding.layer for finding in missing(findings, "docker", ())]


@pytest.mark.anyio
async def test_where_every_layer_holds_none_is_missing() -> None:
    assert await lacking({}, {}) == []


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("layer", "probe", "around"),
    [
        ("uid", {"uid": 0}, {}),
        ("capabilities", {}, {"capabilities": "200000"}),
        ("no_new_privs", {}, {"no_new_privs": "0"}),
        ("no_new_privs", {}, {"no_new_privs": None}),
        ("seccomp", {"ptrace": "done"}, {}),
        ("seccomp", {"ptrace": "EPERM"}, {}),
        ("seccomp", {"socket": "done"}, {}),
        ("landlock", {"listdir_root": "done"}, {}),
        ("landlock", {"open_proc": "done"}, {}),
        ("no_exec", {"exec": "done"}, {}),
        ("network", {}, {"interfaces": ["lo", "eth0"]}),
        ("pid_namespace", {"ppid": 4711}, {}),
        ("read_only_root", {}, {"read_only_root": False}),
        ("read_only_root", {}, {"read_only_root": None}),
        ("memory", {}, {"cgroup": {"memory": None, "cpus": 0.1, "processes": 1}}),
        ("memory", {}, {"cgroup": {"memory": 1 << 40, "cpus": 0.1, "processes": 1}}),
        ("cpu", {}, {"cgroup": {"memory": 1, "processes": 1}}),
        ("cpu", {}, {"cgroup": {"memory": 1, "cpus": 64, "processes": 1}}),
        ("processes", {}, {"cgroup": {"memory": 1, "cpus": 0.1}}),
        ("processes", {}, {"cgroup": {"memory": 1, "cpus": 0.1, "processes": 1000}}),
        ("disk", {"disk": {"bytes": 1 << 40, "files": 1, "flags_held": True}}, {}),
        ("disk", {"disk": {"bytes": 1, "files": 1 << 20, "flags_held": True}}, {}),
        ("disk", {"disk": {"bytes": 1, "files": 1, "flags_held": False}}, {}),
        ("disk", {"disk": {"bytes": 0, "files": 0, "flags_held": True}}, {}),
        ("no_core", {"core": -1}, {}),
        ("no_core", {"dumpable": 1}, {}),
        ("no_core", {"dumpable": 2}, {}),
        ("devices", {"touch_devices": ["done"]}, {}),
        ("devices", {"touch_devices": ["EACCES"]}, {}),
        ("devices", {"touch_devices": ["EROFS", "done"]}, {}),
        ("own_files", {}, {"shared": ["/usr/lib"]}),
        ("descriptors", {"descriptors": 6}, {}),
        ("environment", {"foreign_environment": ["AWS_SECRET"]}, {}),
        ("reset", {"left_behind": ["/tmp"]}, {}),
    ],
)
async def test_a_layer_that_does_not_hold_is_missing_and_no_other(
    layer: str, probe: dict[str, object], around: dict[str, object]
) -> None:
    assert await lacking(probe, around) == [layer]


@pytest.mark.anyio
async def test_a_proc_that_is_not_there_is_no_missing_landlock() -> None:
    assert await lacking({"open_proc": "ENOENT"}, {}) == []
    assert await lacking({"open_proc": "ENOENT", "listdir_root": "done"}, {}) == ["landlock"]


@pytest.mark.anyio
async def test_what_gvisor_lacks_may_be_missing_there_and_nowhere_else() -> None:
    open_to_all = {"listdir_root": "done", "open_proc": "done", "touch_devices": ["done"]}
    assert await lacking(open_to_all, {"kernel": "4.4.0"}) == []
    assert await lacking(open_to_all, {"kernel": "4.4.0-generic"}) == ["landlock", "devices"]
    assert await lacking(open_to_all, {"kernel": "6.1.0"}) == ["landlock", "devices"]


def test_every_required_layer_of_native_is_one_of_dockers() -> None:
    assert REQUIRED["native"] < REQUIRED["docker"]


def test_a_required_layer_may_be_missing_only_where_that_was_accepted() -> None:
    findings = [Finding("memory", held=False, evidence=""), Finding("cpu", held=True, evidence="")]
    assert missing(findings, "docker", ()) == findings[:1]
    assert missing(findings, "docker", ("memory",)) == []
    assert missing(findings, "native", ()) == []
    with pytest.raises(ConfigurationError, match="no layer is called 'moat'"):
        missing(findings, "docker", ("moat",))
