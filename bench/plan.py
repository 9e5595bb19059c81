"""How thorough a run of the harness is, and what it has to work with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Plan:
    """``engines``: those that are here. ``python``: the bare interpreter that all is compared with.

    ``absent``: what could not be measured, and why; parts add to it.
    """

    quick: bool
    engines: tuple[str, ...]
    python: str
    absent: dict[str, str] = field(default_factory=dict)

    def pick(self, full: T, quick: T) -> T:
        return quick if self.quick else full

    @contextlib.contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Do what may not work here: a failure is noted under ``what``, and the rest goes on."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it was, the other results must not be lost
            self.absent[what] = f"{type(error).__name__}: {error}"[:300]
