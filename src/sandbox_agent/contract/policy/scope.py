"""One scope of a program: the names that it binds, as far as it has been read."""

from __future__ import annotations

from enum import Enum, auto

Names = frozenset[str]
NONE: Names = frozenset()


class Kind(Enum):
    """What a scope belongs to. ``HEADER``: what type parameters are seen in, with bases, annotations and aliases."""

    MODULE = auto()
    CLASS = auto()
    FUNCTION = auto()
    COMPREHENSION = auto()
    HEADER = auto()


class _Branch:
    """What is bound ``before`` a statement of several ways, ``after`` those that were read, and ``bound`` in them."""

    def __init__(self, before: Names) -> None:
        self.before = before
        self.after = self.bound = NONE


class Scope:
    """The names of one module, class or function: ``bound`` anywhere in it, and ``now``, as far as it has been read."""

    def __init__(self, kind: Kind, parent: Scope | None, now: Names = NONE) -> None:
        self.kind = kind
        self.module: Scope = parent.module if parent else self
        self.later: bool = parent is not None and (kind is Kind.FUNCTION or parent.later)
        """Whether it may run after all that follows it."""
        self.bound = set(now)
        self.now = now
        self.globals: set[str] = set()
        self.parent = parent
        self.set_elsewhere: set[str] = set()  # by functions, with ``global``: nothing here takes that away for good
        self.branches: list[_Branch] = []  # of each statement around
        self.found: dict[str, Scope] = {}

    def bind(self, name: str) -> None:
        scope = self
        if name in self.globals:
            scope = self.module
            scope.set_elsewhere.add(name)
        scope.bound.add(name)
        scope.now |= {name}
        if scope.branches:
            scope.branches[-1].bound |= {name}

    def unbind(self, name: str) -> None:
        self.bound.add(name)
        if name not in self.set_elsewhere:
            self.now -= {name}

    def branch(self) -> None:
        """Begin with one of several ways to go on."""
        self.branches.append(_Branch(self.now))

    def turn(self) -> None:
        """Begin with another one, from the same beginning."""
        branch = self.branches[-1]
        branch.after |= self.now
        self.now = branch.before

    def join(self, *, anywhere: bool = False) -> None:
        """Go on after whichever way was taken; ``anywhere``: it may have been left anywhere, not only at its end."""
        branch = self.branches.pop()
        self.now |= branch.after | (branch.bound if anywhere else NONE)
        if self.branches:
            self.branches[-1].bound |= branch.bound

    def leave(self) -> None:
        """Go on after the one way, which may have been taken as far as anywhere, or not at all."""
        self.turn()
        self.join(anywhere=True)

    def around(self) -> Scope:
        """Return where ``:=`` binds."""
        scope = self
        while scope.kind is Kind.COMPREHENSION and scope.parent is not None:
            scope = scope.parent
        return scope

    def holder(self, name: str) -> Scope:
        """Return the scope, this one or one around it, whose ``name`` is meant here."""
        passed = []
        scope = self
        while name not in scope.found:  # what was found is kept, or deep nesting would take ever longer
            passed.append(scope)
            outer = scope.outer()
            if outer is None or name in scope.globals:
                scope.found[name] = self.module
            elif name in scope.bound:
                scope.found[name] = scope
            else:
                scope = outer
        found = scope.found[name]
        for each in passed:
            each.found[name] = found
        return found

    def outer(self) -> Scope | None:
        """Return where to look further. What a class binds is seen in its headers, and in nothing else inside it."""
        scope = self.parent
        while scope is not None and scope.kind is Kind.CLASS and self.kind is not Kind.HEADER:
            scope = scope.parent
        return scope
