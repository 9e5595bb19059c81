"""What a program uses: its syntax tree becomes concepts (`loops.for`, `dict.get`), names and literals.

Concepts have no language. `vocabulary` has the words with which a teacher speaks of them.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LONGEST_LITERAL = 60
"""Characters of a string that counts. Longer ones are texts, not words that a teacher types and says."""

_LOOPS = ast.For | ast.AsyncFor | ast.While
_NODES: dict[type[ast.AST], str] = {
    ast.While: "loops.while",
    ast.For: "loops.for",
    ast.Break: "loops.break",
    ast.Continue: "loops.continue",
    ast.If: "conditions.if",
    ast.IfExp: "conditions.expression",
    ast.Match: "conditions.match",
    ast.FunctionDef: "functions.define",
    ast.Return: "functions.return",
    ast.Lambda: "functions.lambda",
    ast.Yield: "functions.generator",
    ast.YieldFrom: "functions.generator",
    ast.Global: "functions.global",
    ast.Nonlocal: "functions.global",
    ast.ClassDef: "classes.define",
    ast.Try: "exceptions.try",
    ast.Raise: "exceptions.raise",
    ast.Assert: "exceptions.assert",
    ast.With: "files.with",
    ast.List: "list.literal",
    ast.Tuple: "tuple.literal",
    ast.Dict: "dict.literal",
    ast.Set: "set.literal",
    ast.ListComp: "comprehensions.list",
    ast.DictComp: "comprehensions.dict",
    ast.SetComp: "comprehensions.set",
    ast.GeneratorExp: "comprehensions.generator",
    ast.JoinedStr: "strings.format",
    ast.Slice: "sequences.slice",
    ast.AugAssign: "variables.update",
    ast.NamedExpr: "variables.walrus",
    ast.Starred: "sequences.unpack",
    ast.Await: "functions.async",
    ast.AsyncFunctionDef: "functions.async",
    ast.And: "conditions.and",
    ast.Or: "conditions.or",
    ast.Not: "conditions.not",
    ast.Mod: "numbers.remainder",
    ast.FloorDiv: "numbers.whole",
    ast.Div: "numbers.divide",
    ast.Pow: "numbers.power",
    ast.Mult: "numbers.multiply",
    ast.Sub: "numbers.subtract",
    ast.Add: "numbers.add",
    ast.Eq: "comparisons.equal",
    ast.NotEq: "comparisons.different",
    ast.Lt: "comparisons.less",
    ast.LtE: "comparisons.less",
    ast.Gt: "comparisons.greater",
    ast.GtE: "comparisons.greater",
    ast.In: "membership.in",
    ast.NotIn: "membership.in",
    ast.Is: "comparisons.is",
    ast.IsNot: "comparisons.is",
    ast.BitXor: "numbers.bits",
    ast.LShift: "numbers.bits",
    ast.RShift: "numbers.bits",
}
_CALLS = frozenset(name for name in vars(builtins) if name.islower())
_MODES = {"r": "files.read", "w": "files.write", "a": "files.append"}
_OPTIONS = {"end": "print.end", "sep": "print.separator", "key": "sort.key", "reverse": "sort.reverse"}


COMMON = frozenset(
    {"call.input", "call.int", "call.print", "comparisons.equal", "conditions.if", "functions.define"}
    | {"functions.parameter", "functions.return", "list.literal", "numbers.add", "variables.update"}
)
"""What most programs have, whatever they practise."""


@dataclass(frozen=True)
class Features:
    """What a program uses. ``names``: its own and those of attributes and modules, and short strings, as written."""

    concepts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


NOTHING = Features()


def features_of(source: str) -> Features:
    """Look at a program. One that does not parse, or is nested too deep, has no features."""
    try:
        tree = ast.parse(source)
        concepts = list(_concepts(tree))
        names = list(_names(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return NOTHING
    return Features(tuple(dict.fromkeys(concepts)), tuple(dict.fromkeys(names)))


def weighed(concepts: Sequence[str]) -> dict[str, float]:
    """Return how much each concept counts: what most programs have counts half, where there is anything else."""
    other = any(concept not in COMMON for concept in concepts)
    return {concept: 0.5 if other and concept in COMMON else 1.0 for concept in concepts}


def _concepts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if concept := _NODES.get(type(node)):
            yield concept
        yield from _special(node)


def _special(node: ast.AST) -> Iterator[str]:  # noqa: C901, PLR0912  # one branch for each kind of node
    match node:
        case ast.For() | ast.While() | ast.AsyncFor():
            if any(isinstance(inner, _LOOPS) for part in node.body for inner in ast.walk(part)):
                yield "loops.nested"
            if isinstance(node, ast.While) and isinstance(node.test, ast.Constant) and node.test.value:
                yield "loops.forever"
            if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):
                yield "tuple.unpack"
        case ast.If(orelse=[ast.If()]):
            yield "conditions.elif"
        case ast.If(orelse=[_, *_]):
            yield "conditions.else"
        case ast.FunctionDef():
            yield from _of_function(node)
        case ast.ClassDef(bases=[_, *_]):
            yield "classes.inherit"
        case ast.Try(handlers=handlers, finalbody=final):
            yield from ("exceptions.finally",) if final else ()
            yield from ("exceptions.named",) if any(handler.type for handler in handlers) else ()
        case ast.Call():
            yield from _of_call(node)
        case ast.Assign(targets=[ast.Tuple()]):
            yield "tuple.unpack"
        case ast.Assign(targets=[ast.Subscript()]):
            yield "sequences.assign"
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub())):
            yield "sequences.last"
        case ast.Subscript(slice=ast.Constant(value=int())):
            yield "sequences.index"
        case ast.Slice(step=ast.UnaryOp(op=ast.USub())):
            yield "sequences.backwards"
        case ast.FormattedValue(format_spec=ast.JoinedStr()):
            yield "strings.decimals"
        case ast.Import() | ast.ImportFrom():
            yield "modules.import"
        case ast.BinOp(op=ast.Add(), left=left, right=right) if _is_text(left) or _is_text(right):
            yield "strings.join"


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _of_function(node: ast.FunctionDef) -> Iterator[str]:
    if node.args.defaults or any(node.args.kw_defaults):
        yield "functions.default"
    if node.args.vararg or node.args.kwarg:
        yield "functions.any"
    if node.args.args and node.args.args[0].arg != "self":
        yield "functions.parameter"
    if node.decorator_list:
        yield "functions.decorator"
    if node.name.startswith("__"):
        yield f"classes.{node.name.strip('_')}"
    elif node.args.args and node.args.args[0].arg == "self":
        yield "classes.method"
    for inner in ast.walk(node):
        match inner:
            case ast.Call(func=ast.Name(id=name)) if name == node.name:
                yield "functions.recursion"
            case ast.FunctionDef() if inner is not node:
                yield "functions.inner"


def _of_call(node: ast.Call) -> Iterator[str]:
    for keyword in node.keywords:
        if keyword.arg in _OPTIONS:
            yield _OPTIONS[keyword.arg]
    match node.func:
        case ast.Name(id="open"):
            given = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
            mode = given[0].value if given and isinstance(given[0], ast.Constant) else "r"
            yield _MODES.get(str(mode)[:1], "files.read")
        case ast.Name(id=name) if name in _CALLS:
            yield f"call.{name}"
        case ast.Attribute(attr=name):
            yield f"method.{name}"


_WORD = re.compile(r"[^\W\d_]")


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Constant(value=str() as text) if len(text) <= LONGEST_LITERAL and _WORD.search(text):
                yield text
