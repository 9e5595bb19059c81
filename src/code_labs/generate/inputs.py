"""With which arguments a function is tested: those that the teacher used, and simple ones of the same types."""

from __future__ import annotations

import ast
import doctest
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from code_labs.generate.material import Function
from code_labs.generate.sources import Piece
from code_labs.labs.values import encoded
from code_labs.verify.answers import Ask

MOST = 16
"""Calls of one function that are tried."""

_VALUES: dict[str, list[Any]] = {
    "int": [3, 0, 10, 7, 1, -4, 2, 12],
    "float": [2.5, 0.0, -1.5, 10.0, 0.25, 3.0, 100.0],
    "str": ["banana", "", "a", "Hello World", "level", "x y z", "Python 3"],
    "bool": [True, False],
    "list[int]": [[3, 1, 2], [], [5], [4, 4, 1], [-2, 7, 0, 9], [1, 2, 3, 4, 5, 6]],
    "list[float]": [[2.5, 1.0], [], [0.5], [3.0, -1.0, 4.5]],
    "list[str]": [["pear", "fig", "apple"], [], ["a"], ["b", "a", "b"], ["one", "two", "three", "four"]],
    "dict[str, int]": [{"a": 2, "b": 1}, {}, {"x": 5}, {"k": 1, "l": 1, "m": 3}],
    "dict[str, str]": [{"a": "x", "b": "y"}, {}, {"key": "value"}],
    "set[int]": [{1, 2, 3}, set(), {7}],
    "tuple[int, int]": [(1, 2), (0, 0), (5, -3), (10, 4)],
}
_ALIASES = {"list": "list[int]", "List[int]": "list[int]", "List[str]": "list[str]", "dict": "dict[str, int]"}
_SHIFTS = (1, 3, 2, 5)


def asks_of(function: Function, pieces: Sequence[Piece]) -> tuple[list[Ask], int]:
    """Return calls of a function, those of the teacher first, and how many these are."""
    found: dict[str, Ask] = {}
    constants = _constants(pieces)
    for node in _calls(function, pieces):
        ask = ask_of(node, constants)
        if ask is not None:
            found.setdefault(_key(ask), ask)
    own = min(len(found), MOST)
    for ask in _simple(function, list(found.values())):
        found.setdefault(_key(ask), ask)
    return list(found.values())[:MOST], own


def _key(ask: Ask) -> str:
    return json.dumps([ask.args, dict(ask.kwargs)], sort_keys=True)


def _constants(pieces: Iterable[Piece]) -> dict[str, ast.expr]:
    """Return what names at the top stand for, where that is written down and never changes."""
    found: dict[str, ast.expr] = {}
    changed: set[str] = set()
    for piece in pieces:
        for node in ast.walk(piece.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                changed |= {node.id} & set(found)
                found.setdefault(node.id, node)
        for statement in piece.tree.body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found[name] = value
    return {name: value for name, value in found.items() if name not in changed}


def _calls(function: Function, pieces: Iterable[Piece]) -> Iterator[ast.Call]:
    """Yield calls in doctests of the function, then those in assertions, then all others."""
    for example in _doctests(function):
        yield from _named(function.name, [example])
    trees = [statement for piece in pieces for statement in piece.tree.body if not _defines(statement, function)]
    asserted = [each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.Assert)]
    yield from _named(function.name, asserted)
    yield from _named(function.name, trees)


def _doctests(function: Function) -> Iterator[ast.AST]:
    text = ast.get_docstring(function.node) or ""
    try:
        for example in doctest.DocTestParser().get_examples(text):
            yield ast.parse(example.source)
    except (ValueError, SyntaxError):
        return


def _defines(node: ast.stmt, function: Function) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == function.name


def _named(name: str, trees: Iterable[ast.AST]) -> Iterator[ast.Call]:
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield node


def ask_of(node: ast.Call, constants: dict[str, ast.expr]) -> Ask | None:
    """Return the call of a function by its name, or None if an argument is no literal, or no name of one."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    try:
        args = tuple(_value(each, constants) for each in node.args)
        kwargs = {str(each.arg): _value(each.value, constants) for each in node.keywords if each.arg}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
    return Ask(name, args, kwargs) if len(kwargs) == len(node.keywords) else None


def _value(node: ast.expr, constants: dict[str, ast.expr]) -> Any:
    if isinstance(node, ast.Name):
        node = constants.get(node.id, node)
    return encoded(ast.literal_eval(node))


# ---- simple values


def _simple(function: Function, known: Sequence[Ask]) -> Iterator[Ask]:
    """Yield calls with values of the types that annotations or the teacher's calls have."""
    node = function.node
    parameters = [*node.args.posonlyargs, *node.args.args]
    required = len(parameters) - len(node.args.defaults)
    if node.args.kwonlyargs and len(node.args.kwonlyargs) != len([each for each in node.args.kw_defaults if each]):
        return
    kinds = [_kind(parameter, at, known) for at, parameter in enumerate(parameters)]
    wanted = kinds if all(kinds) else kinds[:required]
    if not wanted or not all(wanted):
        return
    values = [_VALUES[str(kind)] for kind in wanted]
    for row in range(max(map(len, values)) * 2):
        places = [(row * _SHIFTS[at % len(_SHIFTS)] + at) % len(each) for at, each in enumerate(values)]
        yield Ask(function.name, tuple(encoded(each[place]) for each, place in zip(values, places, strict=True)))


def _kind(parameter: ast.arg, at: int, known: Sequence[Ask]) -> str | None:
    if parameter.annotation is not None:
        said = ast.unparse(parameter.annotation).strip("'\"")
        return _ALIASES.get(said, said) if _ALIASES.get(said, said) in _VALUES else None
    seen = {_kind_of(ask.args[at]) for ask in known if len(ask.args) > at}
    return seen.pop() if len(seen) == 1 else None


def _kind_of(value: Any) -> str | None:
    match value:
        case bool():
            return "bool"
        case int() | float() | str():
            return type(value).__name__
        case []:
            return None
        case list():
            kinds = {_kind_of(each) for each in value}
            kind = f"list[{kinds.pop()}]" if len(kinds) == 1 else ""
            return kind if kind in _VALUES else None
        case dict() if value and not any(key.startswith("$") for key in value):
            kinds = {_kind_of(each) for each in value.values()}
            kind = f"dict[str, {kinds.pop()}]" if len(kinds) == 1 else ""
            return kind if kind in _VALUES else None
    return None
