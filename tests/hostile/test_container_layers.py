"""What the container's own walls hold: with the agent's layers off, one wall more or less is all the difference.

Every program here meets two containers that differ in one flag of Docker's, and gets through in the one without it.
"""

from __future__ import annotations

import re
import secrets
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from code_executor import Executor
from code_executor.core.limits import Limits
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.pool import Pool
from code_executor.service.dispatcher import Dispatcher
from tests.conftest import IMAGE, RUNTIME
from tests.hostile.cases import BREACH
from tests.hostile.weakenings import Patch, WeakDocker, patched_agent

pytestmark = [
    pytest.mark.usefixtures("docker"),
    pytest.mark.skipif(bool(RUNTIME), reason="another runtime has other walls"),
]

NEIGHBOUR = f"code-executor-neighbour-{secrets.token_hex(4)}"
KEY = 0x636F6465
NAME = f"{NEIGHBOUR}-socket"  # without a path: it is the network namespace's
SEGMENT = f"import ctypes, time; ctypes.CDLL(None).shmget({KEY}, 4096, 0o1666); print(flush=True); time.sleep(600)"
SETUID = "/opt/setuid/id"

PRELUDE = f"""
import ctypes, mmap, os, shutil, socket, time
libc = ctypes.CDLL(None)
def fill(path, count, size):
    for n in range(count):
        with open(f"{{path}}/{{n}}", "wb") as file:
            file.write(bytes(size))
    print("{BREACH}")
def is_run(file, who):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.dup2(writer, 1)
        os.execv(file, [file, "-u"])
    os.close(writer)
    print("{BREACH}" if os.read(reader, 99).decode().strip() == str(who) else "refused")
"""

Change = Callable[[Any], Any]


def become(value: Any) -> Change:
    return lambda _before: value


def mounts(pattern: str, new: str = "") -> Change:
    return lambda before: {path: re.sub(pattern, new, options) for path, options in before.items()}


@dataclass(frozen=True)
class Wall:
    """A flag: ``off`` changes its part of the ``HostConfig`` to what a container without it has.

    ``attempt`` is a program, to which ``agent`` names the agent's layers, and ``patches`` what of it beside them, that
    stand behind the wall and so have to be away, both times. ``says``: what it hears from the wall.
    """

    attempt: str
    says: str
    off: dict[str, Change]
    agent: tuple[str, ...] = ("seccomp", "landlock")
    patches: tuple[Patch, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)


WALLS = {
    "network": Wall(
        f"socket.create_connection((GATEWAY, PORT), 5); print('{BREACH}')",
        "Network is unreachable",
        {"NetworkMode": become("bridge")},
    ),
    "network: names of sockets": Wall(  # the way to a containerd-shim, if the namespace is the host's
        f"socket.socket(socket.AF_UNIX).connect('\\0{NAME}'); print('{BREACH}')",
        "Connection refused",
        {"NetworkMode": become("host")},
        agent=("landlock",),  # which would refuse it too, from Linux 6.12 on
    ),
    "read_only_root": Wall(  # without its uid a program is root, if one without rights: what is root's is its own
        f"open('/usr/lib/left', 'w').close(); print('{BREACH}')",
        "Read-only file system",
        {"ReadonlyRootfs": become(value=False)},
        agent=("uid", "landlock"),
    ),
    "capabilities": Wall(  # the change of uid takes them away, and so does a child that keeps root's
        f"os.chroot('/usr'); print('{BREACH}')",
        "Operation not permitted",
        {"CapDrop": become([]), "CapAdd": become([])},
        agent=("uid", "seccomp", "landlock"),
        patches=(Patch("confinement/confine.py", "kernel.drop_capabilities()", "pass"),),
    ),
    "no_new_privs": Wall(  # a child asks for it too, since it gets neither seccomp nor Landlock without
        f"is_run('{SETUID}', 0)",
        "refused",
        {"SecurityOpt": become([])},
        patches=(Patch("confinement/confine.py", "kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)", "pass"),),
    ),
    "pid_namespace": Wall(
        f"lines = [open(f'/proc/{{p}}/cmdline').read() for p in os.listdir('/proc') if p.isdigit()]\n"
        f"print('{BREACH}' if any('{NEIGHBOUR}' in line for line in lines) else 'alone')",
        "alone",
        {"PidMode": become(f"container:{NEIGHBOUR}")},  # never the host's: a reset kills all there is in it
        agent=("landlock",),
    ),
    "IPC namespace": Wall(
        f"print('{BREACH}' if libc.shmget({KEY}, 4096, 0) >= 0 else 'alone')",
        "alone",
        {"IpcMode": become(f"container:{NEIGHBOUR}")},
    ),
    "memory": Wall(
        f"m = mmap.mmap(-1, 256 << 20)\nfor at in range(0, len(m), 4096): m[at] = 1\nprint('{BREACH}')",
        "more than the 96 MB of memory",
        {"Memory": become(0), "MemorySwap": become(0)},
        agent=("rlimits",),
        limits={"memory": 96 << 20},
    ),
    "processes": Wall(
        f"for _ in range(40):\n    if os.fork() == 0: time.sleep(60)\nprint('{BREACH}')",
        "more than the 37 processes",
        {"PidsLimit": become(0)},
        agent=("rlimits",),
    ),
    "disk: bytes of /work": Wall("fill('/work', 5, 8 << 20)", "No space left", {"Tmpfs": mounts(r"\bsize=\d+,")}),
    "disk: bytes of /dev/shm": Wall("fill('/dev/shm', 5, 4 << 20)", "No space left", {"Tmpfs": mounts(r"\bsize=\d+,")}),
    "disk: files": Wall("fill('/tmp', 600, 0)", "No space left", {"Tmpfs": mounts(r"\bnr_inodes=\d+,")}),
    "no_exec": Wall(
        "shutil.copy('/usr/bin/id', '/tmp/id'); is_run('/tmp/id', os.getuid())",
        "Permission denied",
        {"Tmpfs": mounts(r"\bnoexec\b", "exec")},
    ),
}


