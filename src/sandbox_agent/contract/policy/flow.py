"""Which names are the program's own, place by place: a variable, parameter or function called ``open`` harms nobody.

A name that a function binds is its own throughout: Python never looks further for it (`scopes`). A name of the module
or of a class is found only once it is bound, and the built-in one before that. So the statements of these are followed
in the order in which they run, and with each goes the set of names that are certainly bound by then. Where two ways
meet, that is what both have. Where a way ends (``raise``, ``break``), nothing behind it is ever reached. A function of
the module is judged by what is bound wherever its name is used, since it cannot run before that; and what it certainly
binds itself (``global``) is bound once it was called.

Where it is not certain (bound in one branch, taken away somewhere), a name still means the built-in one.
"""

from __future__ import annotations

import ast
import builtins
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sandbox_agent.contract.policy.scopes import (
    Function,
    Meaning,
    Table,
    annotations,
    bound_by,
    defaults,
    type_parameters,
)
from sandbox_agent.contract.policy.walk import DEAD, Place, State, Step, Walk, outside, run

_BUILT_IN = frozenset(dir(builtins))


def own_uses(
    tree: ast.AST, nodes: Collection[ast.AST], names: Collection[str], own: Collection[str] = ()
) -> set[ast.AST]:
    """Return which uses of ``names`` in ``tree`` mean something of the program's own.

    ``nodes``: all of the tree's. ``own``: those of the names that are its own when it begins.
    """
    bound = {name for node in nodes for name in bound_by(node)}
    ours = frozenset(names) & bound.union(own)
    if not ours:  # nearly always
        return set()
    return _Program(tree, ours).own_uses(ours.intersection(own))


