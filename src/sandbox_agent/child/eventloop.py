"""The event loop of a session: for cells that await at their top level, and for the tasks that cells start.

It is made when a cell first has to do with asyncio, and kept. It runs while a cell awaits and between cells, so that
tasks go on then. A cell that awaits nothing runs beside it, so that ``asyncio.run()`` works there as in a program; and
yet such a cell finds it running, so that ``asyncio.create_task()`` works there as in a notebook.
"""

from __future__ import annotations

import contextvars
import inspect
import signal
import sys
import threading
from types import CodeType, FrameType
from typing import Any

from sandbox_agent.child import callstack
from sandbox_agent.child.pipes import Messages


class EventLoop:
    """The one of this process, once it is needed."""

    def __init__(self) -> None:
        self._loop: Any = None
        self._context = contextvars.copy_context()
        self._beside = False
        """Whether a cell runs that finds the loop running though it is not."""

    def expect(self, source: str, code: list[CodeType]) -> None:
        """Make the loop if a cell may need one, before it runs."""
        if "asyncio" in sys.modules or "asyncio" in source or any(map(_awaits, code)):
            self._make()

    def evaluate(self, code: CodeType, names: dict[str, Any]) -> Any:
        """Run a piece of a cell; return its value, if it is an expression."""
        if _awaits(code):
            return self._complete(eval(code, names), code)
        if self._loop is None:
            return callstack.call(self._context.run, eval, code, names)
        self._beside = True
        self._set_running(self._loop)
        try:
            return callstack.call(self._context.run, eval, code, names)
        finally:
            self._beside = False
            self._set_running(None)

    def run_until(self, messages: Messages) -> None:
        """Let tasks go on until the next message is there."""
        if self._loop is None or messages.is_next_there():
            return
        try:
            self._loop.add_reader(messages.fd, self._loop.stop)
            try:
                self._loop.run_forever()
            finally:
                self._loop.remove_reader(messages.fd)
        except BaseException:  # the program closed it, or a task of it is at its end with the whole program
            pass

    def _make(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            return
        import asyncio  # takes too long to be there for every session
        import selectors
        from asyncio import events

        if self._loop is None:
            self._find_running, self._set_running = events._get_running_loop, events._set_running_loop  # noqa: SLF001
            events._get_running_loop = self._running  # noqa: SLF001  # asked by all that runs a loop
            events._set_running_loop = self._note_running  # noqa: SLF001
            modules = (asyncio.base_events, asyncio.selector_events, events, selectors, callstack)
            self._machinery = {__file__, *(module.__file__ for module in modules)}
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)

    def _running(self) -> Any:
        loop = self._find_running()
        return None if loop is self._loop and not loop.is_running() else loop

    def _note_running(self, loop: Any) -> None:
        if loop is None and self._beside and threading.current_thread() is threading.main_thread():
            loop = self._loop
        self._set_running(loop)

    def _complete(self, coroutine: Any, code: CodeType) -> Any:
        """Run a coroutine to its end, to which an interrupt brings it; raise what it raises, without our frames."""
        task = self._loop.create_task(coroutine, context=self._context)
        task.add_done_callback(lambda _: self._loop.stop())
        why: BaseException | None = None

        def interrupt(number: int, frame: FrameType | None) -> None:
            nonlocal why
            if frame is None or frame.f_code.co_filename not in self._machinery:
                signal.default_int_handler(number, frame)
            # an exception here would lose what the loop is about to call, which may be the task's next step
            why = KeyboardInterrupt()
            self._loop.call_soon_threadsafe(task.cancel)

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
        tries = 0
        while not task.done() and tries <= 1:
            try:
                callstack.invoke(self._loop.run_forever)
            except BaseException as error:  # an interrupt; sys.exit(), in the coroutine or in any other task
                why = error
                tries += 1
                task.cancel()
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return task.result()
        except BaseException as error:
            failure = error
        if why is not None and why is not failure:
            failure = why.with_traceback(failure.__traceback__)
        raise _from(failure, code)


def _awaits(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_COROUTINE)


def _from(error: BaseException, code: CodeType) -> BaseException:
    """Leave out of a traceback what comes before the frame of ``code``."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code is not code:
        trace = trace.tb_next
    return error.with_traceback(trace) if trace is not None else error
