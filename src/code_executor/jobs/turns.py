"""How many jobs a runner leases of whom. Plain code.

Whose turn it is among executions is the dispatcher's matter. Here it is only seen to that nobody's jobs keep others'
from coming that far.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


def share(
    waiting: Mapping[str, int], leased: Mapping[str, int], window: int, resting: Collection[str] = ()
) -> dict[str, int]:
    """Return how many jobs to lease of each caller that has some ``waiting``.

    ``leased``: how many of each are leased already; all together are never more than ``window``. The next one goes to
    whoever has the fewest. The last quarter is for callers that have none. Who is ``resting`` gets nothing.
    """
    had = {caller: leased.get(caller, 0) for caller in waiting if caller not in resting}
    left = dict(waiting)
    given: dict[str, int] = {}
    room = window - sum(leased.values())
    kept = window // 4
    while room > 0 and had:
        caller = min(had, key=lambda each: (had[each], each))
        if had[caller] and room <= kept:
            break
        had[caller] += 1
        given[caller] = given.get(caller, 0) + 1
        left[caller] -= 1
        room -= 1
        if not left[caller]:
            del had[caller]
    return given
