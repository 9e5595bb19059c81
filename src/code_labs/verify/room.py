"""The grading room: a runner with warm sandboxes, opened as ``code-executor grade`` opens one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import structlog

from code_executor.app.bootstrap import open_executor
from code_executor.app.logs import configure_logging
from code_executor.app.settings import Settings
from code_executor.core.runner import Runner

SANDBOXES = 4
"""How many programs run at once, if nothing else is asked for."""

_LIBRARIES = ("numpy", "pandas")


@contextlib.asynccontextmanager
async def open_room(*, sources: Sequence[str] = (), **settings: Any) -> AsyncIterator[Runner]:
    """Open a runner. ``settings`` are those of the service; what is not given is read from the environment.

    ``sources``: programs that will be run; libraries that they name are imported beforehand. Raises
    ``CodeExecutorError``.
    """
    needed = any(name in source for source in sources for name in _LIBRARIES)
    given: dict[str, Any] = {
        "pool_size": SANDBOXES,
        "pool_min": 1 if needed else 2,
        "queue_timeout": 3600,
        "queue_per_client": 10_000,
        "queue_size": 10_000,
        "preload": (_LIBRARIES,) if needed else (),
        "preload_always": (),
    }
    loaded = Settings.load(**(given | settings))
    if not structlog.is_configured():
        configure_logging(loaded.model_copy(update={"log_format": "console", "log_level": "error"}))
    async with open_executor(loaded) as opened:
        yield opened.executor
