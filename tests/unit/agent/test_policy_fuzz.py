"""The checker on generated programs: it never fails, and never takes the built-in name for the program's own."""

from __future__ import annotations

import ast
import contextlib
import inspect
from collections.abc import Callable

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
            "import json as name",
            "from json import loads as name, dumps",
            "raise ValueError",
            "call(see)",
            "name += 1",
            "see((name := 1), name)",
            "{1: see(name), (name := 2): see(name)}",
            "yes and (name := 1)",
            "no and (name := 1)",
            "no or not (name := 1)",
            "see(name) if (name := yes) else see(name)",
            "1 < 2 < (name := 3)",
            "1 > 2 > (name := 3)",
            "[see(name) for x in (1, 2) if (name := x)]",
            "[see(name) for x in () if (name := x)]",
            "later = (see(name) for _ in (1,))",
            "list(later)",
            "[(lambda: see(name))() for name in (1,)]",
            "match (1, 2):\n    case (1, name) if see(name) is None: see(name)",
            "match [1]:\n    case [*name]: see(name)\n    case {**name}: see(name)\n    case _: name = 1",
            "match {}:\n    case {'a': name}: pass\n    case {**name}: see(name)",
            "match 5:\n    case str() as name: see(name)\n    case name if no: see(name)",
            "match 5:\n    case [] | name: see(name)",
            "def set_it():\n    global name\n    name = 1",
            "def maybe_set():\n    global name\n    if no: return\n    name = 1",
            "def never_set():\n    global name\n    if yes: return\n    name = 1",
            "def lose_it():\n    global name\n    del name",
            "def use_it(): see(name)",
            "def through(): set_it(); use_it()",
            "def generate():\n    global name\n    name = 1\n    yield",
            "set_it()",
            "maybe_set()",
            "never_set()",
            "lose_it()",
            "use_it()",
            "through()",
            "generate()",
            "x = use_it",
            "break",
            "continue",
            "return",
            "pass",
        ]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("\n".join),
        inner.map(lambda body: f"if no:\n    {_indented(body)}"),
        inner.map(lambda body: f"if yes:\n    {_indented(body)}"),
        inner.map(lambda body: f"for name in (1,):\n    {_indented(body)}"),
        inner.map(lambda body: f"for name in ():\n    {_indented(body)}"),
        inner.map(lambda body: f"for _ in (1, 2):\n    {_indented(body)}"),
        inner.map(lambda body: f"with manager as name:\n    {_indented(body)}"),
        inner.map(lambda body: f"with manager as other, manager as name:\n    {_indented(body)}"),
        inner.map(lambda body: f"with quiet:\n    {_indented(body)}"),
        inner.map(lambda body: f"with quiet as (name, other):\n    {_indented(body)}"),
        inner.map(lambda body: f"async def g():\n    {_indented(body)}\ncall(g)"),
        st.tuples(inner, inner).map(lambda p: f"if yes:\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"),
        st.tuples(inner, inner).map(lambda p: f"if no:\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"),
        st.tuples(inner, inner).map(
            lambda p: f"while (name := tick()):\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"
        ),
        inner.map(lambda body: f"while True:\n    {_indented(body)}\n    if not tick(): break"),
        st.tuples(inner, inner).map(
            lambda p: f"for x in (1, 2):\n    {_indented(p[0])}\nelse:\n    {_indented(p[1])}"
        ),
        st.tuples(inner, inner).map(lambda p: f"try:\n    {_indented(p[0])}\nfinally:\n    {_indented(p[1])}"),
        st.tuples(inner, inner, inner, inner).map(
            lambda p: (
                f"try:\n    {_indented(p[0])}\nexcept ValueError as name:\n    {_indented(p[1])}\n"
                f"else:\n    {_indented(p[2])}\nfinally:\n    {_indented(p[3])}"
            )
        ),
        st.tuples(inner, inner).map(
            lambda p: f"try:\n    {_indented(p[0])}\nexcept* ValueError as name:\n    {_indented(p[1])}"
        ),
        inner.map(lambda body: f"def g():\n    {_indented(body)}\ng()"),
        inner.map(lambda body: f"def g(name):\n    {_indented(body)}\ng(1)"),
        inner.map(lambda body: f"class C:\n    {_indented(body)}"),
        st.tuples(inner, inner).map(
            lambda p: f"try:\n    {_indented(p[0])}\nexcept Exception as name:\n    {_indented(p[1])}"
        ),
        st.tuples(inner, inner).map(lambda p: f"try:\n    {_indented(p[0])}\nexcept Exception:\n    {_indented(p[1])}"),
    ),
    max_leaves=8,
)


class _Manager:
    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet

    def __enter__(self) -> int:
        return 1

    def __exit__(self, *_: object) -> bool:
        return self._quiet


class _Stop(BaseException):
    """No program of these catches it."""


def _call(f: Callable[..., object]) -> Callable[..., object]:
    if f.__code__.co_argcount == 0:
        made = f()
        if inspect.iscoroutine(made):
            made.send(None)
    return f


@pytest.mark.fuzz
@given(BLOCKS)
def test_a_program_with_no_problem_never_reaches_the_built_in_name(source: str) -> None:
    try:
        code = compile(source, "main.py", "exec")
    except SyntaxError:
        return
    if check(ast.parse(source), Policy(names={"name": "no"})):
        return
    built_in = object()
    seen: list[object] = []
    left = iter(range(30))  # turns of all loops together

    def tick() -> bool:
        turn = next(left, None)
        if turn is None:
            raise _Stop
        return turn % 3 != 0

    def see(value: object) -> None:
        tick()
        seen.append(value)

    builtins = {**vars(__import__("builtins")), "name": built_in, "see": see, "yes": True, "no": False}
    builtins |= {"manager": _Manager(quiet=False), "quiet": _Manager(quiet=True), "call": _call, "tick": tick}
    with contextlib.suppress(Exception, _Stop):  # many of these programs are wrong; what they have seen counts
        exec(code, {"__builtins__": builtins, "__name__": "main"})
    assert built_in not in seen
