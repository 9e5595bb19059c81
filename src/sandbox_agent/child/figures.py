"""Figures of matplotlib: shown as pictures when the program shows them, and the last time when it ends.

matplotlib draws pictures and has no screen here. Whatever backend the program chooses, `watch` gives what has none of
its own a screen: ``show()`` sends a figure as a PNG. A backend that needs a real screen (TkAgg and its like) is
replaced by the one that draws pictures. So everything else is as matplotlib has it: ``show()`` that waits closes the
figures, as the user would; ``show(block=False)`` and ``pause()`` leave them open.

A figure is sent again only if it has changed: it says so itself (``stale``, which is put back here when it was sent),
or it was drawn anew; and then the picture must be another one.

The agent imports nothing of matplotlib. It waits until the program has imported it, or finds it preloaded.
"""

from __future__ import annotations

import atexit
import io
import sys
import weakref
from importlib.machinery import PathFinder
from typing import Any, NamedTuple

from sandbox_agent.child import complaints, imports, pipes, png, screen

_BASES = "matplotlib.backend_bases"
_AGG = "matplotlib.backends.backend_agg"


class _Sent(NamedTuple):
    picture: int
    """Its hash."""
    turn: int


class _State:
    """What is known of the figures."""

    def __init__(self) -> None:
        self.sent: weakref.WeakKeyDictionary[Any, _Sent] = weakref.WeakKeyDictionary()
        self.drawn: weakref.WeakSet[Any] = weakref.WeakSet()
        """Those that were drawn anew since they were sent."""
        self.windows: weakref.WeakSet[Any] = weakref.WeakSet()
        """Those that would have a window."""
        self.broken: weakref.WeakSet[Any] = weakref.WeakSet()
        """Those that could not be drawn."""


_state = _State()


def watch() -> None:
    """Give matplotlib its screen, as soon as there is matplotlib."""
    if (bases := imports.known(_BASES)) is not None:
        _give_screen(bases)
    if _BASES not in sys.modules:
        sys.meta_path.insert(0, _Finder())


def is_figure(thing: object) -> bool:
    library = sys.modules.get("matplotlib.figure")
    return library is not None and isinstance(thing, getattr(library, "Figure", ()))


def show(figure: Any, *, again: bool) -> None:
    """Send a figure; ``again``: also if it was sent as it is, in this run or cell."""
    if not again:
        _show_if_new(figure, again=True)
        return
    picture = _draw(figure)
    screen.send("image/png", picture)
    _note(figure, picture)


def finish(*, close: bool) -> None:
    """Send every open figure that the program has not shown as it is; ``close`` those that have no window."""
    library = sys.modules.get("matplotlib._pylab_helpers")
    # what a process has that the program forked is also in the first, which shows it
    if library is None or not screen.is_on() or not pipes.is_leader():
        return
    for manager in library.Gcf.get_all_fig_managers():
        figure = manager.canvas.figure
        was_broken = figure in _state.broken
        try:
            if _has_changed(figure):
                _show_if_new(figure, again=False)
        except Exception as error:
            if not was_broken:
                complaints.report(error)
        if close and figure not in _state.windows:
            library.Gcf.destroy(manager)


# ---- what matplotlib calls


class _Finder:
    """Waits on ``sys.meta_path`` for matplotlib, and is gone with it."""

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> Any:
        if name != _BASES:
            return None
        sys.meta_path.remove(self)
        spec: Any = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_watch(module: Any) -> None:
                execute(module)
                _give_screen(module)

            spec.loader.exec_module = execute_and_watch
        return spec


_Finder.__module__ = "importlib"


def _give_screen(bases: Any) -> None:
    manager = bases.FigureManagerBase
    manager.show = _show_window
    manager.start_main_loop = classmethod(_wait_for_windows)
    bases._Backend.mainloop = staticmethod(_wait_for_windows)  # noqa: SLF001  # what has one waits in `show`
    bases.FigureCanvasBase.flush_events = _refresh_window
    _replace_backends(imports.known("matplotlib.backends.registry"))
    # before matplotlib's own, which closes all: for what is drawn by threads and at exit
    atexit.register(finish, close=False)


