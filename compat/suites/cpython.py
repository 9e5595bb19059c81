"""CPython's own tests: every module of ``Lib/test`` that runs as one program."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from compat.case import LEFT_OUT, Case

_PROGRAM = (Path(__file__).parent.parent / "programs" / "run_module.py").read_text()
_WORD = re.compile(rb"\w+")
_IMPORTS = (re.compile(rb"\btest\.(\w+)"), re.compile(rb"from (?:test|\.) import ([\w, ]+|\([^)]*\))"))
_QUOTED = re.compile(rb"[\"']([\w.-]+)[\"'/]")
_NOT_RUN = {
    "test_idle": "needs a display",
    "test_regrtest": "tests the programs that run the tests",
    "test_tkinter": "needs a display",
    "test_tools": "tests a checkout of CPython, not the library",
    "test_ttk": "needs a display",
    "test_turtle": "needs a display",
}


def cpython(library: Path, wanted: Callable[[str], bool] = bool) -> Iterator[Case]:
    """Yield each test module below ``library``, a directory ``Lib/test``, with what it names of that directory.

    What a module needs is only looked for where its name is ``wanted``.
    """
    for path in sorted(library.rglob("test_*.py")):
        relative = path.relative_to(library)
        name = ".".join(["test", *relative.with_suffix("").parts])
        if not wanted(name) or name.split(".")[1] in _NOT_RUN:
            continue
        if not all(part.startswith("test_") for part in relative.parts):
            continue  # of the tools and of the data of other tests
        files = {"tests.zip": _archive(library, relative.parts[0]), LEFT_OUT: b"[]"}
        yield Case("CPython", name, _PROGRAM.replace('"MODULE"', repr(name)), files, counted="tests")


@cache
def _archive(library: Path, entry: str) -> bytes:
    """Return a zip of ``entry``, of the modules that it imports, of the data that it names, and so on from there."""
    known = {path.name.removesuffix(".py"): path for path in library.iterdir() if path.name != "__pycache__"}
    wanted: set[str] = set()
    waiting = [entry.removesuffix(".py"), "__init__", "support"]
    while waiting:
        name = waiting.pop()
        if name not in wanted and name in known:
            wanted.add(name)
            sources = [path.read_bytes() for path in _files(known[name]) if path.suffix == ".py"]
            if name != "support":  # it knows of everything, and needs nothing
                waiting += [*_imported(sources), *_quoted(sources)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(wanted):
            for path in _files(known[name]):
                member = zipfile.ZipInfo(f"test/{path.relative_to(library)}")  # without a date: the same bytes always
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, path.read_bytes())
    return packed.getvalue()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _imported(sources: list[bytes]) -> set[str]:
    found = {names for source in sources for pattern in _IMPORTS for names in pattern.findall(source)}
    return {word.decode() for names in found for word in _WORD.findall(names)}


def _quoted(sources: list[bytes]) -> set[str]:
    """Return what may be the names of data and of programs, but of no other tests."""
    found = {word.decode().removesuffix(".py") for source in sources for word in _QUOTED.findall(source)}
    return {name for name in found if not name.startswith("test_")}
