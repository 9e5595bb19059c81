"""Every limit and its default: of a sandbox and a run (the agent has them too), of sessions, and of a request."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox_agent.contract.limits import Limits

__all__ = ["Limits", "RequestLimits", "SessionLimits"]


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How many sessions may be open: in all (0: there are none), and for one caller.

    ``idle``: seconds that one may be without a running cell; ``unused``: the same, before anything was done in it;
    ``age``: seconds that it may live. ``input``: bytes of stdin that may be sent to one cell while it runs. ``listed``:
    whether a caller may see which sessions it has.
    """

    open: int = 2
    open_per_caller: int = 1
    idle: float = 600.0
    unused: float = 30.0
    age: float = 3600.0
    input: int = 1 << 20
    listed: bool = True


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Bytes of source, of stdin, and of all files together in a request; ``arrival``: seconds that it may take."""

    code: int = 256 << 10
    stdin: int = 1 << 20
    files: int = Limits().attachments
    arrival: float = 30.0

    @property
    def body(self) -> int:
        """Bytes of a body. JSON may spell one byte with six (an escape), and there are the arguments and the rest."""
        return 6 * (self.code + self.stdin) + 2 * self.files + (1 << 20)
