"""Chapters, as authors write them into the description of a video."""

from __future__ import annotations

import re
from itertools import pairwise

from code_labs.transcripts.model import Chapter

LEAST = 3
SHORTEST = 10.0
"""Seconds. With fewer or shorter ones YouTube shows no chapters, and here there are none either."""

MOST = 200
LONGEST_TITLE = 200
_LINE = re.compile(r"[\s\-–—•*·(\[]*(?:(\d{1,2}):)?(\d{1,2}):(\d\d)[)\]]?(?:\s*[-–—:|.])?\s+(\S.*)")  # noqa: RUF001  # dashes of authors


def parse_chapters(description: str) -> tuple[Chapter, ...]:
    """Read the lines that start with a time, as ``0:00 Introduction``.

    Empty if they are no chapters by YouTube's rules: the first at 0:00, at least 3, in order, each at least 10 seconds
    long. Never raises: a description may say anything.
    """
    found = []
    for line in description.splitlines():
        if match := _LINE.fullmatch(line.rstrip()):
            hours, minutes, seconds, title = match.groups()
            start = int(hours or 0) * 3600.0 + int(minutes) * 60 + int(seconds)
            found.append(Chapter(start, " ".join(title.split())[:LONGEST_TITLE]))
    starts = [chapter.start for chapter in found]
    if not LEAST <= len(found) <= MOST or starts[0] != 0:
        return ()
    if any(after - before < SHORTEST for before, after in pairwise(starts)):
        return ()
    return tuple(found)
