"""What a supervisor is told when it starts: one JSON object, its only argument. Nothing in it is secret."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

READABLE = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/opt/sandbox",
    "/opt/agent",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/ld.so.cache",
    "/etc/nsswitch.conf",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
    "/etc/fonts",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True)
class Mount:
    """A tmpfs that the supervisor mounts itself before it drops the right to (native engine only)."""

    path: str
    options: str


@dataclass(frozen=True)
class AgentConfig:
    """Bytes, seconds and counts. ``uid`` None: the child keeps the supervisor's (no separation).

    ``cpu_seconds`` is what a run may use, ``session_cpu_seconds`` all the cells of a session together.
    ``input_seconds``: how long an interactive run may wait for stdin, all in all. ``attachment_bytes`` of what a run
    displays, and again of the files it leaves, are sent back; ``attachment_files`` of the latter at most. ``socket``:
    the path of one to talk over, if it can be connected to, instead of stdin and stdout. ``name_violations`` False:
    nobody learns which forbidden system call a program was ended for.
    """

    uid: int | None = None
    box: str = "/work"
    writable: tuple[str, ...] = ("/work", "/tmp", "/dev/shm")
    readable: tuple[str, ...] = READABLE
    mounts: tuple[Mount, ...] = ()
    data_bytes: int = 448 << 20
    file_bytes: int = 64 << 20
    open_files: int = 256
    processes: int = 32
    cpu_seconds: int = 60
    session_cpu_seconds: int = 600
    input_seconds: int = 300
    attachment_bytes: int = 8 << 20
    attachment_files: int = 32
    preload: tuple[str, ...] = ()
    policy: dict[str, Any] = field(default_factory=dict)
    socket: str = ""
    require_landlock: bool = True
    name_violations: bool = True
    layers_off: tuple[str, ...] = ()
    """Layers that a test switches off to show that they matter; never set by the service."""

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> AgentConfig:
        """Raise ``TypeError`` or ``ValueError`` on anything but what ``to_json`` writes."""
        values = {**json.loads(text)}  # TypeError unless it is an object
        values["mounts"] = tuple(Mount(**mount) for mount in values.get("mounts", ()))
        for name in ("writable", "readable", "preload", "layers_off"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)
