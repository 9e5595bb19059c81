"""Following a program in the order in which it runs: its names and expressions (`flow` has its statements)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Generator, Iterable
from typing import Any, ClassVar, NamedTuple

from sandbox_agent.contract.policy.scopes import Comprehension, Meaning, Scope, Table, bound_by, elements

State = frozenset[str]
"""Names that are certainly bound: of the module as they are, of the class that the code stands in with a dot."""

DEAD = ""
"""Marks the state of code that is never reached; that has all names."""

Step = Generator[Any, Any, Any]
"""A function that yields the calls that it makes, because trees can be deeper than the C stack."""


def run(step: Step) -> Any:
    """Run a step and all the steps that it yields."""
    stack, answer = [step], None
    while stack:
        try:
            stack.append(stack[-1].send(answer))
            answer = None
        except StopIteration as end:
            stack.pop()
            answer = end.value
    return answer


def outside(state: State) -> State:
    """Return what code finds that does not see the names of the class around it."""
    return state if DEAD in state else frozenset(name for name in state if not name.startswith("."))


class Place(NamedTuple):
    """Where code stands: its scope, and where the ways out of its loops and of its function leave their states."""

    scope: Scope
    loops: list[list[State]]
    returns: list[State]


class Walk:
    """Follows nodes: a method takes a node, its place and what is bound before it, and returns what is bound after it.

    ``steps`` says which method follows which kind of node. ``found``: the uses of ``names`` that are the program's own.
    """

    steps: ClassVar[dict[str, Callable[[Any, Any, Place, State], Step]]]

    def __init__(self, names: State, table: Table) -> None:
        self.names = names
        self.table = table
        self.found: set[ast.AST] = set()
        self.silent = 0
        self.dead = frozenset({DEAD, *names, *map(".{}".format, names)})
        self._passing = frozenset(each for name in table.unbound for each in (name, f".{name}"))

    def visit(self, node: ast.AST, place: Place, state: State) -> Step:
        """Follow one node."""
        if isinstance(node, ast.Name):
            return self.name(node, place, state)
        return (yield self.steps.get(type(node).__name__, Walk.parts)(self, node, place, state))

    def parts(self, node: ast.AST, place: Place, state: State) -> Step:
        return (yield self.all(ast.iter_child_nodes(node), place, state))

    def all(self, nodes: Iterable[ast.AST | None], place: Place, state: State) -> Step:
        """Follow nodes one after another."""
        for node in nodes:
            if node is not None:
                state = yield self.visit(node, place, state)
        return state

    # ---- names

    def steady(self, state: State) -> State:
        """Return what is still bound where something may have run meanwhile that is not followed."""
        return state if DEAD in state else state - self._passing

    def later(self, state: State) -> State:
        """Return what a function finds that is made here and runs at some time from now on."""
        return self.steady(outside(state))

    def bind(self, name: str, place: Place, state: State) -> State:
        if name not in self.names:
            return state
        match place.scope.meaning(name):
            case Meaning.GLOBAL if name not in self.table.volatile:
                return state | {name}
            case Meaning.CLASS:
                return state | {f".{name}"}
        return state

    def unbind(self, name: str, place: Place, state: State) -> State:
        meaning = place.scope.meaning(name)
        if DEAD in state or meaning is Meaning.LOCAL:
            return state
        return state - {f".{name}" if meaning is Meaning.CLASS else name}

    def name(self, node: ast.Name, place: Place, state: State) -> State:
        """Note a use of a name, and return what is bound after it."""
        name = node.id
        if name in self.names and not self.silent:
            meaning = place.scope.meaning(name)
            if meaning is Meaning.LOCAL or name in state or (meaning is Meaning.CLASS and f".{name}" in state):
                self.found.add(node)
        if isinstance(node.ctx, ast.Store):
            return self.bind(name, place, state)
        return self.unbind(name, place, state) if isinstance(node.ctx, ast.Del) else state

    def imported(self, node: ast.Import | ast.ImportFrom, place: Place, state: State) -> Step:
        for alias in node.names:
            for name in bound_by(alias):
                state = self.bind(name, place, state)
        return (yield self.all((), place, state))

    def value_first(self, node: ast.Assign | ast.AugAssign | ast.NamedExpr, place: Place, state: State) -> Step:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return (yield self.all([node.value, *targets], place, state))

    # ---- expressions

    def condition(self, node: ast.expr, place: Place, state: State) -> Step:
        """Follow a condition; return what is bound where it holds, and where it does not."""
        match node:
            case ast.BoolOp(op=operator, values=values):
                going_on, done = state, self.dead
                for value in values:
                    true, false = yield self.condition(value, place, going_on)
                    going_on, ended = (true, false) if isinstance(operator, ast.And) else (false, true)
                    done &= ended
                return (going_on, done) if isinstance(operator, ast.And) else (done, going_on)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                true, false = yield self.condition(operand, place, state)
                return false, true
            case ast.Constant(value=value):
                return (state, self.dead) if value else (self.dead, state)
        state = yield self.visit(node, place, state)
        return state, state

    def boolean(self, node: ast.BoolOp, place: Place, state: State) -> Step:
        true, false = yield self.condition(node, place, state)
        return true & false

    def chosen(self, node: ast.IfExp, place: Place, state: State) -> Step:
        true, false = yield self.condition(node.test, place, state)
        true = yield self.visit(node.body, place, true)
        false = yield self.visit(node.orelse, place, false)
        return true & false

    def compared(self, node: ast.Compare, place: Place, state: State) -> Step:
        state = yield self.all([node.left, node.comparators[0]], place, state)
        yield self.all(node.comparators[1:], place, state)  # only as long as the comparisons before them hold
        return state

    def pairs(self, node: ast.Dict, place: Place, state: State) -> Step:
        pairs = zip(node.keys, node.values, strict=True)
        return (yield self.all((part for pair in pairs for part in pair), place, state))

    def comprehension(self, node: Comprehension, place: Place, state: State) -> Step:
        """Follow a function in disguise. Its first iterable is evaluated outside; perhaps it has no turn."""
        first, *others = node.generators
        state = yield self.visit(first.iter, place, state)
        inner = Place(self.table.bodies[node], [], [])
        turn = self.later(state) if isinstance(node, ast.GeneratorExp) else outside(state)
        for part in (first, *others):
            if part is not first:
                turn = yield self.visit(part.iter, inner, turn)
            turn = yield self.visit(part.target, inner, turn)
            for test in part.ifs:
                turn, _ = yield self.condition(test, inner, turn)
        yield self.all(elements(node), inner, turn)
        return state


Walk.steps = {
    "Import": Walk.imported,
    "ImportFrom": Walk.imported,
    "Assign": Walk.value_first,
    "NamedExpr": Walk.value_first,
    "BoolOp": Walk.boolean,
    "IfExp": Walk.chosen,
    "Compare": Walk.compared,
    "Dict": Walk.pairs,
    **dict.fromkeys(("ListComp", "SetComp", "DictComp", "GeneratorExp"), Walk.comprehension),
}
