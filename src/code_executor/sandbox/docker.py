"""The Docker engine: hardened containers through the Engine API.

Frames go over a Unix socket where the engine is on this machine (`hostsocket`), else over the attach stream, which
works with remote, rootless and Desktop engines and with gVisor. A container is made to vanish by itself: the stream
closes with this process (``StdinOnce``, or the socket), the supervisor ends at end-of-file, and ``AutoRemove`` takes
the rest. What a crash leaves behind all the same is found by its labels at the next start.

Every call has a deadline: `docker kill` was seen to hang when nobody read the attached stream (moby#41827), so the
stream is read until the container is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import secrets
import time
from collections.abc import Awaitable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import aiodocker
import aiohttp
import structlog

from code_executor.core.errors import EngineError, SandboxError
from code_executor.core.limits import Limits
from code_executor.sandbox import cgroups, hardening
from code_executor.sandbox.hostsocket import MOUNTED_AT, PATH_INSIDE, HostSocket, remove_strays
from code_executor.sandbox.owner import Owner
from code_executor.sandbox.sandbox import Sandbox

log = structlog.get_logger()

LABEL = "code-executor"
OWNER = "code-executor.owner"

_CALL_WITHIN = 30.0
_DESTROY_WITHIN = 20.0
_TOLD_OF_DEATH_WITHIN = 5.0
_TOLD_OF_OOM_WITHIN = 3.0  # after that: a busy engine hears of it later
_FORGOTTEN_AFTER = 86_400.0
"""Seconds after which a container that was made and never started is nobody's, even if two clocks differ by hours."""

_TOLD_OF_PAUSE_WITHIN = 5.0
_KILLED = "137"
_STDOUT = 1
_MOST_DIAGNOSTICS = 4000

T = TypeVar("T")


