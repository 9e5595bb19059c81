"""The policy refuses the core of its list and every other way to it, and leaves ordinary programs alone."""

from __future__ import annotations

import ast
import json
import sysconfig
import tokenize
from pathlib import Path

import pytest

from sandbox_agent.contract.policy import SourceProblem
from sandbox_agent.contract.policy.checker import MAX_MESSAGE, MAX_PROBLEMS, check
from sandbox_agent.contract.policy.rules import OFF, STRICT, Policy


def judge(source: str, policy: Policy = STRICT) -> list[SourceProblem]:
    return check(ast.parse(source), policy)


def places(source: str, policy: Policy = STRICT) -> list[tuple[int, int]]:
    return [(problem.line, problem.column) for problem in judge(source, policy)]


REFUSED = {
    "the core of the list": r"""
        import os
        import subprocess
        eval("1")
        exec("1")
        compile("1", "", "exec")
        open("/etc/passwd")
        __import__("os")
    """,
    "the same, imported in another way": r"""
        import os as harmless
        import os.path
        import json, os
        from os import system
        from os.path import join
        from subprocess import *
        from os import path as p
        import importlib
        import importlib.util
        from importlib import import_module
        import posix
        import pty
        import ctypes
        import ctypes.util
        import builtins
        import runpy
        import pkgutil
        import pydoc
        import shutil
        import pathlib
        from pathlib import Path
        import _io
        import pickle
        import marshal
        import code
        import sandbox_agent.child.life
        from . import os
    """,
    "built-ins without their names": r"""
        __builtins__.open
        __builtins__["eval"]
        getattr(__builtins__, "exec")
        vars(__builtins__)
        globals()["__builtins__"]
        globals().get("__builtins__")
        vars()["__import__"]
        print.__self__.open("x")
        f = open
        list(map(eval, ["1"]))
        {"run": exec}
        lambda: open
        [open][0]("x")
        print(open)
        (o := open)
        match globals():\n    case {"__builtins__": b}: b
        import sys; sys.breakpointhook()
        breakpoint()
    """,
    "the import system without its names": r"""
        import sys; sys.modules["os"]
        import sys as s; s.modules
        import sys; m = sys.modules
        from sys import modules
        from sys import *
        import sys; getattr(sys, "modules")
        import sys; getattr(sys, "mod" + "ules")
        import sys; sys.__dict__["modules"]
        import sys; vars(sys)["modules"]
        import sys; vars(sys).get("modules")
        import sys; sys.__getattribute__("modules")
        import sys; object.__getattribute__(sys, "modules")
        import sys; other = sys; other.modules
        import sys\nmatch sys:\n    case object(modules=m): m
        import sys; sys.meta_path
        __loader__.load_module("os")
        __spec__.loader
        import json; json.__loader__
        import json; json.__spec__.loader
    """,
    "refused modules that another module has imported": r"""
        import random; random._os.system("id")
        from random import _os
        from random import _os as harmless
        import random; r = random; r._os
        import random; getattr(random, "_os")
        import random; random.__dict__["_os"]
        import multiprocessing; multiprocessing.os
        import multiprocessing.util; multiprocessing.util.os
        import multiprocessing.util as u; u.os
        from multiprocessing import util; util.os
        from multiprocessing.util import os
        import asyncio; asyncio.subprocess
        from asyncio import subprocess
        import asyncio.subprocess
        import asyncio; asyncio.create_subprocess_shell("id")
        from asyncio import create_subprocess_exec
        import numpy as np; np.ctypeslib.ctypes
        import pandas as pd; pd.io.common.os
        import logging; logging.sys.modules
        import logging; logging.io.open("x")
        import glob; glob.os
        import zipfile; zipfile.shutil
        import inspect; inspect.importlib
        import inspect; inspect.builtins
    """,
    "files by another name": r"""
        import io; io.open("x")
        import io; io.FileIO("x")
        from io import open
        from io import open as read
        import codecs; codecs.open("x")
        import tokenize; tokenize.open("x")
        from bz2 import _builtin_open
        import tarfile; tarfile.bltn_open
        import tempfile
        import mmap
    """,
    "walks through objects": r"""
        ().__class__.__bases__
        ().__class__.__base__
        ().__class__.__mro__[1]
        object.__subclasses__()
        type.__subclasses__(object)
        (lambda: 0).__globals__
        (lambda: 0).__code__
        (lambda: 0).__closure__
        print.__self__
        f.__wrapped__
        obj.__reduce_ex__(2)
        obj.__init__.__globals__["sys"]
        getattr(f, "__globals__")
        getattr(f, "__glo" "bals__")
        getattr(f, "__glo" + "bals__")
        getattr(f, "__g" + "lo" + "bals" + "__")
        setattr(f, "__code__", g)
        name = "__globals__"; getattr(f, name)
        import functools; functools.reduce(getattr, ["__class__", "__mro__"], f)
        import operator; operator.attrgetter("__globals__")
        import operator; operator.attrgetter("__init__.__globals__")
        from operator import methodcaller; methodcaller("__subclasses__")
        type(f).__dict__["__globals__"]
        import inspect; inspect.getattr_static(f, "__globals__")
        match f:\n    case object(__globals__=g): g
        match f:\n    case [object(__globals__=g), *_]: g
    """,
    "format strings that read attributes": r"""
        "{0.__globals__}".format(f)
        "{0.__init__.__globals__}".format(f)
        "{0.__init__.__globals__[sys]}".format(f)
        "{x[0].__globals__}".format(x=[f])
        "{} and {0.__globals__}".format(f)
        "{0.__glo" "bals__}".format(f)
        ("{0.__glo" + "bals__}").format(f)
        f"{{0.__globals__}}".format(f)
        f"{f.__globals__}"
        import string; string.Formatter().get_field("0.__globals__", [f], {})
        "{:{0.__globals__}}".format(f)
    """,
    "frames": r"""
        import sys; sys._getframe()
        from sys import _getframe
        import inspect; inspect.currentframe()
        import inspect; inspect.stack()
        import inspect; inspect.getclosurevars(f)
        error.__traceback__.tb_frame
        frame.f_globals
        frame.f_back
        (x for x in ()).gi_frame
        coroutine.cr_frame
        import sys; sys.settrace(f)
        import gc; gc.get_objects()
        import types; types.FunctionType(c, {})
    """,
}

