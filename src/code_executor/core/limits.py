"""Every limit and its default: of a sandbox and a run (the agent has them too), of sessions, requests and answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from code_executor.core.caller import Caller
from sandbox_agent.contract.limits import Limits

__all__ = ["Limits", "RequestLimits", "RunLimits", "SendLimits", "SessionLimits", "limits_of", "limits_of_run"]

Number = TypeVar("Number", int, float)

LEAST_MEMORY = 48 << 20
"""Bytes of memory that a run can be held to: of less, what a child has before its program leaves it too little."""

LEAST_DISK = 64 << 10
LEAST_CPU_TIME = 0.1


class LimitError(ValueError):
    """A limit that a run asks for is not one that it can have. ``name``: which, as `RunLimits` calls it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run is to be held to, below what holds for its caller; None: to that. Seconds, bytes, counts.

    ``processes`` is counted as in `Limits`. As part of a result it is what the run was held to, with nothing left out.
    """

    wall_time: float | None = None
    cpu_time: float | None = None
    memory: int | None = None
    output: int | None = None
    processes: int | None = None
    disk: int | None = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise LimitError(name, f"must be at least {least:g}, not {value:g}")
        if self.wall_time is not None and not self.wall_time > 0:
            raise LimitError("wall_time", f"must be more than 0, not {self.wall_time:g}")

    @property
    def holds(self) -> bool:
        """Whether a sandbox has to do more for it than for any run."""
        return bool(self.memory or self.disk or self.processes or self.cpu_time)

    def within(self, limits: Limits) -> Limits:
        """Return ``limits``, lowered to these."""
        lower = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return replace(limits, **{name: min(value, getattr(limits, name)) for name, value in lower.items()})

    def and_also(self, other: RunLimits | None) -> RunLimits:
        """Return the lower of each of two."""
        if other is None:
            return self
        pairs = {name: (getattr(self, name), getattr(other, name)) for name in _NAMES}
        known = {name: [each for each in pair if each is not None] for name, pair in pairs.items()}
        return RunLimits(**{name: min(values) for name, values in known.items() if values})

    def require_within(self, limits: Limits) -> None:
        """Raise ``LimitError`` for one that is above what holds anyway."""
        for name in _NAMES:
            value, most = getattr(self, name), getattr(limits, name)
            if value is not None and value > most:
                shown = f"{most}" if isinstance(most, int) else f"{most:g}"
                raise LimitError(name, f"may be at most {shown}{_UNITS[name]} here")

    @classmethod
    def of(cls, limits: Limits) -> RunLimits:
        """Return what a run was held to."""
        return cls(**{name: getattr(limits, name) for name in _NAMES})


_UNITS = {
    "wall_time": " seconds",
    "cpu_time": " seconds",
    "memory": " bytes",
    "output": " bytes",
    "processes": "",
    "disk": " bytes",
}
_NAMES = tuple(_UNITS)
_LEAST = {"cpu_time": LEAST_CPU_TIME, "memory": LEAST_MEMORY, "output": 1, "processes": 1, "disk": LEAST_DISK}


def limits_of(caller: Caller, limits: Limits) -> Limits:
    """Return the limits that hold for a caller: the server's, or what its key has below them."""
    terms = caller.terms
    if terms is None:
        return limits
    lower = {name: most for name in _NAMES if (most := getattr(terms, name))}
    if not lower:
        return limits
    return replace(limits, **{name: tightest(most, getattr(limits, name)) for name, most in lower.items()})


def held_to(caller: Caller, asked: RunLimits | None) -> RunLimits | None:
    """Return what a sandbox has to hold this run to, beside every run: what it asks for, and what its key has."""
    terms = caller.terms
    if terms is None or not (terms.memory or terms.processes or terms.disk):
        return asked
    asked = asked or RunLimits()
    lower = {name: most for name in ("memory", "processes", "disk") if (most := getattr(terms, name))}
    return replace(asked, **{name: tightest(getattr(asked, name) or 0, most) for name, most in lower.items()})


def limits_of_run(caller: Caller, timeout: float | None, asked: RunLimits | None, limits: Limits) -> Limits:
    """Return the limits of one run, of those of the server: the caller's, lowered to what the run asks for."""
    limits = limits_of(caller, limits).for_run(timeout)
    return limits if asked is None else asked.within(limits)


def tightest(one: Number, other: Number) -> Number:
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

    ``check``: seconds that the check of a source may take. ``env``: names, and globs of names, of variables that a
    request may set. ``batch``: bytes of the body of a batch.
    """

    code: int = 256 << 10
    stdin: int = 1 << 20
    files: int = Limits().attachments
    arrival: float = 30.0
    check: float = 2.0
    env: tuple[str, ...] = ()
    batch: int = 32 << 20

    @property
    def body(self) -> int:
        """Bytes of a body. JSON may spell one byte with six (an escape), and there are the arguments and the rest."""
        return 6 * (self.code + self.stdin) + 2 * self.files + (1 << 20)


def largest_answer(limits: Limits) -> int:
    """Return how many bytes the answer of one run takes at most.

    A byte of output takes four at most as Python holds text.
    """
    return 4 * limits.output + 2 * limits.attachments + (2 << 20)


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
    largest: int = largest_answer(Limits())

    @classmethod
    def for_runs(cls, limits: Limits, owed: int, owed_per_caller: int, stall: float, rate: int) -> SendLimits:
        """Return limits under which the answer of one run within ``limits`` can always be sent."""
        largest = largest_answer(limits)
        return cls(max(owed, largest), max(owed_per_caller, largest), stall, rate, largest)
