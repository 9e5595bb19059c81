"""Makes what a supervisor holds immortal, so that a child which only looks at it does not copy its memory.

A process that is forked shares its parent's pages until one of the two writes to them, and CPython writes to whatever
it looks at: it counts references. From Python 3.12 on, an object whose count has a certain value is immortal, and is
never counted (PEP 683, which came from copy-on-write in forking servers). The interpreter makes its own constants so.
Here all else becomes so too that was made before the first fork. It would have lived as long as the process anyway.
"""

from __future__ import annotations

import ctypes
import gc
import sys

_FIRST = (3, 12)


def immortalize() -> int:
    """Make every object that the collector knows, and all that they hold, immortal; return how many they are.

    Does nothing before Python 3.12, nor where the reference count is not what this knows (free-threaded builds).
    """
    if sys.version_info < _FIRST or not _counts_as_known():
        return 0
    immortal = _at(id(None)).value
    layer = {id(each): each for each in gc.get_objects()}
    found: dict[int, object] = {}  # made after the list was, so that it is not in it
    while layer:
        found.update(layer)
        held = gc.get_referents(*layer.values())
        layer = {id(each): each for each in held if id(each) not in found}
    for address in found:
        _at(address).value = immortal
    return len(found)


_at = ctypes.c_uint32.from_address
"""The lower half of the first word of an object: in CPython, of its reference count. (3.14 has flags in the other.)"""


def _counts_as_known() -> bool:
    """Whether the first word of a new object is its reference count, and None's is one that never changes."""
    fresh = object()
    one = _at(id(fresh)).value
    held = [fresh] * 3
    if _at(id(fresh)).value - one != len(held):
        return False
    immortal = _at(id(None)).value
    nothing = [None] * 3
    return _at(id(None)).value == immortal and len(nothing) == len(held)
