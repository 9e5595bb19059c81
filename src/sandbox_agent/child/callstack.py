"""Calls from the bottom of the stack: what is called so finds nothing of the agent below it.

``python main.py`` runs a program as the first frame of its thread. Here the agent's own frames are below. They would
show in ``traceback.print_stack()``, in ``inspect.stack()`` and in what faulthandler prints. They would take their share
of the recursion limit, and a program could walk along ``f_back`` into the agent. So for the time of a call the
interpreter is told that there is no frame, and that the recursion limit is still unused.

Where the interpreter keeps both is no part of its interface and differs between versions. `find` looks for the places
and tries them, before there is anything to run. Where it finds none, `call` is a plain call.

Only what is a C function is called without a frame of the agent (``exec``, a bound method of a C type). For anything
else `invoke` puts one in between.
"""

from __future__ import annotations

import _thread
import ctypes
import operator
import os
import sys
from collections.abc import Callable
from types import CodeType, FrameType, TracebackType
from typing import Any

_AGENT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_WORD = ctypes.sizeof(ctypes.c_void_p)
_INT = ctypes.sizeof(ctypes.c_int)
_STATE_WORDS = 40
"""How much of a thread's state is looked at."""

_FRAME = object.__basicsize__ + _WORD
"""Where a frame object has the address of the interpreter's own frame."""

_UNLIKELY = 54_321
"""A recursion limit that is no other number of the thread's state."""

_OURS = 2000
"""Levels of recursion that the agent has at least, whatever limit a program has set."""

_counts_c_calls = sys.version_info < (3, 12)
"""Whether a call of a C function takes a level of the recursion limit."""

_has_flag = sys.version_info < (3, 12)
"""Whether, before the address of the current frame, there is a byte that says whether calls are traced."""

_start: CodeType | None = None
"""The line that the agent was started with, which has no file."""

_thread_of_state = 0
_state = 0
_path: tuple[int, ...] = ()
"""The way from the thread's state to the address of its current frame: offsets, all but the last one of pointers."""

_limit = 0
"""Where the thread's state has the recursion limit; before it stands how much of it is left. 0: not found."""

_c_limit = 0
"""What C functions have of a limit of their own (3.12 and 3.13); it stands after the recursion limit. 0: nothing."""

_left = _c_left = ctypes.c_int()
_current: ctypes.c_void_p | None = None
"""The places themselves: what is left of both limits, and the address of the current frame unless it moves."""


def find() -> bool:
    """Find the places, for this process and all that it forks; return whether `call` works from now on."""
    global _thread_of_state, _state, _path, _limit, _c_limit, _start, _left, _c_left, _current  # noqa: PLW0603  # one per process
    frame = sys._getframe()  # noqa: SLF001
    while frame.f_back is not None:
        frame = frame.f_back
    _start = frame.f_code
    _thread_of_state, _state, _limit, _c_limit, _path = _thread.get_ident(), _thread_state(), 0, 0, ()
    for path in _paths_to_current_frame():
        _path = path
        if _works():
            break
        _path = ()
    _limit = _find_limit()
    if _limit and (3, 12) <= sys.version_info < (3, 14):
        _c_limit = _fresh_c_limit()
    if not _path or not _limit:
        _thread_of_state = 0
        return False
    _left = ctypes.c_int.from_address(_state + _limit - _INT)
    _c_left = ctypes.c_int.from_address(_state + _limit + _INT)
    _current = _current_frame() if len(_path) == 1 else None
    return True


def call(function: Callable[..., Any], *arguments: Any, caller: FrameType | None = None) -> Any:
    """Call a C function as if ``caller`` had done so; None: as if nobody had, as the interpreter itself does.

    The traceback of what it raises begins with the frame of this function. In another thread than the program's first
    it is a plain call.
    """
    if _thread.get_ident() != _thread_of_state:
        return function(*arguments)
    current = _current_frame() if _current is None else _current
    left, c_left = _left, _c_left
    ours, c_ours = current.value, c_left.value
    tracing = ctypes.c_ubyte.from_address(ctypes.addressof(current) - _WORD) if _has_flag else None
    depth = sys.getrecursionlimit() - left.value
    if caller is None:
        left.value = sys.getrecursionlimit() + _counts_c_calls
        if _c_limit:
            c_left.value = _c_limit + 1
    # from here to the call, nothing may be called that is written in Python: it would set the place again
    current.value = None if caller is None else _address(caller)
    try:
        return function(*arguments)
    finally:
        if tracing is not None and caller is None:
            tracing.value = 0
        current.value = ours
        if caller is None:
            # what the program traces with must see nothing of the agent, nor be called without a frame
            if sys.gettrace() is not None:
                sys.settrace(None)
            if sys.getprofile() is not None:
                sys.setprofile(None)
            left.value = max(sys.getrecursionlimit() - depth, _OURS)
            if _c_limit:
                c_left.value = c_ours


