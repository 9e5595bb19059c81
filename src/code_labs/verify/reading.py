"""What can be found by reading a lab: nothing is run."""

from __future__ import annotations

import ast
import io
import json
import re
import tokenize
from collections.abc import Iterator
from typing import Any

from code_labs.labs import CallTest, IoTest, Lab
from code_labs.verify.findings import Finding

_SOME = 0.6
"""Which part of the lines that a learner is to write may not stand in the starter's comments."""

_LEAST_TESTS = 3
_FORMS = re.compile(r"(?:def|class|import|from|else|try|finally|pass|@|if__name__)")
_CHANCE = {"random", "secrets", "uuid", "time", "datetime"}
_CLOCKS = {"now", "today", "utcnow", "time", "perf_counter", "monotonic", "time_ns", "uuid4", "uuid1", "urandom"}


def read(lab: Lab) -> list[Finding]:
    """Return what is wrong with a lab that has a solution and tests."""
    return [*_of_tests(lab), *_names(lab), *_given(lab), *_chance(lab)]


def functions(source: str) -> frozenset[str]:
    """Return the names of the functions and classes at the top of a program."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return frozenset(node.name for node in ast.parse(source).body if isinstance(node, kinds))


# ---- tests


def _of_tests(lab: Lab) -> Iterator[Finding]:
    tests = lab.suite.tests if lab.suite else ()
    if all(test.visibility not in ("full", "input") for test in tests):
        yield Finding("no-visible-test", "Learners see none of the tests. Show at least one.", "tests.toml")
    asks = any(isinstance(test, CallTest) or test.stdin or test.args or test.files for test in tests)
    if asks and len(tests) < _LEAST_TESTS:
        said = "one test" if len(tests) == 1 else f"{len(tests)} tests"
        yield Finding("few-tests", f"There is only {said}. Four to ten are good.", "tests.toml")
    seen: dict[str, str] = {}
    for test in tests:
        first = seen.setdefault(_asked(test), test.id)
        if first != test.id:
            yield Finding(
                "duplicate-test", f"The tests {first} and {test.id} ask the same.", f"tests.toml, test {test.id}"
            )


def _asked(test: CallTest | IoTest) -> str:
    said: dict[str, Any] = test.model_dump(mode="json")
    names = ("kind", "call", "args", "kwargs", "setup", "stdin", "files")
    return json.dumps([said.get(name) for name in names], sort_keys=True)


def _names(lab: Lab) -> Iterator[Finding]:
    """Find functions that tests call, and that learners are not told of."""
    said = f"{lab.task}\n{lab.starter}"
    told: set[str] = set()
    for test in lab.suite.tests if lab.suite else ():
        if not isinstance(test, CallTest):
            continue
        name = test.call.partition(".")[0]
        made = re.search(rf"\b{re.escape(name)}\b", test.setup)
        if name not in told and not made and not re.search(rf"\b{re.escape(name)}\b", said):
            told.add(name)
            yield Finding(
                "unstated-name",
                f"Tests call {name}, and neither the task nor the starter says that it must be called so.",
                f"tests.toml, test {test.id}",
            )


# ---- the solution, where a learner can read it


def _given(lab: Lab) -> Iterator[Finding]:
    lines = _telling(lab.solution)
    if not lines:
        return
    code = set(_telling(lab.starter))
    to_write = [line for line in lines if line not in code]
    if not to_write:
        if lab.kind in ("write", "fill", "predict"):
            yield Finding("solution-given", "The starter has every line of the solution.", "starter.py")
        return
    if lab.kind != "order" and _share(to_write, _comments(lab.starter)) >= _SOME:
        yield Finding("solution-given", "Comments or texts in the starter have the solution in them.", "starter.py")
    if lab.kind == "order" and [each for each in _comments(lab.starter) if each in lines] == lines:
        yield Finding("solution-given", "The lines to be put in order are in order already.", "starter.py")
    if lab.kind != "order" and _share(to_write, _flat(lab.task)) == 1:
        yield Finding("solution-given", "The task has the solution in it.", "task.md")
    for number, hint in enumerate(lab.hints, 1):
        if len(to_write) > 1 and _share(to_write, _flat(hint)) == 1:
            yield Finding("solution-given", f"The hint {number} has the whole solution in it.", "lab.toml, hints")
    for file in lab.files:
        if len(to_write) > 1 and _share(to_write, _flat(file.content)) == 1:
            yield Finding("solution-given", "A file that learners get has the solution in it.", f"files/{file.path}")


def _telling(source: str) -> list[str]:
    """Return the lines of a program that say how it works, as ``ast.unparse`` writes them, without spaces."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = [each for each in node.body if not _is_text(each)]
            node.body[:] = said or [ast.Pass()]
    lines = (_squeezed(line) for line in ast.unparse(tree).splitlines())
    return [line for line in lines if len(line) >= 6 and not _FORMS.match(line)]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _squeezed(line: str) -> str:
    return re.sub(r"\s+", "", line).replace('"', "'")


def _comments(source: str) -> list[str]:
    """Return the lines of the comments and of the texts that stand by themselves."""
    found: list[str] = []
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return found
    for token in tokens:
        if token.type == tokenize.COMMENT:
            found.append(_bare(token.string))
        elif token.type == tokenize.STRING and "\n" in token.string:
            found += map(_bare, token.string.splitlines())
    return found


def _bare(line: str) -> str:
    """Return a line as the unparser would write it, if it is Python, without spaces and marks of comments."""
    text = line.strip().lstrip("#>-*`").strip().rstrip("`").strip()
    for tried in (text, f"{text}\n    pass", f"if 0:\n    pass\n{text}\n    pass"):
        try:
            return _squeezed(ast.unparse(ast.parse(tried)).splitlines()[-1 if tried == text else -2])
        except (SyntaxError, ValueError, IndexError, RecursionError, MemoryError):
            continue
    return _squeezed(text)


def _flat(text: str) -> list[str]:
    return [_bare(line) for line in text.splitlines()] + [_bare(each) for each in re.findall(r"`([^`\n]+)`", text)]


def _share(lines: list[str], where: list[str]) -> float:
    return sum(line in where for line in lines) / len(lines)


# ---- chance


def _chance(lab: Lab) -> Iterator[Finding]:
    tree = ast.parse(lab.solution)
    seeded = re.search(r"\bseed\(|\bRandom\(\s*[^)\s]|default_rng\(\s*[^)\s]", lab.solution)
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = {each.name.partition(".")[0] for each in names} & {"random", "secrets", "uuid"}
            case ast.ImportFrom(module=str() as module):
                found = {module.partition(".")[0]} & {"random", "secrets", "uuid"}
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name)) if owner in _CHANCE:
                found = {f"{owner}.{name}"} if name in _CLOCKS else set()
            case _:
                continue
        if found and not seeded:
            said = f"The solution uses {min(found)}: its results may depend on chance or the time."
            yield Finding("chance", said, "solution.py")
            return