def _replace_backends(library: Any) -> None:
    """Have a backend that needs a screen replaced by the one that draws pictures."""
    registry = getattr(library, "backend_registry", None)
    if registry is None:
        return
    load = registry.load_backend_module
    need_screen = set(registry.list_builtin(library.BackendFilter.INTERACTIVE))

    def load_backend_module(backend: str) -> Any:
        return load("agg" if backend.lower() in need_screen else backend)

    registry.load_backend_module = load_backend_module


def _show_window(manager: Any) -> None:
    figure = manager.canvas.figure
    if figure not in _state.windows:
        _state.windows.add(figure)
        manager.canvas.mpl_connect("draw_event", _note_drawing)
    if screen.is_on():
        _show_if_new(figure, again=True)


def _wait_for_windows(_manager: Any = None) -> None:
    """Do as if the user had closed them."""
    sys.modules["matplotlib._pylab_helpers"].Gcf.destroy_all()


def _refresh_window(canvas: Any) -> None:
    figure = canvas.figure
    if figure in _state.windows and figure in _state.drawn and screen.is_on():
        _show_if_new(figure, again=False)


def _note_drawing(event: Any) -> None:
    _state.drawn.add(event.canvas.figure)


# ---- a figure, and what was sent of it


def _show_if_new(figure: Any, *, again: bool) -> None:
    """Send a figure if its picture is another than the one sent before; ``again``: in this run or cell."""
    before = _state.sent.get(figure)
    picture = _draw(figure)
    if before is None or before.picture != hash(picture) or (again and before.turn != screen.turn()):
        screen.send("image/png", picture)
    _note(figure, picture)


def _has_changed(figure: Any) -> bool:
    return figure not in _state.sent or figure.stale or figure in _state.drawn


def _note(figure: Any, picture: bytes) -> None:
    _state.sent[figure] = _Sent(hash(picture), screen.turn())
    _state.drawn.discard(figure)
    figure.stale = False


def _draw(figure: Any) -> bytes:
    picture = io.BytesIO()
    colors = {"facecolor": figure.get_facecolor(), "edgecolor": figure.get_edgecolor()}
    try:
        if figure not in _state.sent and "matplotlib.animation" in sys.modules:
            # an animation begins with the first drawing, and does not take a picture for one
            complaints.at_the_program(figure.canvas.draw)
        how = _how_to_print(figure.canvas)
        complaints.at_the_program(figure.canvas.print_figure, picture, dpi="figure", **how, **colors)
    except Exception:
        _state.broken.add(figure)
        raise
    _state.broken.discard(figure)
    return picture.getvalue()


def _how_to_print(canvas: Any) -> dict[str, str]:
    """Return what to ask a canvas for: a PNG as we make it, or as matplotlib does where it is not drawn as usual.

    Ours is a format beside matplotlib's own, so all that ``rcParams`` say of saved figures holds for it as well.
    """
    usual = getattr(imports.known(_AGG), "FigureCanvasAgg", None)
    has_own = hasattr(canvas, "print_png")  # that of a closed figure has not
    drawn_by = type(canvas) if has_own else imports.known(_BASES).get_registered_canvas_class("png")
    if usual is None or drawn_by is not usual:
        return {"format": "png"}
    usual.print_shown = _print_shown
    return {"format": "shown"} if has_own else {"format": "shown", "backend": "agg"}


def _print_shown(canvas: Any, file: Any, **_how: Any) -> None:
    """Write a drawn figure. matplotlib calls this as it calls its ``print_png``, which does it where we cannot."""
    type(canvas).draw(canvas)
    try:
        picture = png.encode(imports.known("numpy"), canvas.buffer_rgba(), canvas.figure.dpi)
    except Exception:
        canvas.print_png(file)
    else:
        file.write(picture)
