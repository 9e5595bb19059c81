"""Suites that are kept: each version under its content's address, found again by a name, and read once.

The store is a protocol; `storage` has it. A version never changes. So what was read of one is kept in memory.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from code_executor.core.errors import StorageError
from code_executor.grading import forms
from code_executor.grading.suite import Suite, SuiteUnknownError

_CACHED = 16 << 20
"""Bytes of suites, as they are stored, whose values are kept in memory."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A version of a suite as it is stored: its ``text`` is canonical, and ``version`` the address of that."""

    id: str
    version: str
    text: bytes


class SuiteStore(Protocol):
    """Keeps suites, of each owner apart. Raises ``StorageError``."""

    async def put(self, owner: str, kept: Kept) -> bool:
        """Keep a version and make it the newest; return whether there was none of it before.

        Raises ``SuitesFullError``.
        """

    async def get(self, owner: str, name: str, version: str | None) -> Kept | None:
        """Return a version, or (None) the newest; None if there is none."""


class Suites:
    """Suites of a process. ``open_store``: returns the store; None while there is none, unless it is to be made."""

    def __init__(self, open_store: Callable[[bool], Awaitable[SuiteStore | None]]) -> None:
        self._open = open_store
        self._read: OrderedDict[str, tuple[Suite, int]] = OrderedDict()
        self._size = 0

    async def put(self, owner: str, name: str, suite: Suite) -> tuple[Kept, bool]:
        """Keep a version; return it, and whether it is new. Raises ``SuiteError``, and as `SuiteStore`."""
        text = forms.canonical(suite)
        kept = Kept(name, forms.address(text), text)
        store = await self._open(True)
        if store is None:
            raise StorageError("this service stores no suites")
        return kept, await store.put(owner, kept)

    async def get(self, owner: str, reference: str) -> Kept:
        """Return what ``name`` or ``name@version`` refers to; raise ``SuiteUnknownError``, and as `SuiteStore`."""
        name, _, version = reference.partition("@")
        store = await self._open(False)
        kept = None if store is None else await store.get(owner, name, version or None)
        if kept is None:
            raise SuiteUnknownError(f"there is no suite {reference!r}")
        return kept

    async def suite(self, owner: str, reference: str) -> Suite:
        """Return the suite that is meant, as a value; raise as `get`."""
        return (await self.find(owner, reference))[1]

    async def find(self, owner: str, reference: str) -> tuple[str, Suite]:
        """Return it with ``name@version``, which will always be the same; raise as `get`."""
        kept = await self.get(owner, reference)
        return f"{kept.id}@{kept.version}", await self._value(kept)

    async def _value(self, kept: Kept) -> Suite:
        found = self._read.get(kept.version)
        if found is not None:
            self._read.move_to_end(kept.version)
            return found[0]
        suite = await asyncio.to_thread(forms.read, kept.text)
        if kept.version not in self._read:
            self._read[kept.version] = suite, len(kept.text)
            self._size += len(kept.text)
        while self._size > _CACHED:
            _, (_, size) = self._read.popitem(last=False)
            self._size -= size
        return suite
