"""Sandboxes of one kind, whatever their programs name: what holds in a plain one must hold in one with everything."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

from code_executor import Executor
from code_executor.app.bootstrap import choose_engine, pool_size
from code_executor.app.preloads import KINDS
from code_executor.app.settings import Settings
from code_executor.sandbox.engine import SharedEngine
from code_executor.sandbox.pool import Pool
from code_executor.service.dispatcher import Dispatcher

PLAIN, DATA, PLOTS, LARGEST = range(len(KINDS) + 1)
MADE_WITHIN = 120
"""Seconds: the largest takes some of the processor's, at half a core."""


def modules_of(kind: int) -> tuple[str, ...]:
    """Return what is preloaded in a sandbox of that kind."""
    return tuple(module for more in KINDS[:kind] for module in more)


def libraries_of(kind: int) -> tuple[str, ...]:
    """Return those that a program finds in ``sys.modules``: the standard library's are hidden until it imports them."""
    return tuple(name for name in modules_of(kind) if name.partition(".")[0] not in sys.stdlib_module_names)


@contextlib.asynccontextmanager
async def open_kind(engine: str, kind: int, **settings: Any) -> AsyncIterator[Executor]:
    """Open an executor, all of whose sandboxes are of that kind; ``settings`` are the service's."""
    loaded = Settings.load(**{"engine": engine, "policy": "off", "pool_size": 1, "log_level": "error", **settings})
    async with contextlib.AsyncExitStack() as stack:
        made = await choose_engine(loaded)
        await made.start()
        stack.push_async_callback(made.close)
        pool = await stack.enter_async_context(Pool(SharedEngine(made, modules_of(kind)), pool_size(loaded)))
        await pool.wait_ready(MADE_WITHIN)
        yield Executor(Dispatcher([pool], loaded.limits(), patience=MADE_WITHIN))
