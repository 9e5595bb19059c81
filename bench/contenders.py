"""What is timed side by side: our engines and modes, the bare interpreter, and others' sandboxes.

A contender runs a program for a turn and returns how long each run took. If a contender is not available here, it says
why, and the others continue.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bench.client import Connection, Response, request_bytes
from bench.helpers import Helper
from bench.load import complaint_of
from bench.server import CACHE, IMAGE, ROOT, Server

PEERS_IMAGE = "code-executor-bench:latest"
"""The same image without our entry point, for contenders that start programs in it themselves."""

HERE = Path(__file__).parent
SPAWNER = HERE / "spawner.py"
INSIDE = "/opt/sandbox/bin/python"
SANDBOX_PYTHON = ROOT / ".sandbox" / "bin" / "python"
PEERS_PYTHON = CACHE / "peers" / "bin" / "python"

PRINT = "print(1)"
PANDAS = """\
import numpy, pandas

frame = pandas.DataFrame({"x": numpy.arange(1000), "y": numpy.arange(1000) % 7})
print(frame.groupby("y").x.sum().max())
"""

PAUSE = 0.02
"""Seconds between requests that are not back to back."""

BARE, BARE_SANDBOX, BARE_IMAGE = "python3 -c", "python3 -c of .sandbox", "python3 -c in the image"
BWRAP, DOCKER_RUN = "bubblewrap + python3", "docker run"
IDLE, BACK_TO_BACK, FRESH = "idle between requests", "back to back", "reuse=0"
PEERS = ("llm-sandbox, one session", "llm-sandbox, a session each", "epicbox")


def http_name(engine: str, mode: str) -> str:
    return f"HTTP, {engine}, {mode}"


@dataclass(frozen=True)
class Turn:
    """How long a contender may run: for ``seconds`` or ``most`` runs, but for at least one run."""

    seconds: float
    most: int


class Contender(Protocol):
    name: str
    programs: tuple[str, ...]
    """What it can run: not every bare interpreter has pandas."""

    async def run(self, code: str, turn: Turn) -> list[float]:
        """Return milliseconds, one figure per run."""


@dataclass
class Spawned:
    """A program that is started for every run; ``command`` turns the code into its argument list."""

    name: str
    spawner: Helper
    command: Callable[[str], list[str]]
    programs: tuple[str, ...] = (PRINT, PANDAS)

    async def run(self, code: str, turn: Turn) -> list[float]:
        reply = await self.spawner.ask(argv=self.command(code), seconds=turn.seconds, most=turn.most, at_once=1)
        return list(reply["ms"])


@dataclass
class OverHttp:
    """Our server with one client. ``pause``: seconds between requests.

    ``rested``: wait before each request until the pool is full again; this wait is not timed. ``fields``: more fields
    of the request. ``complaint``: what is wrong with an answer; empty if nothing is.
    """

    name: str
    server: Server
    connection: Connection
    pause: float = 0.0
    rested: bool = False
    programs: tuple[str, ...] = (PRINT, PANDAS)
    fields: dict[str, Any] = field(default_factory=dict)
    complaint: Callable[[Response], str] = complaint_of

    async def run(self, code: str, turn: Turn) -> list[float]:
        request = request_bytes(self.server.host, code, **self.fields)
        await self.server.quiet()
        latencies: list[float] = []
        began = time.perf_counter()
        while len(latencies) < turn.most and (not latencies or time.perf_counter() - began < turn.seconds):
            if self.rested:
                await self.server.quiet()
            await asyncio.sleep(self.pause)
            if not self.connection.alive:  # it had no turn for so long that the server closed it
                self.connection = await self.server.connect()
            started = time.perf_counter()
            response = await self.connection.ask(request)
            latencies.append((time.perf_counter() - started) * 1000)
            if complaint := self.complaint(response):
                raise RuntimeError(complaint)
        await self.server.quiet()  # its clean-up must not slow the next contender
        return latencies


@dataclass
class Peer:
    """The sandbox of another project, used through its library."""

    name: str
    helper: Helper
    programs: tuple[str, ...] = (PRINT, PANDAS)

    async def run(self, code: str, turn: Turn) -> list[float]:
        reply = await self.helper.ask(
            peer=self.name, code=code, image=PEERS_IMAGE, seconds=turn.seconds, most=turn.most
        )
        return list(reply["ms"])


def docker_lacks() -> str:
    """Return why there is no Docker engine with our image here; empty if there is one."""
    if shutil.which("docker") is None:
        return "no docker command"
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, timeout=60, check=False)
    return "" if found.returncode == 0 else f"no Docker engine answers with the image {IMAGE}"


async def fastest_interpreter() -> str:
    """Return the path of the Python that runs `PRINT` in the least time: the baseline must not flatter us."""
    best: dict[str, float] = {}
    async with spawner() as here:
        for path in _interpreters():
            reply = await here.ask(argv=[path, "-c", PRINT], seconds=2, most=20, at_once=1)
            best[path] = min(reply["ms"])
    return min(best, key=lambda path: best[path])


def _interpreters() -> list[str]:
    """Return the machine's interpreter, the one that made the environments, and the native engine's.

    They are real executables: the shim of a version manager is slower and would flatter us.
    """
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    return [path for path in ("/usr/bin/python3", base, str(SANDBOX_PYTHON)) if os.access(path, os.X_OK)]


def spawner() -> Helper:
    return Helper([sys.executable, str(SPAWNER)])


def spawner_in_image() -> Helper:
    """The same in one container for its whole life: without limits, and `docker run` is not timed."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--entrypoint", INSIDE, IMAGE]
    return Helper([*command, "-c", SPAWNER.read_text()])


