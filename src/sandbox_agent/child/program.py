"""Running a program as ``python main.py`` does: the world that it finds, its module, and what its failure is called.

What comes after it is in `ending`.
"""

from __future__ import annotations

import errno
import signal
import sys
import types
from collections.abc import Callable
from importlib.machinery import BuiltinImporter, SourceFileLoader
from typing import Any

from sandbox_agent.child import callstack, display, ending, pipes, stacks
from sandbox_agent.contract.protocol import MAIN

_set_mask = sys.modules["_signal"].pthread_sigmask
"""As ``signal.pthread_sigmask``, which makes enumerations of what it returns, and takes longer."""

_HAS_ANNOTATIONS = sys.version_info < (3, 14)
"""Whether ``__main__`` has ``__annotations__`` before anything is annotated."""


def main_module(arguments: list[str], path: str = "", spelled: str = MAIN) -> types.ModuleType:
    """Make ``__main__`` and the world around it look as ``python main.py ARGS`` in the box would.

    ``path``: that of ``main.py``; empty where the source has no file. ``spelled``: how it is named in the command.
    """
    module = types.ModuleType("__main__")
    names = vars(module)
    names["__loader__"] = SourceFileLoader("__main__", path) if path else BuiltinImporter
    if _HAS_ANNOTATIONS:
        names["__annotations__"] = {}
    names["__builtins__"] = sys.modules["builtins"]
    if path:
        names.update(__file__=path, __cached__=None)
        sys.path_importer_cache[path] = None
    sys.modules["__main__"] = module
    sys.argv = [spelled if path else "", *arguments]
    sys.orig_argv = ["python", *sys.argv]
    return module


def module_as_main(name: str, arguments: list[str]) -> types.ModuleType:
    """As `main_module`, for ``python -m NAME ARGS``."""
    module = main_module(arguments)
    sys.argv = ["-m", *arguments]
    sys.orig_argv = ["python", "-m", name, *arguments]
    return module


def run(code: list[types.CodeType], module: types.ModuleType, path: str) -> int:
    """Run the program, whose file is ``path``, to the end of its main thread; return its exit status so far."""
    try:
        _set_mask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        execute(code, module)
    except BaseException as error:
        failure = callstack.without_ours(error)
    else:
        ending.after_main(module)
        return 0
    return _failed(failure, module, path)


def run_module(name: str, module: types.ModuleType) -> int:
    """As `run`, of what ``python -m NAME`` runs. The frames of Python's own ``runpy`` are seen, as there."""
    try:
        import runpy  # as Python does, for what is started so alone

        _set_mask(signal.SIG_UNBLOCK, (signal.SIGINT,))
        try:
            callstack.invoke(runpy._run_module_as_main, name)  # type: ignore[attr-defined]  # noqa: SLF001  # as Python
        finally:
            display.finish()
    except BaseException as error:
        failure = callstack.without_ours(error)
    else:
        return 0
    return _failed(failure, module, str(vars(module).get("__file__")))


def _failed(failure: BaseException, module: types.ModuleType, path: str) -> int:
    """Tell of a program's failure; return its exit status so far."""
    if not isinstance(failure, SystemExit):
        pipes.hint(kind_of(failure))
        pipes.send_line(line_of(failure, path))
    return ending.after_failure(failure, module)  # not while it is handled: it would be the context of what comes


def evaluate(code: types.CodeType, names: dict[str, Any]) -> Any:
    """Run a piece of code; return its value, if it is an expression."""
    return callstack.call(eval, code, names)


def execute(
    code: list[types.CodeType], module: types.ModuleType, run_piece: Callable[..., Any] = evaluate
) -> str | None:
    """Run what `compiled` returned, in a module; return the text of its last value, if it is shown."""
    text = None
    try:
        run_piece(code[0], module.__dict__)
        for last in code[1:]:
            text = display.value(run_piece(last, module.__dict__))
    finally:  # also what a program has drawn that fails afterwards
        display.finish()
    return text


def line_of(error: BaseException, path: str) -> int | None:
    """Return the last line of the file ``path`` that an exception came through."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


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
