"""Scopes, as Python's compiler finds them: which names a module, class or function binds, and where one is looked up.

Every form of the grammar that binds a name is here: assignments of all kinds, loops, ``with``, ``except``, imports,
definitions, parameters, patterns, ``:=``, ``del``, type aliases and type parameters, ``global`` and ``nonlocal``.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from enum import Enum, auto

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


class Kind(Enum):
    """What a scope belongs to. ``HEADER``: what sees the type parameters of a definition, but for its body."""

    MODULE = auto()
    CLASS = auto()
    FUNCTION = auto()
    COMPREHENSION = auto()
    HEADER = auto()


class Meaning(Enum):
    """Where a name is looked up: ``LOCAL`` never finds a built-in one, ``GLOBAL`` and ``CLASS`` may."""

    LOCAL = auto()
    CLASS = auto()
    GLOBAL = auto()


class Scope:
    """The names that one module, class, function or the like binds and declares."""

    def __init__(self, kind: Kind, parent: Scope | None = None) -> None:
        self.kind = kind
        self.parent = parent
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.yields = False

    def meaning(self, name: str) -> Meaning:
        """Return where ``name`` is looked up from here."""
        if self.kind is Kind.MODULE or name in self.globals:
            return Meaning.GLOBAL
        if name in self.bound:
            return Meaning.CLASS if self.kind is Kind.CLASS else Meaning.LOCAL
        scope = self.parent
        if scope is not None and scope.kind is Kind.CLASS and self.kind is Kind.HEADER and name in scope.bound:
            return Meaning.CLASS
        while scope is not None and scope.kind is not Kind.MODULE:
            if name in scope.globals and scope.kind is not Kind.CLASS:
                return Meaning.GLOBAL
            if name in scope.bound and scope.kind is not Kind.CLASS:
                return Meaning.LOCAL
            scope = scope.parent
        return Meaning.GLOBAL

    def outside_comprehensions(self) -> Scope:
        """Return the scope in which ``:=`` binds here."""
        scope = self
        while scope.kind is Kind.COMPREHENSION and scope.parent is not None:
            scope = scope.parent
        return scope


class Table:
    """All scopes of a program: ``bodies`` and ``headers`` by the node that they belong to."""

    def __init__(self, tree: ast.AST) -> None:
        self.module = Scope(Kind.MODULE)
        self.bodies: dict[ast.AST, Scope] = {}
        self.headers: dict[ast.AST, Scope] = {}
        self.imports_all = False
        bindings: list[tuple[str, Scope]] = []
        unbindings: list[tuple[str, Scope]] = []
        stack = [(tree, self.module)]
        while stack:  # no recursion: trees can be deeper than the C stack
            node, scope = stack.pop()
            for name in bound_by(node):
                scope.bound.add(name)
                bindings.append((name, scope))
                if isinstance(node, ast.ExceptHandler) or isinstance(getattr(node, "ctx", None), ast.Del):
                    unbindings.append((name, scope))
            self._note(node, scope)
            stack.extend(self._parts(node, scope))
        self.global_bindings = Counter(name for name, scope in bindings if scope.meaning(name) is Meaning.GLOBAL)
        """How many places bind a global name."""
        lost = [(name, scope.kind) for name, scope in unbindings if scope.meaning(name) is not Meaning.LOCAL]
        self.unbound = frozenset(name for name, _ in lost)
        """Names of the module, or of a class, that something takes away again."""
        self.volatile = frozenset(name for name, kind in lost if kind not in (Kind.MODULE, Kind.CLASS))
        """Those that the call of a function takes away."""

    def header(self, node: ast.AST, scope: Scope) -> Scope:
        """Return where the annotations or bases of a definition in ``scope`` are looked up."""
        return self.headers.get(node, scope)

    def _note(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Global(names=names):
                scope.globals.update(names)
            case ast.Nonlocal(names=names):
                scope.bound.update(names)
            case ast.Yield() | ast.YieldFrom():
                scope.yields = True
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                self.imports_all = True

    def _parts(self, node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        """Yield the children of ``node`` with their scopes, which are made here."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from self._definition(node, scope)
            case ast.Lambda():
                body = self.bodies[node] = Scope(Kind.FUNCTION, scope)
                yield from ((parameter, body) for parameter in parameters(node.args))
                yield from ((default, scope) for default in defaults(node.args))
                yield node.body, body
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                body = self.bodies[node] = Scope(Kind.COMPREHENSION, scope)
                for number, part in enumerate(node.generators):
                    yield part.iter, body if number else scope
                    yield from ((each, body) for each in (part.target, *part.ifs))
                yield from ((value, body) for value in elements(node))
            case ast.NamedExpr():
                yield node.target, scope.outside_comprehensions()
                yield node.value, scope
            case ast.arg():
                return  # its annotation is looked up elsewhere
            case _ if type(node).__name__ == "TypeAlias":  # Python 3.12
                header = self._header(node, scope)
                yield node.name, scope  # type: ignore[attr-defined]
                yield from ((part, header) for part in (*type_parameters(node), node.value))  # type: ignore[attr-defined]
            case _:
                yield from ((child, scope) for child in ast.iter_child_nodes(node))

    def _definition(self, node: Definition, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        header = self._header(node, scope) if type_parameters(node) else scope
        yield from ((parameter, header) for parameter in type_parameters(node))
        yield from ((decorator, scope) for decorator in node.decorator_list)
        body = self.bodies[node] = Scope(Kind.CLASS if isinstance(node, ast.ClassDef) else Kind.FUNCTION, header)
        if isinstance(node, ast.ClassDef):
            yield from ((base, header) for base in (*node.bases, *node.keywords))
        else:
            yield from ((parameter, body) for parameter in parameters(node.args))
            yield from ((default, scope) for default in defaults(node.args))
            yield from ((annotation, header) for annotation in annotations(node))
        yield from ((statement, body) for statement in node.body)

    def _header(self, node: ast.AST, scope: Scope) -> Scope:
        self.headers[node] = Scope(Kind.HEADER, scope)
        return self.headers[node]


def bound_by(node: ast.AST) -> Iterator[str]:
    """Yield the names that ``node`` itself binds or unbinds in its scope."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.arg(arg=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.partition(".")[0]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case _ if type(node).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple"):  # Python 3.12
            yield node.name  # type: ignore[attr-defined]


def type_parameters(node: ast.AST) -> list[ast.AST]:
    """Return the type parameters of a definition or alias; before Python 3.12 there are none."""
    listed: list[ast.AST] = getattr(node, "type_params", [])
    return listed


def parameters(arguments: ast.arguments) -> list[ast.arg]:
    listed = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument for argument in listed if argument is not None]


def defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None]


def annotations(node: Function) -> list[ast.expr]:
    listed = [*(parameter.annotation for parameter in parameters(node.args)), node.returns]
    return [annotation for annotation in listed if annotation is not None]


def elements(node: Comprehension) -> list[ast.expr]:
    """Return what a comprehension makes for each turn, in the order of evaluation."""
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
