"""Nothing is left: not by an executor that is closed, and of one that was killed, not after the next start."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from code_executor.sandbox import cgroups
from code_executor.sandbox.docker import LABEL, OWNER
from code_executor.sandbox.owner import Owner
from tests.census import containers_of, eventually, everything_of, groups_of
from tests.conftest import IMAGE

WORK_AND_CLOSE = """
import asyncio, json, os, sys
from contextlib import aclosing
from code_executor import Execution, Executor

def census():
    tasks = os.listdir("/proc/self/task")
    children = [open(f"/proc/self/task/{task}/children").read() for task in tasks]
    return {"children": "".join(children), "threads": len(tasks), "descriptors": len(os.listdir("/proc/self/fd"))}

CODES = ["print(1)", "1/0", "import os; os.kill(os.getpid(), 9)", "import os\\nwhile True: os.fork()", "open('f', 'w')"]

async def work():
    async with Executor.open(engine=sys.argv[1], policy="off", pool_size=2, preload=()) as executor:
        await asyncio.gather(*(executor.run(code, timeout=1) for code in CODES))
        async with aclosing(executor.stream(Execution("while True: pass"))) as events:
            await anext(events)

async def main():
    await work()  # what is opened once for good is open from here on
    before = census()
    await work()
    print(json.dumps([before, census()]))

asyncio.run(main())
"""

CHANGE_ONES_MIND = """
import asyncio, os
from code_executor.core.limits import Limits
from code_executor.sandbox import hardening
from code_executor.sandbox.docker import DockerEngine

async def main():
    image, runtime = os.environ["CODE_EXECUTOR_IMAGE"], os.environ.get("CODE_EXECUTOR_RUNTIME", "")
    engine = DockerEngine(image, Limits(), runtime=runtime, policies=hardening.NO_POLICY)
    await engine.start()
    for milliseconds in range(0, 40, 2):
        making = asyncio.create_task(engine.create())
        await asyncio.wait([making], timeout=milliseconds / 1000)
        making.cancel()
        await asyncio.wait([making])
        assert making.cancelled()
    await engine.close()

asyncio.run(main())
"""

WORK_UNTIL_KILLED = """
import asyncio, sys
from code_executor import Executor

async def main():
    async with Executor.open(engine=sys.argv[1], policy="off", pool_size=2, preload=()) as executor:
        print("open", flush=True)
        await executor.run("while True: pass")

asyncio.run(main())
"""

OPEN_AND_CLOSE = """
import asyncio, sys
from code_executor import Executor

async def main():
    async with Executor.open(engine=sys.argv[1], policy="off", pool_size=1, preload=()):
        pass

asyncio.run(main())
"""


def test_a_closed_executor_leaves_nothing_and_loses_no_descriptor(engine: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK_AND_CLOSE, engine], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    before, after = json.loads(out)
    assert before == after
    assert after["children"] == ""
    assert everything_of(process.pid) == []


@pytest.mark.usefixtures("docker")
def test_a_container_whose_making_is_given_up_is_removed_whenever_that_is() -> None:
    environment = {**os.environ, "CODE_EXECUTOR_IMAGE": IMAGE}
    with subprocess.Popen([sys.executable, "-c", CHANGE_ONES_MIND], env=environment) as process:
        assert process.wait(timeout=120) == 0
    assert containers_of(process.pid) == []


def test_of_a_killed_executor_nothing_runs_on_and_the_next_start_removes_the_rest(engine: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORK_UNTIL_KILLED, engine], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert everything_of(process.pid)
        process.kill()
    assert eventually(lambda: not [*containers_of(process.pid), *running_in(groups_of(process.pid))])
    open_and_close(engine)
    assert everything_of(process.pid) == []


@pytest.mark.usefixtures("docker")
def test_containers_of_a_dead_server_are_removed_and_those_of_a_living_one_are_not() -> None:
    here = Owner.this()
    stray = create_container(replace(here, pid=dead_pid(), started="1").label)
    elsewhere = create_container(replace(here, machine="another", boot="another", pid=dead_pid()).label)
    apart = create_container(replace(here, namespace="1", pid=dead_pid()).label)
    unknown = create_container("another-host/1/1")
    living = create_container(here.label)
    ended = create_container(replace(here, namespace="1").label)
    subprocess.run(["docker", "start", "--attach", ended], capture_output=True, check=False, timeout=60)
    spared = (living, elsewhere, apart, unknown)
    try:
        open_and_close("docker")
        assert [exists(container) for container in (stray, ended)] == [False, False]
        assert [exists(container) for container in spared] == [True] * len(spared)
    finally:
        subprocess.run(["docker", "rm", "-f", stray, ended, *spared], capture_output=True, check=False)


IDLE = """
import asyncio, sys
from code_executor import Executor
async def main():
    async with Executor.open(engine=sys.argv[1], pool_size=1, preload=(), log_level="error") as executor:
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        print((await executor.run("print('still there')")).output, end="")
asyncio.run(main())
"""
IN_A_NAMESPACE_OF_ITS_OWN = ("unshare", "--pid", "--fork", "--kill-child")


@pytest.mark.parametrize("proc", [["--mount-proc"], []], ids=["its own proc", "the proc of others"])
def test_a_server_in_another_pid_namespace_removes_nothing_of_one_that_lives(engine: str, proc: list[str]) -> None:
    if os.getuid() != 0:
        pytest.skip("NOT TESTED: it takes root to make a PID namespace")
    idle = [sys.executable, "-c", IDLE, engine]
    with subprocess.Popen(idle, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as living:
        assert living.stdin is not None
        assert living.stdout is not None
        assert living.stdout.readline() == "open\n"
        before = containers_of(living.pid), groups_of(living.pid)
        code = f"from tests.contract.test_leftovers import open_and_close; open_and_close({engine!r})"
        subprocess.run([*IN_A_NAMESPACE_OF_ITS_OWN, *proc, sys.executable, "-c", code], check=True, timeout=120)
        assert (containers_of(living.pid), groups_of(living.pid)) == before
        living.stdin.close()
        assert living.stdout.read() == "still there\n"


def test_control_groups_of_a_dead_server_are_removed_and_those_of_a_living_one_are_not() -> None:
    home = cgroups.find_home()
    if home is None:
        pytest.skip("control groups cannot be written here")
    directory = next(iter(home.directories.values()))
    stray = directory / f"code-executor-{replace(Owner.this(), pid=dead_pid(), started='1').tag}-0123456789ab"
    living = directory / f"code-executor-{Owner.this().tag}-0123456789ab"
    stray.mkdir()
    living.mkdir()
    try:
        open_and_close("native")
        assert [group.exists() for group in (stray, living)] == [False, True]
    finally:
        living.rmdir()


def open_and_close(engine: str) -> None:
    """Start an executor in a process of its own, as a server starts."""
    subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, engine], check=True, capture_output=True, timeout=60)


def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def create_container(owner: str) -> str:
    """Make a container as a server makes its sandboxes, which never runs; return its id."""
    labels = ["--label", f"{LABEL}=sandbox", "--label", f"{OWNER}={owner}"]
    done = subprocess.run(["docker", "create", *labels, IMAGE], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def exists(container: str) -> bool:
    return subprocess.run(["docker", "inspect", container], capture_output=True, check=False).returncode == 0


def running_in(groups: list[str]) -> list[str]:
    """Return the processes in these control groups."""
    found = []
    for group in groups:
        with contextlib.suppress(OSError):  # it has just been removed
            found += Path(group, "cgroup.procs").read_text().split()
    return found
