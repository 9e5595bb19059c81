"""What a program shows beside its output: figures, and objects in the richest form that they have.

The value of the last expression is shown by ``sys.displayhook``, as at Python's prompt, and anything else by
``display(…)``, as in a notebook. What has no rich form is printed. Used only in a run that asked for it.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

from sandbox_agent.child import complaints, figures, rich, screen
from sandbox_agent.child.rich import Form, Wanted

_ALL = Wanted()
_is_prompt = False

allow = screen.allow


def open_on(descriptor: int, most: int, *, prompt: bool = False) -> None:
    """Send what is shown, ``most`` bytes of it, to ``descriptor``.

    ``prompt``: more than one value is to be shown, and each is kept as ``_`` until the next.
    """
    global _is_prompt  # noqa: PLW0603  # one per process
    _is_prompt = prompt
    screen.open_on(descriptor, most)
    sys.displayhook = _displayhook
    vars(builtins)["display"] = display
    figures.watch()


def value(result: Any) -> str | None:
    """Show the value of a last expression; return its text, if it has one and nobody else had the say."""
    try:
        hook = sys.displayhook
    except AttributeError:
        raise RuntimeError("lost sys.displayhook") from None
    if hook is _displayhook:
        return _show_value(result)
    complaints.call(hook, result)
    return None


def finish(*, close: bool = True) -> None:
    """Show the figures that the program made and did not show, as a notebook does at the end of a cell."""
    figures.finish(close=close)
    screen.finish()


def _displayhook(result: Any, /) -> None:
    """Show an object as the value of an expression."""
    _show_value(result)


def _show_value(result: Any) -> str | None:
    if result is None:
        return None
    names = vars(builtins)
    if _is_prompt:
        names["_"] = None
    text = _show(result, _ALL, again=False)
    if _is_prompt:
        names["_"] = result
        if text is None:
            text = _text(result)
    return text


def display(
    *objs: Any,
    include: Any = None,
    exclude: Any = None,
    metadata: Any = None,  # noqa: ARG001  # a notebook's signature
    transient: Any = None,  # noqa: ARG001
    display_id: Any = None,
    raw: bool = False,
    clear: bool = False,  # noqa: ARG001
    **kwargs: Any,  # noqa: ARG001
) -> _Handle | None:
    """Show objects in the richest form that each has; ``include`` and ``exclude`` are media types.

    With ``raw`` they are dictionaries of forms by media type. With ``display_id`` the answer has the methods
    ``display`` and ``update``.
    """
    wanted = Wanted(*(None if types is None else _types(types) for types in (include, exclude)))
    for thing in objs:
        _show(thing, wanted, raw=raw)
    return _Handle(display_id) if display_id is not None else None


class _Handle:
    """Shows one object after another."""

    def __init__(self, display_id: Any) -> None:
        self.display_id = display_id

    def display(self, obj: Any, **options: Any) -> None:
        display(obj, **options)

    def update(self, obj: Any, **options: Any) -> None:
        display(obj, **options)


def _types(names: Any) -> Any:
    return (names,) if isinstance(names, str) else names


def _show(thing: Any, wanted: Wanted, *, raw: bool = False, again: bool = True) -> str | None:
    """Send an object, or print it; return what was printed. ``again``: also a figure that was sent as it is."""
    form: Form | str | None
    if not screen.is_on():
        form = complaints.call(repr, thing)
    elif raw:
        form = rich.of_bundle(thing, wanted)
    elif figures.is_figure(thing) and wanted.has("image/png") and _show_figure(thing, again=again):
        return None
    else:
        form = rich.richest(thing, wanted)
    if isinstance(form, Form):
        screen.send(*form)
        return None
    if form is not None:
        _print(form)
    return form


def _show_figure(figure: Any, *, again: bool) -> bool:
    try:
        figures.show(figure, again=again)
    except Exception as error:
        complaints.report(error)
        return False
    return True


def _text(result: Any) -> str | None:
    try:
        return str(complaints.call(repr, result))
    except Exception:
        return None


def _print(text: str) -> None:
    """Print as Python's prompt does."""
    try:
        out = sys.stdout
    except AttributeError:
        raise RuntimeError("lost sys.stdout") from None
    if out is None:
        return
    line = f"{text}\n"  # in one piece, so that no other thread's output comes in between
    try:
        out.write(line)
    except UnicodeEncodeError:
        out.write(line.encode(out.encoding, "backslashreplace").decode(out.encoding))


for _one in (display, _displayhook, _Handle):  # what a program sees of where they are from
    _one.__module__ = "builtins"
_displayhook.__name__ = _displayhook.__qualname__ = "displayhook"
_Handle.__name__ = _Handle.__qualname__ = "DisplayHandle"