ALLOWED = {
    "variables": r"""
        open, high, low, close = 1, 2, 3, 4; print(open + close)
        open = 5; print(open)
        open = 5; open += 1; print(open)
        open: float = 1.5; print(open)
        def f(open, close): return close - open
        def f(*, open=1): return open
        def f(*open): return open
        for date, open in rows: print(date, open)
        for open in rows:\n    if open > 1: print(open)
        with lock as open: print(open)
        print([open for open in rows if open > 1])
        print({open: close for open, close in rows})
        print(sum(open for day in days for open in day if open))
        key = lambda open: open + 1
        compile = True\ndef f():\n    return compile
        if x:\n    eval = 1\n    print(eval)
    """,
    "functions and methods": r"""
        def eval(tree): return tree if isinstance(tree, int) else eval(tree[0]) + eval(tree[1])\nprint(eval((1, 2)))
        def compile(text): return text.split()\nprint(compile("a b"))
        class Account:\n    def open(self): self.is_open = True\n    def exec(self): pass\nAccount().open()
        class Shop:\n    @property\n    def open(self): return 1\n    @open.setter\n    def open(self, value): pass
        class Bar:\n    open: float\n    close: float\nfor open, close in rows: print(Bar(open, close).open)
        class Bar:\n    def __init__(self, open): self.open = open
        class Machine:\n    def __init__(self): self.modules, self.code, self.os, self.trace = [], 1, "Linux", []
        self.modules.append(1); self.os.name; self.code; self.trace()
        class Base: pass\nclass Child(Base): pass\nprint(Child.mro(), Child.__name__, Child().__class__.__name__)
        class P:\n    def __reduce__(self): return (P, ())\n    def __getattr__(self, name): return name
        class P:\n    def __getattribute__(self, name): return super().__getattribute__(name)
        async def exec(): return 1\nasync def main(): return await exec()
        def outer(open):\n    def inner(): return open\n    return inner()
    """,
    "what is called like something refused": r"""
        import re; re.compile("a+")
        from re import compile; compile("a+")
        import numpy as np; np.trace(np.eye(2))
        from numpy import trace; trace([[1]])
        import pandas as pd; df = pd.DataFrame(); df.eval("a + b"); df.query("a > 1"); df.open
        from operator import attrgetter; sorted(rows, key=attrgetter("open"))
        import operator; operator.methodcaller("compile")
        getattr(door, "open"); hasattr(door, "open"); setattr(door, "open", True)
        self.__dict__["open"] = 1; vars(self)["code"]
        menu = {"open": 1, "os": 2, "exec": 3}; menu["open"]; menu.get("os")
        print("os", "eval", "import os", "sys.modules", "__main__")
        match command.split():\n    case ["open", name]: print(name)
        match shape:\n    case Point(x=0): print("origin")
        import ast; ast.literal_eval("[1]")
        print(f"{open_price:.2f} {row['os']}")
        "{0.name} {row[os]} {}".format(x)
        help(print); exit(); quit()
    """,
    "the language": r"""
        import sys; print(sys.argv, sys.version_info, sys.maxsize); sys.stdout.write("x"); sys.exit(1)
        print(__name__, __doc__)\nif __name__ == "__main__": print(1)
        globals()["x"] = 1; print(locals(), dir(x), vars(x))
        try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    print(error.__traceback__, error.args)
        raise ValueError("x") from None
        import traceback; traceback.print_exc()
        f.__name__, f.__doc__, f.__defaults__, f.__annotations__, f.__module__, x.__dict__, x.__class__
        type("Point", (), {"x": 1})
        from __future__ import annotations
        import types; types.SimpleNamespace(a=1)
        import inspect; inspect.signature(f); inspect.getsource(f)
        import gc; gc.collect()
        import io; io.StringIO("x"); io.BytesIO(b"x")
        import codecs; codecs.encode("x", "rot13")
        global_ = 1
    """,
    "the library": r"""
        import math, random, statistics, decimal, fractions, itertools, functools, collections, heapq, bisect, string
        import datetime, time, calendar, json, csv, re, textwrap, copy, enum, typing, dataclasses, abc, contextlib
        import threading, asyncio, queue, concurrent.futures, multiprocessing, unittest, doctest, logging, timeit
        import sqlite3; sqlite3.connect(":memory:")
        import zlib, hashlib, base64, secrets, uuid, struct, array, operator, pprint, difflib, unicodedata, zipfile
        from collections import Counter, defaultdict, deque, namedtuple
        from concurrent.futures import ThreadPoolExecutor
        import asyncio; asyncio.run(main())
        import random; random.seed(1); random.choice([1]); random.Random(1)
        import multiprocessing as mp; mp.Process(target=f).start()
        import xml.etree.ElementTree as ET; ET.fromstring("<a/>")
        import urllib.parse; urllib.parse.quote("x")
    """,
    "numpy, pandas, matplotlib, scipy, sympy": r"""
        import numpy as np; np.linalg.solve(np.eye(2), np.ones(2)); np.random.default_rng(0); np.load
        import pandas as pd; pd.read_csv("x.csv").groupby("a").agg("sum").plot(); pd.api.types.is_numeric_dtype(x)
        import matplotlib; matplotlib.use("agg")
        import matplotlib.pyplot as plt; plt.plot([1], [2]); plt.savefig("x.png"); plt.show()
        from scipy import optimize, stats; optimize.minimize(f, 0); stats.norm.pdf(0)
        import scipy.io; scipy.io.loadmat
        from sympy import symbols, solve, Interval; Interval.open(0, 1)
        from sympy import *; x = symbols("x"); solve(x**2 - 1, x)
    """,
}


