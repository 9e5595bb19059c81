"""Keys: what each may do (scopes), how much of it (limits), and what is kept of it: never the secret itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Protocol, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from code_executor.core.caller import Caller, Terms
from code_executor.core.errors import CodeExecutorError, ConfigurationError
from code_executor.core.limits import LimitError, RunLimits
from code_executor.core.sizes import parse_size
from code_executor.service.ratelimit import parse_rate

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Scope(StrEnum):
    """What a key may be used for. ``learner:any``: it may say for which learner it asks."""

    RUN = "run"
    CHECK = "check"
    SESSION = "session"
    JOBS = "jobs"
    GRADE = "grade"
    GRADE_FULL = "grade:full"
    SUITES = "suites"
    LABS = "labs"
    TEACH = "teach"
    MCP = "mcp"
    LEARNER_ANY = "learner:any"
    METRICS = "metrics"
    ADMIN = "admin"


USUAL = frozenset({Scope.RUN, Scope.CHECK, Scope.SESSION, Scope.LEARNER_ANY})
"""What a key may be used for if nothing else is said."""


def parse_scopes(names: Sequence[str]) -> frozenset[Scope]:
    """Read scopes; raise ``ConfigurationError``."""
    unknown = sorted(set(names) - set(Scope))
    if unknown:
        raise ConfigurationError(f"there is no scope {unknown[0]!r}; the scopes are {', '.join(Scope)}")
    if not names:
        raise ConfigurationError(f"a key needs a scope; the scopes are {', '.join(Scope)}")
    return frozenset(map(Scope, names))


def _rate(text: str) -> str:
    try:
        parse_rate(text or "off")
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return text


def _origins(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", value):
            raise ValueError(f"not an origin: {value!r} (as https://course.example.org)")
    return values


def _seconds(value: float) -> float:
    if 0 < value < 1:
        raise ValueError("must be at least 1 second, or 0 for no limit")
    return value


_Seconds = Annotated[float, Field(ge=0), AfterValidator(_seconds)]
_Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
_Rate = Annotated[str, AfterValidator(_rate)]


class KeyLimits(BaseModel):
    """How much a key may be used; 0 and empty: no limit of its own. See `Terms`.

    ``weight``: how much it gets beside other keys while all want more. ``origins``: whose pages may use it, and the
    tokens made with it; empty: those that the server allows. ``environments``: names of those that requests may choose;
    empty: all. ``policies``: names of those that requests may choose; empty: all that are offered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: _Rate = ""
    learner_rate: _Rate = ""
    running: int = Field(default=0, ge=0)
    places: int = Field(default=0, ge=0)
    seconds_per_day: _Seconds = 0.0
    wall_time: _Seconds = 0.0
    cpu_time: _Seconds = 0.0
    memory: _Size = 0
    output: _Size = 0
    processes: int = Field(default=0, ge=0)
    disk: _Size = 0
    weight: float = Field(default=1.0, gt=0, le=1000)
    origins: Annotated[tuple[str, ...], AfterValidator(_origins)] = ()
    environments: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _enough(self) -> Self:
        ceilings = {name: value for name in ("memory", "output", "processes", "disk") if (value := getattr(self, name))}
        try:
            RunLimits(**ceilings)
        except LimitError as error:
            raise ValueError(f"{error.name} {error}") from None
        return self

    @classmethod
    def read(cls, values: Mapping[str, object]) -> KeyLimits:
        """Make them of what was written; raise ``ConfigurationError``."""
        try:
            return cls(**values)  # type: ignore[arg-type]  # it is what this looks for
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigurationError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


_UNLIMITED = KeyLimits.read({})


@dataclass(frozen=True)
class Key:
    """What is kept of a key.

    ``hash``: SHA-256 of its secret; ``previous``: of the secret before it, which is valid until ``previous_until``.
    ``generation`` counts its secrets. ``server``: which server secret (`accounts.secret`) learner tokens of it depend
    on. Times are seconds since 1970; None: never.
    """

    id: str
    name: str
    hash: bytes
    server: str
    scopes: frozenset[Scope] = USUAL
    limits: KeyLimits = _UNLIMITED
    generation: int = 1
    previous: bytes | None = None
    previous_until: float | None = None
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def is_valid(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def has_previous(self, now: float) -> bool:
        """Whether the secret before is valid too."""
        return self.previous is not None and self.previous_until is not None and now < self.previous_until

    @cached_property
    def caller(self) -> Caller:
        """Who asks with it."""
        limits = self.limits
        terms = Terms(
            rate=limits.rate,
            learner_rate=limits.learner_rate,
            running=limits.running,
            places=limits.places,
            seconds=limits.seconds_per_day,
            wall_time=limits.wall_time,
            cpu_time=limits.cpu_time,
            memory=limits.memory,
            output=limits.output,
            processes=limits.processes,
            disk=limits.disk,
            environments=limits.environments,
            policies=limits.policies,
        )
        return Caller(f"ce_{self.id}", weight=limits.weight, terms=terms)


class KeyNameError(CodeExecutorError):
    """Another key has that name."""


class UnknownCredentialError(CodeExecutorError):
    """What was presented is no valid key or token, or nothing was."""


class MissingScopeError(CodeExecutorError):
    """The key is valid, and may not be used for that. ``scope``: which it lacks."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"this needs a key with the scope {scope}")
        self.scope = scope


class KeyStore(Protocol):
    """Keeps keys, and what each has used. Raises ``StorageError``."""

    async def keys(self) -> Sequence[Key]:
        """Return all of them, the revoked too, the oldest first."""

    async def add(self, key: Key) -> None:
        """Keep a new one; raise ``KeyNameError`` if a key that is not revoked has its name."""

    async def replace(self, key: Key) -> None:
        """Keep it instead of the one with its id."""

    async def add_seconds(self, day: str, seconds: Mapping[str, float]) -> Mapping[str, float]:
        """Add what keys have used on a day (2026-11-29); return what each has used then, by whomever."""
