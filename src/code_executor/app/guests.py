"""How many connections there may be: of one client, and in all. Plain state, for one process that answers HTTP.

The pool needs descriptors as well: every sandbox has some, and a worker reaches the service over one for each request.
So the connections of clients get what is left of the process's descriptors, and never all of them.
"""

from __future__ import annotations

import resource
from collections import Counter
from enum import Enum

_RESERVED = 64
"""Descriptors for the program itself, the Docker engine's connections, and what is opened for a moment."""

_PER_SANDBOX = 6
"""Descriptors of a sandbox, while it is made or destroyed as well."""

_KINDS = 4
"""Pools: plain, and the preloaded ones."""

_LEAST = 16
_MOST_DESCRIPTORS = 65536
"""More help nobody, and cost whoever looks through all of them."""


class Full(Enum):
    """Why there is no room for another connection."""

    CLIENT = "client"
    SERVER = "server"


class Guests:
    """Who is connected. ``most``: connections in all; ``per_client``: of one client."""

    def __init__(self, most: int, per_client: int) -> None:
        self.most = most
        self.per_client = per_client
        self._total = 0
        self._of_client: Counter[str] = Counter()

    def enter(self, client: str | None) -> Full | None:
        """Count a connection, or return why there is no room. None: a proxy's, which speaks for many clients."""
        if client is not None and self._of_client[client] >= self.per_client:
            return Full.CLIENT
        if self._total >= self.most:
            return Full.SERVER
        self._total += 1
        if client is not None:
            self._of_client[client] += 1
        return None

    def leave(self, client: str | None) -> None:
        """Take back what `enter` counted."""
        self._total -= 1
        if client is None:
            return
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]


def raise_descriptors() -> int:
    """Let this process and what it starts have as many descriptors as the system grants; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def room(descriptors: int, sandboxes: int, workers: int) -> int:
    """Return how many clients' connections fit into ``descriptors``, beside ``sandboxes`` of each kind.

    With more ``workers`` than one, a request has a second descriptor in its worker, and one in the process that has
    the pool.
    """
    beside_pool = descriptors - _RESERVED - _PER_SANDBOX * _KINDS * sandboxes
    fits = beside_pool if workers == 1 else min((descriptors - _RESERVED) // 2, beside_pool // workers)
    return max(fits, descriptors // 4 // workers, _LEAST)
