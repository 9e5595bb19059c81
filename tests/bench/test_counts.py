"""What one run costs, in counts that do not depend on the machine: a guard against slowing down that times nothing.

A sandbox is traced through a number of runs. The bounds are the counts of 2026-11-29. Where a count must rise, raise it
here and say why: every system call on the path is some microseconds of every run, and every fork is a copy of page
tables. Page faults depend on the interpreter and the kernel, and are compared with those of a bare interpreter.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import venv
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench import strace
from bench.parts import floor
from bench.parts.layers import FORK, RECEIVE, SEND, moved
from bench.server import descendants, supervisors
from bench.strace import Call
from code_executor import Executor
from code_executor.sandbox.pool import Pool
from sandbox_agent.contract import protocol
from sandbox_agent.contract.protocol import EventType
from tests.conftest import IMAGE, RUNTIME

pytestmark = pytest.mark.anyio

RUNS = 10
CODE = "print(1, end='')"
"""It writes once: of two writes, the scheduler decides whether they are one frame or two."""

LIBRARIES = ("numpy", "pandas", "matplotlib.pyplot", "scipy.stats", "sympy")

# Upper bounds per run, on average over the runs
SUPERVISOR_CALLS = {"native": 70, "docker": 110}
"""All but `WAITS`, which makes them the same in every run.

Half of them are its end of the child's pipes (33: made, closed on the child's side, closed at the end), and a look at
what a run could have changed beside its own directories, once the result has been sent (18, and 54 in a container,
which has more such places)."""
WAITS = {"poll", "pselect6", "wait4", "kill", "read", "splice", "restart_syscall"}
"""Calls that wait, or are made until there is nothing more: how often is the scheduler's doing."""
SUPERVISOR_WAITS = 50
"""Today's are 31 to 38. One more loop that asks all the time would need hundreds."""
CHILD_CALLS = 85
"""The whole life of a child: birth, confinement, warm-up, run, exit. Most of it is off anybody's path.

They are 83 with Python 3.11, and 85 with Python 3.13 and its C library, which begin a thread's life with two more."""
CHILD_CALLS_WITH_LIBRARIES = CHILD_CALLS + 2
"""Random numbers for each library that has its own."""
CHILD_CALLS_ON_PATH = 18
"""From its payload on: read it to its end (2), write `main.py` and what is known of it (4), close pipes (3), limit CPU
time (2), let SIGINT in, write (2), take `main.py` away (3), exit."""
SUPERVISOR_BYTES = 250
"""Through its own memory: a command's header, a result, READY, and a header of 8 for each frame of output."""
PAGE_FAULTS_OVER_BARE = 0.75
"""Of a child from its fork to its end: 560 to 566, where a bare interpreter has 809. One more fork has 80 or more."""
SERVER_TO_SUPERVISOR_BYTES = 150
"""A header of 20, and the payload's JSON but for the source."""


@pytest.fixture
async def executor() -> AsyncIterator[Executor]:
    async with Executor.open(engine="native", pool_size=1, preload=()) as opened:
        await settled(opened)  # it has been examined, which was a run
        yield opened


async def settled(executor: Executor) -> None:
    """Wait until every sandbox is clean and its next child waits."""
    async with asyncio.timeout(60):
        for pool in pools(executor):
            while not pool.book.idle:  # noqa: ASYNC110  # the pool's own event is the pool's to clear
                await asyncio.sleep(0.005)


def pools(executor: Executor) -> tuple[Pool, ...]:
    return executor._inner.pools


def supervisor_of_ours(engine: str) -> int:
    """The one that was started last: other tests' executors may still be open."""
    return max(supervisors(engine, os.getpid()), key=started)