class Walls(WeakDocker):
    """The Docker engine, with something of its containers changed."""

    changes: dict[str, Change]
    setuid: Path

    def _container(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        body = super()._container(*arguments, **options)
        host = body["HostConfig"]
        host["Binds"] += [f"{self.setuid}:{SETUID}:ro"]
        for name, change in self.changes.items():
            host[name] = change(host.get(name))
        body["NetworkDisabled"] = host["NetworkMode"] == "none"
        return body


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)
    return done.stdout.decode("latin-1")


@pytest.fixture(scope="module")
def neighbour() -> Iterator[None]:
    """Another container, with a process and a piece of shared memory: neither is anybody else's business."""
    started = ("run", "--detach", "--name", NEIGHBOUR, "--ipc", "shareable", "--network", "none")
    try:
        docker(*started, "--entrypoint", "/opt/sandbox/bin/python", IMAGE, "-c", SEGMENT, NEIGHBOUR)
        with subprocess.Popen(["docker", "logs", "--follow", NEIGHBOUR], stdout=subprocess.PIPE) as said:
            assert said.stdout is not None
            assert said.stdout.readline() == b"\n"  # now it has them
            said.kill()
        yield
    finally:
        docker("rm", "--force", NEIGHBOUR)


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, int]]:
    """A service of the host on the containers' bridge."""
    # a container's own words: a bridge that an engine has just made for the first time does not name its gateway
    routes = docker("run", "--rm", "--entrypoint", "cat", IMAGE, "/proc/net/route").splitlines()[1:]
    gateway = next(fields[2] for fields in map(str.split, routes) if fields[1] == "00000000")
    gateway = socket.inet_ntoa(struct.pack("=I", int(gateway, 16)))
    with socket.create_server((gateway, 0), backlog=16) as server:
        yield gateway, server.getsockname()[1]


@pytest.fixture(scope="module")
def setuid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image's own `id`, which the image would never have with the right to be root."""
    file = tmp_path_factory.mktemp("setuid") / "id"
    file.write_bytes(docker("run", "--rm", "--entrypoint", "cat", IMAGE, "/usr/bin/id").encode("latin-1"))
    file.chmod(0o4755)
    yield file
    file.unlink()


@pytest.fixture(scope="module")
def named() -> Iterator[None]:
    """A socket of the host that has a name and no path, as every containerd-shim once had."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{NAME}")
        server.listen()
        yield


@pytest.mark.anyio
@pytest.mark.usefixtures("neighbour", "named")
@pytest.mark.parametrize("there", [False, True], ids=["gets through without", "is held with"])
@pytest.mark.parametrize("name", WALLS)
async def test_a_program_at_a_wall(
    name: str, there: bool, listener: tuple[str, int], setuid: Path, tmp_path: Path
) -> None:
    wall = WALLS[name]
    limits = replace(Limits(), **wall.limits)
    engine = Walls(limits, wall.agent, patched_agent(tmp_path, wall.patches), ())
    engine.changes, engine.setuid = {} if there else wall.off, setuid
    places = "GATEWAY, PORT = {!r}, {}\n".format(*listener)
    async with Pool(engine, PoolSize(least=1, most=1)) as pool:
        await pool.wait_ready(60)
        result = await Executor(Dispatcher([pool], limits)).run(places + PRELUDE + wall.attempt, timeout=20)
    said = result.output + result.error
    assert (BREACH in result.output) is not there, f"{result.reason}: {said[-1000:]}"
    assert (wall.says in said) is there, f"{result.reason}: {said[-1000:]}"
