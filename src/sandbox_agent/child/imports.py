"""What a program finds imported: what Python itself imports at its start, and nothing of the agent's.

A program must be able to have a ``struct.py`` of its own, and a forgotten ``import`` must fail as it does elsewhere. So
before the first fork `hide` takes everything else out of ``sys.modules``. The agent goes on with its references.

What was hidden need not be loaded again. When a program imports such a module, and Python finds it where it was found
the first time, the program is given what is there, and with it all that its import imported: `watch` has noted that.
So a module of the standard library, or one that was preloaded, costs a program next to nothing.

This module is imported before any other of the agent's, and imports nothing that Python has not at its start: what it
imported would not be watched.
"""

from __future__ import annotations

import builtins
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Any

_machinery: Any = sys.modules["_frozen_importlib"]
_look: Any = _machinery._find_spec  # noqa: SLF001  # the interpreter's own

_at_start: frozenset[str] = frozenset()
_caches_at_start: frozenset[str] = frozenset()
_system_paths: frozenset[str] = frozenset()

_originals: tuple[Any, Any] | None = None
_needs: dict[str, set[str]] = {}
"""By the name of a module: the modules that its import has imported, or found imported."""

_NEEDED = frozenset({"collections.abc"})
"""Modules that others reach as an attribute of their package, and that the agent still needs so (`traceback`)."""

_hidden: dict[str, Any] = {}
_visible: frozenset[str] = frozenset()
_agent: dict[str, Any] = {}
_ours: dict[int, Any] = {}
"""The modules that were there before the program, by their identities. None of them goes before it."""


def watch(at_start: Collection[str]) -> None:
    """Note from now on what imports what. ``at_start``: what Python has imported without the agent."""
    global _at_start, _caches_at_start, _system_paths, _originals  # noqa: PLW0603  # one per process
    _at_start = frozenset(at_start)
    _caches_at_start = frozenset(sys.path_importer_cache)
    _system_paths = frozenset(sys.path[1:])
    _originals = builtins.__import__, _machinery._find_and_load  # noqa: SLF001  # the interpreter's own
    builtins.__import__ = _watched_import
    _machinery._find_and_load = _watched_load  # noqa: SLF001  # the interpreter's own


def hide(preloaded: Iterable[str] = ()) -> None:
    """Take out of the world what was imported and is not there at Python's start. Does nothing if nobody watched.

    ``preloaded``: modules whose libraries are to stay, with what their imports need. The standard library never is.
    """
    global _originals, _ours, _visible  # noqa: PLW0603
    if _originals is None:
        return
    _ours = {id(module): module for module in sys.modules.values()}
    builtins.__import__, _machinery._find_and_load = _originals  # noqa: SLF001  # the interpreter's own
    _originals = None
    for name in list(sys.modules):  # what is left of a package whose import failed is not to be given to anybody
        if any(name[:at] not in sys.modules for at, sign in enumerate(name) if sign == "."):
            del sys.modules[name]
    agent = __name__.partition(".")[0]
    libraries = [name for name in preloaded if name.partition(".")[0] not in sys.stdlib_module_names]
    kept = set().union(*map(_closure, libraries))
    _visible = _at_start | kept
    _take_out(sys.modules.keys() - _visible)
    for name in [name for name in _hidden if name.partition(".")[0] == agent]:
        _agent[name] = _hidden.pop(name)
    for path in sys.path_importer_cache.keys() - _caches_at_start - _system_paths:
        del sys.path_importer_cache[path]
    _machinery._find_spec = _find_spec  # noqa: SLF001  # the interpreter's own


def hide_again() -> None:
    """Take out what has come back since: C functions import modules too (``os.wait4`` does)."""
    if _visible:
        _take_out(sys.modules.keys() - _visible)


def known(name: str) -> Any:
    """Return a module that is imported, or was before it was hidden; None if neither."""
    return sys.modules.get(name) or _hidden.get(name)


def is_ours(module: Any) -> bool:
    """Whether a module was there before the program."""
    return id(module) in _ours


def make_way(paths: Iterable[str]) -> None:
    """Take out what was preloaded as well, if files of the program have names that are imported already."""
    own = {path.partition("/")[0].partition(".")[0] for path in paths}
    if not own:
        return
    loaded = sys.modules.keys() - _at_start
    if not own.isdisjoint(name.partition(".")[0] for name in loaded):
        _take_out(loaded)


