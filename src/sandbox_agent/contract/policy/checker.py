"""Walks a syntax tree and names everything the policy refuses.

What it finds is everything at once, in the order of the source, each with line, column (both from 1) and a sentence.

It is advice to learners, not a wall. It reads what is written, and a program can compute what is not: a name in a
variable, a module handed through a function, a string put together at run time. Whoever wants past it gets past it, and
stands in the sandbox.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from sandbox_agent.contract.policy.rules import DOORS, Policy
from sandbox_agent.contract.policy.scopes import own_uses

MAX_PROBLEMS = 50
"""No more than this many are named; nobody reads them, and a report has to end."""

MAX_MESSAGE = 500
"""Characters of a message; what it quotes may be as long as the source."""

_BY_NAME = frozenset({"getattr", "setattr", "delattr", "hasattr", "getattr_static", "__getattribute__"})
_GETTERS = frozenset({"attrgetter", "methodcaller"})
_LOOKUPS = frozenset({"get", "pop", "setdefault", "__getitem__"})
_DEEPEST = 16
"""Names in a dotted one that are looked at; no module lies deeper."""

_FORMAT_FIELD = re.compile(r"\{([^{}]*)")
_FIELD_NAME = re.compile(r"[.\[]\s*(\w+)")
_PATH = re.compile(r"[\w.\[\]]+")


class SourceProblem(NamedTuple):
    """One refusal: ``line`` and ``column`` count from 1; ``message`` is for a learner.

    ``file``: the path of the file of the request that it is in; empty for the program itself.
    """

    line: int
    column: int
    message: str
    file: str = ""


def check(tree: ast.AST, policy: Policy) -> list[SourceProblem]:
    """Return what ``policy`` refuses in ``tree``, sorted by place; an empty list means that it found nothing."""
    if policy.empty:
        return []
    nodes = list(_walk(tree))
    checker = _Checker(policy, _imported_modules(nodes), own_uses(tree, nodes, policy.names, policy.own))
    found = {problem for node in nodes if type(node) in _JUDGED for problem in checker.judge(node)}
    return sorted(found)[:MAX_PROBLEMS]


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node; a loop, because ``ast.NodeVisitor`` overflows the C stack on deep trees."""
    stack = [tree]
    while stack:
        node = stack.pop()
        yield node
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                stack.append(value)
            elif isinstance(value, list):
                stack.extend(item for item in value if isinstance(item, ast.AST))


def _imported_modules(nodes: list[ast.AST]) -> dict[str, str]:
    """Return which names the program binds to which modules: ``{"np": "numpy"}``; also by ``n = np``."""
    bound = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    assignments = (node for node in nodes if isinstance(node, ast.Assign))
    for assignment in sorted(assignments, key=lambda node: node.lineno):
        match assignment:
            case ast.Assign(targets=[ast.Name(id=copy)], value=ast.Name(id=name)) if name in bound:
                bound.setdefault(copy, bound[name])
    return bound


_JUDGED = frozenset(
    {ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant, ast.BinOp, ast.Import, ast.ImportFrom, ast.Match}
)


