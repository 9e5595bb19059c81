"""Which kind of sandbox a program gets, decided by plain state."""

from __future__ import annotations

from typing import cast

import pytest

from code_executor.core.caller import Caller
from code_executor.core.limits import Limits
from code_executor.core.models import Execution
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.pool import Pool, PoolSize
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service.dispatcher import Dispatcher


def pool(*, idle: int = 0, busy: int = 0) -> Pool:
    made = Pool(cast("Engine", None), PoolSize(least=0))
    for number in range(idle + busy):
        made.book.arrived(Sandbox(str(number), Limits()), 0.0)
    for _ in range(busy):
        made.book.take()
    made._paused = True  # it makes none: there is no engine
    return made


def kind_for(execution: Execution, plain: Pool, loaded: Pool) -> str:
    """Return the kind that it gets at once, or else "wait for" and the kind that it waits for."""
    dispatcher = Dispatcher([plain, loaded], Limits(), preloaded={"numpy", "a.b"})
    assert dispatcher.pool is plain
    grant = dispatcher.lend_at_once(execution)
    if grant is not None:
        return {plain: "plain", loaded: "loaded"}[grant.kind.pool]
    want = dispatcher._wanted(execution)[0]
    return "wait for " + {"any": "either", "preloaded": "loaded"}[want]


@pytest.mark.parametrize("code", ["import numpy", "from numpy import array", "x = numpy.ones(3)", "# numpy", "a.b"])
def test_a_program_that_names_what_is_preloaded_gets_it(code: str) -> None:
    assert kind_for(Execution(code), pool(idle=1), pool(idle=1)) == "loaded"
    # waiting for it is cheaper than importing it
    assert kind_for(Execution(code), pool(idle=1), pool(busy=1)) == "wait for loaded"


@pytest.mark.parametrize("code", ["print(1)", "", "import numpyish", "my_numpy = 1", "axb"])
def test_any_other_program_gets_a_plain_one(code: str) -> None:
    assert kind_for(Execution(code), pool(idle=1), pool(idle=1)) == "plain"


def test_where_nothing_preloaded_is_there_yet_a_plain_one_serves() -> None:
    assert kind_for(Execution("import numpy"), pool(idle=1), pool()) == "plain"


def test_a_plain_program_takes_what_is_free_rather_than_wait() -> None:
    assert kind_for(Execution("print(1)"), pool(busy=1), pool(idle=1)) == "loaded"
    assert kind_for(Execution("print(1)"), pool(busy=1), pool(busy=1)) == "wait for either"
    assert kind_for(Execution("print(1)"), pool(), pool()) == "wait for either"


def test_a_session_gets_what_is_preloaded_and_a_check_imports_nothing() -> None:
    assert kind_for(Execution("", session=True), pool(idle=1), pool(idle=1)) == "loaded"
    assert kind_for(Execution("import numpy", check_only=True), pool(idle=1), pool(idle=1)) == "plain"


def test_where_the_plain_ones_are_kept_back_one_of_the_other_kind_serves() -> None:
    execution = Execution("print(1)", caller=Caller("a"))
    plain, loaded = pool(idle=4), pool(idle=4)
    dispatcher = Dispatcher([plain, loaded], Limits(), preloaded={"numpy"})
    grants = [dispatcher.lend_at_once(execution) for _ in range(7)]
    assert [grant.kind.pool for grant in grants if grant] == [plain] * 3 + [loaded] * 3
    assert dispatcher.lend_at_once(Execution("print(1)", caller=Caller("b")))


def test_with_one_kind_every_program_gets_it() -> None:
    only = pool(idle=1)
    dispatcher = Dispatcher([only], Limits(), preloaded={"numpy"})
    grant = dispatcher.lend_at_once(Execution("import numpy"))
    assert grant is not None
    assert grant.kind.pool is only
