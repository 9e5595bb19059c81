"""Which names are the program's own, place by place: a variable, parameter or function called ``open`` harms nobody.

Every form of the grammar that binds a name is known here. In a function, a name that is bound anywhere in it is the
program's own, as Python has it. A module and a class are read in the order in which they run: a name is the program's
own from where it may have been bound, on whichever branch, until ``del`` or the end of its ``except`` takes it away.
Functions run later, and may find whatever their module binds anywhere. As in Python, they do not see their class's
names.

So doubt is decided for the program. This is advice; it should name what certainly means the built-in thing.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any

from sandbox_agent.contract.policy.scope import Kind, Names, Scope

_BINDING = {
    "FunctionDef": "name",
    "AsyncFunctionDef": "name",
    "ClassDef": "name",
    "arg": "arg",
    "alias": "asname",
    "ExceptHandler": "name",
    "MatchAs": "name",
    "MatchStar": "name",
    "MatchMapping": "rest",
    "TypeVar": "name",  # this and the next two: Python 3.12
    "ParamSpec": "name",
    "TypeVarTuple": "name",
}
"""Nodes that bind a name themselves, and where they have it."""


class _Use:
    """A name in ``scope``. ``here`` and ``above``: whether that, and the module, may have bound it by then."""

    def __init__(self, node: ast.Name, scope: Scope) -> None:
        self.node = node
        self.scope = scope
        self.here = self.above = False
        self.look()

    def look(self) -> None:
        self.here |= self.node.id in self.scope.now
        self.above |= self.node.id in self.scope.module.now

    def is_own(self) -> bool:
        """Whether it means something of the program's own; to be asked once all is read."""
        name, scope = self.node.id, self.scope
        holder = scope.holder(name)
        if holder is scope and scope.kind is Kind.CLASS:  # until it is bound, it is looked up past functions
            return self.here or self._is_global()
        return holder.kind is not Kind.MODULE or self._is_global()

    def _is_global(self) -> bool:
        return self.above or (self.scope.later and self.node.id in self.scope.module.bound)


_Step = tuple[ast.AST, Scope] | Callable[[], None]
"""A node to read in a scope, or what is to be done between two."""


class _Reader:
    """Reads a tree in the order in which it runs, and collects the uses of the ``wanted`` names."""

    def __init__(self, wanted: Names, known: Names) -> None:
        self._wanted = wanted
        self._module = Scope(Kind.MODULE, None, known)
        self._uses: list[_Use] = []
        self._loops: list[int] = []  # of each loop around: how many uses there were before it

    def read(self, tree: ast.AST) -> set[ast.AST]:
        """Return the uses that mean something of the program's own."""
        stack: list[_Step] = [(tree, self._module)]
        while stack:  # no recursion: trees can be deeper than the C stack
            step = stack.pop()
            if isinstance(step, tuple):
                stack += reversed(list(self._steps(*step)))
            else:
                step()
        return {use.node for use in self._uses if use.is_own()}

    def _steps(self, node: ast.AST, scope: Scope) -> Iterator[_Step]:
        match node:
            case ast.Name():
                self._name(node, scope)
            case ast.Global(names=names):
                scope.globals.update(names)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                yield from self._function(node, scope)
            case ast.ClassDef():
                yield from self._class(node, scope)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                yield from _comprehension(node, scope)
            case ast.For() | ast.AsyncFor() | ast.While():
                yield from self._loop(node, scope)
            case ast.If() | ast.Match():
                yield from _choice(node, scope)
            case ast.Try() | ast.TryStar():
                yield from _try(node, scope)
            case ast.With() | ast.AsyncWith():
                yield from _with(node, scope)
            case ast.NamedExpr():
                yield from ((node.value, scope), (node.target, scope.around()))
            case ast.AnnAssign(target=ast.Name(id=name), value=None):
                yield node.annotation, scope
                if scope.kind is Kind.FUNCTION:
                    scope.bound.add(name)
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign():
                yield from ((part, scope) for part in _parts(node, last=("target", "targets")))
            case _ if type(node).__name__ == "TypeAlias":
                yield from _alias(node, scope)
            case _:
                yield from self._other(node, scope)

    def _name(self, node: ast.Name, scope: Scope) -> None:
        if node.id not in self._wanted:
            return
        self._uses.append(_Use(node, scope))
        if isinstance(node.ctx, ast.Store):
            scope.bind(node.id)
        elif isinstance(node.ctx, ast.Del):
            scope.unbind(node.id)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: Scope) -> Iterator[_Step]:
        arguments = node.args
        defaults = (*arguments.defaults, *arguments.kw_defaults)
        yield from ((default, scope) for default in defaults if default is not None)
        header = scope
        if not isinstance(node, ast.Lambda):
            yield from ((decorator, scope) for decorator in node.decorator_list)
            parameters, header = _header(node, scope)
            yield from parameters
            annotations = [node.returns, *(each.annotation for each in _arguments(arguments))]
            yield from ((annotation, header) for annotation in annotations if annotation is not None)
            yield from self._binding(node, scope)
        inner = Scope(Kind.FUNCTION, header)
        inner.bound.update(each.arg for each in _arguments(arguments))
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        yield from ((part, inner) for part in body)

    def _class(self, node: ast.ClassDef, scope: Scope) -> Iterator[_Step]:
        yield from ((decorator, scope) for decorator in node.decorator_list)
        parameters, header = _header(node, scope)
        yield from parameters
        yield from ((base, header) for base in (*node.bases, *node.keywords))
        inner = Scope(Kind.CLASS, header)
        yield from ((part, inner) for part in node.body)
        yield from self._binding(node, scope)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, scope: Scope) -> Iterator[_Step]:
        """A loop, whose first use of a name may come after a binding further down."""
        if not isinstance(node, ast.While):
            yield node.iter, scope
        yield self._begin_loop
        if isinstance(node, ast.While):
            yield node.test, scope
        yield scope.branch
        if not isinstance(node, ast.While):
            yield node.target, scope
        yield from ((part, scope) for part in node.body)
        yield from (scope.leave, self._end_loop)
        yield from ((part, scope) for part in node.orelse)

    def _begin_loop(self) -> None:
        self._loops.append(len(self._uses))

    def _end_loop(self) -> None:
        for use in self._uses[self._loops.pop() :]:
            use.look()

    def _other(self, node: ast.AST, scope: Scope) -> Iterator[_Step]:
        if not isinstance(node, ast.ExceptHandler):
            yield from ((part, scope) for part in _parts(node))
            yield from self._binding(node, scope)
            return
        if node.type is not None:
            yield node.type, scope
        yield from self._binding(node, scope)
        yield from ((part, scope) for part in node.body)
        if node.name in self._wanted:
            yield partial(scope.unbind, node.name)

    def _binding(self, node: ast.AST, scope: Scope) -> Iterator[_Step]:
        return (partial(scope.bind, name) for name in _bound_by(node) if name in self._wanted)


