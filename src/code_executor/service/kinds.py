"""The kinds of sandboxes of one environment, plain first; each has more imported than those before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from code_executor.core.environments import DEFAULT
from code_executor.core.models import Execution
from code_executor.sandbox.pool import Pool
from code_executor.service.looks import Looks


@dataclass(eq=False)
class Kind:
    """A pool, and what its sandboxes can serve: its own number, and before that those of the lesser kinds.

    Numbers are of all environments together; ``first`` is that of the plain kind of its own. ``sessions``: how many of
    its sandboxes have one. ``serving``: the kinds that can serve whatever it can, itself first.
    """

    pool: Pool
    number: int
    first: int = 0
    sessions: int = 0
    serving: Sequence[Kind] = field(default=(), repr=False)

    @property
    def want(self) -> str:
        return str(self.number)

    def wants(self, *, own: bool) -> tuple[str, ...]:
        """Return what it serves now; ``own``: nothing that a lesser kind can."""
        return (self.want,) if own else tuple(str(number) for number in range(self.first, self.number + 1))

    @property
    def warm(self) -> int:
        """How many sandboxes it keeps although nobody asks."""
        return max(self.pool.book.size.least, self.pool.book.size.spare)


class Kinds:
    """``pools``: of one environment. ``on_demand``: none of their sandboxes is kept while nobody asks for it.

    ``first``: the number of its plain kind.
    """

    def __init__(
        self,
        pools: Sequence[Pool],
        looks: Looks | None = None,
        *,
        name: str = DEFAULT,
        on_demand: bool = False,
        first: int = 0,
    ) -> None:
        self.name = name
        self.pools = tuple(pools)
        self.on_demand = on_demand
        self.looks = looks or Looks(())
        self.each = tuple(Kind(pool, number, first) for number, pool in enumerate(pools, first))
        for place, kind in enumerate(self.each):
            kind.serving = self.each[place:]
            kind.pool.on_demand = on_demand

    def __repr__(self) -> str:
        return f"<Kinds of {self.name}: {len(self.each)}>"

    def numbered(self, first: int) -> Kinds:
        """Return the same, numbered from ``first`` on."""
        return Kinds(self.pools, self.looks, name=self.name, on_demand=self.on_demand, first=first)

    def wanted(self, execution: Execution) -> str:
        """Choose by a look at the source. A program takes a kind that has more, if one is free, rather than wait.

        What a session will import is not known, and it lives long enough to be worth a larger one. A check imports
        nothing.
        """
        if execution.check_only:
            return self.each[0].want
        if execution.session:
            return self._for_session()
        need = self.looks.kind(execution.source.encode("utf-8", "replace"), *_python_files(execution))
        return self._there(need)

    def _for_session(self) -> str:
        """Return a kind that is free now: the one for sessions, else a larger one, else the largest of the lesser.

        A session uses its sandbox up, so to wait for one of its kind is to wait until another has started.
        """
        best = self.looks.for_sessions
        for kind in (*self.each[best:], *reversed(self.each[:best])):
            if kind.pool.book.idle and not kind.pool.closing:
                return kind.want
        return self.each[0].want

    def _there(self, need: int) -> str:
        """Return the least kind that has what is needed and serves now; where there is none, the largest that does.

        A kind whose sandboxes are made on demand serves, unless the last attempt to make one failed.
        """
        best_first = (*self.each[need:], *reversed(self.each[:need]))
        return next(kind.want for kind in best_first if kind.pool.ready or kind is self.each[0] or kind.pool.can_start)


def _python_files(execution: Execution) -> list[bytes]:
    return [file.data for file in execution.files if file.path.endswith(".py")]
