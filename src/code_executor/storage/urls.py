"""Which databases there are: the URL of each as its driver wants it, and what its connections are given."""

from __future__ import annotations

import contextlib
import os
from importlib.util import find_spec
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from code_executor.core.errors import ConfigurationError

_SETTING = "CODE_EXECUTOR_DATABASE"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}

BUSY = 5.0
"""Seconds that a transaction waits for another one that writes, and that PostgreSQL has to answer a new connection."""

_POSTGRES = {
    "connect_timeout": int(BUSY),
    "application_name": "code-executor",
    # a server that is gone, or a network that swallows packets, is noticed within seconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
    "prepare_threshold": None,  # a pooler between us and the server (PgBouncer) keeps no prepared statements
}


def parse_url(text: str) -> URL:
    """Read the setting; raise ``ConfigurationError``, which never repeats a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"{_SETTING}: not a database URL (as {_EXAMPLES})") from None
    backend = url.drivername.partition("+")[0]
    if backend not in _DRIVERS:
        raise ConfigurationError(f"{_SETTING}: {backend} is not supported; use SQLite or PostgreSQL (as {_EXAMPLES})")
    url = url.set(drivername=_DRIVERS[backend])
    if is_sqlite(url) and (not url.database or ":memory:" in url.database):
        raise ConfigurationError(f"{_SETTING}: SQLite needs the path of a file (as sqlite:////var/lib/me/ce.db)")
    if not is_sqlite(url) and find_spec("psycopg") is None:
        raise ConfigurationError(f"{_SETTING}: PostgreSQL needs a driver: pip install 'code-executor[postgres]'")
    return url


_EXAMPLES = "sqlite:////var/lib/me/ce.db or postgresql://user@host/name"


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def connect_arguments(url: URL) -> dict[str, Any]:
    """Return what each connection is opened with; what the URL says itself wins."""
    if is_sqlite(url):
        return {"timeout": BUSY}
    return {name: value for name, value in _POSTGRES.items() if name not in url.query}


def prepare_file(url: URL) -> None:
    """Make the directory of an SQLite file, and the file, for this user alone; raise ``ConfigurationError``.

    A file that is there is not opened: to close it would end the locks that SQLite has on it elsewhere in this process
    (section 2.2 of https://www.sqlite.org/howtocorrupt.html).
    """
    path = os.path.abspath(url.database or "")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if not os.path.lexists(path):
            with contextlib.suppress(FileExistsError):  # another process was faster
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigurationError(f"the database {path} cannot be opened: {error.strerror}") from None
    if not os.path.isfile(path) or not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(f"the database {path} cannot be opened: it is no file that this user may write")
