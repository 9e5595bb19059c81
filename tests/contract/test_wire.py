"""Frames go over a Unix socket where the Docker engine is on this machine, else over the attach stream."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from code_executor.models import Execution, Limits
from code_executor.sandbox.base import Sandbox
from code_executor.sandbox.docker import DockerEngine, DockerLink
from code_executor.sandbox.wire import MOUNTED_AT, Wire
from sandbox_agent.protocol import EventType
from tests.conftest import IMAGE, RUNTIME

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("docker"),
    pytest.mark.skipif(bool(RUNTIME), reason="another runtime's containers are attached to"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sockets are made; systemd would say it so."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    return tmp_path


@asynccontextmanager
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox of an engine of its own."""
    engine = DockerEngine(IMAGE, Limits(), policy={})
    await engine.start()
    try:
        made = await engine.create()
        try:
            yield made
        finally:
            await made.destroy()
    finally:
        await engine.close()


def leave_out_where_the_engine_is(*kinds: str) -> None:
    """``userns``: root of its containers is nobody here. ``rootless``: as well, and it has mounts of its own."""
    question = ["docker", "info", "--format", "{{.SecurityOptions}}"]
    said = subprocess.run(question, capture_output=True, text=True, check=True, timeout=60).stdout
    for kind in kinds:
        if f"name={kind}" in said:
            pytest.skip(f"a {kind} engine is attached to")


def names(place: Path) -> list[str]:
    return [path.name for path in place.iterdir()]


def wire_of(made: Sandbox) -> Wire | None:
    link = made._link  # nobody else has to know which way the bytes go
    assert isinstance(link, DockerLink)
    return link._wire


async def output(made: Sandbox, code: str) -> str:
    events = [event async for event in made.run(Execution(code, policy=False))]
    return b"".join(event.body for event in events if event.type in (EventType.STDOUT, EventType.STDERR)).decode()


async def test_a_local_engines_sandbox_connects_and_leaves_nothing_to_connect_to(place: Path) -> None:
    leave_out_where_the_engine_is("userns", "rootless")
    async with sandbox() as made:
        wire = wire_of(made)
        assert wire is not None
        assert wire.connected
        assert names(place) == []
        look = f"import os\ntry: print(os.listdir({MOUNTED_AT!r}))\nexcept PermissionError: print('refused')"
        assert await output(made, look) == "refused\n"


def test_where_the_engine_does_not_see_the_directory_the_stream_is_attached_to(place: Path) -> None:
    program = place / "main.py"
    program.write_text("print(input())")
    command = (
        f'mount -t tmpfs none {place}/hidden && exec {sys.executable} -m code_executor.cli run --engine docker "$0"'
    )
    (place / "hidden").mkdir()
    run = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command, str(program)],
        env={**os.environ, "RUNTIME_DIRECTORY": f"{place}/hidden"},
        input="over the stream\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (0, "over the stream\n"), run.stderr


async def test_a_sandbox_that_cannot_connect_talks_over_the_stream(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_where_the_engine_is("rootless")
    make = tempfile.mkdtemp

    def of_somebody_else(**options: str) -> str:
        directory = make(**options)
        os.chown(
            directory, 12345, 12345
        )  # as a server that is not root makes it: closed to a root without capabilities
        return directory

    monkeypatch.setattr(tempfile, "mkdtemp", of_somebody_else)
    async with sandbox() as made:
        wire = wire_of(made)
        assert wire is not None
        assert not wire.connected
        assert names(place) == []
        assert await output(made, "print(1)") == "1\n"


@pytest.fixture
def dead() -> int:
    """The pid of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


async def test_what_a_killed_server_was_about_to_listen_on_is_removed_at_the_next_start(place: Path, dead: int) -> None:
    (place / f"code-executor-{dead}-wire-x").mkdir()
    (place / f"code-executor-{dead}-wire-x" / "socket").touch()
    (place / f"code-executor-{os.getpid()}-wire-x").mkdir()
    async with sandbox():
        assert names(place) == [f"code-executor-{os.getpid()}-wire-x"]