# ---- the contenders: each function opens one or more of them, for as long as the stack is open

Opener = Callable[[AsyncExitStack], Awaitable[list[Contender]]]


def bare(python: str) -> Opener:
    async def opened(stack: AsyncExitStack) -> list[Contender]:
        here = await stack.enter_async_context(spawner())
        return [
            Spawned(BARE, here, lambda code: [python, "-c", code], (PRINT,)),
            Spawned(BARE_SANDBOX, here, lambda code: [str(SANDBOX_PYTHON), "-c", code]),
        ]

    return opened


async def bare_in_image(stack: AsyncExitStack) -> list[Contender]:
    there = await stack.enter_async_context(spawner_in_image())
    return [bare_of_image(there)]


def bare_of_image(there: Helper) -> Spawned:
    """``there``: what `spawner_in_image` returned."""
    return Spawned(BARE_IMAGE, there, lambda code: [INSIDE, "-c", code])


def over_http(engine: str) -> Opener:
    async def opened(stack: AsyncExitStack) -> list[Contender]:
        server = await stack.enter_async_context(Server(engine))
        connection = await server.connect()
        return [
            OverHttp(http_name(engine, IDLE), server, connection, pause=PAUSE),
            OverHttp(http_name(engine, BACK_TO_BACK), server, connection),
        ]

    return opened


def over_http_fresh(engine: str) -> Opener:
    async def opened(stack: AsyncExitStack) -> list[Contender]:
        server = await stack.enter_async_context(Server(engine, reuse=0))
        return [OverHttp(http_name(engine, FRESH), server, await server.connect(), rested=True)]

    return opened


async def bubblewrap(stack: AsyncExitStack) -> list[Contender]:
    """Bubblewrap as in the first example of its manual: namespaces and a read-only root, nothing else."""
    command = [_find_bwrap(), "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev"]
    command += ["--proc", "/proc", str(SANDBOX_PYTHON), "-c"]
    here = await stack.enter_async_context(spawner())
    return [Spawned(BWRAP, here, lambda code: [*command, code])]


def _find_bwrap() -> str:
    """Return the bubblewrap that the native engine uses."""
    question = "from code_executor.sandbox.native import find_bwrap; print(find_bwrap())"
    answer = subprocess.run([ROOT / ".venv/bin/python", "-c", question], capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise RuntimeError("no bubblewrap")
    return answer.stdout.strip()


async def docker_run(stack: AsyncExitStack) -> list[Contender]:
    """`docker run` with few options. It has no network, because a network would cost it 100 ms more."""
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", INSIDE, IMAGE, "-c"]
    here = await stack.enter_async_context(spawner())
    return [Spawned(DOCKER_RUN, here, lambda code: [*command, code])]


async def peers(stack: AsyncExitStack) -> list[Contender]:
    if not PEERS_PYTHON.exists():
        raise RuntimeError("they could not be installed (bench/peers.txt)")
    helper = await stack.enter_async_context(Helper([str(PEERS_PYTHON), str(HERE / "peers.py")]))
    return [Peer(name, helper) for name in PEERS]


def openers(engines: tuple[str, ...], python: str) -> dict[str, Opener]:
    """Return all contenders for ``engines``, each by the name under which a failure is reported."""
    found: dict[str, Opener] = {BARE: bare(python)}
    if "docker" in engines:
        found[BARE_IMAGE] = bare_in_image
    for engine in engines:
        found[f"HTTP, {engine}"] = over_http(engine)
        found[http_name(engine, FRESH)] = over_http_fresh(engine)
    found[BWRAP] = bubblewrap
    if "docker" in engines:
        found |= {DOCKER_RUN: docker_run, "llm-sandbox and epicbox": peers}
    return found
