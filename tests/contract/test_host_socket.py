"""Frames go over a Unix socket where the Docker engine is on this machine, else over the attach stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from code_executor.core.errors import EngineError, SandboxError
from code_executor.core.limits import Limits
from code_executor.core.models import Execution
from code_executor.sandbox import hardening
from code_executor.sandbox.docker import DockerEngine, DockerLink
from code_executor.sandbox.hostsocket import MOUNTED_AT, HostSocket
from code_executor.sandbox.owner import Owner
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent.contract.protocol import EventType
from tests.census import containers_of, until
from tests.conftest import IMAGE, RUNTIME

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("docker"),
    pytest.mark.skipif(bool(RUNTIME), reason="another runtime's containers are attached to"),
]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where sockets are made; systemd would say it so. Its path is short, as that of a socket has to be."""
    with tempfile.TemporaryDirectory() as directory:
        monkeypatch.setenv("RUNTIME_DIRECTORY", directory)
        yield Path(directory)


@asynccontextmanager
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox of an engine of its own."""
    engine = DockerEngine(IMAGE, Limits(), policies=hardening.NO_POLICY)
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


def host_socket_of(made: Sandbox) -> HostSocket | None:
    link = made._link  # nobody else has to know which way the bytes go
    assert isinstance(link, DockerLink)
    return link._host_socket


async def output(made: Sandbox, code: str) -> str:
    events = [event async for event in made.run(Execution(code, policy=False), made.limits)]
    return b"".join(event.body for event in events if event.type in (EventType.STDOUT, EventType.STDERR)).decode()


async def test_a_local_engines_sandbox_connects_and_leaves_nothing_to_connect_to(place: Path) -> None:
    leave_out_where_the_engine_is("userns", "rootless")
    async with sandbox() as made:
        host_socket = host_socket_of(made)
        assert host_socket is not None
        assert host_socket.connected
        assert names(place) == []
        look = f"import os\ntry: print(os.listdir({MOUNTED_AT!r}))\nexcept PermissionError: print('refused')"
        assert await output(made, look) == "refused\n"


def test_where_the_engine_does_not_see_the_directory_the_stream_is_attached_to(place: Path) -> None:
    program = place / "main.py"
    program.write_text("print(input())")
    command = (
        f"mount -t tmpfs none {place}/hidden && "
        f'{sys.executable} -m code_executor run --engine docker "$0" && ls {place}/hidden'
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
        host_socket = host_socket_of(made)
        assert host_socket is not None
        assert not host_socket.connected
        assert names(place) == []
        assert await output(made, "print(1)") == "1\n"


async def test_what_cannot_be_made_leaves_no_directory_and_gives_back_its_uid(place: Path) -> None:
    engine = DockerEngine(IMAGE, Limits(), policies=hardening.NO_POLICY)
    await engine.start()
    engine._image = "code-executor:vanished"
    try:
        free = len(engine._uids._free)
        with pytest.raises(EngineError, match="No such image"):
            await engine.create()
        assert names(place) == []
        assert len(engine._uids._free) == free
    finally:
        await engine.close()


async def test_a_sandbox_that_does_not_come_up_is_removed_and_its_last_words_are_told(place: Path) -> None:
    engine = DockerEngine(IMAGE, Limits(), policies={"": {"no such": "table"}})
    await engine.start()
    try:
        free = len(engine._uids._free)
        with pytest.raises(SandboxError, match="unknown key 'no such'"):
            await engine.create()
        assert containers_of(os.getpid()) == []
        assert names(place) == []
        assert len(engine._uids._free) == free
    finally:
        await engine.close()


READS_FOR_EVER = "import sys\nprint('on', flush=True)\nwhile True: sys.stdin.buffer.read(1 << 16)"


async def test_a_run_that_is_called_off_while_its_input_waits_for_room_costs_no_attached_sandbox() -> None:
    engine = DockerEngine(IMAGE, Limits(), policies=hardening.NO_POLICY)
    await engine.start()
    engine._host_sockets = False
    try:
        made = await engine.create()
        try:
            for _ in range(2):
                execution = Execution(READS_FOR_EVER, stdin="x" * (32 << 20), policy=False)
                async with aclosing(made.run(execution, made.limits)) as events:
                    assert (await anext(events)).type is EventType.STDOUT
                await made.settle()
            assert await output(made, "print(1)") == "1\n"
        finally:
            await made.destroy()
    finally:
        await engine.close()


# ---- the socket by itself


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[HostSocket, Sandbox, Callable[[], socket.socket]]]:
    """A socket that nobody has connected to, and the way to."""
    made = Sandbox("listening", Limits())
    host_socket = await HostSocket.listen(made)
    connected: list[socket.socket] = []

    def connect() -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        connected.append(peer)
        peer.connect(f"{host_socket.directory}/socket")
        peer.setblocking(False)
        return peer

    try:
        async with asyncio.timeout(30):
            yield host_socket, made, connect
    finally:
        host_socket.close()
        for peer in connected:
            peer.close()


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": use}) for use in (True, False)])
async def test_who_comes_second_is_turned_away(place: Path) -> None:
    loop = asyncio.get_running_loop()
    async with listening() as (host_socket, made, connect):
        first, second = connect(), connect()  # both of them before the first is let in
        second.send(b"noise, which would end the sandbox")
        await until(lambda: host_socket.connected)
        with contextlib.suppress(ConnectionResetError):
            assert await loop.sock_recv(second, 1) == b""
        await host_socket.write(b"for the first")
        assert await loop.sock_recv(first, 99) == b"for the first"
        assert made.usable


@pytest.mark.parametrize("reads", [True, False])
async def test_who_writes_waits_for_room_or_for_the_end(place: Path, reads: bool) -> None:
    loop = asyncio.get_running_loop()
    async with listening() as (host_socket, made, connect):
        peer = connect()
        await until(lambda: host_socket.connected)
        data = os.urandom(8 << 20)
        writing = asyncio.create_task(host_socket.write(data))
        received = await loop.sock_recv(peer, 1)
        assert not writing.done()
        while reads and len(received) < len(data):
            received += await loop.sock_recv(peer, 1 << 20)
        peer.close()
        await writing
        assert not reads or received == data
        await until(lambda: not made.usable)
        with pytest.raises(ConnectionError):
            await host_socket.write(b"too late")


@pytest.fixture
def dead() -> int:
    """The pid of a process that is gone."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


async def test_what_a_killed_server_was_about_to_listen_on_is_removed_at_the_next_start(place: Path, dead: int) -> None:
    stray, living = (f"code-executor-{tag}-socket-x" for tag in (replace(Owner.this(), pid=dead).tag, Owner.this().tag))
    for name in (stray, living):
        (place / name).mkdir()
        (place / name / "socket").touch()
    async with sandbox():
        assert names(place) == [living]
