"""Running a program as ``python main.py`` does: its module, its end, and what is printed of its failures."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import errno
import gc
import io
import os
import signal
import sys
import threading
import traceback
import types
from typing import Any

from sandbox_agent.child import display, pipes, stacks
from sandbox_agent.child.streams import flush

FILENAME = "main.py"

_INTERPRETERS_HOOK = sys.__excepthook__
_AGENT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


def main_module(arguments: list[str]) -> types.ModuleType:
    """Make ``__main__`` and the world around it look as ``python main.py ARGS`` in the box would."""
    module = types.ModuleType("__main__")
    builtins = sys.modules["builtins"]
    vars(module).update(__file__=FILENAME, __cached__=None, __builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    sys.argv = [FILENAME, *arguments]
    return module


def run(code: list[types.CodeType], module: types.ModuleType) -> int:
    """Run the program to the end of its main thread; return its exit status so far."""
    set_hooks()
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        execute(code, module)
    except SystemExit as stop:
        return exit_status(stop)
    except BaseException as error:
        failure = error
    else:
        return 0
    pipes.hint(kind_of(failure))
    return uncaught(failure)  # not while it is handled: it would be taken for the context of what the hook raises


def set_hooks() -> None:
    """Have exceptions printed by this module."""
    sys.excepthook = sys.__excepthook__ = _excepthook
    threading.excepthook = _thread_excepthook


def execute(code: list[types.CodeType], module: types.ModuleType) -> None:
    """Run what `compiled` returned, in a module."""
    try:
        exec(code[0], module.__dict__)
        for last in code[1:]:
            display.value(eval(last, module.__dict__))
    finally:  # also what a program has drawn that fails afterwards
        display.finish()


def exit_status(stop: SystemExit) -> int:
    if stop.code is None:
        return 0
    if isinstance(stop.code, int):
        return stop.code & 0xFF
    _say(stop.code)
    return 1


def uncaught(error: BaseException) -> int:
    """Print an exception as Python does; return the exit status that it gives."""
    error = _without_our_frames(error)
    hook = getattr(sys, "excepthook", _excepthook)
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as stop:
        return exit_status(stop)
    except BaseException as failure:
        _say("Error in sys.excepthook:")
        _print_exception(_without_our_frames(failure))
        _say("\nOriginal exception was:")
        _print_exception(error)
    return 1


def _without_our_frames(error: BaseException) -> BaseException:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_AGENT):
        trace = trace.tb_next
    return error.with_traceback(trace)


def _say(what: object) -> None:
    """Write a line to the program's stderr, if it left one that can be written to."""
    try:
        sys.stderr.write(f"{what}\n")
    except BaseException:
        pass


def _excepthook(_kind: object, error: BaseException, _trace: object) -> None:
    _print_exception(error)


def _print_exception(error: BaseException) -> None:
    # not the interpreter's own hook, which looks for the source in a file; this one finds it in linecache
    _say("".join(traceback.format_exception(error)).removesuffix("\n") + _suggestion(error))


def _suggestion(error: BaseException) -> str:
    """Return ". Did you mean: 'this'?", which Python 3.11 adds in its own hook alone."""
    if sys.version_info >= (3, 12) or not isinstance(error, (NameError, AttributeError)):
        return ""
    heard = io.StringIO()
    with contextlib.redirect_stderr(heard):
        _INTERPRETERS_HOOK(type(error), error, error.__traceback__)
    last = heard.getvalue().rstrip("\n").rpartition("\n")[2]
    return "".join(last.partition(". Did you mean: ")[1:])


def _thread_excepthook(arguments: Any) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    _say(f"Exception in thread {name}:")
    _print_exception(arguments.exc_value)


def kind_of(error: BaseException) -> int:
    """Return which of the hints an exception is."""
    if isinstance(error, MemoryError):
        return pipes.HINT_MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return pipes.HINT_DISK
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return pipes.HINT_PROCESSES if stacks.fits() else pipes.HINT_MEMORY
    if isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN:
        return pipes.HINT_PROCESSES
    return pipes.HINT_EXCEPTION


def finish(status: int) -> int:
    """What the interpreter does at the end: wait for threads, run atexit callbacks, let go of everything, flush."""
    for step in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]  # noqa: SLF001  # as Py_FinalizeEx does
        try:
            step()
        except SystemExit as stop:
            status = exit_status(stop)
        except BaseException as error:
            _print_exception(_without_our_frames(error))
    if not _thread._count():  # noqa: SLF001  # daemon threads are still running here, and would miss their names
        sys.modules.pop("__main__", None)
        gc.collect()  # finalizers run, generators are closed, the program's own files on stdout are flushed
    return status if flush() else status or 120  # as CPython
