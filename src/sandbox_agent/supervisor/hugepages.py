"""Moves what the supervisor holds onto huge pages, before the first fork.

A fork copies the page tables, and the end of a child takes them apart again: of a heap in pages of 4 KB, there are 512
entries for every 2 MB, and of a huge page one. Where a child writes to one, only its own table is made of small pages
again, and only the small page that it writes to is copied.

A kernel can be asked to gather pages so from Linux 6.1 on (``MADV_COLLAPSE``). It puts zeros where there was no page,
so only what is nearly full is moved; else the sandbox would hold memory that nobody uses. Where it cannot be done (an
older kernel, gVisor, no memory in one piece), nothing happens.
"""

from __future__ import annotations

import array
import contextlib
import mmap

from sandbox_agent.confinement import kernel

_HUGE = 2 << 20
_PAGES = _HUGE // mmap.PAGESIZE
_FULL = _PAGES * 7 // 8
"""How many of its pages must be there."""

_PRESENT = 1 << 63
_ENTRY = 8
"""Bytes that /proc/self/pagemap has for each page."""


def collapse() -> int:
    """Move the process's own data, and return how many bytes of memory are there that were not."""
    try:
        blocks = _nearly_full(_blocks())
    except (OSError, ValueError):  # gVisor shows no pages
        return 0
    filled = 0
    for start, present in blocks:
        with contextlib.suppress(OSError):
            kernel.collapse(start, _HUGE)
            filled += (_PAGES - present) * mmap.PAGESIZE
    return filled


def _blocks() -> list[int]:
    """Return the addresses of what a huge page could hold: of this process alone, writable, and of no file."""
    found: list[int] = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            addresses, mode, _, _, inode, *name = line.split()
            if mode != "rw-p" or inode != "0" or (name and name[0] != "[heap]"):
                continue
            first, end = (int(address, 16) for address in addresses.split("-"))
            found += range(-(-first // _HUGE) * _HUGE, end - _HUGE + 1, _HUGE)
    return found


def _nearly_full(blocks: list[int]) -> list[tuple[int, int]]:
    """Return those of which most pages are there, and how many are."""
    found = []
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for start in blocks:
            pagemap.seek(start // mmap.PAGESIZE * _ENTRY)
            present = sum(entry >= _PRESENT for entry in array.array("Q", pagemap.read(_PAGES * _ENTRY)))
            if present >= _FULL:
                found.append((start, present))
    return found
