"""Sizes as people write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(value: object) -> object:
    """Read ``512m``, ``512 MB``, ``1g`` or a number of bytes."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+)\s*([kmg]?)(?:i?b)?\s*", value, re.IGNORECASE)
    if match is None:
        raise ValueError("not a size (as 512m, 1g, or bytes)")
    return int(match[1]) * _UNITS[match[2].lower()]
