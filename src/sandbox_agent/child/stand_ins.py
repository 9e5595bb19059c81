"""Stand-ins for what the standard library does by a call, or by a program, that no program has here.

Each is put into its module when that has been imported: until then nothing here has imported it, nor costs anything.
The functions that a program may see in a traceback bear the names of other files: those at work during an import that
of the import system, which leaves its own frames out of tracebacks.
"""

from __future__ import annotations

import os
import platform
import re
import struct
import sys
import types
from _frozen_importlib_external import PathFinder
from collections.abc import Callable, Iterator
from typing import Any

_LIBRARIES = (os.path.join(os.path.dirname(os.__file__), ""), f"{sys.prefix}/lib/")
_IMPORTING, _SANDBOX = "<frozen importlib._bootstrap>", "<sandbox>"

_CACHE = "/etc/ld.so.cache"
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sII20x")  # magic, number of entries, length of the texts behind them
_ENTRY = struct.Struct("=iII12x")  # flags, where its name begins (counted from the header), where its path does
_KINDS = {"x86_64": 0x0303, "aarch64": 0x0A03}  # the flags of a library of glibc for this machine

FONTS = f"{sys.prefix}/share/matplotlib"
"""Where the file is that knows the fonts (see `scripts/setup` and the Dockerfile)."""

_FALLBACKS = ("WenQuanYi Micro Hei", "Symbola")
"""Fonts of the image: one for Chinese, Japanese and Korean, one for symbols and emoji."""

_NOT_HERE = (
    "the start method {!r} is not available here: it starts a second Python, and programs here cannot start other "
    "programs. Use 'fork', which is the default."
)


def install() -> None:
    """Have every module that has a stand-in changed when it is imported, and those that are already there now."""
    find = PathFinder.find_spec

    def find_spec(_cls: type, name: str, path: Any = None, target: Any = None) -> Any:
        spec = find(name, path, target)
        execute = _EXECUTED.get(name) or _and_change(_STAND_INS.get(name))
        if execute is not None and spec is not None and (spec.origin or "").startswith(_LIBRARIES):
            _execute_by(spec.loader, execute)
        return spec

    PathFinder.find_spec = classmethod(_named(find_spec, _IMPORTING))  # type: ignore[method-assign,assignment]
    for name, change in _STAND_INS.items():
        if name in sys.modules:
            change(sys.modules[name])


def _execute_by(loader: Any, execute: Callable[[types.ModuleType, Any], None]) -> None:
    def exec_module(module: types.ModuleType) -> None:
        del loader.exec_module  # the loader is again as it was
        execute(module, loader)

    loader.exec_module = _named(exec_module, _IMPORTING)


def _and_change(change: Callable[[Any], None] | None) -> Any:
    """Return what executes a module and then changes it; None if there is no change."""
    if change is None:
        return None

    def execute(module: types.ModuleType, loader: Any) -> None:
        loader.exec_module(module)
        change(module)

    return _named(execute, _IMPORTING)


def _named(function: Any, file: str = _SANDBOX) -> Any:
    """Return the function as one of another file."""
    code = function.__code__.replace(co_filename=file)
    return types.FunctionType(
        code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )


def _replace(method: Any, function: Any) -> None:
    """Give a method another body, for whoever holds it already as well. Its globals stay those of its module."""
    method.__code__ = function.__code__.replace(co_filename=_SANDBOX)


def _fork_alone(module: Any) -> None:
    """Of multiprocessing's ways to start a process, fork is there: the others execute an interpreter."""

    def _check_available(self: Any) -> None:
        raise ValueError(_NOT_HERE.format(self._name))

    for context in (module.SpawnContext, module.ForkServerContext):
        context._check_available = _named(_check_available)  # noqa: SLF001
    module._default_context._default_context = module._concrete_contexts["fork"]  # noqa: SLF001  # not, from 3.14 on
    _replace(module.DefaultContext.get_all_start_methods, lambda _self: ["fork"])


def _no_descriptors(module: Any) -> None:
    """A connection that is pickled would be passed by SCM_RIGHTS; so the library says that it cannot be."""
    module.HAVE_SEND_HANDLE = False


