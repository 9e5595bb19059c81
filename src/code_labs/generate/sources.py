"""A teacher's material as pieces of Python: a program, the cells of a notebook, or the fenced code of notes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from code_labs.errors import LabsError

LARGEST = 8 << 20
"""Bytes of a file."""

_FENCE = re.compile(r"^(?P<margin>[ \t]*)(?P<marks>`{3,}|~{3,})[ \t]*(?P<language>[\w+-]*)[^\n]*$")
_PYTHON = frozenset({"python", "py", "python3", "pycon", "ipython", ""})
_MAGIC = re.compile(r"^\s*[%!?]|\?\s*$")


@dataclass(frozen=True)
class Piece:
    """``where``: for people, as "cell 3" or "line 12"."""

    code: str
    where: str
    tree: ast.Module


@dataclass(frozen=True)
class Material:
    """``dropped``: sentences on what is not Python."""

    pieces: tuple[Piece, ...]
    dropped: tuple[str, ...]


def pieces_of(data: bytes, name: str) -> Material:
    """Read a file by the ending of its name: ``.py``, ``.ipynb`` or ``.md``; raise ``LabsError``."""
    if len(data) > LARGEST:
        raise LabsError(f"{name} is larger than {LARGEST:,} bytes")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise LabsError(f"{name} is not UTF-8") from None
    match PurePath(name).suffix.lower():
        case ".py":
            found = [(text, "the program")]
        case ".ipynb":
            found = list(_cells(text, name))
        case ".md" | ".markdown":
            found = list(_fences(text))
        case _:
            raise LabsError(f"{name} must end with .py, .ipynb or .md")
    pieces, dropped = [], []
    for code, where in found:
        try:
            pieces.append(Piece(code, where, ast.parse(code)))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            dropped.append(f"{where} is not Python, and was left out")
    return Material(tuple(pieces), tuple(dropped))


def _cells(text: str, name: str) -> Iterator[tuple[str, str]]:
    try:
        said: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabsError(f"{name} is not a notebook: {error}") from None
    cells = said.get("cells") if isinstance(said, dict) else None
    if not isinstance(cells, list):
        raise LabsError(f"{name} is not a notebook of version 4: it has no list of cells")
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        code = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if not code.lstrip().startswith("%%"):
            lines = [line for line in code.split("\n") if not _MAGIC.search(line)]
            yield "\n".join(lines), f"cell {number}"


def _fences(text: str) -> Iterator[tuple[str, str]]:
    """Yield the fenced blocks that say that they are Python, or nothing."""
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        opening = _FENCE.match(lines[at])
        at += 1
        if opening is None:
            continue
        start, block = at, []
        while at < len(lines) and not lines[at].strip().startswith(opening["marks"]):
            block.append(lines[at].removeprefix(opening["margin"]))
            at += 1
        at += 1
        if opening["language"].lower() in _PYTHON:
            code = _typed(block) if any(line.startswith(">>>") for line in block) else "\n".join(block)
            yield code, f"the code from line {start + 1}"


def _typed(block: list[str]) -> str:
    """Return what was typed in a session of the interpreter, without what it answered."""
    return "\n".join(line[4:] for line in block if line.startswith((">>>", "...")))
