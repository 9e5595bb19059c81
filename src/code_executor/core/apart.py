"""Work that takes long is done in a thread, so that nobody else has to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PACKED = 256 << 10
"""Bytes from which on it is worth a thread to put something into JSON, or to compress it."""

CHECKED = 64 << 10
"""The same, to read a request and check each of its fields."""


async def apart(make: Callable[[], T], size: int, large: int = PACKED) -> T:
    """Return what is made of ``size`` bytes, about; from ``large`` on in a thread."""
    return make() if size < large else await asyncio.to_thread(make)
