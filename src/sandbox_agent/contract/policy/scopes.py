"""Which names are the program's own, place by place: a variable, parameter or function called ``open`` harms nobody.

A name is the program's own where it has certainly been bound before: as a parameter, in what follows a binding in the
same block, in the body of the loop or ``with`` that binds it. Where that is not certain (bound in one branch, deleted
somewhere, declared global) it still means the built-in one. As in Python, functions do not see their class's names.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import NamedTuple

Names = frozenset[str]
NONE: Names = frozenset()

_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class Scope(NamedTuple):
    """The program's own names: as code at a place sees them, and as functions that are defined there do."""

    here: Names
    inside: Names
    is_class: bool

    def bind(self, names: Names) -> Scope:
        if not names:
            return self
        return Scope(self.here | names, self.inside if self.is_class else self.inside | names, self.is_class)

    def function(self, names: Names) -> Scope:
        names |= self.inside
        return Scope(names, names, False)


def own_uses(tree: ast.AST, nodes: list[ast.AST], names: Collection[str]) -> set[ast.AST]:
    """Return which uses of ``names`` in ``tree`` mean something of the program's own. ``nodes``: all of the tree's."""
    own = _bindable(nodes, frozenset(names))
    if not own:  # nearly always
        return set()
    found: set[ast.AST] = set()
    stack = [(tree, Scope(NONE, NONE, is_class=False))]
    while stack:  # no recursion: trees can be deeper than the C stack
        node, scope = stack.pop()
        if isinstance(node, ast.Name) and node.id in scope.here:
            found.add(node)
        stack.extend(_parts(node, scope, own))
    return found


def _bindable(nodes: list[ast.AST], names: Names) -> Names:
    """Return those of ``names`` that the program binds, and nowhere unbinds or declares global."""
    bound: set[str] = set()
    unbound: set[str] = set()
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=context):
                if not isinstance(context, ast.Load):
                    (bound if isinstance(context, ast.Store) else unbound).add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.arg(arg=name):
                bound.add(name)
            case ast.alias():
                bound.add(node.asname or node.name)
            case ast.Global(names=declared):
                unbound.update(declared)
            case ast.ExceptHandler(name=str(name)):  # unbound at its end
                unbound.add(name)
    return frozenset(bound & names - unbound)


def _parts(node: ast.AST, scope: Scope, own: Names) -> Iterator[tuple[ast.AST, Scope]]:
    """Yield the children of ``node`` with their scopes."""
    if isinstance(node, _Comprehension):
        yield from _comprehension(node, scope, own)
        return
    for field, value in ast.iter_fields(node):
        inner = _body(node, scope, own) if field == "body" else scope
        if isinstance(value, ast.AST):
            yield value, inner
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, ast.AST):
                    yield item, inner
                    inner = inner.bind(_bound(item) & own)


def _body(node: ast.AST, scope: Scope, own: Names) -> Scope:
    """Return the scope in which the body of ``node`` begins."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            itself = NONE if scope.is_class or node.decorator_list else frozenset({node.name})
            return scope.function((_parameters(node.args) | itself) & own)
        case ast.Lambda():
            return scope.function(_parameters(node.args) & own)
        case ast.ClassDef():  # what it binds itself is not looked up in the functions around it, even before that
            return Scope(NONE, scope.inside, is_class=True)
        case ast.For() | ast.AsyncFor():
            return scope.bind(_targets(node.target) & own)
        case ast.With() | ast.AsyncWith():
            targets = (item.optional_vars for item in node.items if item.optional_vars is not None)
            return scope.bind(frozenset().union(*map(_targets, targets)) & own)
    return scope


def _comprehension(node: _Comprehension, scope: Scope, own: Names) -> Iterator[tuple[ast.AST, Scope]]:
    """A function in disguise, but for its first iterable, which is evaluated outside."""
    inner = scope.function(frozenset().union(*(_targets(part.target) for part in node.generators)) & own)
    for number, part in enumerate(node.generators):
        yield part.target, inner
        yield part.iter, inner if number else scope
        yield from ((test, inner) for test in part.ifs)
    values = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    yield from ((value, inner) for value in values)


def _bound(statement: ast.AST) -> Names:
    """Return the names that are certainly bound once ``statement`` is over."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return frozenset({name})
        case ast.Assign(targets=targets):
            return frozenset().union(*map(_targets, targets))
        case ast.AnnAssign(target=target, value=ast.expr()):
            return _targets(target)
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return frozenset(alias.asname or alias.name for alias in names)
    return NONE


def _targets(target: ast.expr) -> Names:
    return frozenset(
        node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )


def _parameters(arguments: ast.arguments) -> Names:
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return frozenset(argument.arg for argument in listed if argument is not None)