def lines(table: dict[str, str]) -> list[object]:
    return [
        pytest.param(line.strip().replace("\\n", "\n"), id=f"{group}: {line.strip()}")
        for group, text in table.items()
        for line in text.strip().splitlines()
    ]


@pytest.mark.parametrize("source", lines(REFUSED))
def test_a_door_to_the_system_is_refused(source: str) -> None:
    problems = judge(source)
    assert problems
    for problem in problems:
        assert " is not allowed here: " in problem.message
        assert problem.message.endswith(".")
        assert len(problem.message) > len(" is not allowed here: .") + 20  # it says what, and why


@pytest.mark.parametrize("source", lines(ALLOWED))
def test_an_ordinary_program_is_not_refused(source: str) -> None:
    assert judge(source) == []


@pytest.mark.parametrize("source", lines(REFUSED | ALLOWED))
def test_no_policy_refuses_nothing(source: str) -> None:
    assert judge(source, OFF) == []


def test_everything_is_named_at_once_with_its_place() -> None:
    source = 'x = 1\nimport os\nif x:\n    y = eval("2") + open("f")\nimport json, subprocess\nprint(x.__globals__)\n'
    assert judge(source) == [
        SourceProblem(2, 8, "`import os` is not allowed here: " + STRICT.modules["os"] + "."),
        SourceProblem(4, 9, "`eval` is not allowed here: " + STRICT.names["eval"] + "."),
        SourceProblem(4, 21, "`open` is not allowed here: " + STRICT.names["open"] + "."),
        SourceProblem(5, 14, "`import subprocess` is not allowed here: " + STRICT.modules["subprocess"] + "."),
        SourceProblem(6, 7, "`.__globals__` is not allowed here: " + STRICT.attributes["__globals__"] + "."),
    ]


