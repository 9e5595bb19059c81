"""Every limit and its default: of a sandbox and a run (the agent has them too), of sessions, requests and answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from code_executor.core.caller import Caller
from sandbox_agent.contract.limits import Limits

__all__ = ["Limits", "RequestLimits", "SendLimits", "SessionLimits", "limits_of"]


def limits_of(caller: Caller, limits: Limits) -> Limits:
    """Return the limits that hold for a caller: the server's, or what its key has below them."""
    terms = caller.terms
    if terms is None or not (terms.wall_time or terms.cpu_time):
        return limits
    return replace(
        limits,
        wall_time=tightest(terms.wall_time, limits.wall_time),
        cpu_time=tightest(terms.cpu_time, limits.cpu_time),
    )


def tightest(one: float, other: float) -> float:
    """Return the lesser of two limits, the first of which may be 0 for none."""
    return min(one or other, other)


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
    """Bytes of source, of stdin, and of all files together in a request; ``arrival``: seconds that it may take.

    ``check``: seconds that the check of a source may take. ``batch``: bytes of the body of a batch.
    """

    code: int = 256 << 10
    stdin: int = 1 << 20
    files: int = Limits().attachments
    arrival: float = 30.0
    check: float = 2.0
    batch: int = 32 << 20

    @property
    def body(self) -> int:
        """Bytes of a body. JSON may spell one byte with six (an escape), and there are the arguments and the rest."""
        return 6 * (self.code + self.stdin) + 2 * self.files + (1 << 20)


@dataclass(frozen=True, slots=True)
class SendLimits:
    """What clients may leave unread: bytes that are held for all of them together (``owed``), and for one caller.

    A client must take a byte within ``stall`` seconds, and ``rate`` bytes per second on the whole. An answer of
    ``largest`` bytes, the most that one run can make, is always held for a client that reads.
    """

    owed: int = 48 << 20
    owed_per_caller: int = 32 << 20
    stall: float = 30.0
    rate: int = 16 << 10
    largest: int = 4 * Limits().output + 2 * Limits().attachments + (2 << 20)

    @classmethod
    def for_runs(cls, limits: Limits, owed: int, owed_per_caller: int, stall: float, rate: int) -> SendLimits:
        """Return limits under which the answer of one run within ``limits`` can always be sent.

        A byte of output takes four at most as Python holds text.
        """
        largest = 4 * limits.output + 2 * limits.attachments + (2 << 20)
        return cls(max(owed, largest), max(owed_per_caller, largest), stall, rate, largest)