def invoke(function: Any, *arguments: Any, caller: FrameType | None = None) -> Any:
    """As `call`, for what may be written in Python."""
    return call(operator.call, function, *arguments, caller=caller)


def program_frame() -> FrameType | None:
    """Return the innermost frame that is not the agent's; None where the program is not below."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None and is_ours(frame):
        frame = frame.f_back
    return frame


def is_ours(frame: FrameType) -> bool:
    return frame.f_code is _start or is_agents(frame.f_code.co_filename)


def is_agents(file: str) -> bool:
    return file.startswith(_AGENT)


def without_ours(error: BaseException) -> BaseException:
    """Take the agent's frames out of the tracebacks of an exception, and of those that led to it."""
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = _without_ours(each.__traceback__)
        todo += [each.__cause__, each.__context__]
    return error


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    while trace is not None and is_ours(trace.tb_frame):
        trace = trace.tb_next
    first = trace
    while trace is not None and (following := trace.tb_next) is not None:
        if is_ours(following.tb_frame):
            trace.tb_next = following.tb_next
        else:
            trace = following
    return first


# ---- looking for the places


def _thread_state() -> int:
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    return int(get())


def _address(frame: FrameType) -> int | None:
    """Return the address of the interpreter's frame behind a frame object."""
    return ctypes.c_void_p.from_address(id(frame) + _FRAME).value


def _current_frame() -> ctypes.c_void_p:
    place = _state
    for offset in _path[:-1]:
        place = ctypes.c_void_p.from_address(place + offset).value or 0
    return ctypes.c_void_p.from_address(place + _path[-1])


def _paths_to_current_frame() -> list[tuple[int, ...]]:
    """Return where in the thread's state, or behind a pointer in it, this function's own frame is the current one."""
    ours = _address(sys._getframe())  # noqa: SLF001
    words = (ctypes.c_void_p * _STATE_WORDS).from_address(_state)
    found: list[tuple[int, ...]] = [(i * _WORD,) for i in range(_STATE_WORDS) if words[i] == ours]
    reader, writer = os.pipe2(os.O_CLOEXEC)
    write = ctypes.CDLL(None).write
    behind = (ctypes.c_void_p * 2)()
    try:
        for index in range(_STATE_WORDS):
            place = words[index] or 0
            # the kernel reads there for us: it fails where nothing can be read, and does not crash
            if place % _WORD == 0 and write(writer, ctypes.c_void_p(place), ctypes.sizeof(behind)) > 0:
                ctypes.memmove(behind, os.read(reader, ctypes.sizeof(behind)), ctypes.sizeof(behind))
                found += [(index * _WORD, i * _WORD) for i in range(2) if behind[i] == ours]
    finally:
        os.close(reader)
        os.close(writer)
    return found


def _works() -> bool:
    """Whether what is called finds no frame when the current one is said to be none."""
    current = _current_frame()
    ours = current.value
    if ours != _address(sys._getframe()):  # noqa: SLF001
        return False
    get_frame = sys._getframe  # noqa: SLF001
    current.value = None
    try:
        get_frame()
    except ValueError:
        return True
    else:
        return False
    finally:
        current.value = ours


def _find_limit() -> int:
    """Return where the thread's state has the recursion limit; 0 if that is not certain."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(_UNLIKELY)
    try:
        numbers = list((ctypes.c_int * (_STATE_WORDS * 2)).from_address(_state))
    finally:
        sys.setrecursionlimit(before)
    found = [i for i, number in enumerate(numbers) if number == _UNLIKELY and 0 < number - numbers[i - 1] < before]
    return found[0] * _INT if len(found) == 1 else 0


def _fresh_c_limit() -> int:
    """Return what a thread that has called nothing yet has left for calls of C functions."""
    api = ctypes.pythonapi
    new, interpreter = api.PyThreadState_New, api.PyInterpreterState_Get
    new.restype = interpreter.restype = ctypes.c_void_p
    state = new(ctypes.c_void_p(interpreter()))
    value = ctypes.c_int.from_address(state + _limit + _INT).value
    api.PyThreadState_Clear(ctypes.c_void_p(state))
    api.PyThreadState_Delete(ctypes.c_void_p(state))
    return value
