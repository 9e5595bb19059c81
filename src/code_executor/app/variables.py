"""The variables that requests may set, as an operator lists them."""

from __future__ import annotations

import re

from code_executor.core import world


def checked(values: tuple[str, ...]) -> tuple[str, ...]:
    """Return names and globs of names; raise ``ValueError`` for what is neither, or what no request may set."""
    for value in values:
        if not re.fullmatch(r"[A-Za-z_*?][A-Za-z0-9_*?]*", value):
            raise ValueError(f"not the name of a variable: {value!r} (as COURSE, or COURSE_*)")
        if world.is_reserved(value):
            raise ValueError(f"no request can set {value!r}: the sandbox, or what starts programs, depends on it")
    return values