def started(pid: int) -> int:
    """When a process was started, in clock ticks since the machine was."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.fixture
async def tracing() -> None:
    """Ask for strace."""
    if not strace.present():
        if os.environ.get("CI") == "true":
            pytest.fail("CI=true, and strace is not installed")
        pytest.skip("strace is not installed: system calls were not counted")


async def trace(executor: Executor, code: str, log: Path, *, policy: bool = True) -> tuple[int, list[Call]]:
    """Run ``code`` ``RUNS`` times; return the supervisor's pid and all calls of it and of its children meanwhile."""
    assert (await executor.run(code, policy=policy)).reason == "completed"  # what is done once is done
    await settled(executor)
    supervisor = supervisor_of_ours(executor.pool.engine.name)
    with strace.follow([supervisor, *descendants(supervisor)], log):
        for _ in range(RUNS):
            assert (await executor.run(code, policy=policy)).reason == "completed"
            await settled(executor)
    return supervisor, strace.read(log)


def forks(calls: list[Call], supervisor: int) -> int:
    """How many processes the supervisor made: copies of itself, with page tables of their own."""
    made = (call for call in calls if call.pid == supervisor and call.name in FORK and moved(call))
    return sum("CLONE_VM" not in call.arguments for call in made)


def clones(calls: list[Call]) -> int:
    """How many processes and threads were made, by whomever."""
    return sum(call.name in FORK and moved(call) for call in calls)


def lives(calls: list[Call]) -> list[list[Call]]:
    """Return the calls of each child that was born and ended under our eyes: all but the first and the last."""
    found: dict[int, list[Call]] = {}
    for call in calls:
        found.setdefault(call.pid, []).append(call)
    return [life for life in found.values() if {"setsid", "exit_group"} <= {call.name for call in life}]


@pytest.fixture
def tracing_anywhere(engine: str, tracing: None) -> str:
    """Return the name of an engine whose processes we may trace."""
    if RUNTIME:
        pytest.skip(f"the system calls of a sandbox under {RUNTIME} are not the kernel's")
    if engine == "docker" and os.geteuid() != 0:
        pytest.skip("only root may trace a container")
    return engine


@pytest.fixture(params=[(), LIBRARIES], ids=["plain", "with libraries"])
async def kind(tracing_anywhere: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Executor, str, int]]:
    """Yield an executor, a program that it runs in its last kind of sandbox, and the bound of a child's calls there."""
    modules = request.param
    async with Executor.open(engine=tracing_anywhere, pool_size=1, preload=(modules,) if modules else ()) as opened:
        await settled(opened)
        code = "\n".join([CODE, *(f"# {module}" for module in modules)])
        yield opened, code, CHILD_CALLS_WITH_LIBRARIES if modules else CHILD_CALLS


async def test_a_run_stays_within_its_system_calls_and_forks(kind: tuple[Executor, str, int], tmp_path: Path) -> None:
    executor, code, bound = kind
    supervisor, calls = await trace(executor, code, tmp_path / "log")
    by_supervisor = Counter(call.name for call in calls if call.pid == supervisor)
    waits = sum(by_supervisor[name] for name in WAITS)
    assert (by_supervisor.total() - waits) / RUNS <= SUPERVISOR_CALLS[executor.pool.engine.name], by_supervisor
    assert waits / RUNS <= SUPERVISOR_WAITS, by_supervisor
    longest = max(lives(calls), key=len)
    assert len(longest) <= bound, Counter(call.name for call in longest)
    assert forks(calls, supervisor) == RUNS
    assert clones(calls) == 2 * RUNS  # the other is the process that holds the child's memory


