"""Who asks: resolved once, before anything else, and carried with whatever is asked for."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Caller:
    """``id``: what is counted as one, owns sessions and stands in the log; empty in a process of the caller's own.

    ``learner``: for whom it asks, if it says so. ``weight``: how much it gets beside other callers.
    """

    id: str = ""
    learner: str = ""
    weight: float = field(default=1.0, compare=False)

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


LOCAL = Caller()
"""Whoever uses the library or the command line in this process."""
