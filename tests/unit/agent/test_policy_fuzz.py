"""The checker on generated programs: it never fails, and never takes the built-in name for the program's own."""

from __future__ import annotations

import ast
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_agent.contract.policy.checker import check
from sandbox_agent.contract.policy.rules import STRICT, Policy

WORDS = st.sampled_from(
    [
        "x",
        "open",
        "eval",
        "os",
        "sys",
        "modules",
        "__globals__",
        "__builtins__",
        "getattr",
        "vars",
        "get",
        "random",
        "_os",
    ]
)
TEXTS = st.one_of(WORDS, st.text(max_size=20), WORDS.map("{{0.{}}}".format), st.just("{}"))
EXPRESSIONS = st.recursive(
    st.one_of(WORDS, TEXTS.map(repr), st.integers(0, 9).map(str)),
    lambda inner: st.one_of(
        st.tuples(inner, WORDS).map(lambda p: f"({p[0]}).{p[1]}"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]})({p[1]}, *{p[1]}, **{p[1]})"),
        st.tuples(WORDS, inner, TEXTS).map(lambda p: f"{p[0]}({p[1]}, {p[2]!r})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]})[{p[1]}]"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]}) + ({p[1]})"),
        st.tuples(WORDS, inner).map(lambda p: f"(lambda {p[0]}={p[1]}: {p[1]})"),
        st.tuples(inner, WORDS, inner).map(lambda p: f"[{p[0]} for {p[1]} in {p[2]} if {p[0]}]"),
        st.tuples(inner, WORDS, inner).map(lambda p: f"{{{p[0]}: {p[2]} for {p[1]} in {p[2]}}}"),
        inner.map(lambda e: f"f'{{{{}}}}{{({e})!r:>{{x}}}}'" if "'" not in e and "\\" not in e else e),
        inner.map(lambda e: f"(x := {e})"),
    ),
    max_leaves=12,
)


def _indented(body: str) -> str:
    return body.replace("\n", "\n    ")


STATEMENTS = st.recursive(
    st.one_of(
        EXPRESSIONS,
        st.tuples(WORDS, EXPRESSIONS).map(lambda p: f"{p[0]} = {p[1]}"),
        st.tuples(WORDS, EXPRESSIONS).map(lambda p: f"{p[0]}: {p[1]}"),
        st.tuples(WORDS, WORDS).map(lambda p: f"import {p[0]}.{p[1]}, {p[1]} as {p[0]}"),
        st.tuples(WORDS, WORDS).map(lambda p: f"from {p[0]} import {p[1]}, {p[0]} as {p[1]}"),
        st.tuples(WORDS, WORDS).map(lambda p: f"from .{p[0]} import {p[1]}"),
        st.just("from sys import *"),
        WORDS.map("del {}".format),
        WORDS.map("global {}".format),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("\n".join),
        st.tuples(WORDS, EXPRESSIONS, inner).map(lambda p: f"for {p[0]} in {p[1]}:\n    {_indented(p[2])}"),
        st.tuples(EXPRESSIONS, WORDS, inner).map(lambda p: f"with {p[0]} as {p[1]}:\n    {_indented(p[2])}"),
        st.tuples(WORDS, WORDS, EXPRESSIONS, inner).map(
            lambda p: f"@{p[1]}\ndef {p[0]}(a: {p[2]} = {p[2]}, /, *{p[1]}) -> x:\n    {_indented(p[3])}"
        ),
        st.tuples(WORDS, EXPRESSIONS, inner).map(lambda p: f"class {p[0]}({p[1]}):\n    {_indented(p[2])}"),
        st.tuples(inner, WORDS, inner).map(
            lambda p: f"try:\n    {_indented(p[0])}\nexcept x as {p[1]}:\n    {_indented(p[2])}"
        ),
        st.tuples(EXPRESSIONS, WORDS, inner).map(
            lambda p: (
                f"match {p[0]}:\n    case x({p[1]}=y) | {{'{p[1]}': y}} | [y, *{p[1]}]:\n        "
                + _indented(_indented(p[2]))
            )
        ),
    ),
    max_leaves=6,
)


@pytest.mark.fuzz
@given(STATEMENTS)
def test_any_program_is_judged_without_an_error(source: str) -> None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    problems = check(tree, STRICT)
    assert problems == sorted(set(problems))
    lines_ = source.count("\n") + 1
    assert all(1 <= problem.line <= lines_ and problem.column >= 1 for problem in problems)


@pytest.mark.fuzz
@given(st.text())
def test_any_text_that_parses_is_judged_without_an_error(source: str) -> None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    check(tree, STRICT)


# ---- whose name is it? Python itself is the judge

