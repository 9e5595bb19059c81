"""How thorough a run of the harness is, and what is available to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Plan:
    """``engines``: the available ones. ``python``: the bare interpreter with which everything is compared.

    ``absent``: what could not be measured, and why. Parts add to it.
    """

    quick: bool
    engines: tuple[str, ...]
    python: str
    absent: dict[str, str] = field(default_factory=dict)
    given: int | None = None
    """How many rounds the parts with rounds take, if somebody says it."""

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full

    def rounds(self, full: int, quick: int) -> int:
        return self.given or self.pick(full, quick)

    @contextlib.contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Do something that may fail here: note a failure under ``what``, and continue."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # any error: the other results must not be lost
            self.absent[what] = f"{type(error).__name__}: {error}"[:300]
