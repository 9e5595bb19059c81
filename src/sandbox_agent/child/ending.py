"""The end of a program, as the interpreter ends one: what PyErr_Print, Py_RunMain and Py_FinalizeEx do, in order.

An exit status here is negative where the process dies of a signal, as `subprocess` has it.
"""

from __future__ import annotations

import _thread
import atexit
import builtins
import contextlib
import ctypes
import gc
import operator
import os
import signal
import sys
import types
import weakref
from collections.abc import Callable
from importlib import machinery
from typing import Any, NoReturn

from sandbox_agent.child import callstack, imports, pipes, streams

_FLUSH_FAILED = 120
_LONG = 1 << 63
_GONE_AT_THE_END = (
    *("path", "argv", "ps1", "ps2", "last_exc", "last_type", "last_value", "last_traceback"),
    *("path_hooks", "path_importer_cache", "meta_path", "__interactivehook__"),
)
"""What is None in `sys` while the modules of a program are let go."""

_QUIET = frozenset(
    {
        *(dict, list, tuple, set, frozenset, slice, property, staticmethod, classmethod, type(iter([]))),
        *(types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.CellType, types.CodeType),
        *(types.FrameType, types.TracebackType, types.ModuleType, pipes.Messages),
        *(ctypes.c_int, ctypes.c_void_p),  # with which `callstack` counts
        *(machinery.SourceFileLoader, machinery.ExtensionFileLoader, machinery.FileFinder, machinery.ModuleSpec),
    }
)
"""Types of which nobody notices that something of them goes."""

_builtins: dict[str, Any] = {}
_system: set[str] = set()
_kept: list[Any] = []
_left: list[weakref.ref[Any]] = []

_interpreters_display: Callable[..., None] = sys.__excepthook__
_STDERR = 2


def _type_of_what_is_ignored() -> Any:
    """Return the type of what ``sys.unraisablehook`` is called with, which has no name: from such a call."""
    seen: list[Any] = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda told: seen.append(type(told))
    try:
        _Failing()
    finally:
        sys.unraisablehook = hook
    return seen[0]


class _Failing:
    def __del__(self) -> None:
        raise ValueError


_Unraisable = _type_of_what_is_ignored()


def remember() -> None:
    """Remember what `builtins` and `sys` have before the program: at the end they have it again."""
    _builtins.update(vars(builtins))
    _system.update(vars(sys))


def after_main(module: types.ModuleType) -> None:
    """Take back what a file's module is given for as long as it runs."""
    vars(module).pop("__file__", None)
    vars(module).pop("__cached__", None)


def after_failure(error: BaseException, module: types.ModuleType) -> int:
    """Print what the program failed of; return its exit status so far."""
    status = print_uncaught(error)
    if status is not None:
        return status
    after_main(module)
    return -signal.SIGINT if type(error) is KeyboardInterrupt else 1


