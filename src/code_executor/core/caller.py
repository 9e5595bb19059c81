"""Who asks: resolved once, before anything else, and carried with whatever is asked for."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all who ask with one key, beside the server's own limits. 0 or empty: no such limit.

    ``rate``: of runs, of all of them together; ``learner_rate``: of one learner, instead of the server's. ``running``:
    sandboxes at once, ``places``: executions that may wait, ``seconds``: of sandboxes on a day (UTC), of all together.
    ``wall_time`` and ``cpu_time``: seconds that a run may take. ``memory``, ``output``, ``processes``, ``disk``: what
    it may use (`core.limits.RunLimits`). ``environments``: those that it may use; empty: all.
    ``policies``: those that it may choose; empty: all that are offered.
    """

    rate: str = ""
    learner_rate: str = ""
    running: int = 0
    places: int = 0
    seconds: float = 0.0
    wall_time: float = 0.0
    cpu_time: float = 0.0
    memory: int = 0
    output: int = 0
    processes: int = 0
    disk: int = 0
    environments: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Caller:
    """``id``: what is counted as one, owns sessions and stands in the log; empty in a process of the caller's own.

    ``learner``: for whom it asks, if it says so, under a name that only we know. ``course``: for which course; it is of
    no consequence. ``weight``: how much it gets beside other callers. ``terms``: of its key; None of who has none.
    """

    id: str = ""
    learner: str = ""
    weight: float = field(default=1.0, compare=False)
    terms: Terms | None = field(default=None, compare=False)
    course: str = field(default="", compare=False)

    @classmethod
    @functools.lru_cache(maxsize=4096)
    def of_address(cls, host: str) -> Caller:
        """Return the caller at a network address: an IPv4 address, or the /64 that an IPv6 address is one of many in.

        What is no address (a Unix socket has none) is taken as it is, and "unknown" where there is nothing.
        """
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return cls(host or "unknown")
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None:
                return cls(str(address.ipv4_mapped))
            return cls(str(ipaddress.ip_network((address, 64), strict=False)))
        return cls(str(address))

    def as_object(self) -> dict[str, Any]:
        """Return it as processes of one service show it to each other."""
        terms = self.terms and {name: getattr(self.terms, name) for name in _TERMS}
        return {"id": self.id, "learner": self.learner, "weight": self.weight, "terms": terms, "course": self.course}

    @classmethod
    def of_object(cls, message: dict[str, Any]) -> Caller:
        """Return what `as_object` was of."""
        said = message["terms"]
        names = {name: tuple(said.get(name, ())) for name in ("environments", "policies")} if said is not None else {}
        terms = None if said is None else Terms(**{**said, **names})
        return cls(message["id"], message["learner"], message["weight"], terms, message["course"])


_TERMS = tuple(each.name for each in fields(Terms))

LOCAL = Caller()
"""Whoever uses the library or the command line in this process."""
