"""Sandboxes that break or are taken over: nobody waits for ever, no run is called what it was not, the pool heals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from code_executor import Executor
from code_executor.core import errors
from code_executor.core.limits import Limits
from code_executor.core.models import Execution, Input, Output, Reason, Result, Stdin
from code_executor.core.runner import run
from code_executor.sandbox import conversation, hardening
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.docker import DockerLink
from code_executor.sandbox.native import NativeLink
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service.dispatcher import Dispatcher
from sandbox_agent.contract.protocol import EVENT, MAX_BODY, VERSION, Cause, EventType, Outcome, event, record
from tests.census import until
from tests.conftest import IMAGE, RUNTIME
from tests.hostile.impostor import READY, Impostor
from tests.hostile.weakenings import Patch, WeakDocker, WeakNative, patched_agent

TALKER = "print('before\\n', end='', flush=True)\nimport time\ntime.sleep(600)"
"""Writes its line in one piece, so that nobody strikes between two."""

GLUTTON = """
import mmap, signal, time
def eat(*_):
    m = mmap.mmap(-1, 200 << 20)
    while True: m.write(b"x" * 4096)
signal.signal(signal.SIGUSR1, eat)
print("before\\n", end="", flush=True)
time.sleep(600)
"""
SURVIVOR = """
import mmap, os
if os.fork() == 0:
    m = mmap.mmap(-1, 200 << 20)
    while True: m.write(b"x" * 4096)
print(os.wait()[1])
"""
"""Loses a helper for want of memory, and goes on."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take a supervisor for mute sooner."""
    monkeypatch.setattr(conversation, "MUTE_AFTER", 1.0)


def docker_cli(*arguments: str, check: bool = True) -> str:
    return subprocess.run(["docker", *arguments], check=check, capture_output=True, text=True, timeout=60).stdout


@asynccontextmanager
async def opened(engine: str, **settings: object) -> AsyncIterator[Executor]:
    """Open an executor of one sandbox."""
    async with Executor.open(
        **{"engine": engine, "policy": "off", "pool_size": 1, "preload": (), "log_level": "error", **settings}
    ) as executor:
        yield executor


def supervisor_of(sandbox: Sandbox) -> int:
    """The pid, on this host, of a sandbox's PID 1."""
    link = sandbox._link
    if isinstance(link, NativeLink):
        assert link._process is not None
        bubblewrap = link._process.pid
        return int(Path(f"/proc/{bubblewrap}/task/{bubblewrap}/children").read_text().split()[0])
    return int(docker_cli("inspect", "--format", "{{.State.Pid}}", sandbox.name))


def stop(sandbox: Sandbox) -> None:
    os.kill(supervisor_of(sandbox), signal.SIGSTOP)


async def strike(executor: Executor, execution: Execution, blow: Callable[[Sandbox], None]) -> Result:
    """Deal a sandbox a blow when its program has written something; return the result."""
    struck = False
    async with aclosing(executor.stream(execution)) as events:
        async for each in events:
            if isinstance(each, Output) and not struck:
                (sandbox,) = executor.pool.book.busy
                await asyncio.to_thread(blow, sandbox)
                struck = True
            if isinstance(each, Result):
                return each
    raise AssertionError("no result")


async def works(executor: Executor) -> bool:
    result = await executor.run("print('works')", timeout=10)
    return (result.reason, result.output) == (Reason.COMPLETED, "works\n")


