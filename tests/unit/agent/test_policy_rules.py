"""A policy of one's own: what a table may say, and what is said about a wrong one."""

from __future__ import annotations

import ast
import json

import pytest

from sandbox_agent.contract.policy import SourceProblem
from sandbox_agent.contract.policy.checker import check
from sandbox_agent.contract.policy.rules import OFF, STRICT, Policy


def judge(source: str, policy: Policy) -> list[SourceProblem]:
    return check(ast.parse(source), policy)


def test_a_table_extends_the_strict_policy() -> None:
    policy = Policy.from_table({"deny": {"names": {"sum": "write the loop yourself"}, "modules": ["turtle"]}})
    assert [p.message for p in judge("print(sum([1]))", policy)] == [
        "`sum` is not allowed here: write the loop yourself."
    ]
    assert [p.message for p in judge("import turtle", policy)] == [
        "`import turtle` is not allowed here: this course does not allow it."
    ]
    assert judge("import os", policy)
    assert judge("sum = 0\nfor x in range(3): sum += x\nprint(sum)", policy) == []


def test_a_table_denies_attributes_and_submodules() -> None:
    policy = Policy.from_table({"deny": {"attributes": ["sort"], "modules": ["numpy.random"]}})
    assert judge("[].sort()", policy)
    assert judge("getattr([], 'sort')", policy)
    assert judge("print('sort')", policy) == []
    assert judge("import numpy as np; np.random.rand()", policy)
    assert judge("from numpy import random", policy)
    assert judge("import numpy.random.mtrand", policy)
    assert judge("import numpy as np; np.zeros(3)", policy) == []


def test_a_table_allows_what_the_strict_policy_refuses() -> None:
    policy = Policy.from_table({"allow": ["open", "pathlib", "modules", "__mro__"]})
    for source in ("open('x')", "import io; io.open('x')", "import pathlib", "import sys; sys.modules", "A.__mro__"):
        assert judge(source, STRICT), source
        assert judge(source, policy) == [], source
    assert judge("eval('1')", policy)


def test_a_table_that_extends_nothing_refuses_only_its_own() -> None:
    policy = Policy.from_table({"extends": "off", "deny": {"modules": ["random"]}})
    assert judge("import os, sys; sys.modules; open('x')", policy) == []
    assert judge("import random", policy)


def test_an_empty_table_is_the_strict_policy() -> None:
    assert Policy.from_table({}) == STRICT
    assert Policy.from_table({"extends": "off"}) == OFF


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"extend": "strict"}, "'extend'"),
        ({"names": []}, "'names'"),
        ({"extends": "loose"}, "extends"),
        ({"extends": None}, "extends"),
        ({"extends": ["strict"]}, "extends"),
        ({"allow": "os"}, "allow"),
        ({"allow": [1]}, "allow"),
        ({"allow": [["os"]]}, "allow"),
        ({"allow": [{}]}, "allow"),
        ({"allow": ["prnt"]}, "'prnt'"),
        ({"extends": "off", "allow": ["os"]}, "'os'"),
        ({"deny": ["os"]}, "deny"),
        ({"deny": {"module": ["os"]}}, "'deny.module'"),
        ({"deny": {"modules": "os"}}, "deny.modules"),
        ({"deny": {"names": [1]}}, "deny.names"),
        ({"deny": {"attributes": {"sort": 1}}}, "deny.attributes"),
    ],
)
def test_a_wrong_table_is_an_error_that_names_the_key(table: dict[str, object], key: str) -> None:
    with pytest.raises(ValueError, match=r"^policy: ") as caught:
        Policy.from_table(table)
    assert key in str(caught.value)


@pytest.mark.parametrize(("name", "policy"), [("strict", STRICT), ("off", OFF)])
def test_a_policy_that_is_built_in_survives_its_way_into_the_sandbox(name: str, policy: Policy) -> None:
    assert Policy.from_table(json.loads(json.dumps({"extends": name}))) == policy
