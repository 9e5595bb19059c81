"""Which missing layers keep a server from starting."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from code_executor.core.errors import ConfigurationError
from code_executor.core.limits import Limits
from code_executor.core.models import Event, Execution, Input, Reason, Result
from code_executor.core.runner import Runner
from code_executor.sandbox.doctor import REQUIRED, Finding, examine, missing

PROBE = """{
    "uid": 1, "ppid": 1, "core": 0, "descriptors": 4, "ptrace": "killed by SIGSYS", "socket": "EACCES",
    "exec": "EPERM", "listdir_root": "done", "open_proc": "done", "foreign_environment": [], "left_behind": [],
    "disk": {"bytes": 1, "files": 1, "flags_held": true}
}"""


class Probed(Runner):
    """Answers as a sandbox without Landlock does, in which all else holds."""

    limits = Limits()

    async def stream(
        self,
        execution: Execution,
        inputs: AsyncIterator[Input] | None = None,  # noqa: ARG002  # the protocol's
    ) -> AsyncGenerator[Event, None]:
        yield Result(execution.id, Reason.COMPLETED, output=PROBE)


async def lacking(kernel: str) -> list[str]:
    introduction = {
        "kernel": kernel,
        "no_new_privs": "1",
        "read_only_root": True,
        "cgroup": {"memory": 1, "cpus": 0.1, "processes": 1},
    }
    findings = await examine(Probed(), introduction)
    assert {finding.layer for finding in findings} == REQUIRED["docker"]
    return [finding.layer for finding in missing(findings, "docker", ())]


@pytest.mark.anyio
async def test_landlock_may_be_missing_under_gvisor_and_nowhere_else() -> None:
    assert await lacking("4.4.0") == []
    assert await lacking("4.4.0-generic") == ["landlock"]
    assert await lacking("6.1.0") == ["landlock"]


def test_a_required_layer_may_be_missing_only_where_that_was_accepted() -> None:
    findings = [Finding("memory", held=False, evidence=""), Finding("cpu", held=True, evidence="")]
    assert missing(findings, "docker", ()) == findings[:1]
    assert missing(findings, "docker", ("memory",)) == []
    assert missing(findings, "native", ()) == []
    with pytest.raises(ConfigurationError, match="no layer is called 'moat'"):
        missing(findings, "docker", ("moat",))
