"""A Docker daemon that is mute, stops, dies and comes back. It is one of our own: the machine's is left alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from code_executor.core.errors import EngineError
from code_executor.core.limits import Limits
from code_executor.sandbox import hardening
from code_executor.sandbox.docker import DockerEngine, _call
from tests.census import containers_of, eventually
from tests.conftest import IMAGE, Serve, Server

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.getuid() != 0 or not shutil.which("dockerd"), reason="needs root, and dockerd"),
]


class Daemon:
    """A dockerd with everything of its own below one directory, and no network."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.host = f"unix://{directory}/socket"

    def start(self) -> None:
        directory = self._directory
        own = [f"--data-root={directory}/data", f"--exec-root={directory}/exec", f"--pidfile={directory}/pid"]
        network = ["--bridge=none", "--iptables=false", "--ip6tables=false"]
        with (directory / "log").open("ab") as log:
            # in a network namespace of its own: without a bridge, it would remove the one of the host's daemon
            command = ["unshare", "--net", "dockerd", f"--host={self.host}", *own, *network]
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        assert eventually(self.answers), (directory / "log").read_text()[-2000:]

    def answers(self) -> bool:
        question = ["docker", "--host", self.host, "info"]
        return subprocess.run(question, capture_output=True, check=False, timeout=60).returncode == 0

    def load(self, image: str) -> None:
        """Copy an image without its libraries, which nothing here imports."""
        without = [
            f"--exclude=./{path}" for path in ("proc", "sys", "usr/share", "opt/sandbox/lib/python3*/site-packages")
        ]
        tar = ["tar", "--create", "--directory=/", *without, "."]
        run = ["docker", "run", "--rm", "--network=none", "--entrypoint", *tar[:1], image, *tar[1:]]
        with subprocess.Popen(run, stdout=subprocess.PIPE) as saved:
            load = ["docker", "--host", self.host, "import", "-", image]
            subprocess.run(load, stdin=saved.stdout, check=True, capture_output=True)

    def end(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None
            (self._directory / "pid").unlink(missing_ok=True)

    def clean(self) -> None:
        """Undo the mounts of its own data on itself that a killed daemon leaves."""
        while subprocess.run(["umount", self._directory / "data"], capture_output=True, check=False).returncode == 0:
            pass


@pytest.fixture
def daemon(docker: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon that has our image, and that whoever asks for Docker from here on talks to."""
    # not below /tmp, which may be a file system that overlays cannot lie on
    with tempfile.TemporaryDirectory(prefix="dockerd-", dir="/var/tmp", ignore_cleanup_errors=True) as directory:
        daemon = Daemon(Path(directory))
        daemon.start()
        try:
            daemon.load(IMAGE)
            monkeypatch.setenv("DOCKER_HOST", daemon.host)
            yield daemon
        finally:
            daemon.end()
            daemon.clean()


def ask(server: Server, code: str) -> httpx.Response:
    program = {"code": code, "language": "python", "timeout": 20}
    return httpx.post(f"{server.url}/api/execute", json=program, timeout=60)


def works(server: Server) -> bool:
    answer = ask(server, "print('works')")
    return answer.status_code == 200 and answer.json()["output"] == "works\n"


def runs(server: Server) -> bool:
    return "\ncode_executor_running 1.0\n" in httpx.get(f"{server.url}/metrics").text


@pytest.mark.anyio
async def test_a_daemon_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/socket")
    monkeypatch.setattr(_call, "__defaults__", (0.1,))
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{tmp_path}/socket")
        mute.listen()
        async with asyncio.timeout(30):
            with pytest.raises(EngineError, match="Docker did not answer"):
                await DockerEngine(IMAGE, Limits(), policies=hardening.NO_POLICY).start()


def test_the_server_outlives_its_docker_daemon_and_heals_when_that_is_back(daemon: Daemon, serve: Serve) -> None:
    settings = {"rate_limit": "off", "policy": "off", "preload": "", "pool_size": 2, "queue_timeout": 2}
    with serve("docker", **settings) as server, ThreadPoolExecutor() as threads:
        for number in (signal.SIGTERM, signal.SIGKILL):
            under_way = threads.submit(ask, server, "print('before', flush=True)\nimport time\ntime.sleep(600)")
            assert eventually(lambda: runs(server))
            daemon.end(number)
            answer = under_way.result()
            assert (answer.status_code, answer.json()["reason"]) == (500, "internal")
            assert answer.json()["output"] == "before\n"
            refused = ask(server, "print(1)")
            assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (503, True)
            assert httpx.get(f"{server.url}/healthz").status_code == 200
            assert httpx.get(f"{server.url}/readyz").status_code == 503
            daemon.start()
            assert eventually(lambda: works(server), within=60)
        assert eventually(lambda: len(containers_of(server.process.pid)) == 2)
    assert containers_of(server.process.pid) == []