class DockerEngine:
    """Sandboxes as containers of ``image``, of one Docker engine (the usual ``DOCKER_HOST`` applies).

    ``runtime``: an OCI runtime the engine knows, such as ``runsc`` for gVisor; empty: its default. ``interpreter``: the
    path in the image of the Python that programs run on. ``uids``: where engines of one process take theirs from.
    """

    name = "docker"

    def __init__(
        self,
        image: str,
        limits: Limits,
        *,
        runtime: str = "",
        interpreter: str = hardening.INTERPRETER,
        uids: hardening.Uids | None = None,
        preload: tuple[str, ...] = (),
        standard: tuple[str, ...] = (),
        policies: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._image = image
        self._limits = limits
        self._runtime = runtime
        self._interpreter = interpreter
        self._preload = preload
        self._standard = standard
        self._policies = dict(policies)
        self._uids = uids or hardening.Uids()
        self._owner = Owner.this().label
        self._docker: aiodocker.Docker | None = None
        self._host_sockets = False

    async def start(self) -> None:
        try:
            self._docker = aiodocker.Docker()
        except (AssertionError, ValueError) as error:
            raise EngineError(f"cannot reach a Docker engine: {error or 'no DOCKER_HOST, context or socket'}") from None
        try:
            await _call("image", self._docker.images.inspect(self._image))
        except EngineError as error:
            await self.close()
            raise EngineError(f"{error} (run `make image` to build {self._image})") from None
        # a runtime of one's own may have a kernel of its own (gVisor's has no sockets of ours)
        self._host_sockets = self._docker.docker_host.startswith("unix://") and not self._runtime
        remove_strays()
        await self._remove_strays(self._docker)

    async def close(self) -> None:
        if self._docker is not None:
            await self._docker.close()
            self._docker = None

    async def create(self, *, preload: tuple[str, ...] | None = None) -> Sandbox:
        if self._docker is None:
            raise EngineError("the engine is not started")
        uid = self._uids.take()
        name = f"code-executor-{secrets.token_hex(6)}"
        link: DockerLink | None = None
        host_socket: HostSocket | None = None
        sandbox = Sandbox(name, self._limits)
        modules = self._preload if preload is None else preload
        try:
            host_socket = await self._listen(sandbox)
            try:
                container = await self._create(name, uid, modules, host_socket)
            except EngineError as error:
                if host_socket is None or getattr(error.__cause__, "status", None) != HTTPStatus.BAD_REQUEST:
                    raise
                # the engine does not see our directories: it is on another machine, or we are in a container
                log.info("attached_instead", why=str(error))
                self._host_sockets = False
                host_socket.close()
                host_socket = None
                container = await self._create(name, uid, modules, host_socket)
            link = DockerLink(self._docker, container, sandbox, host_socket, lambda: self._uids.give_back(uid))
            sandbox.attach(link)
            await link.open()
            await sandbox.boot()
            if modules and not hardening.is_gvisor(self._runtime):
                await link.hold_memory(hardening.memory_of(self._limits, sandbox.introduction))
            if host_socket is not None and not host_socket.connected:
                log.info("attached_instead", why="a sandbox could not connect")
                self._host_sockets = False
                host_socket.close()  # before a program could
        except BaseException as error:
            if link is None:
                self._uids.give_back(uid)
                if host_socket is not None:
                    host_socket.close()
            else:
                await link.destroy()
            if isinstance(error, SandboxError) and link is not None and link.diagnostics:
                raise SandboxError(f"{error}: {link.diagnostics.strip()[-1000:]}") from None
            raise
        if missing := sandbox.introduction.get("not_preloaded"):
            log.warning("not_preloaded", sandbox=name, modules=missing)
        return sandbox

    async def _listen(self, sandbox: Sandbox) -> HostSocket | None:
        if not self._host_sockets:
            return None
        try:
            return await HostSocket.listen(sandbox)
        except OSError as error:
            log.info("attached_instead", why=str(error))
            self._host_sockets = False
            return None

    async def _create(self, name: str, uid: int, preload: tuple[str, ...], host_socket: HostSocket | None) -> Any:
        if self._docker is None:
            raise EngineError("the engine is not started")
        body = self._container(uid, preload, host_socket)
        creating = asyncio.create_task(_call("create", self._docker.containers.create(body, name=name)))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            with contextlib.suppress(EngineError):
                await _remove(await creating)  # the engine makes it, whoever goes away
            raise

    def _container(self, uid: int, preload: tuple[str, ...], host_socket: HostSocket | None) -> dict[str, Any]:
        """Return the body of the create call: the hardening in Docker's words."""
        limits = self._limits
        config = hardening.agent_config(limits, uid, preload, self._policies, self._standard)
        config = dataclasses.replace(config, readable=hardening.readable_for(self._interpreter))
        if hardening.is_gvisor(self._runtime):
            config = hardening.for_gvisor(config)
        flags = "rw,nosuid,nodev,noexec,noatime"
        tmpfs = {fs.path: f"{flags},{hardening.tmpfs_options(fs, limits, uid)}" for fs in hardening.WRITABLE}
        tmpfs[config.accounts] = f"{flags},{hardening.ACCOUNTS_OPTIONS}"
        host: dict[str, Any] = {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": list(hardening.SUPERVISOR_CAPABILITIES),
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyPaths": list(hardening.READ_ONLY),
            "Privileged": False,
            **_memory(limits.memory + config.boot_room),
            "CpuPeriod": int(limits.cpu_period * 1e6),
            "CpuQuota": int(limits.cpus * limits.cpu_period * 1e6),
            "PidsLimit": hardening.process_limit(limits, self._runtime),
            "IpcMode": "private",
            "Tmpfs": tmpfs,
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "LogConfig": {"Type": "none"},
            "AutoRemove": True,
        }
        if host_socket is not None:
            config = dataclasses.replace(config, socket=PATH_INSIDE)
            mount = {"Type": "bind", "Source": host_socket.directory, "Target": MOUNTED_AT, "ReadOnly": True}
            host["Mounts"] = [mount]
        if self._runtime:
            host["Runtime"] = self._runtime
        return {
            "Image": self._image,
            "Entrypoint": [self._interpreter, *hardening.START],
            "Cmd": ["supervise", config.to_json()],
            "Env": [f"{name}={value}" for name, value in hardening.ENVIRONMENT.items()],
            "User": "0:0",
            "WorkingDir": "/",
            "Hostname": "sandbox",
            "NetworkDisabled": True,
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            "StopSignal": "SIGKILL",
            "Labels": {LABEL: "sandbox", OWNER: self._owner},
            "HostConfig": host,
        }

    async def _remove_strays(self, docker: aiodocker.Docker) -> None:
        """Remove containers whose server is dead for sure, and those that do not run and never will again."""
        filters = {"label": [f"{LABEL}=sandbox"]}
        for container in await _call("list", docker.containers.list(all=True, filters=filters)):
            owner = Owner.of_label(container["Labels"].get(OWNER, ""))
            state, age = container["State"], time.time() - container["Created"]
            is_over = state in ("exited", "dead") or (state == "created" and age > _FORGOTTEN_AFTER)
            if is_over or (owner is not None and owner.is_gone()):
                log.info("stray_removed", container=container["Names"][0].lstrip("/"))
                await _remove(container)


class DockerLink:
    """The stream to one container. ``when_gone`` is called once the container is proved removed.

    The attach stream is there in any case, for what the container complains of.
    """

    def __init__(
        self, docker: aiodocker.Docker, container: Any, sandbox: Sandbox, host_socket: HostSocket | None, when_gone: Any
    ) -> None:
        # a client of its own: the shared one would let only so many streams live beside its calls
        self._client = aiodocker.Docker(api_version=docker.api_version)
        self._container = container
        self._sandbox = sandbox
        self._host_socket = host_socket
        self._when_gone = when_gone
        self._stream = self._client.containers.container(container.id).attach(
            stdin=True, stdout=True, stderr=True, logs=False
        )
        self._pump: asyncio.Task[None] | None = None
        self._destroyed: asyncio.Task[None] | None = None
        self._began = 0.0
        self.diagnostics = ""

    async def open(self) -> None:
        """Attach first, then start: nothing that the container says is missed."""
        await _call("attach", self._stream.__aenter__())
        await _call("start", self._container.start())
        self._pump = asyncio.create_task(self._read())

    async def hold_memory(self, most: int) -> None:
        """Give the container ``most`` bytes of memory from now on; raise ``EngineError``."""
        path = f"containers/{self._container.id}/update"
        # aiodocker has no method for this call
        await _call("update", self._client._query_json(path, "POST", data=_memory(most)))  # noqa: SLF001

    async def _read(self) -> None:
        try:
            while (message := await self._stream.read_out()) is not None:
                if message.stream == _STDOUT:
                    self._sandbox.feed(message.data)
                elif len(self.diagnostics) < _MOST_DIAGNOSTICS:
                    self.diagnostics += message.data.decode(errors="replace")
        except (aiohttp.ClientError, OSError, aiodocker.DockerError) as error:
            self._sandbox.lost(f"the attach stream broke: {str(error) or type(error).__name__}")
        self._sandbox.ended("the container ended")

    async def write(self, data: bytes) -> None:
        if self._host_socket is not None and self._host_socket.connected:
            await self._host_socket.write(data)
            return
        try:
            # shielded: all who wait for room in the stream wait for one future, which a cancelled one would take along
            await asyncio.shield(self._stream.write_in(data))
        except (aiohttp.ClientError, RuntimeError, AssertionError) as error:
            raise ConnectionError(f"the attach stream is closed ({type(error).__name__})") from None

    def begin(self) -> None:
        self._began = time.monotonic()

    async def out_of_memory(self) -> bool:
        """Ask for the engine's events, which it still knows when the container is removed.

        The container must have died of SIGKILL, and its control group have run out of memory in the time of the run.
        Only times of the engine are compared: its clock may not be ours.
        """
        of_the_run = (time.monotonic() - self._began) * 1e9
        filters = {"container": [self._container.id], "event": ["oom", "die"]}
        events: Any = self._client.events  # this client's own, and not typed
        told = events.subscribe(since="0", filters=json.dumps(filters))
        exhausted = died = 0
        try:
            async with asyncio.timeout(_TOLD_OF_DEATH_WITHIN) as patience:
                while (event := await told.get()) is not None:
                    if event["Action"] == "oom":
                        exhausted = event["timeNano"]
                    elif event["Actor"]["Attributes"].get("exitCode") == _KILLED:
                        died = event["timeNano"]
                        patience.reschedule(asyncio.get_running_loop().time() + _TOLD_OF_OOM_WITHIN)
                    else:
                        break
                    if exhausted and died and died - exhausted <= of_the_run:
                        return True
        except (TimeoutError, LookupError, TypeError):  # nothing comes, or not what Docker's engine says
            pass
        finally:
            with contextlib.suppress(aiohttp.ClientError, aiodocker.DockerError, OSError):
                await events.stop()
        return False

    async def held(self) -> bool:
        """Ask the engine whether the container is paused; of a local one, the kernel whether it is stopped."""
        try:
            state = (await _call("inspect", self._container.show(), _TOLD_OF_PAUSE_WITHIN))["State"]
            return bool(state["Paused"]) or cgroups.is_held(int(state["Pid"]), within=self._container.id)
        except (EngineError, LookupError, TypeError, ValueError):
            return False

    async def destroy(self) -> None:
        if self._destroyed is None:
            self._destroyed = asyncio.create_task(self._destroy())
        await asyncio.shield(self._destroyed)

    async def _destroy(self) -> None:
        try:
            await _remove(self._container)
            self._when_gone()
        finally:
            if self._pump is not None:
                self._pump.cancel()
                await asyncio.wait([self._pump])
            if self._host_socket is not None:
                self._host_socket.close()
            await self._stream.close()
            await self._client.close()


def _memory(most: int) -> dict[str, int]:
    """Return the limit in Docker's words: no swap beside it."""
    return {"Memory": most, "MemorySwap": most}


async def _remove(container: Any) -> None:
    """Remove a container and wait until it is gone; raise ``EngineError`` where it stays."""
    try:
        async with asyncio.timeout(_DESTROY_WITHIN):
            while True:
                try:
                    await _call("remove", container.delete(force=True, v=True))
                except EngineError as error:
                    status = getattr(error.__cause__, "status", None)
                    if status == HTTPStatus.NOT_FOUND:
                        return
                    if status != HTTPStatus.CONFLICT:  # else it is being removed already: ask until it is gone
                        raise
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise EngineError(
            f"container {container.id[:12]} is still there {_DESTROY_WITHIN:g} s after its removal"
        ) from None


async def _call(what: str, call: Awaitable[T], within: float = _CALL_WITHIN) -> T:
    """Await a call of the engine's API; raise ``EngineError`` where it fails or takes more than ``within`` seconds."""
    try:
        async with asyncio.timeout(within):
            return await call
    except TimeoutError as error:
        raise EngineError(f"Docker did not answer ({what}) within {within:g} s") from error
    except aiodocker.DockerError as error:
        raise EngineError(f"Docker: {error.message}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineError(f"cannot reach Docker ({what}): {error}") from error
