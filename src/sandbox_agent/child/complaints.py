"""What is said of a program's objects that fail or warn while they are shown: as if the agent were not there."""

from __future__ import annotations

import functools
import sys
import traceback
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

from sandbox_agent.child import callstack, screen

_DRAWING = frozenset({"matplotlib", "mpl_toolkits"})
"""Packages that a warning is not about: whoever called them is meant, as they see it themselves."""

_elsewhere: dict[str | tuple[str, type[Warning], int], int] = {}
"""Which warnings were given once, of those that name another place than the program's call."""


class FormatterWarning(UserWarning):
    """A method such as ``_repr_html_`` returned what no such method may return."""


FormatterWarning.__module__ = "builtins"  # how its name is printed


def report(error: BaseException) -> None:
    """Print an exception, whose traceback begins with the agent, as Python would print that of the program."""
    screen.say("".join(traceback.format_exception(callstack.without_ours(error))))


def call(function: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Call a function of the program as if the program had done so itself."""
    return callstack.invoke(functools.partial(function, *arguments, **more), caller=callstack.program_frame())


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the program that is running."""
    frame = _caller()
    if frame is None:  # the program has ended; so does Python call the place of a warning that has none
        warnings.warn_explicit(message, category, "sys", 1, "sys", _elsewhere)
        return
    names = frame.f_globals
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        names.get("__name__") or "<string>",
        names.setdefault("__warningregistry__", {}),
    )


def at_the_program(function: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    """Call a function; have warnings that would name the agent name the program's line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, **more)
    for warning in caught:
        if callstack.is_agents(warning.filename):
            warn(str(warning.message), warning.category)
        else:
            warnings.warn_explicit(
                str(warning.message), warning.category, warning.filename, warning.lineno, None, _elsewhere
            )


def _caller() -> FrameType | None:
    """Return the innermost frame that is neither the agent's nor a drawing library's; None if the program has ended."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if not callstack.is_ours(frame) and package not in _DRAWING:
            break
        frame = frame.f_back
    # below the agent there is only what started it
    return None if frame is None or frame.f_code.co_filename.startswith("<frozen ") else frame