def print_uncaught(error: BaseException) -> int | None:
    """Have ``sys.excepthook`` print an exception; return the exit status if the interpreter is to end at once."""
    if isinstance(error, SystemExit):
        return exit_status(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        hook = sys.excepthook
    except AttributeError:
        _write("sys.excepthook is missing\n")
        _display(error)
        return None
    try:
        callstack.invoke(hook, type(error), error, error.__traceback__)
    except SystemExit as stop:
        ended = stop
    except BaseException as failure:
        _write("Error in sys.excepthook:\n")
        _display(callstack.without_ours(failure))
        _write("\nOriginal exception was:\n")
        _display(error)
        return None
    else:
        return None
    return exit_status(ended)


def exit_status(stop: SystemExit) -> int:
    """Return the status that a ``SystemExit`` asks for, and print what it says instead of one."""
    code = stop.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -_LONG <= code < _LONG else 0xFF
    try:
        stream = getattr(sys, "stderr", None)
        text = str(code)
        _write_raw(text) if stream is None else stream.write(text)
    except BaseException:
        pass
    _write("\n")
    return 1


def _display(error: BaseException) -> None:
    """Print an exception as the interpreter does where it asks no hook."""
    try:
        callstack.call(_interpreters_display, type(error), error, error.__traceback__)
    except BaseException:
        pass


def _write(text: str) -> None:
    """Write to the program's stderr, or to the descriptor where it has none that works."""
    try:
        sys.stderr.write(text)
    except BaseException:
        _write_raw(text)


def _write_raw(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(_STDERR, text.encode("utf-8", "backslashreplace"))


def finalize(status: int) -> int:
    """Wait for threads, call what is registered for the exit, flush, let go of everything; return the exit status."""
    if (threading := sys.modules.get("threading")) is not None:
        try:
            callstack.invoke(threading._shutdown)  # noqa: SLF001  # the interpreter's own
        except BaseException as error:
            _say_ignored(callstack.without_ours(error), "on threading shutdown", threading)
    callstack.call(atexit._run_exitfuncs)  # noqa: SLF001  # which says itself what goes wrong
    whole = flush()
    if _goes_quietly():
        return status if whole or status < 0 else _FLUSH_FAILED
    if gc.isenabled():
        callstack.call(gc.collect)
    if not _thread._count():  # noqa: SLF001  # daemon threads are still running here, and would miss their names
        _let_go()
        whole = flush() and whole
    return status if whole or status < 0 else _FLUSH_FAILED


def _goes_quietly() -> bool:
    """Whether nothing would be noticed if all that the program has made were let go, as of most small programs.

    The garbage collector knows every class, and whatever does something at its end: instances, generators, files.
    """
    if gc.callbacks or gc.get_debug():
        return False
    try:
        return _QUIET.issuperset(map(type, gc.get_objects()))
    except MemoryError:
        return False


def leave(status: int) -> NoReturn:
    """End this process with an exit status."""
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status & 0xFF)


def flush() -> bool:
    """Flush the standard streams; False if one cannot be."""
    streams.settle()
    whole = True
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None and not _is_closed(stream):
                stream.flush() if streams.is_ours(stream) else callstack.invoke(stream.flush)
        except BaseException as error:
            whole = False
            if name == "stdout":
                _say_ignored(callstack.without_ours(error), "on flushing sys.stdout", stream)
    return whole


def _is_closed(stream: Any) -> bool:
    try:
        return bool(stream.closed)
    except BaseException:
        return False


def _say_ignored(error: BaseException, when: str, what: object) -> None:
    """Tell of an error at the end: Python 3.13 says ``when`` it was, and before ``what`` had it."""
    message, told_of = (f"Exception ignored {when}", None) if sys.version_info >= (3, 13) else (None, what)
    with contextlib.suppress(BaseException):
        told = _Unraisable((type(error), error, error.__traceback__, message, told_of))
        callstack.invoke(sys.unraisablehook, told)


def _let_go() -> None:
    """Let go of all modules of the program: what only they hold is finalized, generators and files are closed."""
    for name in _GONE_AT_THE_END:
        if name in vars(sys):
            setattr(sys, name, None)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, getattr(sys, f"__{name}__", None))
    _let_go_of_modules()
    names = vars(builtins)
    if list(names) != list(_builtins) or not all(map(operator.is_, names.values(), _builtins.values())):
        names.clear()
        names.update(_builtins)
    gc.callbacks.clear()  # of this collection nobody is told
    callstack.call(gc.collect)
    for reference in reversed(_left):
        held = reference()
        if isinstance(held, types.ModuleType):
            _clear(vars(held))
    for name in vars(sys).keys() - _system:
        delattr(sys, name)


def _let_go_of_modules() -> None:
    """Empty ``sys.modules``; keep those that the agent has, and know those of the program that something else holds."""
    for module in sys.modules.values():
        if imports.is_ours(module):
            _kept.append(module)
        else:
            with contextlib.suppress(TypeError):
                _left.append(weakref.ref(module))
    sys.modules.clear()


def _clear(names: dict[str, Any]) -> None:
    """Let go of what a module that something still holds has: first of what is called private."""
    for name in list(names):
        if name[:1] == "_" and name[1:2] != "_":
            names[name] = None
    for name in list(names):
        if name != "__builtins__":
            names[name] = None
