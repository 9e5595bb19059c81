"""Policies of the source: a service has its own, and a request can choose another of those that are offered."""

from __future__ import annotations

from collections.abc import Sequence

from code_executor.core.caller import Caller
from code_executor.core.errors import PolicyRefusedError, PolicyUnknownError

STRICT, OFF = "strict", "off"
"""The names of those that are built in."""


def require(asked: str, caller: Caller, offered: Sequence[str]) -> None:
    """Raise unless a request of that caller may choose a policy; whoever names none has the service's own.

    Raises ``PolicyRefusedError``, also for a name that is not offered if the key may not choose it, and
    ``PolicyUnknownError``.
    """
    if not asked:
        return
    chosen = caller.terms.policies if caller.terms is not None else ()
    allowed = [name for name in offered if not chosen or name in chosen]
    listed = ", ".join(allowed) or "none"  # as the service's own can be
    if chosen and asked not in chosen:
        raise PolicyRefusedError(f"this key may not choose that policy; it may choose {listed}")
    if asked not in allowed:
        raise PolicyUnknownError(f"there is no policy {asked!r} here; a request may choose {listed}")
