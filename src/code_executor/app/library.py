"""The library: an executor that opens itself, and its blocking twin.

async with Executor.open() as executor:
    result = await executor.run("print(1)")

with BlockingExecutor() as executor:
    result = executor.run("print(1)")

Both have sessions, whose runs share one interpreter:

    async with executor.session() as session:
        await session.run("x = 1")
        await session.run("print(x)")
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from code_executor.app.bootstrap import desk_of, open_executor
from code_executor.app.logs import configure_logging
from code_executor.app.settings import Settings
from code_executor.core import runner
from code_executor.core.caller import LOCAL
from code_executor.core.environments import Environment
from code_executor.core.limits import Limits
from code_executor.core.models import Cell, Event, Execution, File, FileAnswer, Input, Result
from code_executor.execution.session import Session
from code_executor.sandbox.pool import Pool
from code_executor.service.dispatcher import Dispatcher
from code_executor.service.environments import Described, Environments
from code_executor.service.several import run_each

T = TypeVar("T")


class Executor:
    """Runs untrusted code: a `Runner`. Make one with `open`."""

    def __init__(self, inner: Dispatcher, environments: Environments | None = None) -> None:
        self._inner = inner
        described = [Described(name, ()) for name in inner.environments]
        self._environments = environments or Environments(inner, described, {})

    def __repr__(self) -> str:
        return f"<Executor on {self.pool!r}>"

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
        async with open_executor(loaded) as opened:
            yield cls(opened.executor, desk_of(opened))

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    @property
    def pool(self) -> Pool:
        """The pool whose sandboxes have nothing preloaded."""
        return self._inner.pool

    @property
    def waiting(self) -> int:
        """How many executions wait for a sandbox."""
        return self._inner.queue.waiting

    async def run(self, code: str | Execution, **options: object) -> Result:
        """Run ``code`` and return its result; ``options`` are the other fields of `Execution`.

        Raises ``PoolBusyError`` or ``PoolClosedError`` when no sandbox is to be had, and ``ValueError`` for what a
        program cannot be given, or for ``limits`` above those of the settings. Cancelling stops the run.
        """
        return await runner.run(self, self._execution(code, options))

    async def run_each(self, code: str | Execution, stdins: Sequence[str | bytes], **options: object) -> list[Result]:
        """Run a program once for each of several inputs, side by side; return the results, in order.

        Raises as `run` does.
        """
        execution = self._execution(code, options)
        executions = [replace(execution, stdin=each, id=secrets.token_hex(8)) for each in stdins]
        return await run_each(self, executions)

    def _execution(self, code: str | Execution, options: dict[str, object]) -> Execution:
        execution = code if isinstance(code, Execution) else Execution(code, **options)  # type: ignore[arg-type]
        if execution.limits is not None:
            execution.limits.require_within(self.limits)
        return execution

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        """Run and yield its events: `Started`, then what comes as it comes and, last, the `Result`.

        With ``inputs`` the run is interactive. Closing the generator stops the run.
        """
        return self._inner.stream(execution, inputs)

    def session(
        self,
        *,
        files: tuple[File, ...] = (),
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> Session:
        """An interpreter that lives on: ``async with executor.session() as session: await session.run("x = 1")``.

        It holds a sandbox until it is closed. ``interactive`` False: nobody types into its cells (see `Cell`).
        ``environment``: as of an `Execution`; ``policy``: its ``policy_name``.
        """
        return Session(self, files=files, interactive=interactive, environment=environment, policy=policy)

    async def environments(self) -> Sequence[Environment]:
        """Return the environments that there are, the default first, with what is in each."""
        return await self._environments.list(LOCAL)


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

    def run_each(self, code: str | Execution, stdins: Sequence[str | bytes], **options: object) -> list[Result]:
        """As ``Executor.run_each``."""
        if self._executor is None:
            raise RuntimeError("use it as a context manager: with BlockingExecutor() as executor")
        return self._call(self._executor.run_each(code, stdins, **options))

    def environments(self) -> Sequence[Environment]:
        """As ``Executor.environments``."""
        if self._executor is None:
            raise RuntimeError("use it as a context manager: with BlockingExecutor() as executor")
        return self._call(self._executor.environments())

    @contextlib.contextmanager
    def session(
        self, *, files: tuple[File, ...] = (), interactive: bool | None = None, environment: str = ""
    ) -> Iterator[BlockingSession]:
        """As ``Executor.session``."""
        if self._executor is None:
            raise RuntimeError("use it as a context manager: with BlockingExecutor() as executor")
        session = self._executor.session(files=files, interactive=interactive, environment=environment)
        self._call(session.open())
        try:
            yield BlockingSession(session, self._call)
        finally:
            self._call(session.close())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class BlockingSession:
    """A session of a `BlockingExecutor`."""

    def __init__(self, session: Session, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._session = session
        self._call = call

    def run(self, code: str | Cell, **options: object) -> Result:
        """As ``Session.run``."""
        result: Result = self._call(self._session.run(code, **options))
        return result

    def list_files(self) -> FileAnswer:
        """As ``Session.list_files``."""
        answer: FileAnswer = self._call(self._session.list_files())
        return answer

    def read_file(self, path: str) -> bytes:
        """As ``Session.read_file``."""
        data: bytes = self._call(self._session.read_file(path))
        return data

    def write_file(self, path: str, data: bytes, *, policy: bool = True) -> bool:
        """As ``Session.write_file``."""
        made: bool = self._call(self._session.write_file(path, data, policy=policy))
        return made

    def delete_file(self, path: str) -> None:
        """As ``Session.delete_file``."""
        self._call(self._session.delete_file(path))