def test_problems_come_in_the_order_of_the_source_wherever_they_are_nested() -> None:
    source = "def f(a=open):\n    class C(eval):\n        x = lambda: exec\n    return compile\nprint(open)"
    assert places(source) == [(1, 9), (2, 13), (3, 21), (4, 12), (5, 7)]


def test_one_mistake_is_one_problem() -> None:
    assert len(judge('getattr(f, "__globals__")')) == 1
    assert len(judge("import os, os.path")) == 2
    assert len(judge("import random\nrandom._os.path.join(1)")) == 1
    assert len(judge("import subprocess\nsubprocess.os.getcwd()")) == 1


def test_no_more_problems_are_named_than_anybody_reads() -> None:
    problems = judge("open\n" * (MAX_PROBLEMS + 10))
    assert [problem.line for problem in problems] == list(range(1, MAX_PROBLEMS + 1))


def test_a_message_does_not_grow_with_what_it_quotes() -> None:
    (problem,) = judge("import os." + "a" * 100_000)
    assert len(problem.message) <= MAX_MESSAGE + 1


# ---- whatever the source is

HOSTILE = {
    "parentheses": "(" * 90 + ")" * 90,
    "attributes": "a" + ".os" * 900,
    "attributes of a module": "import a\na" + ".os" * 900,
    "calls": "f" + "()" * 900,
    "sums of texts": "'a'" + " + '__globals__'" * 900,
    "one long text": repr("{a.b[c" * 50_000),
    "one long path": repr("._" * 50_000),
    "one long name": "a" * 200_000,
    "braces": repr("{" * 100_000),
    "many problems": "open\n" * 20_000,
    "many names of one's own": "open = 1\n" + "open\n" * 20_000,
    "deep blocks": "".join(" " * n + "if open:\n" for n in range(90)) + " " * 90 + "open = 1",
    "deep functions": "".join(" " * n + "def open(open):\n" for n in range(90)) + " " * 90 + "open",
    "deep lambdas": "lambda open: " * 90 + "open",
    "deep scopes with many uses": "open = 1\n" + "lambda: " * 90 + "[" + "open, " * 20_000 + "]",
    "loops in loops": "".join(" " * n + "for open in open:\n" for n in range(90)) + " " * 90 + "open, " * 20_000,
    "many ways": "if x: open = 1\n" * 20_000 + "open",
    "deep comprehensions": "[" * 20 + "open" + " for open in x]" * 20,
    "many imports": "".join(f"import m{n} as x{n}\nx{n}.os\n" for n in range(5000)),
    "surrogates": "'\\ud800' + x.__globals__",
    "identifiers that Python normalises": "\uff4f\uff50\uff45\uff4e('x')",
    "nothing": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_source_is_judged_in_a_bounded_report(name: str) -> None:
    problems = judge(HOSTILE[name])
    assert problems == sorted(problems)
    assert len(problems) <= MAX_PROBLEMS
    assert len(json.dumps(problems)) < 1 << 18


def test_a_compatibility_form_of_a_name_is_that_name() -> None:
    assert places(HOSTILE["identifiers that Python normalises"]) == [(1, 1)]


def test_a_tree_deeper_than_the_stack_is_judged() -> None:
    tree: ast.expr = ast.Name("open", ast.Load(), lineno=1, col_offset=0)
    for _ in range(200_000):
        tree = ast.UnaryOp(ast.Not(), tree)
    (problem,) = check(tree, STRICT)
    assert problem.message.startswith("`open`")
    while isinstance(tree, ast.UnaryOp):  # Python frees it level by level too, on the C stack
        tree = tree.operand


def test_the_standard_library_is_judged_without_an_error() -> None:
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::4]
    assert len(sources) > 30
    for path in sources:
        with tokenize.open(path) as file:
            assert judge(file.read(), OFF) == []
            file.seek(0)
            check(ast.parse(file.read()), STRICT)
