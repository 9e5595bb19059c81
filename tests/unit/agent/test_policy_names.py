"""A name is the program's own if the program binds it, and the built-in one otherwise."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from sandbox_agent.contract.policy.rules import STRICT
from tests.unit.agent.test_policy import judge, lines

ITS_OWN = r"""
    open = eval = 3; print(open, eval)
    [open, [eval, *exec]] = x; print(open, eval, exec)
    open: int = 5; print(open)
    def f():\n    open: int\n    open = 1\n    return open
    open = [1]\nopen += [2]\nopen[0]
    open = 1\ndel open
    def f():\n    open = 1\n    del open\n    return open
    try: 1/0\nexcept ZeroDivisionError as open: print(open)
    try: f()\nexcept* E as open: print(open)
    open = 1\ntry: f()\nexcept E as open: pass\nprint(open)
    try:\n    open = 1\nexcept E:\n    open = 2\nfinally:\n    print(open)\nprint(open)
    try:\n    open = 1\n    f()\n    del open\nexcept E: print(open)
    while True:\n    try:\n        open = 1\n        break\n    except E: pass\nprint(open)
    def f():\n    global open\n    open = 1\nf(); print(open)
    def f():\n    global open\n    open = 1\ndef g(): return open
    class A:\n    global open\n    open = 1\nprint(open)
    def f():\n    def g():\n        nonlocal open\n        open = 2\n    open = 1\n    g(); return open
    with a as open: pass\nprint(open)
    with a as (open, *b), b as eval: print(open, eval)
    async def f():\n    async with a as open: pass\n    async for eval in b: pass\n    return open, eval
    for i, (open, *eval) in x: pass\nprint(open, eval)
    for open in y:\n    pass\nelse:\n    print(open)
    for i in x:\n    if i: print(open)\n    open = i
    match x:\n    case [open, *eval]: print(open, eval)\n    case {"a": open, **exec}: print(exec, open)
    match x:\n    case str() as open if open: print(open)
    match x:\n    case open: print(open)
    match x:\n    case P(a=open) | Q(open): print(open)\nprint(open)
    if (open := 5) > 3: print(open)
    while (open := f()): print(open)
    print([open for x in y if (open := x)], open)
    {open: eval for open, eval in x}; {open for open in x}; [open async for open in x]; (open for (open, *y) in x)
    import json as open; print(open)
    from json import loads as eval, dumps as exec; print(eval, exec)
    class open: pass\nopen()
    async def open(): pass\nopen()
    @cache\ndef eval(n): return eval(n - 1) if n else 0
    def f(a, open, /, *eval, exec=1, **compile): return open, eval, exec, compile
    lambda a, open, /, *eval, exec=1, **compile: (open, eval, exec, compile)
    if x:\n    open = 1\nelse:\n    open = 2\nprint(open)
    def f(): return open\nopen = 1\nf()
    def f():\n    for open in x: pass\n    class A:\n        def g(self): return open\n    return lambda: open
    class A:\n    open = 1\n    x = open
"""

ITS_OWN_TYPES = r"""
    type open = int\nx: open
    type A[open] = list[open]
    def f[open](x: open) -> open: return open
    class A[open](B[open]):\n    x: open
    class A[*open, **eval]: x: open[eval]
    class A:\n    open = int\n    def f[T](x: open): pass
"""


@pytest.mark.parametrize("source", lines({"its own": ITS_OWN}))
def test_a_name_is_the_programs_own_whatever_binds_it(source: str) -> None:
    assert judge(source) == []


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")
@pytest.mark.parametrize("source", lines({"types": ITS_OWN_TYPES}))
def test_a_name_is_the_programs_own_that_a_type_parameter_or_alias_binds(source: str) -> None:
    assert judge(source) == []


def test_a_name_that_an_earlier_cell_made_is_the_programs_own() -> None:
    assert judge("open(1)", replace(STRICT, own=["open"])) == []
    (problem,) = judge("def f(): return open(1), eval(1)", replace(STRICT, own=["open"]))
    assert problem.message.startswith("`eval`")


NOT_ITS_OWN = [
    "try: f()\nexcept E as open: pass\nopen('x')",
    "if x:\n    open = 1\nelse:\n    open('x')",
    "open('x')\ndef f():\n    global open\n    open = 1",
    "(open := open('x'))",
    "match open:\n    case open: pass",
    "import os.open",
    "lambda open: 1\nopen",
    "[open for open in x]\nopen",
    "open += 1\nx = open\ndel open\nopen",
    "print(open); open = 1",
    "open = open",
    "open = [open]",
    "def open(x=open): pass",
    "@open\ndef f(): pass",
    "class open(open): pass",
    "for open in open('x'): pass",
    "open = 1\ndel open\nopen('x')",
    "def f(open):\n    def g():\n        global open\n        return open",
    "class A:\n    open = 1\n    def f(self): return open('x')",
    "class A:\n    def open(self): return open('x')",
    "def f():\n    open = 1\n    class A:\n        x = open\n        open = 2",  # looks past the function
    "def f(x=open('x')): open = 1",
    "[f for open in [open('x')] for f in open]",
    "lambda open=open: open",
    "with open('x') as open: pass",
    "open: float\nopen('x')",
    "def f():\n    open = 1\nopen('x')",
    "__builtins__ = 1",
    "def f(__import__): __import__ = 1\n__import__('os')",
]


@pytest.mark.parametrize("source", NOT_ITS_OWN)
def test_a_name_that_is_still_the_built_in_one_is_refused(source: str) -> None:
    assert judge(source)