def own_uses(tree: ast.AST, nodes: list[ast.AST], names: Collection[str], known: Collection[str] = ()) -> set[ast.AST]:
    """Return which uses of ``names`` in ``tree`` mean something of the program's own. ``nodes``: all of the tree's.

    ``known``: those that are its own from the beginning.
    """
    wanted = frozenset(names)
    if not known and not any(_binds(node, wanted) for node in nodes):  # nearly always
        return set()
    return _Reader(wanted, frozenset(known)).read(tree)


def _binds(node: ast.AST, names: Names) -> bool:
    if type(node) is ast.Name:  # by far the most
        return node.id in names and not isinstance(node.ctx, ast.Load)
    return type(node).__name__ in _BINDING and not names.isdisjoint(_bound_by(node))


def _bound_by(node: ast.AST) -> list[str]:
    """Return the names that ``node``, unless it is a `Name`, binds itself in its scope."""
    name: str | None = getattr(node, _BINDING.get(type(node).__name__, ""), None)
    if isinstance(node, ast.alias) and name is None:
        name = node.name.partition(".")[0]
    return [] if name is None else [name]


def _parts(node: ast.AST, last: tuple[str, ...] = ()) -> Iterator[ast.AST]:
    """Yield the children of ``node``, those of the fields ``last`` at the end."""
    for name in sorted(node._fields, key=last.__contains__):
        value = getattr(node, name, None)
        if isinstance(value, ast.AST):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, ast.AST))


def _choice(node: ast.If | ast.Match, scope: Scope) -> Iterator[_Step]:
    yield (node.test if isinstance(node, ast.If) else node.subject), scope
    if isinstance(node, ast.If):
        yield from _ways(scope, node.body, node.orelse)
    else:
        yield from _ways(scope, *([case] for case in node.cases), [])
    yield scope.join


def _try(node: ast.Try | ast.TryStar, scope: Scope) -> Iterator[_Step]:
    if node.finalbody:  # which comes after whatever was left, wherever
        yield scope.branch
    yield scope.branch
    yield from ((part, scope) for part in node.body)
    yield scope.leave
    yield from _ways(scope, *([handler] for handler in node.handlers), node.orelse)
    yield scope.join
    if node.finalbody:
        yield scope.leave
    yield from ((part, scope) for part in node.finalbody)


def _with(node: ast.With | ast.AsyncWith, scope: Scope) -> Iterator[_Step]:
    """A ``with``, which may swallow an exception of its body."""
    yield from ((item, scope) for item in node.items)
    yield scope.branch
    yield from ((part, scope) for part in node.body)
    yield scope.leave


def _ways(scope: Scope, *ways: Sequence[ast.AST]) -> Iterator[_Step]:
    """Ways of which one is taken, up to `Scope.join`."""
    yield scope.branch
    for number, way in enumerate(ways):
        if number:
            yield scope.turn
        yield from ((part, scope) for part in way)


def _comprehension(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: Scope) -> Iterator[_Step]:
    """A function in disguise, but for its first iterable, which is evaluated outside."""
    inner = Scope(Kind.COMPREHENSION, scope)
    for number, part in enumerate(node.generators):
        yield part.iter, inner if number else scope
        yield part.target, inner
        yield from ((test, inner) for test in part.ifs)
    values = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
    yield from ((value, inner) for value in values)


def _alias(node: Any, scope: Scope) -> Iterator[_Step]:
    """``type X[T] = …``, whose value is evaluated when somebody asks for it."""
    yield node.name, scope
    inner = Scope(Kind.HEADER, scope)
    yield from ((part, inner) for part in (*node.type_params, node.value))


def _header(node: ast.AST, scope: Scope) -> tuple[list[_Step], Scope]:
    """Return the type parameters of a definition, and the scope in which they are seen."""
    listed = getattr(node, "type_params", None)  # Python 3.12
    if not listed:
        return [], scope
    inner = Scope(Kind.HEADER, scope)
    return [(part, inner) for part in listed], inner


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    listed = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument for argument in listed if argument is not None]
