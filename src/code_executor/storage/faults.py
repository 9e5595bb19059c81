"""What the database could not do, in one sentence: the errors of both drivers as ``StorageError``.

What is not listed is a mistake of ours (a constraint, a missing table), and stays the exception that it is.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionError

from code_executor.core.errors import StorageError

_LOST, _FULL, _LOCKED, _BUSY = "is out of reach", "has no room left", "is locked by another transaction", "is busy"
_BROKEN, _READ_ONLY, _FAILED = "is damaged", "cannot be written to", "cannot be read or written"

_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FAILED,
    sqlite3.SQLITE_CANTOPEN: _FAILED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _READ_ONLY,
    sqlite3.SQLITE_CORRUPT: _BROKEN,
    sqlite3.SQLITE_NOTADB: _BROKEN,
    sqlite3.SQLITE_NOMEM: _FAILED,
    sqlite3.SQLITE_PROTOCOL: _LOCKED,
}
"""By the primary result code."""

_POSTGRES = {
    "53100": _FULL,
    "53": _BUSY,  # no more connections, or memory
    "08": _LOST,
    "57": _LOST,  # it is shutting down or starting
    "58": _FAILED,
    "55P03": _LOCKED,
    "40": _LOCKED,  # a deadlock, or a transaction that another was faster than
    "25006": _READ_ONLY,
    "XX": _BROKEN,
}
"""By SQLSTATE, or its class."""


def translated(error: SQLAlchemyError | OSError) -> Exception:
    """Return the ``StorageError`` of an error, or the error itself where it is ours."""
    if isinstance(error, OSError):
        return StorageError(_sentence(_LOST))
    if isinstance(error, NoConnectionError):
        return StorageError(_sentence(_BUSY))
    if not isinstance(error, DBAPIError):
        return error
    if error.connection_invalidated:
        return StorageError(_sentence(_LOST))
    why = _of_sqlite(error.orig) if isinstance(error.orig, sqlite3.Error) else _of_postgres(error)
    return error if why is None else StorageError(_sentence(why))


def _of_sqlite(error: sqlite3.Error) -> str | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _SQLITE.get(code & 0xFF)


def _of_postgres(error: DBAPIError) -> str | None:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:  # it never came to an answer
        return _LOST if type(error.orig).__name__ in ("OperationalError", "ConnectionTimeout") else None
    return _POSTGRES.get(state) or _POSTGRES.get(state[:2])


def _sentence(why: str) -> str:
    return f"the database {why}; nothing was changed, and it is safe to try again"