def _take_out(names: Iterable[str]) -> None:
    taken = {name: sys.modules.pop(name) for name in names}
    _hidden.update(taken)
    for name, module in taken.items():
        parent, _, child = name.rpartition(".")
        above = _hidden.get(parent) or sys.modules.get(parent)
        # what a package imports itself stays an attribute of it: it may use it as one, and so may the agent
        needed = name in _needs.get(parent, ()) or name in _NEEDED
        if above is not None and vars(above).get(child) is module and not needed:
            delattr(above, child)


# ---- watching


def _watched_load(name: str, import_: Any) -> Any:
    """Stand in for what loads a module that is not imported yet."""
    assert _originals is not None
    before = set(sys.modules)
    module = _originals[1](name, import_)
    _needs.setdefault(name, set()).update(sys.modules.keys() - before)
    return module


def _watched_import(
    name: str,
    globals: Any = None,  # noqa: A002  # the names of `__import__`
    locals: Any = None,  # noqa: A002
    fromlist: Any = (),
    level: int = 0,
) -> Any:
    """Stand in for ``__import__``, which is also asked for what is imported already."""
    assert _originals is not None
    module = _originals[0](name, globals, locals, fromlist, level)
    spec = globals.get("__spec__") if globals else None
    if spec is not None and getattr(
        spec, "_initializing", False
    ):  # an import of a module that is being imported itself
        package = globals["__package__"].rsplit(".", level - 1)[0] if level else ""
        found = ".".join(filter(None, (package, name)))
        parts = found.split(".")
        below = (f"{found}.{item}" for item in fromlist or ())
        needs = _needs.setdefault(spec.name, set())
        needs.update(".".join(parts[: i + 1]) for i in range(len(parts)))
        needs.update(each for each in below if each in sys.modules)
    return module


# ---- giving back


def _find_spec(name: str, path: Any, target: Any = None) -> Any:
    """Stand in for what looks for a module; what it finds is loaded by `_Keeper` where it is hidden here."""
    spec = _look(name, path, target)
    module = _hidden.get(name)
    if module is None or spec is None or not _is_spec_of(spec, module):
        return spec
    if sys._getframe(1).f_code.co_name != "_find_and_load_unlocked":  # noqa: SLF001  # it is only looked for
        return spec
    names = _closure(name)
    if not _shadowed(names):
        spec.loader = _Keeper(module, names, spec.loader)
    return spec


def _is_spec_of(spec: Any, module: Any) -> bool:
    known = getattr(module, "__spec__", None)
    return known is not None and spec.origin is not None and spec.origin == known.origin


def _closure(name: str) -> set[str]:
    """Return the names of a module and all that its import needs."""
    found: set[str] = set()
    layer = {name}
    while layer:
        found |= layer
        layer = set().union(*(_needs.get(each, ()) for each in layer)) - found
    return found


def _shadowed(names: Iterable[str]) -> bool:
    """Whether the program has, before the libraries, something by one of these names: it is then meant."""
    own: set[str] = set()
    for path in sys.path:
        if path in _system_paths:
            break
        try:
            own.update(entry.partition(".")[0] for entry in os.listdir(path or "."))
        except OSError:
            continue
    return bool(own) and any(name.partition(".")[0] in own for name in names)


class _Keeper:
    """A loader that has the module already. Only the machinery of imports ever sees it."""

    def __init__(self, module: Any, names: set[str], loader: Any) -> None:
        self._module = module
        self._names = names
        self._loader = loader
        self._spec = module.__spec__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, _spec: Any) -> Any:
        return self._module

    def exec_module(self, module: Any) -> None:
        """Put everything where an import would have put it."""
        module.__spec__ = self._spec
        names = [name for name in self._names if name in _hidden]
        for name in names:
            sys.modules.setdefault(name, _hidden[name])
        for name in names:
            module = _hidden.pop(name)
            parent, _, child = name.rpartition(".")
            if parent in sys.modules and child not in vars(sys.modules[parent]):
                setattr(sys.modules[parent], child, module)


_find_spec.__code__ = _find_spec.__code__.replace(co_filename="<frozen importlib._bootstrap>")
"""So that Python leaves it out of tracebacks, as it does the rest of its machinery."""