BLOCKS = st.recursive(
    st.sampled_from(
        [
            "see(name)",
            "see(name)",
            "name = 1",
            "name, other = 1, 2",
            "name: int",
            "name: int = 1",
            "name += 1",
            "del name",
            "global name",
            "nonlocal name",
            "def name(x=None): return x",
            "def name(): see(name)\nname()",
            "@call\ndef name(): see(name)",
            "def f(name=1): see(name)\nf()",
            "def f(x=name): see(x)\nf()",
            "class name: pass",
            "class A: name = 1; see(name)",
            "class A:\n    see(name)\n    name = 1",
            "class A:\n    name = 1\n    def f(self): see(name)\nA().f()",
            "(lambda name: see(name))(1)",
            "(lambda: see(name))()",
            "[see(name) for name in (1, 2)]",
            "[see(x) for name in (1,) for x in (name,)]",
            "[see(x) for x in (name,) for name in (1,)]",
            "{see(name): name for x in (1,) for name in (x,) if see(name)}",
            "[name for name in (see(name),)]",
            "[see(name) for x in (1, 2) if (name := x)]",
            "import json as name",
            "from json import loads as name, dumps",
            "see((name := 1), name)",
            "yes and (name := 1)",
            "no and (name := 1)",
            "later = (see(name) for _ in (1,))",
            "list(later)",
            "match (1, 2):\n    case (1, name) if see(name) is None: see(name)",
            "match [1]:\n    case [*name]: see(name)\n    case {**name}: see(name)",
            "match {'a': 1}:\n    case {'a': name}: see(name)",
            "match 5:\n    case str() as name: see(name)\n    case name if no: see(name)",
            "def set_it():\n    global name\n    name = 1",
            "def lose_it():\n    global name\n    del name",
            "def use_it(): see(name)",
            "set_it()",
            "lose_it()",
            "use_it()",
            "raise ValueError",
            "call(see)",
            "break",
            "continue",
            "return",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("\n".join),
        st.tuples(inner, inner).map(lambda p: f"if yes:\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"),
        st.tuples(inner, inner).map(lambda p: f"if no:\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"),
        inner.map(lambda body: f"for name in (1, 2):\n    {_indented(body)}"),
        inner.map(lambda body: f"for _ in (1, 2):\n    {_indented(body)}"),
        st.tuples(inner, inner).map(
            lambda p: f"while (name := tick()):\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"
        ),
        inner.map(lambda body: f"while tick():\n    {_indented(body)}"),
        inner.map(lambda body: f"with quiet as name:\n    {_indented(body)}"),
        inner.map(lambda body: f"with quiet:\n    {_indented(body)}"),
        inner.map(lambda body: f"def g():\n    {_indented(body)}\ng()"),
        inner.map(lambda body: f"def g(name):\n    {_indented(body)}\ng(1)"),
        inner.map(lambda body: f"class C:\n    {_indented(body)}"),
        st.tuples(inner, inner, inner, inner).map(
            lambda p: (
                f"try:\n    {_indented(p[0])}\nexcept ValueError as name:\n    {_indented(p[1])}\n"
                f"else:\n    {_indented(p[2])}\nfinally:\n    {_indented(p[3])}"
            )
        ),
        st.tuples(inner, inner).map(
            lambda p: f"try:\n    {_indented(p[0])}\nexcept Exception as name:\n    {_indented(p[1])}"
        ),
    ),
    max_leaves=8,
)


class _Quiet:
    def __enter__(self) -> int:
        return 1

    def __exit__(self, *_: object) -> bool:
        return True


class _Stop(BaseException):
    """No program of these catches it."""


class _Look(ast.NodeTransformer):
    """Lets a program say, at each use of the name, what it found there."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id != "name" or not isinstance(node.ctx, ast.Load):
            return node
        place = [ast.Constant(node.lineno), ast.Constant(node.col_offset + 1)]
        return ast.copy_location(ast.Call(ast.Name("look", ast.Load()), [node, *place], []), node)


@pytest.mark.fuzz
@given(BLOCKS)
def test_a_use_that_finds_something_of_the_programs_own_is_not_refused(source: str) -> None:
    try:
        compile(source, "main.py", "exec")
    except SyntaxError:
        return
    refused = {(problem.line, problem.column) for problem in check(ast.parse(source), Policy(names={"name": "no"}))}
    built_in = object()
    wrong: list[tuple[int, int]] = []
    left = iter(range(60))  # turns of all loops and uses together

    def tick() -> bool:
        turn = next(left, None)
        if turn is None:
            raise _Stop
        return turn % 3 != 0

    def look(value: object, line: int, column: int) -> object:
        tick()
        if value is not built_in and (line, column) in refused:
            wrong.append((line, column))
        return value

    builtins = {**vars(__import__("builtins")), "name": built_in, "see": lambda *_: None, "look": look, "tick": tick}
    builtins |= {"yes": True, "no": False, "quiet": _Quiet(), "call": lambda f: (f(), f)[1]}
    tree = ast.fix_missing_locations(_Look().visit(ast.parse(source)))
    with contextlib.suppress(Exception, _Stop):  # many of these programs are wrong; what they have found counts
        exec(compile(tree, "main.py", "exec"), {"__builtins__": builtins, "__name__": "main"})
    assert wrong == []
