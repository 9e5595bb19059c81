"""The library: an executor that opens itself, and its blocking twin.

async with Executor.open() as executor:
    result = await executor.run("print(1)")

with BlockingExecutor() as executor:
    result = executor.run("print(1)")
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import structlog

from code_executor import executor as core
from code_executor.bootstrap import configure_logging, open_executor
from code_executor.models import Execution, Result
from code_executor.settings import Settings

T = TypeVar("T")


class Executor(core.Executor):
    """Runs untrusted code. Make one with `open`."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, **settings: Any) -> AsyncIterator[Executor]:
        """Open an executor with its pool; ``settings`` are those of the service (``engine="native"``, ``memory="1g"``).

        What is not given is read from the environment. Raises ``ConfigurationError``, ``EngineError``, or
        ``CodeExecutorError`` where a required layer of protection does not hold.
        """
        loaded = Settings.load(**settings)
        if not structlog.is_configured():  # as it comes, it would write to the stdout of the program around us
            configure_logging(loaded)
        async with open_executor(loaded, kind=cls) as opened:
            yield cast("Executor", opened.executor)


class BlockingExecutor:
    """The same for programs without an event loop: it keeps one of its own in a thread."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._opened: contextlib.AbstractAsyncContextManager[Executor] | None = None
        self._executor: Executor | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="code-executor", daemon=True)
        self._thread.start()
        self._opened = Executor.open(**self._settings)
        try:
            self._executor = self._call(self._opened.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._opened is not None:
                self._call(self._opened.__aexit__(None, None, None))
        finally:
            self._stop()

    def run(self, code: str | Execution, **options: object) -> Result:
        """As ``Executor.run``; any thread may call it."""
        if self._executor is None:
            raise RuntimeError("use it as a context manager: with BlockingExecutor() as executor")
        return self._call(self._executor.run(code, **options))

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
