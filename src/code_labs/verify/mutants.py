"""Mutants: versions of a program with one small mistake each, as learners make them. Tests should fail them.

The mistake is made in the text, so that the rest stays as it was written: the place of a node of the syntax tree gets
the text of a changed node. Nothing here is run. Which mutants are made depends on the program alone.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

MOST = 20
"""Mutants of one program, if nothing else is asked for."""

_COMPARE: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Div,
    ast.Div: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
_METHODS = {"upper": "lower", "lower": "upper", "title": "upper", "startswith": "endswith", "endswith": "startswith"}
KINDS = ("comparison", "arithmetic", "constant", "condition", "range", "return", "dropped", "logic", "name", "text")
"""The kinds of mistakes, in the order in which they take turns when not all mutants are wanted."""


@dataclass(frozen=True)
class Mutant:
    """A program with one mistake. ``line``: where. ``before`` and ``after``: the text of that place."""

    source: str
    kind: str
    line: int
    before: str
    after: str

    @property
    def change(self) -> str:
        """The change, on one line."""
        before, after = (" ".join(each.split())[:80] for each in (self.before, self.after))
        return f"{before}  →  {after}"


@dataclass(frozen=True)
class _Change:
    kind: str
    node: ast.expr | ast.stmt
    text: str


def mutants(source: str, most: int = MOST, *, main: bool = True, messages: bool = False) -> list[Mutant]:
    """Return at most so many mutants of a program, of each kind some. All differ, and none is the program itself.

    ``main`` False: what stands under ``if __name__ == "__main__"`` is not run, and left as it is. ``messages``: the
    texts of exceptions matter. A program that does not parse has none.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    try:
        tree = ast.parse(source)
        changes = list(_changes(tree, main=main, messages=messages))
        known = {_fingerprint(source)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[Mutant] = []
    starts = _starts(source)
    for change in _in_turn(changes):
        if len(found) >= most:
            break
        mutant = _mutant(source, starts, change)
        try:
            print_ = _fingerprint(mutant.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if print_ not in known:  # otherwise it is compiled to the same, and no test can tell
            known.add(print_)
            found.append(mutant)
    return sorted(found, key=lambda each: each.line)


def _in_turn(changes: Sequence[_Change]) -> Iterator[_Change]:
    """Yield changes of each kind in turn; of one kind, those that lie far from each other first."""
    queues = [_spread([change for change in changes if change.kind == kind]) for kind in KINDS]
    while any(queues):
        for queue in queues:
            if queue:
                yield queue.pop(0)


def _spread(changes: list[_Change]) -> list[_Change]:
    """Order so that any first few are from all over the program: every fourth, then what is between."""
    return [change for first in (0, 2, 1, 3) for change in changes[first::4]]


def _mutant(source: str, starts: Sequence[int], change: _Change) -> Mutant:
    node, data = change.node, source.encode()
    begin = starts[node.lineno - 1] + node.col_offset
    end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
    made = data[:begin] + change.text.encode() + data[end:]
    return Mutant(made.decode(), change.kind, node.lineno, data[begin:end].decode(), change.text)


def _starts(source: str) -> list[int]:
    """Return at which byte each line begins."""
    starts = [0]
    for line in source.encode().split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def _fingerprint(source: str) -> tuple[Any, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _of_code(compile(source, "mutant", "exec", dont_inherit=True, optimize=0))


def _of_code(code: CodeType) -> tuple[Any, ...]:
    """Return what a code does, without where it stands."""
    constants = tuple(
        _of_code(each) if isinstance(each, CodeType) else (type(each).__name__, repr(each)) for each in code.co_consts
    )
    return (code.co_name, code.co_code, constants, code.co_names, code.co_varnames, code.co_exceptiontable)


# ---- where mistakes can be made


@dataclass
class _Place:
    """What stands around a node.

    ``anchor``: the f-string that it is in; only whole ones have a place in the text. ``returns``: of its function.
    """

    anchor: ast.JoinedStr | None = None
    returns: tuple[ast.expr, ...] = ()
    raising: bool = False


def _changes(tree: ast.Module, *, main: bool, messages: bool) -> Iterator[_Change]:
    yield from _within(tree, _Place(), skip_main=not main, messages=messages)


def _within(node: ast.AST, place: _Place, *, skip_main: bool, messages: bool) -> Iterator[_Change]:
    if skip_main and _is_main(node):
        return
    if isinstance(node, ast.JoinedStr):
        place = _Place(place.anchor or node, place.returns, place.raising)
    elif isinstance(node, ast.Raise):
        place = _Place(place.anchor, place.returns, raising=not messages)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        place = _Place(place.anchor, _returns(node), place.raising)
    for change in _of_node(node, place):
        if change.kind != "text" or not place.raising:
            yield change
    for child in _children(node):
        yield from _within(child, place, skip_main=skip_main, messages=messages)


def _is_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__name__" in {each.id for each in ast.walk(node.test) if hasattr(each, "id")}


def _returns(node: ast.AST) -> tuple[ast.expr, ...]:
    return tuple(each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value)


_NOT_RUN = frozenset({"annotation", "returns", "format_spec", "decorator_list", "type_params"})


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of a node that are run, and that can be changed by themselves."""
    for name, value in ast.iter_fields(node):
        if name in _NOT_RUN:
            continue
        for each in value if isinstance(value, list) else [value]:
            is_text = isinstance(node, ast.JoinedStr) and isinstance(each, ast.Constant)
            if isinstance(each, ast.AST) and not is_text and not _is_said(each):
                yield each


def _is_said(node: ast.AST) -> bool:
    """Whether a statement is a text or an ellipsis, and does nothing."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _of_node(node: ast.AST, place: _Place) -> Iterator[_Change]:
    if isinstance(node, ast.stmt):
        yield from _of_statement(node, place)
        return
    if isinstance(node, ast.comprehension):
        if place.anchor is None:
            yield from (_Change("condition", test, _negated(test)) for test in node.ifs)
        return
    if not isinstance(node, ast.expr):
        return
    for kind, field, value in _swaps(node):
        anchor = place.anchor or node
        yield _Change(kind, anchor, _with(node, field, value, anchor))
    match node:
        case ast.IfExp(test=test) if place.anchor is None:
            yield _Change("condition", test, _negated(test))
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand) if place.anchor is None:
            yield _Change("logic", node, ast.unparse(operand))
        case ast.Call(func=ast.Name(id="range"), args=[*_, _] as args) if place.anchor is None:
            stop = args[0] if len(args) == 1 else args[1]
            if not isinstance(stop, ast.Constant):
                yield _Change("range", stop, f"{ast.unparse(stop)} - 1")
                yield _Change("range", stop, f"{ast.unparse(stop)} + 1")


def _negated(test: ast.expr) -> str:
    return f"not ({ast.unparse(test)})"


def _with(node: ast.AST, field: str, value: Any, anchor: ast.AST) -> str:
    """Return the text of ``anchor`` if a field of ``node`` had another value."""
    before = getattr(node, field)
    setattr(node, field, value)
    try:
        return ast.unparse(anchor)
    finally:
        setattr(node, field, before)


def _swaps(node: ast.expr) -> Iterator[tuple[str, str, Any]]:
    """Yield kinds of mistakes, and which field of an expression gets which value for it."""
    match node:
        case ast.Compare(ops=ops):
            for at, sign in enumerate(ops):
                for other in _COMPARE[type(sign)]:
                    yield "comparison", "ops", [*ops[:at], other(), *ops[at + 1 :]]
        case ast.BinOp(op=sign, left=left, right=right) if type(sign) in _ARITHMETIC:
            if not (_is_text(left) or _is_text(right)):
                yield "arithmetic", "op", _ARITHMETIC[type(sign)]()
        case ast.BoolOp(op=ast.And()):
            yield "logic", "op", ast.Or()
        case ast.BoolOp(op=ast.Or()):
            yield "logic", "op", ast.And()
        case ast.Name(id=name, ctx=ast.Load()) if name in _NAMES:
            yield "name", "id", _NAMES[name]
        case ast.Attribute(attr=name) if name in _METHODS:
            yield "name", "attr", _METHODS[name]
        case ast.JoinedStr(values=values):
            yield "text", "values", [*values, ast.Constant("?")]
        case ast.Constant(value=bool() as value):
            yield "constant", "value", not value
        case ast.Constant(value=int() | float() as value):
            yield "constant", "value", value + 1
            yield "constant", "value", value - 1
        case ast.Constant(value=str() as value):
            yield "text", "value", value + "?"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _of_statement(node: ast.stmt, place: _Place) -> Iterator[_Change]:
    match node:
        case ast.If(test=test) | ast.While(test=test):
            yield _Change("condition", test, _negated(test))
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield _Change("return", node, "return None")
            other = next((each for each in place.returns if ast.dump(each) != ast.dump(value)), None)
            if other is not None:
                yield _Change("return", node, f"return {ast.unparse(other)}")
        case ast.AugAssign(op=sign):
            if type(sign) in _ARITHMETIC:
                yield _Change("arithmetic", node, _with(node, "op", _ARITHMETIC[type(sign)](), node))
            yield _Change("dropped", node, "pass")
        case ast.Expr() | ast.Raise() | ast.Break() | ast.Continue():
            if not _is_said(node):
                yield _Change("dropped", node, "pass")
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Delete():
            yield _Change("dropped", node, "pass")