class _Program(Walk):
    def __init__(self, tree: ast.AST, names: State) -> None:
        super().__init__(names, Table(tree))
        self._tree = tree
        self._functions = {} if self.table.imports_all else dict(self._named_functions())
        self._entries: dict[str, State] = {}
        self._effects: dict[str, State] = {}
        self._pending: deque[str] = deque()

    def _named_functions(self) -> Iterator[tuple[str, Function]]:
        """Yield the functions of the module that are all that their names ever mean there."""
        table = self.table
        for node, body in table.bodies.items():
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or node.decorator_list:
                continue
            around = table.headers[node].parent if node in table.headers else body.parent
            only = table.global_bindings[node.name] == 1 and node.name not in _BUILT_IN
            if around is table.module and only and node.name not in table.unbound:
                yield node.name, node

    def own_uses(self, own: State) -> set[ast.AST]:
        """Return the uses that are the program's own, which begins with ``own``."""
        end = run(self.visit(self._tree, Place(self.table.module, [], []), own))
        end = frozenset() if DEAD in end else end
        found = {"": self.found}  # of the module, and of each of its functions
        while True:
            while self._pending:
                name = self._pending.popleft()
                self.found = found[name] = set()
                run(self._body(self._functions[name], self._entries[name]))
            unused = self._functions.keys() - self._entries.keys()
            if not unused:
                return set().union(*found.values())
            for name in unused:  # the program may be a module of another one
                self._may_run(name, end)

    # ---- functions and classes

    def _may_run(self, name: str, state: State) -> None:
        """Note that a function of the module may run from here on."""
        entry = self.later(state)
        known = self._entries.get(name, entry)
        if name not in self._entries or known & entry != known:
            self._entries[name] = known & entry
            self._pending.append(name)

    def _means_function(self, name: str, place: Place) -> bool:
        return name in self._functions and place.scope.meaning(name) is Meaning.GLOBAL

    def name(self, node: ast.Name, place: Place, state: State) -> State:
        if not self.silent and self._means_function(node.id, place):
            self._may_run(node.id, state)
        return super().name(node, place, state)

    def call(self, node: ast.Call, place: Place, state: State) -> Step:
        state = yield self.parts(node, place, state)
        if isinstance(node.func, ast.Name) and self._means_function(node.func.id, place):
            state |= yield self._effect(node.func.id)
        return state

    def _effect(self, name: str) -> Step:
        """Return what the call of a function binds, in any case."""
        function = self._functions[name]
        if name not in self._effects:
            self._effects[name] = frozenset()  # while it is found out, and calls itself
            if isinstance(function, ast.FunctionDef) and not self.table.bodies[function].yields:
                self.silent += 1
                self._effects[name] = yield self._body(function, frozenset())
                self.silent -= 1
        return self._effects[name]

    def _body(self, node: Function, state: State) -> Step:
        """Follow a function; return what is bound when it returns."""
        place = Place(self.table.bodies[node], [], [])
        end = yield self.all(node.body, place, state)
        return end.intersection(*place.returns)

    def function(self, node: Function, place: Place, state: State) -> Step:
        state = yield self.all([*node.decorator_list, *defaults(node.args)], place, state)
        yield self._header(node, annotations(node), place, state)
        bound = self.bind(node.name, place, state)
        if self._functions.get(node.name) is not node:
            # what is not decorated cannot run before it has its name
            yield self._body(node, self.later(state if node.decorator_list else bound))
        return bound

    def anonymous(self, node: ast.Lambda, place: Place, state: State) -> Step:
        state = yield self.all(defaults(node.args), place, state)
        yield self.visit(node.body, Place(self.table.bodies[node], [], []), self.later(state))
        return state

    def class_(self, node: ast.ClassDef, place: Place, state: State) -> Step:
        state = yield self.all(node.decorator_list, place, state)
        yield self._header(node, [*node.bases, *node.keywords], place, state)
        end = yield self.all(node.body, Place(self.table.bodies[node], [], []), outside(state))
        if DEAD not in end:
            end = outside(end).union(name for name in state if name.startswith("."))
        return self.bind(node.name, place, end)

    def _header(self, node: ast.AST, parts: Iterable[ast.AST], place: Place, state: State) -> Step:
        """Follow what sees the type parameters of a definition; it may be evaluated later."""
        inner = place._replace(scope=self.table.headers.get(node, place.scope))
        yield self.all([*type_parameters(node), *parts], inner, self.steady(state))

    def alias(self, node: Any, place: Place, state: State) -> Step:
        yield self._header(node, [node.value], place, state)
        return (yield self.visit(node.name, place, state))

    def annotated(self, node: ast.AnnAssign, place: Place, state: State) -> Step:
        yield self.visit(node.annotation, place, self.steady(state))
        if node.value is None and isinstance(node.target, ast.Name):  # binds nothing
            return state
        return (yield self.all([node.value, node.target], place, state))

    # ---- statements

    def way_out(self, node: ast.AST, place: Place, state: State) -> Step:
        state = yield self.parts(node, place, state)
        if isinstance(node, ast.Return):
            place.returns.append(state)
        elif isinstance(node, ast.Break) and place.loops:
            place.loops[-1].append(self.steady(state))
        return self.dead

    def asserted(self, node: ast.Assert, place: Place, state: State) -> Step:
        state, false = yield self.condition(node.test, place, state)
        yield self.all([node.msg], place, false)
        return state

    def if_(self, node: ast.If, place: Place, state: State) -> Step:
        true, false = yield self.condition(node.test, place, state)
        true = yield self.all(node.body, place, true)
        false = yield self.all(node.orelse, place, false)
        return true & false

    def while_(self, node: ast.While, place: Place, state: State) -> Step:
        true, false = yield self.condition(node.test, place, self.steady(state))
        return (yield self._loop(node, place, true, false))

    def for_(self, node: ast.For | ast.AsyncFor, place: Place, state: State) -> Step:
        state = yield self.visit(node.iter, place, state)
        turn = yield self.visit(node.target, place, self.steady(state))
        return (yield self._loop(node, place, turn, self.steady(state)))

    def _loop(self, node: ast.While | ast.For | ast.AsyncFor, place: Place, turn: State, done: State) -> Step:
        """Follow a turn of a loop, and what comes when it has no more."""
        place.loops.append([])
        yield self.all(node.body, place, turn)
        broken = place.loops.pop()
        done = yield self.all(node.orelse, place, done)
        return done.intersection(*broken)

    def with_(self, node: ast.With | ast.AsyncWith, place: Place, state: State) -> Step:
        """Follow a ``with``. Its first manager may swallow whatever goes wrong once it is there."""
        first, *others = node.items
        kept = state = yield self.visit(first.context_expr, place, state)
        state = yield self.all([first.optional_vars], place, state)
        if isinstance(first.optional_vars, ast.Name):
            kept = state
        for item in others:
            state = yield self.all([item.context_expr, item.optional_vars], place, state)
        yield self.all(node.body, place, state)
        return self.steady(kept)

    def try_(self, node: ast.Try | ast.TryStar, place: Place, state: State) -> Step:
        end = yield self.all(node.body, place, state)
        end = yield self.all(node.orelse, place, end)
        for handler in node.handlers:
            handled = yield self.all([handler.type], place, self.steady(state))
            if handler.name is not None:
                handled = self.bind(handler.name, place, handled)
            handled = yield self.all(handler.body, place, handled)
            if handler.name is not None:
                handled = self.unbind(handler.name, place, handled)
            end &= handled
        if not node.finalbody:
            return end
        finally_ = yield self.all(node.finalbody, place, self.steady(state))
        return self.steady(end) | finally_

    def match(self, node: ast.Match, place: Place, state: State) -> Step:
        state = yield self.visit(node.subject, place, state)
        end = self.dead
        for case in node.cases:
            patterns = list(ast.walk(case.pattern))
            here = yield self.all((part for part in patterns if isinstance(part, ast.expr)), place, state)
            for pattern in patterns:
                for name in bound_by(pattern):
                    here = self.bind(name, place, here)
            if case.guard is not None:
                here, _ = yield self.condition(case.guard, place, here)
            end &= yield self.all(case.body, place, here)
            match case:
                case ast.match_case(pattern=ast.MatchAs(pattern=None), guard=None):  # takes all that is left
                    return end
        return end & state


_Program.steps = {
    **Walk.steps,
    "AnnAssign": _Program.annotated,
    "Assert": _Program.asserted,
    "Call": _Program.call,
    "ClassDef": _Program.class_,
    "If": _Program.if_,
    "Lambda": _Program.anonymous,
    "Match": _Program.match,
    "TypeAlias": _Program.alias,
    "While": _Program.while_,
    **dict.fromkeys(("AsyncFor", "For"), _Program.for_),
    **dict.fromkeys(("AsyncFunctionDef", "FunctionDef"), _Program.function),
    **dict.fromkeys(("AsyncWith", "With"), _Program.with_),
    **dict.fromkeys(("Break", "Continue", "Raise", "Return"), _Program.way_out),
    **dict.fromkeys(("Try", "TryStar"), _Program.try_),
}