def children_of(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [each for child in children for each in children_of(child)]


def offer_the_supervisor(sandbox: Sandbox) -> None:
    """Have the kernel kill it first when memory is short, and let the program, which waits for that, go on."""
    supervisor = supervisor_of(sandbox)
    Path(f"/proc/{supervisor}/oom_score_adj").write_text("1000")
    for pid in children_of(supervisor):
        Path(f"/proc/{pid}/oom_score_adj").write_text("0")
        caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigCgt" in line)
        if int(caught.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1:
            os.kill(pid, signal.SIGUSR1)


# ---- sandboxes that break


@pytest.mark.anyio
@pytest.mark.skipif(hardening.is_gvisor(RUNTIME), reason="the kernel sees no supervisor in it, and kills it whole")
async def test_a_run_whose_memory_takes_the_supervisor_is_a_memory_limit(engine: str) -> None:
    async with opened(engine, memory="96m") as executor:
        result = await strike(executor, Execution(GLUTTON, timeout=20), offer_the_supervisor)
        assert (result.reason, result.signal, result.exit_code) == (Reason.MEMORY_LIMIT, "SIGKILL", None)
        assert result.output == "before\n"
        assert result.error == "Your program used more than the 96 MB of memory it may use."
        assert await works(executor)


@pytest.mark.anyio
@pytest.mark.skipif(hardening.is_gvisor(RUNTIME), reason="no program of it survives that its memory is exhausted")
async def test_a_supervisor_that_is_killed_is_internal_whatever_memory_an_earlier_run_used(engine: str) -> None:
    def kill(sandbox: Sandbox) -> None:
        assert sandbox.runs == 2 + probes, "it is another sandbox"
        os.kill(supervisor_of(sandbox), signal.SIGKILL)

    async with opened(engine, memory="96m") as executor:
        await until(lambda: executor.pool.book.idle)
        probes = executor.pool.book.idle[0].runs
        first = await executor.run(SURVIVOR)
        assert (first.reason, first.output) == (Reason.COMPLETED, "9\n"), first.error
        second = await strike(executor, Execution(TALKER, timeout=20), kill)
        assert (second.reason, second.output) == (Reason.INTERNAL, "before\n")
        assert await works(executor)


def pause(sandbox: Sandbox) -> None:
    """Hold a sandbox as an operator's tools do; skip where this machine has none for it."""
    if isinstance(sandbox._link, DockerLink):
        docker_cli("pause", sandbox.name)
        return
    pid = supervisor_of(sandbox)
    root = Path("/sys/fs/cgroup")
    if (root / "freezer").is_dir():
        group = root / "freezer" / f"code-executor-test-{pid}"
        group.mkdir()
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        return
    own = Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")
    if not own.rpartition("/")[2].startswith("code-executor-"):
        pytest.skip("NOT TESTED: control groups cannot be written here")
    (root / own / "cgroup.freeze").write_text("1")


def thaw() -> None:
    """Let go what `pause` froze: a frozen process does not even die (version 1)."""
    for group in Path("/sys/fs/cgroup/freezer").glob("code-executor-test-*"):
        (group / "freezer.state").write_text("THAWED")


HOLD = {"stopped": stop, "paused": pause}


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", HOLD)
async def test_a_sandbox_that_is_held_from_outside_is_our_failure_and_not_the_programs(engine: str, how: str) -> None:
    async with opened(engine) as executor:
        try:
            result = await strike(executor, Execution(TALKER, timeout=1), HOLD[how])
        finally:
            thaw()
        assert (result.reason, result.output) == (Reason.INTERNAL, "before\n")
        assert await works(executor)


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", HOLD)
async def test_a_sandbox_that_is_held_before_a_run_fails_it(engine: str, how: str) -> None:
    async with opened(engine) as executor:
        await until(lambda: executor.pool.book.idle)
        (sandbox,) = executor.pool.book.idle
        try:
            await asyncio.to_thread(HOLD[how], sandbox)
            result = await executor.run("print('never')", timeout=1)
        finally:
            thaw()
        assert (result.reason, result.output) == (Reason.INTERNAL, "")
        assert await works(executor)


MUTE = Patch("supervisor/loop.py", "while (left := clock.left()) > 0:", "while (left := 600.0):")


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
async def test_a_supervisor_that_a_program_made_slow_is_waited_for_no_longer_than_the_limit_and_a_little(
    tmp_path: Path,
) -> None:
    """Nobody holds it, so the run did not end within its time."""
    make = WeakNative(Limits(), (), patched_agent(tmp_path, [MUTE]), ())
    await make.start()
    try:
        async with Pool(make, PoolSize(least=1, most=1)) as pool:
            result = await run(Dispatcher([pool], Limits()), Execution(TALKER, timeout=1))
            assert (result.reason, result.output) == (Reason.WALL_TIME, "before\n")
    finally:
        await make.close()


COMPLAINS = Patch("supervisor/loop.py", "    os.dup2(2, 1)\n", "    os.dup2(2, 1)\n    os.write(2, bytes(4 << 20))\n")


@pytest.mark.anyio
async def test_of_what_a_sandbox_complains_of_only_the_beginning_is_kept(engine: str, tmp_path: Path) -> None:
    make = (WeakDocker if engine == "docker" else WeakNative)(Limits(), (), patched_agent(tmp_path, [COMPLAINS]), ())
    await make.start()
    try:
        sandbox = await make.create()
        try:
            link = sandbox._link
            assert isinstance(link, DockerLink | NativeLink)
            await until(lambda: link.diagnostics)
            assert len(link.diagnostics) < 1 << 20
        finally:
            await sandbox.destroy()
    finally:
        await make.close()


@pytest.mark.anyio
@pytest.mark.usefixtures("docker")
async def test_the_host_logs_nothing_of_a_program_and_swaps_nothing() -> None:
    form = "{{with .HostConfig}}{{.LogConfig.Type}} {{.Memory}} {{.MemorySwap}}{{end}}"  # none of it shows inside
    async with opened("docker") as executor:
        await until(lambda: executor.pool.book.idle)
        (sandbox,) = executor.pool.book.idle
        memory = Limits().memory
        assert docker_cli("inspect", "--format", form, sandbox.name) == f"none {memory} {memory}\n"


@pytest.mark.anyio
@pytest.mark.usefixtures("docker")
async def test_a_container_removed_under_a_run_is_internal_and_replaced() -> None:
    def remove(sandbox: Sandbox) -> None:
        docker_cli("rm", "--force", sandbox.name)

    async with opened("docker") as executor:
        result = await strike(executor, Execution(TALKER, timeout=20), remove)
        assert (result.reason, result.output) == (Reason.INTERNAL, "before\n")
        assert await works(executor)


@pytest.mark.anyio
@pytest.mark.usefixtures("docker")
async def test_an_image_that_vanishes_is_named_to_those_who_wait_and_its_return_heals() -> None:
    image = f"code-executor-vanishing:{os.getpid()}"

    def kill(sandbox: Sandbox) -> None:
        docker_cli("rmi", image)
        os.kill(supervisor_of(sandbox), signal.SIGKILL)

    await asyncio.to_thread(docker_cli, "tag", IMAGE, image)
    try:
        async with opened("docker", image=image, queue_timeout=2) as executor:
            await strike(executor, Execution(TALKER, timeout=20), kill)
            with pytest.raises(errors.PoolBusyError, match=f"No such image: {image}"):
                await executor.run("print(1)")
            assert not executor.pool.ready
            await asyncio.to_thread(docker_cli, "tag", IMAGE, image)
            async with asyncio.timeout(60):
                await until_it_works(executor)
    finally:
        await asyncio.to_thread(docker_cli, "rmi", image, check=False)


async def until_it_works(executor: Executor) -> None:
    while True:
        try:
            assert await works(executor)
        except errors.PoolBusyError:
            continue  # after its own patience
        return


CLAIMS_TO_WAIT = """
import os
while True:
    for number in range(3, 16):
        try:
            os.set_blocking(number, False)
            os.write(number, b"x")
        except OSError:
            pass
"""


async def silence() -> AsyncIterator[Input]:
    """Somebody at a keyboard who types nothing."""
    await asyncio.Event().wait()
    yield Stdin(None)


@pytest.mark.anyio
async def test_a_program_that_only_claims_to_wait_for_input_is_stopped_all_the_same(engine: str) -> None:
    async with opened(engine, input_timeout=1) as executor, asyncio.timeout(60):
        *_, result = [each async for each in executor.stream(Execution(CLAIMS_TO_WAIT, timeout=1), silence())]
        assert isinstance(result, Result)
        assert result.reason in (Reason.INPUT_TIME, Reason.WALL_TIME, Reason.OUTPUT_LIMIT)
        assert await works(executor)


# ---- sandboxes that have been taken over


def result_frame(cause: int = Cause.COMPLETED, run: int = 1) -> bytes:
    return event(EventType.RESULT, run, Outcome(Cause.COMPLETED).pack().replace(b"\0", bytes([cause]), 1))


def reported(report: str) -> str:
    return f"{event(EventType.REPORT, 1, report.encode()) + result_frame(Cause.REPORTED)!r}"


SILENT = ("nothing", "half a frame", "that it waits, for ever")
MOST_BELIEVED = Limits().output + 20 * MAX_BODY

LIES = {
    "nothing": "b''",
    "nothing, and the end": "b''",
    "noise": "bytes(range(255, 0, -1)) * 100",
    "an unknown type": repr(b"\x7f" + bytes(7)),
    "a frame of four gigabytes": repr(b"\x02\x00\x00\x01\xff\xff\xff\xff"),
    "half a frame": repr(event(EventType.STDOUT, 1, b"x" * 100)[:50]),
    "output of another run": repr(event(EventType.STDOUT, 2, b"another's") + result_frame()),
    "the result of another run": repr(result_frame(run=7)),
    "a result of no cause": repr(result_frame(cause=200)),
    "half a result": repr(event(EventType.RESULT, 1, b"\0" * 9)),
    "the end of a cell that there is not": repr(event(EventType.CELL_DONE, 1, Outcome(Cause.COMPLETED).pack())),
    "that it is ready": repr(event(EventType.READY, 0)),
    "that it is broken": repr(event(EventType.FATAL, 0, b"\xff" * 1000)),
    "more than the limit": f"({EVENT.pack(EventType.STDOUT, 0, 1, MAX_BODY)!r} + bytes({MAX_BODY})) * 30",
    "that it waits, for ever": f"{event(EventType.WAITING, 1)!r} * 200_000",
    "a report that is none": reported("x"),
    "a report of lists": reported("[" * 20_000 + "]" * 20_000),
    "a report of nothing": reported("null"),
    "a report of an unknown reason": reported('{"reason": "fine", "problems": []}'),
    "a report of no reason": reported('{"reason": [], "problems": []}'),
    "a report of a line without end": reported(
        '{"reason": "policy", "problems": [{"line": Infinity, "column": 1, "message": ""}]}'
    ),
}


@asynccontextmanager
async def taken_over(impostor: Impostor, patience: float = 20) -> AsyncIterator[Executor]:
    async with Pool(impostor, PoolSize(least=1, most=1)) as pool:
        yield Executor(Dispatcher([pool], Limits(), patience=patience))
        await until(lambda: not pool.book.making)  # a process that is being started cannot be called off


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("lie", LIES)
async def test_a_sandbox_that_lies_is_never_believed(lie: str) -> None:
    impostor = Impostor(LIES[lie], stay=not lie.endswith("end"))
    async with taken_over(impostor) as executor, asyncio.timeout(30):
        result = await executor.run("print(1)", timeout=1)
        assert result.reason is (Reason.WALL_TIME if lie in SILENT else Reason.INTERNAL)
        assert len(result.output) <= MOST_BELIEVED
        if "report" not in lie:  # that one ended as it should
            await until(lambda: impostor.made > 1)


@pytest.mark.anyio
async def test_files_that_a_sandbox_names_outside_of_its_box_are_dropped() -> None:
    names = ("/etc/passwd", "../up", "a/../../up", "a//b", ".", "within/the box")
    files = b"".join(record(name, b"x") for name in names)
    impostor = Impostor(repr(event(EventType.FILE, 1, files) + result_frame()))
    async with taken_over(impostor) as executor:
        result = await executor.run("print(1)", timeout=1)
    assert [file.path for file in result.files] == ["within/the box"]


@pytest.mark.anyio
async def test_a_sandbox_that_talks_when_nobody_listens_is_replaced_before_it_fills_the_memory() -> None:
    chatter = f"({EVENT.pack(EventType.STDOUT, 0, 1, MAX_BODY)!r} + bytes({MAX_BODY})) * 80"
    impostor = Impostor("b''", greeting=f"{READY!r} + {chatter}")
    async with taken_over(impostor):
        await until(lambda: impostor.made > 1)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "greeting",
    [
        event(EventType.READY, 0),
        event(EventType.READY, 0, b"[]"),
        event(EventType.READY, 0, b"{"),
        event(EventType.READY, 0, b'{"protocol": 0}'),
        event(EventType.READY, 1, json.dumps({"protocol": VERSION}).encode()),
        result_frame(),
        b"Traceback (most recent call last):",
    ],
    ids=str,
)
async def test_a_sandbox_that_introduces_itself_wrongly_is_never_lent(greeting: bytes) -> None:
    impostor = Impostor("b''", greeting=repr(greeting), stay=False)
    async with taken_over(impostor, patience=1) as executor:
        with pytest.raises(errors.PoolBusyError):
            await executor.run("print(1)")
    assert impostor.made > 1
