"""Starts a ``code-executor serve`` as a user would, and reads what the host knows of its processes."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import platform
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from bench.client import Connection

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache" / "bench"
COMMAND = CACHE / "server" / "bin" / "code-executor"
IMAGE = os.environ.get("BENCH_IMAGE") or "code-executor:latest"

_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_VM = 1

_UP_WITHIN = 90.0
_DOWN_WITHIN = 60.0
_QUIET_WITHIN = 180.0
_SANDBOXES = re.compile(rb'^code_executor_sandboxes\{[^}]*state="(\w+)"[^}]*\} ([\d.]+)', re.MULTILINE)
_READY = re.compile(rb"^code_executor_ready\{[^}]*\} ([01])", re.MULTILINE)


class ServerError(Exception):
    """The server did not start, or did not become idle."""


class Server:
    """One server on an engine, without a rate limit; ``settings``: more settings of the service, by name."""

    def __init__(self, engine: str, **settings: object) -> None:
        self.engine = engine
        always = {"engine": engine, "image": IMAGE, "rate_limit": "off", "host": "127.0.0.1", "port": 0}
        self._settings = always | settings
        self.process: subprocess.Popen[bytes] | None = None
        self.host, self.port = "127.0.0.1", 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and return as soon as it listens; else raise ``ServerError`` with the end of its log."""
        self.process = self._spawn()
        deadline = time.monotonic() + _UP_WITHIN
        while (url := self._url()) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                why = self._last_words()
                await self.stop()
                raise ServerError(f"the server on {self.engine} did not start: {why}")
            await asyncio.sleep(0.005)
        self.host, self.port = url

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CODE_EXECUTOR_")}
        environment |= {f"CODE_EXECUTOR_{name.upper()}": str(value) for name, value in self._settings.items()}
        CACHE.mkdir(parents=True, exist_ok=True)
        handle, log = tempfile.mkstemp(prefix=f"server-{self.engine}-", suffix=".log", dir=CACHE)
        self._log = Path(log)  # a file: reading a pipe would take time from what is measured
        try:
            return subprocess.Popen(
                [COMMAND, "serve"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=handle,
                start_new_session=True,
            )
        finally:
            os.close(handle)

    async def stop(self) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self.process.wait, _DOWN_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None
        self._log.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def connect(self) -> Connection:
        return await Connection.open(self.host, self.port)

    async def quiet(self, idle: int = 1, sessions: int = 0) -> None:
        """Wait until every kind serves, no sandbox is made or used, and ``idle`` are idle; else raise ``ServerError``.

        ``sessions``: how many are open; each keeps a sandbox.
        """
        deadline = time.monotonic() + _QUIET_WITHIN
        connection = await self.connect()
        try:
            while True:
                answer = await connection.ask(f"GET /metrics HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
                states: dict[bytes, float] = {}
                for state, count in _SANDBOXES.findall(answer.body):
                    states[state] = states.get(state, 0) + float(count)
                resting = states.pop(b"idle", 0)
                states[b"busy"] = states.get(b"busy", 0) - sessions
                if resting >= idle and not any(states.values()) and set(_READY.findall(answer.body)) == {b"1"}:
                    return
                if time.monotonic() > deadline:
                    raise ServerError(f"the server on {self.engine} did not become idle: {states}")
                await asyncio.sleep(0.02)
        finally:
            connection.close()

    def _url(self) -> tuple[str, int] | None:
        for line in self._log.read_text().splitlines():
            if '"serving"' in line:
                parts = urlsplit(json.loads(line)["url"])
                assert parts.hostname is not None
                assert parts.port is not None
                return parts.hostname, parts.port
        return None

    def _last_words(self) -> str:
        return " ".join(self._log.read_text().split())[-200:]

    # ---- its processes on the host

    def sandboxes(self) -> list[list[int]]:
        """Return the processes of each sandbox, the supervisor first."""
        return [[pid, *descendants(pid)] for pid in sorted(supervisors(self.engine, self.pid))]


def supervisors(engine: str, owner: int) -> list[int]:
    """Return the pids of the supervisors of all sandboxes that the process ``owner`` has."""
    if engine == "native":
        return [pid for pid in descendants(owner) if is_supervisor(pid)]
    ids = _docker("ps", "--quiet", "--filter", "label=code-executor=sandbox").split()
    if not ids:
        return []
    # a container carries the pid of whoever made it in a label: HOST/PID/START
    form = '{{.State.Pid}} {{index .Config.Labels "code-executor.owner"}}'
    lines = _docker("inspect", "--format", form, *ids).splitlines()
    return [int(line.split()[0]) for line in lines if f"/{owner}/" in line]


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


def is_supervisor(pid: int) -> bool:
    """Whether it is an agent's first process (bubblewrap has the same words on its command line)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b"supervise" in words and b"python" in os.path.basename(words[0]) and _inner_pid(pid) == 1
    except OSError:
        return False


def _inner_pid(pid: int) -> int:
    """Return the pid it has in the innermost of its namespaces."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^NSpid:\s+(.*)$", status, re.MULTILINE)
    return int(found[1].split()[-1]) if found else pid


def descendants(pid: int) -> list[int]:
    """Return the children of ``pid``, theirs, and so on."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it has just ended
                continue
            children.setdefault(parent, []).append(int(entry.name))

    def walk(parent: int) -> Iterator[int]:
        for child in children.get(parent, ()):
            yield child
            yield from walk(child)

    return list(walk(pid))


def memory(pid: int, field: str = "Pss") -> int:
    """Return a figure of /proc/PID/smaps_rollup in bytes; raise ``OSError`` (only root may read those of others)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    if found is None:
        raise OSError(f"no {field} in smaps_rollup")
    return int(found[1]) << 10


def memories(pids: list[int]) -> list[int]:
    """Leave out each process that shares all its memory with an earlier one (``clone`` with ``CLONE_VM``).

    Raises ``OSError`` if kcmp(2) is refused; only root may ask about processes of others.
    """
    found: list[int] = []
    for pid in pids:
        if not any(_same_memory(pid, other) for other in found):
            found.append(pid)
    return found


def _same_memory(one: int, other: int) -> bool:
    answer: int = ctypes.CDLL(None, use_errno=True).syscall(_KCMP[platform.machine()], one, other, _KCMP_VM, 0, 0)
    if answer < 0:
        raise OSError(ctypes.get_errno(), "kcmp")
    return answer == 0


def has_mapped(pid: int, name: str) -> bool:
    """Whether a file with ``name`` in its path is mapped into the process."""
    return name in Path(f"/proc/{pid}/maps").read_text()
