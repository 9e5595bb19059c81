"""What other packages put beside the routes of this service: an entry point of the group `GROUP` names a `Mount`.

This package knows none of them by name. What they add is behind the same middleware: keys and their scopes, the rate
limits, and the bounds of bodies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fastapi import APIRouter

from code_executor.core.limits import RequestLimits
from code_executor.grading.issuer import Issuer
from code_executor.service.ports import Service

GROUP = "code_executor.mounts"


@dataclass(frozen=True)
class Mounted:
    """``routers``: what is added. ``counted``: method and path of what counts as a run (`middleware.RateLimit`)."""

    routers: Sequence[APIRouter]
    counted: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What a mount is given besides the service.

    ``database``: opens the `storage.database.Database`, with the newest schema; raises ``StorageError``.
    ``pseudonym``: what a learner of a service without keys is known by; raises ``LearnerNameError``. ``policies``: the
    names that requests may choose, ``policy``: the service's own. ``retention``: seconds for which what learners did is
    kept.
    """

    database: Callable[[], Awaitable[Any]]
    pseudonym: Callable[[bytes], str]
    policies: Sequence[str]
    policy: str
    retention: float


class Mount(Protocol):
    """Makes what is added over a service."""

    def __call__(self, service: Service, bounds: RequestLimits, issuer: Issuer, given: Given) -> Mounted: ...


Mounting = Callable[[Service, RequestLimits, Issuer], Mounted]
"""A `Mount` that has what it is given."""
