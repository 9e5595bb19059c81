"""What can be made of pieces of code: functions and programs that print, each with all that it needs."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from code_labs.generate.sources import Piece

_DEFINITIONS = ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
_BUILTINS = frozenset(vars(builtins)) | {"__name__", "__file__", "__doc__"}
LONGEST = 60
"""Lines of a function or a program."""


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a piece, and its text."""

    node: ast.stmt
    text: str
    where: str


@dataclass(frozen=True)
class Function:
    """``context``: what it needs beside itself: imports, values, other functions. ``text``: as it was written."""

    name: str
    node: ast.FunctionDef
    text: str
    context: str
    where: str

    @property
    def solution(self) -> str:
        return joined(self.context, self.text)


@dataclass(frozen=True)
class Program:
    """A piece that prints, with all that it needs."""

    text: str
    where: str


def joined(context: str, text: str) -> str:
    """Return context and text as one program."""
    return f"{context.rstrip()}\n\n\n{text.rstrip()}\n" if context.strip() else f"{text.rstrip()}\n"


def statements_of(pieces: Iterable[Piece]) -> list[Statement]:
    found = []
    for piece in pieces:
        lines = piece.code.split("\n")
        for node in piece.tree.body:
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(each.lineno for each in decorators)])
            found.append(Statement(node, "\n".join(lines[first - 1 : node.end_lineno]), piece.where))
    return found


def functions_of(pieces: Sequence[Piece]) -> tuple[list[Function], list[str]]:
    """Return the functions that stand by themselves with their context, and sentences on the others."""
    statements = statements_of(pieces)
    defined = _defined(statements)
    found, dropped = [], []
    for at, statement in enumerate(statements):
        node = statement.node
        if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or node.name == "main":
            continue
        if defined.get(node.name) != at:
            dropped.append(f"{node.name} ({statement.where}): it is defined again later, and that counts")
            continue
        needed, missing = _needed(statements, defined, [node], {at})
        if missing:
            dropped.append(f"{node.name}: it uses {missing[0]}, which is nowhere defined")
        elif len(statement.text.split("\n")) > LONGEST:
            dropped.append(f"{node.name}: it has more than {LONGEST} lines")
        else:
            context = "\n".join(_spaced(statements[each] for each in needed))
            found.append(Function(node.name, node, statement.text, context, statement.where))
    return found, dropped


def programs_of(pieces: Sequence[Piece]) -> list[Program]:
    """Return the pieces that print something themselves."""
    statements = statements_of(pieces)
    defined = _defined(statements)
    found = []
    for piece in pieces:
        own = [node for node in piece.tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)]
        if not _calls(own) & {"print"} or _calls(piece.tree.body) & {"input", "open"}:
            continue
        inside = {at for at, each in enumerate(statements) if any(each.node is node for node in piece.tree.body)}
        needed, missing = _needed(statements, defined, piece.tree.body, inside)
        if missing:
            continue
        context = "\n".join(_spaced(statements[each] for each in needed))
        text = joined(context, piece.code.strip("\n"))
        if len(text.split("\n")) <= LONGEST:
            found.append(Program(text, piece.where))
    return found


def _spaced(statements: Iterable[Statement]) -> Iterable[str]:
    """Yield texts, with two empty lines before and after functions and classes."""
    before: ast.stmt | None = None
    for statement in statements:
        large = isinstance(statement.node, ast.FunctionDef | ast.ClassDef)
        if before is not None and (large or isinstance(before, ast.FunctionDef | ast.ClassDef)):
            yield "\n"
        yield statement.text
        before = statement.node


def _calls(nodes: Iterable[ast.AST]) -> set[str]:
    return {
        each.func.id
        for node in nodes
        for each in ast.walk(node)
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name)
    }


def _defined(statements: Sequence[Statement]) -> dict[str, int]:
    """Return where each name at the top is defined last."""
    found: dict[str, int] = {}
    for at, statement in enumerate(statements):
        if isinstance(statement.node, _DEFINITIONS):
            found |= dict.fromkeys(names_of(statement.node), at)
    return found


def names_of(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {(each.asname or each.name).partition(".")[0] for each in names}
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}


def _needed(
    statements: Sequence[Statement], defined: dict[str, int], nodes: Iterable[ast.stmt], inside: set[int]
) -> tuple[list[int], list[str]]:
    """Return which other statements some need, and the names that nothing defines."""
    needed: set[int] = set()
    missing: list[str] = []
    waiting = list(nodes)
    known = {name for node in waiting for name in names_of(node)}
    while waiting:
        node = waiting.pop()
        for name in sorted(_used(node) - _BUILTINS - known):
            at = defined.get(name)
            if at is None:
                missing.append(name)
            elif at not in needed and at not in inside:
                needed.add(at)
                waiting.append(statements[at].node)
    return sorted(needed), missing


def _used(node: ast.AST) -> set[str]:
    """Return the names that a node reads and does not set itself."""
    names = [each for each in ast.walk(node) if isinstance(each, ast.Name)]
    own = {each.id for each in names if isinstance(each.ctx, ast.Store)}
    for each in ast.walk(node):
        if isinstance(each, ast.arg):
            own.add(each.arg)
        elif isinstance(each, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            own.add(each.name or "")
        elif isinstance(each, ast.Import | ast.ImportFrom):
            own |= {(alias.asname or alias.name).partition(".")[0] for alias in each.names}
    return {each.id for each in names if isinstance(each.ctx, ast.Load)} - own