class _Checker:
    """Judges nodes one by one; ``own`` are the uses of refused names that mean something of the program's own."""

    def __init__(self, policy: Policy, modules: dict[str, str], own: set[ast.AST]) -> None:
        self._policy = policy
        self._modules = modules
        self._own = own

    def judge(self, node: ast.AST) -> Iterator[SourceProblem]:
        match node:
            case ast.Name():
                yield from self._name(node)
            case ast.Attribute():
                if why := self._why_not_reach(node.value, node.attr):
                    yield _problem(node, f"`.{node.attr}`", why)
            case ast.Constant(value=str()) | ast.BinOp(op=ast.Add()):
                yield from self._text(node)
            case ast.Call() | ast.Subscript():
                yield from self._reached_by_text(node)
            case ast.Import():
                for alias in node.names:
                    if why := self._why_not_import(alias.name):
                        yield _problem(alias, f"`import {alias.name}`", why)
            case ast.ImportFrom():
                yield from self._import_from(node)
            case ast.Match():
                yield from self._match(node)

    def _name(self, node: ast.Name) -> Iterator[SourceProblem]:
        why = self._policy.names.get(node.id)
        # a variable may have any name, unless Python gives it a meaning
        if why and node not in self._own and (isinstance(node.ctx, ast.Load) or node.id.startswith("__")):
            yield _problem(node, f"`{node.id}`", why)

    # ---- imports

    def _why_not_import(self, name: str) -> str | None:
        parts = name.split(".", _DEEPEST)[:_DEEPEST]
        for count in range(1, len(parts) + 1):
            if why := self._policy.modules.get(".".join(parts[:count])):
                return why
        return next(filter(None, map(self._why_not_door, parts[1:])), None)

    def _why_not_door(self, name: str) -> str | None:
        """The reason against reaching a refused module through another one, under its private alias too."""
        bare = name.lstrip("_")
        return self._policy.modules.get(bare) if bare in DOORS else None

    def _import_from(self, node: ast.ImportFrom) -> Iterator[SourceProblem]:
        module = node.module or ""
        if why := self._why_not_import(module):
            yield _problem(node, f"`from {module} import …`", why)
            return
        for alias in node.names:
            if alias.name == "*" and module in self._policy.module_attributes:
                yield _problem(alias, f"`from {module} import *`", "name what you need")
            elif why := self._policy.attributes.get(alias.name) or self._why_not_of_module(module, alias.name):
                yield _problem(alias, f"`from {module} import {alias.name}`", why)

    # ---- attributes

    def _why_not_reach(self, base: ast.expr, name: str) -> str | None:
        """The reason against ``base.name``, however it is spelled."""
        if why := self._policy.attributes.get(name):
            return why
        first, *rest = _dotted(base)
        return (
            self._why_not_of_module(".".join([self._modules[first], *rest]), name) if first in self._modules else None
        )

    def _why_not_of_module(self, module: str, name: str) -> str | None:
        policy = self._policy
        holder = module.rpartition(".")[2].lstrip("_")  # random._sys is sys
        if why := policy.module_attributes.get(holder, {}).get(name) or policy.modules.get(f"{module}.{name}"):
            return why
        # what lies below a refused module was refused where that was imported
        return None if module.partition(".")[0] in policy.modules else self._why_not_door(name)

    def _reached_by_text(self, node: ast.Call | ast.Subscript) -> Iterator[SourceProblem]:
        """Attributes that are named by a text: ``getattr(x, "y")``, ``vars(x)["y"]``, ``attrgetter("y")``."""
        base: ast.expr | None = None
        texts: list[ast.expr] = []
        match node:
            case ast.Subscript():
                base, texts = _of_namespace(node.value), [node.slice]
            case ast.Call(func=ast.Attribute(attr="__getattribute__", value=base), args=[_] as texts):
                pass
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[first, *rest]):
                if called in _BY_NAME:
                    base, texts = first, rest
                elif called in _GETTERS:
                    base, texts = node.func, node.args
                elif called in _LOOKUPS and isinstance(node.func, ast.Attribute):
                    base, texts = _of_namespace(node.func.value), node.args
        if base is None:
            return
        for text in texts:
            for name in (_constant(text) or "").split("."):
                if why := self._why_not_reach(base, name):
                    yield _problem(text, f"`{name}` in a text", why)

    def _match(self, node: ast.Match) -> Iterator[SourceProblem]:
        """Attributes that a pattern reads: ``case object(__globals__=g)``."""
        for case in node.cases:
            for pattern in ast.walk(case.pattern):
                for name in pattern.kwd_attrs if isinstance(pattern, ast.MatchClass) else ():
                    if why := self._why_not_reach(node.subject, name):
                        yield _problem(pattern, f"`{name}` in a pattern", why)

    # ---- texts

    def _text(self, node: ast.expr) -> Iterator[SourceProblem]:
        """A text that is the name of something internal, or a format string that reads it."""
        text = _constant(node)
        if text is None:
            return
        names: set[str] = set()
        if "{" in text:
            names = {name for field in _FORMAT_FIELD.findall(text) for name in _FIELD_NAME.findall(field)}
        if "__" in text and _PATH.fullmatch(text):
            names |= {name for name in re.findall(r"\w+", text) if name.startswith("__")}
        for name in names:
            if why := self._policy.attributes.get(name):
                yield _problem(node, f"`{name}` in a text", why)


def _dotted(node: ast.expr) -> list[str]:
    """``["a", "b", "c"]`` for ``a.b.c``; a list with one empty name where it is anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < _DEEPEST:
        parts.append(node.attr)
        node = node.value
    return [node.id, *reversed(parts)] if isinstance(node, ast.Name) else [""]


def _of_namespace(node: ast.expr) -> ast.expr | None:
    """Return ``x`` for ``x.__dict__`` and ``vars(x)``, None for anything else."""
    match node:
        case ast.Attribute(attr="__dict__", value=base) | ast.Call(func=ast.Name(id="vars"), args=[base]):
            return base
    return None


def _constant(node: ast.expr) -> str | None:
    """Return the text that ``node`` is, also where it is written as a sum of a few."""
    parts: list[str] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and len(parts) < _DEEPEST:
        if not (isinstance(node.right, ast.Constant) and isinstance(node.right.value, str)):
            return None
        parts.append(node.right.value)
        node = node.left
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return "".join([node.value, *reversed(parts)])
    return None


def _problem(node: ast.AST, what: str, why: str) -> SourceProblem:
    message = f"{what} is not allowed here: {why}."
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}…"
    return SourceProblem(getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1, message)
