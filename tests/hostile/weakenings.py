"""Sandboxes with a protection taken away, to show that it matters. They exist in tests alone: no setting reaches here.

A weakening switches off layers of the agent (``AgentConfig.layers_off``), loosens limits, or changes lines of a copy of
the agent. A line that is no longer there is an error, so that none of these goes stale unseen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sandbox_agent
from code_executor import Executor
from code_executor.core.limits import Limits
from code_executor.sandbox import cgroups, hardening
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.docker import DockerEngine
from code_executor.sandbox.native import Interpreter, NativeEngine
from code_executor.sandbox.pool import Pool
from code_executor.service.dispatcher import Dispatcher
from sandbox_agent.contract.config import AgentConfig
from tests.conftest import IMAGE, RUNTIME

PYTHON = Path(".sandbox/bin/python")
AGENT = Path(sandbox_agent.__file__).parent


@dataclass(frozen=True)
class Patch:
    """A change to a file of the agent: ``old`` stands in it exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Weakening:
    """What is taken away."""

    layers_off: tuple[str, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    patches: tuple[Patch, ...] = ()
    flags: tuple[str, ...] = ()  # of Docker's `HostConfig`


_READ_ON = Patch(
    "supervisor/relay.py",
    "_NONBLOCK = os.SPLICE_F_NONBLOCK",
    """_NONBLOCK = os.SPLICE_F_NONBLOCK
seen = []


def read_on(source, sink, most):
    seen.append(os.read(source, min(most, 1 << 15)))
    return os.write(sink, seen[-1])
""",
)

WEAKENINGS = {
    "seccomp": Weakening(layers_off=("seccomp",)),
    "landlock": Weakening(layers_off=("landlock",)),
    "uid": Weakening(layers_off=("uid",)),
    "rlimits": Weakening(layers_off=("rlimits",)),
    "memory limit": Weakening(limits={"memory": 2 << 30}),
    "process limit": Weakening(limits={"processes": 200}),
    "output limit": Weakening(limits={"output": 64 << 20}),
    "disk limit": Weakening(limits={"disk": 1 << 30, "files": 50_000}),
    "hold": Weakening(
        patches=(
            Patch("child/life.py", 'if more["hold"] is not None:', "if False:"),
            Patch("child/life.py", 'int(request.get("cpu") or config.cpu_seconds)', "config.cpu_seconds"),
            Patch("supervisor/loop.py", "self._hold = Hold.of_header(header)", "pass"),
        )
    ),
    "clock": Weakening(
        patches=(
            Patch("supervisor/clock.py", "self._limit = wall_ms * 1_000_000", "self._limit = wall_ms * 60_000_000"),
        )
    ),
    "closed descriptors": Weakening(
        patches=(
            Patch("supervisor/loop.py", "os.dup(0), os.dup(1)", "os.dup(0), __import__('fcntl').fcntl(1, 0, 200)"),
            Patch("supervisor/loop.py", "os.dup(commands)", "__import__('fcntl').fcntl(commands, 0, 200)"),
            Patch("confinement/confine.py", "kernel.close_from(len(aside))", "os.closerange(len(aside), 200)"),
        )
    ),
    "kill": Weakening(
        patches=(
            Patch("supervisor/reset.py", "os.kill(-1, signal.SIGKILL)", "pass"),
            Patch("supervisor/reset.py", "if not left:", "if True:"),
        )
    ),
    "wipe": Weakening(patches=(Patch("supervisor/reset.py", "dirty = self.dirty()", "dirty = []"),)),
    "read-only devices": Weakening(
        flags=("ReadonlyPaths",),
        patches=(
            Patch(
                "supervisor/mounts.py",
                'kernel.bind_read_only(empty, "/dev")',
                'kernel._mount(empty.encode(), "/dev", kernel.MS_BIND, "")',
            ),
        ),
    ),
    "proof of surroundings": Weakening(
        patches=(Patch("supervisor/loop.py", "self._surroundings.prove_unchanged()", "pass"),)
    ),
    "own files": Weakening(
        patches=(
            Patch("supervisor/mounts.py", "shared += _devices(config.mounts[0].path)", "pass"),
            Patch("supervisor/mounts.py", "_overlay(config.private, config.mounts[0].path) if own else []", "[]"),
        )
    ),
    "no dump": Weakening(
        patches=(
            Patch(
                "confinement/confine.py",
                "kernel.prctl(kernel.PR_SET_DUMPABLE, 0)",
                "kernel.prctl(kernel.PR_SET_DUMPABLE, 1)",
            ),
            Patch("confinement/confine.py", "if kernel.prctl(kernel.PR_GET_DUMPABLE) != 0:", "if False:"),
        )
    ),
    "doubt destroys": Weakening(
        patches=(Patch("supervisor/loop.py", "if outcome.signal not in _EXPECTED and", "if False and"),)
    ),
    "unread payload": Weakening(
        patches=(
            Patch(
                "supervisor/relay.py",
                "moved = self._drop() if self._sink is None else move(self._source, self._sink, self._remaining)",
                "moved = self._drop() if self._sink is None else read_on(self._source, self._sink, self._remaining)",
            ),
            _READ_ON,
        )
    ),
    "unread output": Weakening(
        patches=(
            Patch(
                "supervisor/relay.py",
                "moved = move(self._taken, self._sink, self._remaining)",
                "moved = read_on(self._taken, self._sink, self._remaining)",
            ),
            _READ_ON,
        )
    ),
}


def patched_agent(directory: Path, patches: Collection[Patch]) -> Path:
    """Copy the agent below ``directory``, changed; raise ``ValueError`` for a patch that does not fit."""
    copy = directory / "sandbox_agent"
    shutil.copytree(AGENT, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for patch in patches:
        file = copy / patch.file
        text = file.read_text()
        if text.count(patch.old) != 1:
            raise ValueError(f"{patch.old!r} stands {text.count(patch.old)} times in {patch.file}: renew the weakening")
        file.write_text(text.replace(patch.old, patch.new))
    return copy


class WeakDocker(DockerEngine):
    """The Docker engine with another agent, or with layers off."""

    def __init__(self, limits: Limits, layers_off: tuple[str, ...], agent: Path, preload: tuple[str, ...]) -> None:
        super().__init__(IMAGE, limits, runtime=RUNTIME, preload=preload, policies=hardening.NO_POLICY)
        self._layers_off = layers_off
        self._agent = agent
        self.flags_off: tuple[str, ...] = ()

    def _container(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        body = super()._container(*arguments, **options)
        verb, config = body["Cmd"]
        body["Cmd"] = [verb, _without(AgentConfig.from_json(config), self._layers_off).to_json()]
        for flag in self.flags_off:
            del body["HostConfig"][flag]
        body["HostConfig"]["Binds"] = [f"{self._agent}:{hardening.AGENT}:ro"]
        return body


class WeakNative(NativeEngine):
    """The native engine, likewise."""

    def __init__(self, limits: Limits, layers_off: tuple[str, ...], agent: Path, preload: tuple[str, ...]) -> None:
        super().__init__(limits, python=str(PYTHON.absolute()), preload=preload, policies=hardening.NO_POLICY)
        self._layers_off = layers_off
        self._agent = agent

    def _config(self, *arguments: Any, **options: Any) -> AgentConfig:
        return _without(super()._config(*arguments, **options), self._layers_off)

    def _arguments(self, python: Interpreter, config: AgentConfig, group: cgroups.Group | None) -> list[str]:
        arguments = super()._arguments(python, config, group)
        place = arguments.index(hardening.AGENT)
        return [*arguments[: place - 1], str(self._agent), *arguments[place:]]


def _without(config: AgentConfig, layers_off: tuple[str, ...]) -> AgentConfig:
    # root without capabilities cannot enter a box that belongs to the run's uid
    return dataclasses.replace(config, layers_off=layers_off, box="/usr" if "uid" in layers_off else config.box)


@contextlib.asynccontextmanager
async def weakened(
    engine: str, off: Collection[str], directory: Path, *, preload: tuple[str, ...] = (), reuse: int = 200
) -> AsyncIterator[Executor]:
    """Open an executor on one sandbox that lacks the protections named in ``off``; ``directory``: for its agent."""
    found = [WEAKENINGS[name] for name in off]
    limits = Limits()
    for weakening in found:
        limits = dataclasses.replace(limits, **weakening.limits)
    layers_off = tuple(layer for weakening in found for layer in weakening.layers_off)
    agent = patched_agent(directory, [patch for weakening in found for patch in weakening.patches])
    make = WeakDocker if engine == "docker" else WeakNative
    weak = make(limits, layers_off, agent, preload)
    if isinstance(weak, WeakDocker):
        weak.flags_off = tuple(flag for weakening in found for flag in weakening.flags)
    async with Pool(weak, PoolSize(least=1, most=1, reuse=reuse)) as pool:
        await pool.wait_ready(60)
        yield Executor(Dispatcher([pool], limits))
