"""Whose something is that a crash leaves behind, and whether that server is gone for sure.

A pid says little: it is used again, every PID namespace has its own, and one Docker engine can serve several machines.
So an owner is named by machine, boot, PID namespace, pid and start time. Who can look at it judges it: a server of the
same namespace. Another boot of the same machine is gone as well. Whatever else there is may live, and is left alone.
"""

from __future__ import annotations

import hashlib
import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

_FIELDS = 5
_HEX = 16


@dataclass(frozen=True)
class Owner:
    """A server process. ``machine`` is empty where the machine has no name that is its own alone."""

    machine: str
    boot: str
    namespace: str
    pid: int
    started: str

    @classmethod
    def this(cls) -> Self:
        """Return this process."""
        return cls(*_surroundings(), os.getpid(), started("self"))

    @classmethod
    def of_label(cls, label: str) -> Self | None:
        """Read what `label` wrote; None if it is of another kind."""
        fields = label.split("/")
        if len(fields) != _FIELDS or not fields[3].isdigit():
            return None
        return cls(fields[0], fields[1], fields[2], int(fields[3]), fields[4])

    @property
    def label(self) -> str:
        """Its name for others, who may be on another machine."""
        return "/".join((self.machine, self.boot, self.namespace, str(self.pid), self.started))

    @property
    def tag(self) -> str:
        """Its name for names of this machine's files: short, and without a dash."""
        return f"{_digest(f'{self.boot}/{self.namespace}')[:8]}.{self.pid}.{self.started}"

    def is_gone(self) -> bool:
        """Whether it is dead for sure."""
        here = Owner.this()
        if self.machine != here.machine:
            return False
        if self.boot != here.boot:
            return bool(self.machine)
        return self.namespace == here.namespace and _is_dead(self.pid, self.started)


def is_gone(tag: str) -> bool:
    """Whether the owner with this `Owner.tag` is dead for sure."""
    where, _, process = tag.partition(".")
    pid, _, began = process.partition(".")
    return where == Owner.this().tag.partition(".")[0] and pid.isdigit() and _is_dead(int(pid), began)


def started(pid: int | str) -> str:
    """Return when a process was started, in clock ticks since the machine was; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def _is_dead(pid: int, began: str) -> bool:
    # a /proc that another PID namespace was mounted in counts differently
    return os.readlink("/proc/self") == str(os.getpid()) and started(pid) != began


@cache
def _surroundings() -> tuple[str, str, str]:
    """Return the names of the machine, of its boot, and of this PID namespace."""
    try:
        machine = Path("/etc/machine-id").read_text().strip()
    except OSError:
        machine = ""
    # with the host name, because copies of a virtual machine or of an image may have one id
    machine = _digest(f"code-executor/{machine}/{socket.gethostname()}") if machine else ""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return machine, boot, str(os.stat("/proc/self/ns/pid").st_ino)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HEX]
