"""What a supervisor is told when it starts: one JSON object, its only argument. Nothing in it is secret."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from sandbox_agent.contract.limits import Limits

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
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/openssl.cnf",
    "/etc/fonts",
)
ACCOUNTS = "/opt/accounts"
"""Where /etc/passwd and /etc/group of a sandbox are links to."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def data_within(memory: int) -> int:
    """Return the bytes of data that one process may have within a limit of memory."""
    return memory - max(16 << 20, memory // 8)


@dataclass(frozen=True)
class Mount:
    """A tmpfs that the supervisor mounts itself before it drops the right to (native engine only)."""

    path: str
    options: str


@dataclass(frozen=True)
class AgentConfig:
    """What one supervisor needs to know.

    ``uid`` None: the child keeps the supervisor's (no separation). ``uid_processes``: the processes and threads that
    the kernel grants that uid; a control group counts more precisely where there is one. ``attachment_files``: how many
    files of a run are sent back at most. ``socket``: the path of a socket to talk over, if it can be connected to,
    instead of stdin and stdout. ``name_violations`` False: nobody learns which forbidden system call ended a program.
    ``sockets``: whether a program may make Unix streams, which is for sandboxes with a network namespace of their own
    alone. ``accounts``: the directory, if there is one, that /etc/passwd and /etc/group are links into. ``private``:
    files and directories of the machine that the supervisor replaces by its own (native engine only). ``watched``:
    trees with inodes that outlive a run; those that a program could change are proved unchanged after each.
    ``standard``: modules that are imported as well; a program finds them so only once it imports them itself.
    ``boot_room``: bytes that the control group has beyond ``limits.memory`` until the host has heard how much of it
    ``preload`` needs. ``policies``: by name, each as `contract.policy.Policy.from_table` takes it; that of the empty
    name is for a run that names none.
    """

    uid: int | None = None
    box: str = "/work"
    writable: tuple[str, ...] = ("/work", "/tmp", "/dev/shm")
    readable: tuple[str, ...] = READABLE
    mounts: tuple[Mount, ...] = ()
    limits: Limits = field(default_factory=Limits)
    open_files: int = 1024
    uid_processes: int = 2 * Limits().tasks
    attachment_files: int = 32
    preload: tuple[str, ...] = ()
    standard: tuple[str, ...] = ()
    boot_room: int = 0
    policies: dict[str, dict[str, Any]] = field(default_factory=lambda: {"": {"extends": "off"}})
    socket: str = ""
    require_landlock: bool = True
    name_violations: bool = True
    sockets: bool = False
    accounts: str = ""
    private: tuple[str, ...] = ()
    watched: tuple[str, ...] = ()
    layers_off: tuple[str, ...] = ()
    """Layers that a test switches off to show that they matter; never set by the service."""

    @property
    def data_bytes(self) -> int:
        """Memory of one process: a little below the sandbox's, so that ``MemoryError`` comes first."""
        return data_within(self.limits.memory)

    @property
    def cpu_seconds(self) -> int:
        """Whole seconds of processor time after which the kernel ends a run; the supervisor ends it a little before."""
        return int(self.limits.cpu_time) + 1

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> AgentConfig:
        """Raise ``TypeError`` or ``ValueError`` on anything but what ``to_json`` writes."""
        values = {**json.loads(text)}  # TypeError unless it is an object
        values["mounts"] = tuple(Mount(**mount) for mount in values.get("mounts", ()))
        values["limits"] = Limits(**values.get("limits", {}))
        for name in ("writable", "readable", "preload", "standard", "private", "watched", "layers_off"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)
