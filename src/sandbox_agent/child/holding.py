"""Holds one run to less than its sandbox may use, before the first instruction of its program.

These limits are the kernel's, of one process or of one uid, and a program sees Python's own errors of them:
``MemoryError``, ``OSError``, ``BlockingIOError``. They are not the last word. What a program can get around (memory
that is shared, many small files, many processes of a size), the supervisor looks at (`supervisor.watch`).
"""

from __future__ import annotations

import resource
from collections.abc import Mapping

from sandbox_agent.child import stacks
from sandbox_agent.contract.config import AgentConfig, data_within

_HOLDER = 1
"""The process that holds the memory of the first one (`kernel.hold_memory`) counts for its uid as well."""


def hold(limits: Mapping[str, int], config: AgentConfig) -> None:
    """Hold this process, and all that it starts, to these limits, for good; 0 is none. See `protocol.Hold`."""
    if limits["memory"]:
        _lower_data(config.data_bytes - data_within(limits["memory"]))
    if limits["disk"]:
        _lower(resource.RLIMIT_FSIZE, limits["disk"])
    if limits["tasks"] and config.uid is not None:
        _lower(resource.RLIMIT_NPROC, limits["tasks"] + _HOLDER)


def _lower(which: int, value: int) -> None:
    soft, hard = resource.getrlimit(which)
    value = min([value, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)])
    resource.setrlimit(which, (value, value))


def _lower_data(less: int) -> None:
    """Let data have so many bytes less than now, which is what the sandbox grants and what was imported before.

    Where more is held by others than by this limit, it can be moved for stacks; it still can be afterwards.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if less <= 0 or soft == resource.RLIM_INFINITY:
        return
    if not stacks.lower(less):
        resource.setrlimit(resource.RLIMIT_DATA, (max(0, soft - less), max(0, hard - less)))
