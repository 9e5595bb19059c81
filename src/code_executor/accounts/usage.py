"""Keeps what keys have used in their store, now and then: a run waits for no database.

Several servers on one store know of each other's use `EVERY` seconds later. What a server that is killed has used since
it last told is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog

from code_executor.accounts.keys import KeyStore
from code_executor.core.errors import CodeExecutorError
from code_executor.service.budgets import Budgets

log = structlog.get_logger()

EVERY = 5.0
_PREFIX = "ce_"


class Usage:
    """Use it as an async context manager. ``store``: returns where it is kept, or None while there is no such."""

    def __init__(self, budgets: Budgets, store: Callable[[], Awaitable[KeyStore | None]]) -> None:
        self._budgets = budgets
        self._store = store
        self._telling: asyncio.Task[None] | None = None
        self._told = False

    async def __aenter__(self) -> Self:
        self._telling = asyncio.create_task(self._tell_for_ever())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await self.tell()

    async def tell(self) -> None:
        """Keep what is new; what cannot be kept now stays new."""
        day = self._budgets.today()
        taken = self._budgets.take()
        if not taken and self._told:
            return
        try:
            store = await self._store()
            by_key = {who.removeprefix(_PREFIX): seconds for who, seconds in taken.items()}
            kept = None if store is None else await store.add_seconds(day, by_key)
        except CodeExecutorError as error:
            log.warning("usage_not_kept", why=str(error))
            self._budgets.put_back(day, taken)
        except BaseException:
            self._budgets.put_back(day, taken)
            raise
        else:
            if kept is not None:
                self._told = True
                self._budgets.learn(day, {_PREFIX + key: seconds for key, seconds in kept.items()})

    async def _tell_for_ever(self) -> None:
        while True:
            await self.tell()
            await asyncio.sleep(EVERY)
