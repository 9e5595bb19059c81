"""The notice board of one process: who did something says so, and who waits for it is woken at once.

Other processes do not see it. So who waits also looks at the store now and then (`desk`, `runner`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence


class Board:
    """Plain state. ``work``: set when there may be a job to run."""

    def __init__(self) -> None:
        self.work = asyncio.Event()
        self.on_cancelled: Callable[[Sequence[str]], None] = lambda _: None
        self.on_changed: Callable[[], None] = lambda: None
        self.is_closed = False
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    @property
    def names(self) -> Sequence[str]:
        """The jobs and batches that somebody waits for."""
        return tuple(self._waiting)

    def changed(self, names: Iterable[str]) -> None:
        """Wake whoever waits for one of these jobs or batches, and what tells of their ends."""
        self.on_changed()
        for name in names:
            for waiter in self._waiting.pop(name, ()):
                if not waiter.done():
                    waiter.set_result(None)

    def cancelled(self, jobs: Sequence[str]) -> None:
        """Stop the runs of these jobs, where they run in this process."""
        self.on_cancelled(jobs)
        self.changed(jobs)

    def expect(self, name: str) -> asyncio.Future[None]:
        """Return what is done at the next change of a job or a batch; give it to `forget` afterwards."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_closed:
            waiter.set_result(None)
        else:
            self._waiting.setdefault(name, set()).add(waiter)
        return waiter

    def forget(self, name: str, waiter: asyncio.Future[None]) -> None:
        waiter.cancel()
        waiters = self._waiting.get(name)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiting[name]

    def close(self) -> None:
        """Let nobody wait any longer: the process stops."""
        self.is_closed = True
        self.changed(self.names)
