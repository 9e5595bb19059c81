"""Walks a syntax tree and names everything the policy refuses.

The walk is a loop over an explicit stack: ``ast.NodeVisitor`` overflows the C stack on deep trees. What it finds is
everything at once, in the order of the source, each with its line, column (both from 1) and a sentence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from sandbox_agent.policy.rules import DOORS, Policy

MAX_PROBLEMS = 50
"""No more than this many are named; nobody reads them, and a report has to end."""

_BY_NAME = frozenset({"getattr", "setattr", "delattr", "hasattr", "attrgetter", "methodcaller", "__getattribute__"})
_NAMESPACES = frozenset({"globals", "locals", "vars", "dir"})
_FORMAT_FIELD = re.compile(r"\{[^{}]*?[.\[]\s*([A-Za-z_]\w*)")


class Problem(NamedTuple):
    """One refusal: ``line`` and ``column`` count from 1; ``message`` is for a learner."""

    line: int
    column: int
    message: str


def check(tree: ast.AST, policy: Policy) -> list[Problem]:
    """Return what ``policy`` refuses in ``tree``, sorted by place; an empty list means that it may run."""
    if policy.empty:
        return []
    nodes = list(_walk(tree))
    modules = _imported_modules(nodes)
    found = [problem for node in nodes for problem in _judge(node, policy, modules)]
    return sorted(set(found))[:MAX_PROBLEMS]


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
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
    """Return which names the program binds to which top-level modules: ``{"np": "numpy"}``."""
    bound = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return bound


def _judge(node: ast.AST, policy: Policy, modules: dict[str, str]) -> Iterator[Problem]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield from _module(alias, alias.name, policy)
        case ast.ImportFrom():
            yield from _import_from(node, policy)
        case ast.Name() if node.id in policy.names:
            yield _problem(node, f"`{node.id}` is not allowed here: {policy.names[node.id]}.")
        case ast.Attribute():
            yield from _attribute(node, policy, modules)
        case ast.Call():
            yield from _call(node, policy)
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            if (
                key in policy.attributes
                or (key.startswith("__") and key in policy.names)
                or (_is_namespace(node.value) and (key in policy.names or key in policy.modules))
            ):
                yield _problem(node, f"`[{key!r}]` is not allowed here: {_why(key, policy)}.")
        case ast.Constant(value=str(text)) if "{" in text:
            for name in _FORMAT_FIELD.findall(text):
                if name in policy.attributes:
                    yield _problem(node, f"`{name}` in a format string is not allowed here: {policy.attributes[name]}.")
        case ast.MatchClass():
            for name in node.kwd_attrs:
                if name in policy.attributes:
                    yield _problem(node, f"`{name}` in a pattern is not allowed here: {policy.attributes[name]}.")


def _module(node: ast.AST, name: str, policy: Policy) -> Iterator[Problem]:
    for prefix in _prefixes(name):
        if prefix in policy.modules:
            yield _problem(node, f"`import {name}` is not allowed here: {policy.modules[prefix]}.")
            return
    for part in name.split(".")[1:]:
        if part in policy.modules:  # import multiprocessing.os: no such module, but os.path and its like
            yield _problem(node, f"`import {name}` is not allowed here: {policy.modules[part]}.")
            return


def _prefixes(name: str) -> Iterator[str]:
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _import_from(node: ast.ImportFrom, policy: Policy) -> Iterator[Problem]:
    module = node.module or ""
    refused = list(_module(node, module, policy))
    if refused:
        reason = refused[0].message.partition(": ")[2]
        yield _problem(node, f"`from {module} import …` is not allowed here: {reason}")
        return
    for alias in node.names:
        name = alias.name
        of_module = policy.module_attributes.get(module, {})
        why = of_module.get(name) or policy.attributes.get(name) or _door(name, policy)
        why = why or policy.modules.get(f"{module}.{name}")
        if why:
            yield _problem(alias, f"`from {module} import {name}` is not allowed here: {why}.")
        elif name == "*" and of_module:
            yield _problem(alias, f"`from {module} import *` is not allowed here: name what you need.")


def _door(name: str, policy: Policy) -> str | None:
    """The reason against reaching a refused module through another one, under its private alias too."""
    bare = name.lstrip("_")
    return policy.modules.get(bare) if bare in DOORS else None


def _attribute(node: ast.Attribute, policy: Policy, modules: dict[str, str]) -> Iterator[Problem]:
    reason = policy.attributes.get(node.attr)
    base = _dotted(node.value)
    first, _, rest = base.partition(".")
    if reason is None and first in modules:
        full = f"{modules[first]}.{rest}" if rest else modules[first]
        holder = full.rpartition(".")[2].lstrip("_")  # random._sys is sys
        reason = policy.module_attributes.get(holder, {}).get(node.attr) or policy.modules.get(f"{full}.{node.attr}")
        if reason is None and full.partition(".")[0] not in policy.modules:  # else the import is refused already
            reason = _door(node.attr, policy)
    if reason:
        yield _problem(node, f"`.{node.attr}` is not allowed here: {reason}.")


def _dotted(node: ast.expr) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _call(node: ast.Call, policy: Policy) -> Iterator[Problem]:
    """Names that a call gives as text: ``getattr(x, "__globals__")``, ``attrgetter("__class__.__mro__")``."""
    function = node.func
    called = (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )
    if called in _BY_NAME or (
        called in ("get", "pop", "__getitem__") and _is_namespace(getattr(function, "value", None))
    ):
        for argument in node.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                for part in argument.value.split("."):
                    if part in policy.attributes or part in policy.names or (part in policy.modules):
                        message = f"`{called}(… {argument.value!r})` is not allowed here: {_why(part, policy)}."
                        yield _problem(argument, message)


def _is_namespace(node: ast.AST | None) -> bool:
    """Whether ``node`` is ``globals()``, ``vars()``, ``something.__dict__`` and the like."""
    if isinstance(node, ast.Attribute):
        return node.attr == "__dict__"
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _NAMESPACES


def _why(name: str, policy: Policy) -> str:
    return policy.attributes.get(name) or policy.names.get(name) or policy.modules.get(name) or ""


def _problem(node: ast.AST, message: str) -> Problem:
    return Problem(getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1, message)
