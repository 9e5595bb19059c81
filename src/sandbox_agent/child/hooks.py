"""What prints the exceptions of code that stands in no file, on a Python that looks for its lines in files alone.

From Python 3.13 on the interpreter asks `linecache`, which has been told the source (`source.quote`).
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
import traceback
from typing import Any

from sandbox_agent.child import callstack

_interpreters_hook = sys.__excepthook__


def install() -> None:
    """Have exceptions printed by this module where Python itself would not quote their lines."""
    if sys.version_info < (3, 13):
        sys.excepthook = sys.__excepthook__ = _excepthook
        threading.excepthook = _thread_excepthook


def _excepthook(_kind: object, error: BaseException | None, _trace: object) -> None:
    if error is not None:
        _print(callstack.without_ours(error))


def _thread_excepthook(arguments: Any) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    _say(f"Exception in thread {name}:\n")
    _print(arguments.exc_value)


def _print(error: BaseException) -> None:
    _say("".join(traceback.format_exception(error)).removesuffix("\n") + f"{_suggestion(error)}\n")


def _suggestion(error: BaseException) -> str:
    """Return ". Did you mean: 'this'?", which Python 3.11 adds in its own hook alone."""
    if sys.version_info >= (3, 12) or not isinstance(error, (NameError, AttributeError)):
        return ""
    heard = io.StringIO()
    with contextlib.redirect_stderr(heard):
        _interpreters_hook(type(error), error, error.__traceback__)
    last = heard.getvalue().rstrip("\n").rpartition("\n")[2]
    return "".join(last.partition(". Did you mean: ")[1:])


def _say(text: str) -> None:
    with contextlib.suppress(Exception):
        sys.stderr.write(text)
