"""Which scope of a key a request needs; a test holds the table to the routes."""

from __future__ import annotations

import re

from code_executor.accounts.keys import Scope

ANYBODY = "anybody"
"""Needs no key: pages, descriptions, and whether the service is alive."""

ANY_KEY = "any key"
"""Needs a key, whatever its scopes."""

_TABLE: tuple[tuple[str, Scope | str], ...] = (
    (r"/api/execute(/ws)?", Scope.RUN),
    (r"/api/check", Scope.CHECK),
    (r"/api/sessions(/.*)?", Scope.SESSION),
    (r"/api/environments", ANY_KEY),
    (r"/api/(jobs|batches)(/.*)?", Scope.JOBS),
    (r"/api/(grade|receipts/verify)", Scope.GRADE),
    (r"/api/suites(/.*)?", Scope.SUITES),
    (r"(?s)/api/labs/v1/teach(/.*)?", Scope.TEACH),
    (r"(?s)/api/labs/v1(/.*)?", Scope.LABS),
    (r"/metrics", Scope.METRICS),
)
_PATTERNS = [(re.compile(pattern), scope) for pattern, scope in _TABLE]


def needed(path: str) -> Scope | str | None:
    """Return the scope that a path needs, `ANY_KEY` or `ANYBODY`; None of what is under /api/ and not in the table.

    That needs a key, and there is nothing.
    """
    for pattern, scope in _PATTERNS:
        if pattern.fullmatch(path):
            return scope
    return None if path.startswith("/api/") or path == "/api" else ANYBODY