@pytest.mark.usefixtures("tracing")
class TestSystemCalls:
    async def test_a_child_does_next_to_nothing_between_its_payload_and_its_end(
        self, executor: Executor, tmp_path: Path
    ) -> None:
        _, calls = await trace(executor, CODE, tmp_path / "log")
        children = lives(calls)
        assert len(children) == RUNS - 1
        for own in children:
            payload = next(n for n, call in enumerate(own) if call.name in RECEIVE and "code" in call.arguments)
            counts = Counter(call.name for call in own[payload:])
            assert counts.total() <= CHILD_CALLS_ON_PATH, counts
            assert not counts.keys() & {"open", "openat", "stat", "statx", "execve"}, counts  # no imports
            looked = [call.arguments for call in own[payload:] if call.name == "newfstatat"]
            assert len(looked) == 2, looked  # when it is written, by its descriptor, and when it is taken away
            assert looked[0].split(", ")[1] == '""', looked
            assert looked[1].split(", ")[1].endswith('/main.py"'), looked

    async def test_a_run_is_one_fork_and_three_where_it_leaves_a_file(self, executor: Executor, tmp_path: Path) -> None:
        supervisor, calls = await trace(executor, CODE, tmp_path / "clean")
        assert forks(calls, supervisor) == RUNS
        supervisor, calls = await trace(executor, "open('file', 'w').close()", tmp_path / "dirty", policy=False)
        assert forks(calls, supervisor) == 3 * RUNS  # its own, one to collect the file, one to wipe it

    async def test_the_supervisor_copies_headers_and_nothing_of_a_run(self, executor: Executor, tmp_path: Path) -> None:
        """What it reads into its own memory is what later children are copies of, and what it costs to copy."""
        supervisor, calls = await trace(executor, "print('x' * 50_000, end='')", tmp_path / "log")
        through_memory = [call for call in calls if call.pid == supervisor and call.name in (*SEND, *RECEIVE)]
        through_memory = [call for call in through_memory if call.name not in ("splice", "sendfile")]
        assert sum(call.result or 0 for call in through_memory if moved(call)) / RUNS <= SUPERVISOR_BYTES


async def test_a_run_is_one_frame_out_and_three_in(executor: Executor, monkeypatch: pytest.MonkeyPatch) -> None:
    """RUN; STDOUT, RESULT, READY."""
    sent: list[int] = []
    received: list[protocol.Event] = []
    make, feed = protocol.command, protocol.EventReader.feed

    def make_and_count(*arguments: object, **options: object) -> bytes:
        frame = make(*arguments, **options)  # type: ignore[arg-type]
        sent.append(len(frame))
        return frame

    def feed_and_count(self: protocol.EventReader, data: bytes) -> list[protocol.Event]:
        events = feed(self, data)
        received.extend(events)
        return events

    monkeypatch.setattr(protocol, "command", make_and_count)
    monkeypatch.setattr(protocol.EventReader, "feed", feed_and_count)
    assert (await executor.run(CODE)).output == "1"
    await settled(executor)
    assert len(sent) == 1
    assert sent[0] - len(CODE) <= SERVER_TO_SUPERVISOR_BYTES
    assert [event.type for event in received] == [EventType.STDOUT, EventType.RESULT, EventType.READY]


@pytest.mark.skipif(bool(RUNTIME), reason="gVisor has page faults of its own")
async def test_a_run_has_fewer_page_faults_than_a_bare_interpreter(
    docker: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both in one container, so that a machine has few of both or many of both."""
    monkeypatch.setattr(floor, "IMAGE", IMAGE)
    figures = await floor.climb("", 9)
    run = statistics.median(figures["fork, confine, warm up, run print(1)"]["faults"])
    bare = statistics.median(figures["python3 -c 'print(1)'"]["faults"])
    assert run / bare <= PAGE_FAULTS_OVER_BARE, (run, bare)


SITE_CUSTOMIZE = """\
import atexit, os, sys

imported = None

def note(event, arguments):
    if event == "import" and imported is not None:
        imported.append(arguments[0])

def begin():
    global imported
    imported = []
    atexit.register(lambda: print(imported) if sys.argv[1:] == ["tell"] else None)

sys.addaudithook(note)
os.register_at_fork(after_in_child=begin)
"""


@pytest.fixture(scope="module")
def telling_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that says, at the end of a program, what was imported since its process was forked."""
    home = tmp_path_factory.mktemp("python")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    library = subprocess.run([python, "-c", question], capture_output=True, text=True, check=True).stdout.strip()
    (Path(library) / "sitecustomize.py").write_text(SITE_CUSTOMIZE)
    return str(python)


async def test_nothing_is_imported_after_the_fork(telling_python: str) -> None:
    async with Executor.open(engine="native", python=telling_python, pool_size=1, preload=()) as executor:
        assert (await executor.run("print(1)", args=("tell",))).output == "1\n[]\n"
        assert (await executor.run("import colorsys", args=("tell",))).output == "['colorsys']\n"
