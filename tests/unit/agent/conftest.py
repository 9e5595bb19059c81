"""What tests of the agent need: the kernel itself, in processes that can be spoiled, and the rights of a supervisor."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import sandbox_agent
from code_executor.sandbox import hardening
from sandbox_agent.confinement import kernel, landlock
from sandbox_agent.contract.config import AgentConfig
from tests.unit.agent.piped import Pipe, Pipes, is_open
from tests.unit.agent.supervised import BOX, CONFIG, PYTHON, SRC, START, Supervise, Supervisor

START_AGENT = hardening.START[1].replace("/opt/agent", SRC)
IN_CHILD_WITHIN = 30.0

InChild = Callable[[Callable[[], Any]], Any]


def _missing(what: str) -> None:
    """Skip; where everything must be tested (CI=true), fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {what}")
    pytest.skip(f"NOT TESTED: {what}")


@pytest.fixture(scope="session")
def root() -> None:
    """Ask for root, as a supervisor is."""
    if os.geteuid() != 0:
        _missing("the tests do not run as root")


@pytest.fixture(scope="session")
def landlock_abi() -> int:
    """Ask for a kernel with Landlock."""
    abi = landlock.abi()
    if abi == 0:
        _missing("this kernel has no Landlock")
    return abi


@pytest.fixture(scope="session")
def pid_namespace(root: None) -> list[str]:
    """The command that starts a program as PID 1 of a namespace of its own, all of which dies with it."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        _missing("no PID namespace can be made here")
    return command


@pytest.fixture
def tmpfs(root: None) -> Iterator[Callable[..., Path]]:
    """Mount small file systems where any uid can come. Nobody else writes to them: their free space tells all."""
    mounted: list[Path] = []

    def mount(options: str = "size=16m,nr_inodes=8192,mode=0700") -> Path:
        path = Path(tempfile.mkdtemp(prefix="code-executor-"))
        try:
            kernel.mount_tmpfs(str(path), options)
        except PermissionError:
            path.rmdir()
            _missing("no tmpfs can be mounted here")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", path], check=True)
        path.rmdir()


@pytest.fixture(scope="session")
def memory_of(root: None) -> Callable[[int], Iterator[bytes]]:
    """Read the memory of another process, region by region."""

    def regions(pid: int) -> Iterator[bytes]:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                bounds, permissions = line.split()[:2]
                start, end = (int(part, 16) for part in bounds.split("-"))
                if permissions.startswith("r") and "[v" not in line:  # the kernel's own pages cannot be read
                    memory.seek(start)
                    yield memory.read(end - start)

    return regions


class Killed(Exception):  # noqa: N818  # it is what happened, not what went wrong
    """The child died of this signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number


@pytest.fixture
def in_child() -> InChild:
    """Call something in a forked child, which it may confine for good; return or raise what came of it.

    Results go through JSON. An ``OSError`` is raised again with its number; a death by a signal is `Killed`.
    """
    return _in_child


def _in_child(work: Callable[[], Any]) -> Any:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _work_and_exit(work, writer)
    os.close(writer)
    try:
        if not select.select([reader], [], [], IN_CHILD_WITHIN)[0]:
            os.kill(pid, signal.SIGKILL)
        with os.fdopen(reader, "rb") as file:
            text = file.read()
    finally:
        _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        raise Killed(os.WTERMSIG(status))
    answer = json.loads(text)
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
    if "error" in answer:
        raise AssertionError(answer["error"])
    return answer["value"]


def _work_and_exit(work: Callable[[], Any], writer: int) -> None:
    try:
        answer = {"value": work()}
    except OSError as error:
        answer = {"errno": error.errno}
    except BaseException as error:  # noqa: BLE001  # it has to reach the test
        answer = {"error": repr(error)}
    with contextlib.suppress(OSError):
        os.write(writer, json.dumps(answer).encode())
    os._exit(0)


@pytest.fixture(scope="session")
def supervise(pid_namespace: list[str], landlock_abi: int) -> Supervise:
    """Start supervisors: ``with supervise(CONFIG) as supervisor``.

    ``through`` is put before its command; ``changed`` is code that changes the agent before it begins.
    """
    python = f"{PYTHON}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    namespaces = [*pid_namespace, "--mount", "--ipc", "--net", "sh", "-c", START, "sh"]
    binds = [sys.base_prefix, str(Path(sandbox_agent.__file__).parents[1])]

    @contextlib.contextmanager
    def start(
        config: AgentConfig = CONFIG, through: tuple[str, ...] = (), changed: str = "pass"
    ) -> Iterator[Supervisor]:
        through = tuple(python if word == "PYTHON" else word for word in through)
        agent = [
            *through,
            python,
            "-c",
            START_AGENT.replace("sys.exit(", f"{changed}; sys.exit("),
            "supervise",
            config.to_json(),
        ]
        with subprocess.Popen(
            [*namespaces, *binds, *agent],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": BOX},
        ) as process:
            try:
                yield Supervisor(process)
            finally:
                process.kill()

    return start


@pytest.fixture(scope="module")
def shared(supervise: Supervise) -> Iterator[Supervisor]:
    with supervise() as supervisor:
        supervisor.ready()
        yield supervisor


@pytest.fixture
def supervisor(shared: Supervisor) -> Iterator[Supervisor]:
    """A supervisor that is ready, and that must be so again after the test."""
    yield shared
    assert shared.ready().body == b""


@pytest.fixture
def pipe() -> Iterator[Pipes]:
    """Make pipes and close them afterwards. No test may wait for ever: all ends are non-blocking."""
    inodes: dict[int, int] = {}

    def make() -> Pipe:
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        inodes.update((fd, os.fstat(fd).st_ino) for fd in ends)
        return Pipe(*ends)

    yield make
    for fd, inode in inodes.items():
        if is_open(fd, inode):
            os.close(fd)
