"""What a session tells of an exception, and remembers of it, as an interactive interpreter does."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from sandbox_agent.contract.report import LONGEST_LINE, LONGEST_MESSAGE, MOST_LINES


def remember(error: BaseException) -> None:
    """Leave it where ``traceback.print_last()`` and ``pdb.pm()`` look for it."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    sys.last_exc = error  # type: ignore[attr-defined]  # since 3.12


def described(error: BaseException) -> dict[str, Any]:
    """Return what a report says of it."""
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    try:
        message = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # the program's __str__
        message = ""
    try:
        lines = "".join(traceback.format_exception(error)).splitlines()
    except Exception:  # likewise
        lines = []
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES // 2], "[...]", *lines[-MOST_LINES // 2 + 1 :]]
    return {
        "type": f"{module}{kind.__qualname__}"[:LONGEST_LINE],
        "message": str(message)[:LONGEST_MESSAGE],
        "traceback": [line[:LONGEST_LINE] for line in lines],
    }
