"""Which kind of sandbox a program gets, decided by plain state."""

from __future__ import annotations

from typing import cast

import pytest

from code_executor.core.limits import Limits
from code_executor.core.models import Execution
from code_executor.execution.executor import PoolExecutor
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.pool import Pool, PoolSize
from code_executor.sandbox.sandbox import Sandbox


def pool(*, idle: int = 0, busy: int = 0) -> Pool:
    made = Pool(cast("Engine", None), PoolSize())
    for number in range(idle + busy):
        made.book.arrived(Sandbox(str(number), Limits()), 0.0)
    for _ in range(busy):
        made.book.take()
    return made


def kind_for(code: str, plain: Pool, loaded: Pool) -> str:
    executor = PoolExecutor([plain, loaded], Limits(), preloaded={"numpy", "a.b"})
    assert executor.pool is plain
    return {plain: "plain", loaded: "loaded"}[executor._pool_for(Execution(code))]


@pytest.mark.parametrize("code", ["import numpy", "from numpy import array", "x = numpy.ones(3)", "# numpy", "a.b"])
def test_a_program_that_names_what_is_preloaded_gets_it(code: str) -> None:
    assert kind_for(code, pool(idle=1), pool(idle=1)) == "loaded"
    assert kind_for(code, pool(idle=1), pool(busy=1)) == "loaded"  # waiting for it is cheaper than importing it


@pytest.mark.parametrize("code", ["print(1)", "", "import numpyish", "my_numpy = 1", "axb"])
def test_any_other_program_gets_a_plain_one(code: str) -> None:
    assert kind_for(code, pool(idle=1), pool(idle=1)) == "plain"


def test_where_nothing_preloaded_is_there_yet_a_plain_one_serves() -> None:
    assert kind_for("import numpy", pool(idle=1), pool()) == "plain"


def test_a_plain_program_takes_what_is_free_rather_than_wait() -> None:
    assert kind_for("print(1)", pool(busy=1), pool(idle=1)) == "loaded"
    assert kind_for("print(1)", pool(busy=1), pool(busy=1)) == "plain"
    assert kind_for("print(1)", pool(), pool()) == "plain"


def test_with_one_kind_every_program_gets_it() -> None:
    only = pool()
    executor = PoolExecutor([only], Limits(), preloaded={"numpy"})
    assert executor._pool_for(Execution("import numpy")) is only