def _no_tracker(module: Any) -> None:
    """The resource tracker, an interpreter of its own, removes what a program leaves. The sandbox does, after the run.

    So what is said to it goes nowhere. Where it could not be started, it went into a pipe that nobody read any more.
    """

    def ensure_running(self: Any) -> None:
        with self._lock:
            if self._fd is None or not self._check_alive():
                self._fd = os.open("/dev/null", os.O_WRONLY)

    _replace(module.ResourceTracker.ensure_running, ensure_running)


def _no_sendmsg(module: Any) -> None:
    """Asyncio gathers what it writes in one call of sendmsg, or writes piece by piece where there is none."""
    module._HAS_SENDMSG = False  # noqa: SLF001


def _find_libraries(module: Any) -> None:
    """`ctypes.util.find_library` asks ldconfig for the names in a file; this reads the file."""

    def _findSoname_ldconfig(name: str) -> str | None:  # noqa: N802
        found = re.compile(rf"lib{re.escape(name)}\.\S+")
        try:
            with open(_CACHE, "rb") as file:
                return next(filter(found.fullmatch, _library_names(file.read())), None)
        except OSError:
            return None

    module._findSoname_ldconfig = _named(_findSoname_ldconfig)  # noqa: SLF001


def _library_names(cache: bytes) -> Iterator[str]:
    """Yield the names in an ``ld.so.cache``, in its order, of the libraries for this machine."""
    start = cache.find(_MAGIC)
    if start < 0 or len(cache) - start < _HEADER.size:
        return
    _, count, _ = _HEADER.unpack_from(cache, start)
    kind = _KINDS.get(platform.machine())
    entries = cache[start + _HEADER.size :]
    count = min(count, len(entries) // _ENTRY.size)
    for flags, name, _path in _ENTRY.iter_unpack(entries[: count * _ENTRY.size]):
        if flags == kind:
            yield os.fsdecode(cache[start + name :].partition(b"\0")[0])


def _execute_font_manager(module: Any, loader: Any) -> None:
    """Matplotlib looks through all fonts at its first import, which takes a second, and keeps what it found in a file.

    That file was made with the sandbox's libraries; while the module is executed, matplotlib is told to look there.
    """
    library = sys.modules.get("matplotlib")
    told = getattr(library, "get_cachedir", None) if os.path.isdir(FONTS) else None
    try:
        if told is not None:
            library.get_cachedir = lambda: FONTS  # type: ignore[union-attr]
        loader.exec_module(module)
    finally:
        if told is not None:
            library.get_cachedir = told  # type: ignore[union-attr]
    if hasattr(module.FontManager, "_find_fonts_by_props"):
        _fall_back(module)


def _fall_back(module: Any) -> None:
    """Have matplotlib look for a glyph that is not in a text's fonts in those for other scripts, where they are.

    ``rcParams`` stay as they are. A fallback that stood there would be gone with the first ``font.family`` or style.
    """
    manager, find = module.FontManager, module.FontManager._find_fonts_by_props  # noqa: SLF001  # there is no other place
    known: list[Any] = []  # found when a text is drawn, for that takes a moment
    names = {font.name for font in module.fontManager.ttflist if os.access(font.fname, os.R_OK)}
    wanted = [name for name in _FALLBACKS if name in names]

    def _find_fonts_by_props(self: Any, prop: Any, fontext: str = "ttf", directory: Any = None, **more: Any) -> Any:
        fonts = find(self, prop, fontext, directory, **more)
        if fontext != "ttf" or directory is not None:
            return fonts
        if not known:
            known.extend(self.findfont(module.FontProperties(family=name)) for name in wanted)
        return [*fonts, *(font for font in known if font not in fonts)]

    if wanted:
        manager._find_fonts_by_props = _named(_find_fonts_by_props)  # noqa: SLF001


_STAND_INS: dict[str, Callable[[Any], None]] = {
    "multiprocessing.context": _fork_alone,
    "multiprocessing.reduction": _no_descriptors,
    "multiprocessing.resource_tracker": _no_tracker,
    "asyncio.selector_events": _no_sendmsg,
    "ctypes.util": _find_libraries,
}
"""What changes a module that was executed."""

_EXECUTED: dict[str, Callable[[Any, Any], None]] = {
    "matplotlib.font_manager": _named(_execute_font_manager, _IMPORTING)
}
"""What executes a module in another way, with its loader."""
