"""Which kind of sandbox a program gets, decided by plain state."""

from __future__ import annotations

from typing import cast

import pytest

from code_executor.core.caller import Caller
from code_executor.core.limits import Limits
from code_executor.core.models import Execution, File
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.engine import Engine
from code_executor.sandbox.pool import Pool
from code_executor.sandbox.sandbox import Sandbox
from code_executor.service import dispatcher as dispatcher_module
from code_executor.service.dispatcher import Dispatcher, _Loan
from code_executor.service.fairqueue import Rules
from code_executor.service.looks import Looks


def pool(*, idle: int = 0, busy: int = 0, spare: int = 1) -> Pool:
    made = Pool(cast("Engine", None), PoolSize(least=0, spare=spare))
    for number in range(idle + busy):
        made.book.arrived(Sandbox(str(number), Limits()), 0.0)
    for _ in range(busy):
        made.book.take()
    made._paused = True  # it makes none: there is no engine
    return made


def kind_for(execution: Execution, plain: Pool, loaded: Pool) -> str:
    """Return the kind that it gets at once, or else "wait for" and the kind that it waits for."""
    dispatcher = Dispatcher([plain, loaded], Limits(), looks=Looks((("numpy", "abacus.b"),)))
    assert dispatcher.pool is plain
    grant = dispatcher.lend_at_once(execution)
    if grant is not None:
        return {plain: "plain", loaded: "loaded"}[grant.kind.pool]
    want = dispatcher._wanted(execution)[0]
    return "wait for " + {"0": "either", "1": "loaded"}[want]


@pytest.mark.parametrize(
    "code", ["import numpy", "from numpy import array", "x = numpy.ones(3)", "# numpy", "import numpyish", "abacus.c"]
)
def test_a_program_that_names_what_is_preloaded_gets_it(code: str) -> None:
    assert kind_for(Execution(code), pool(idle=1), pool(idle=1)) == "loaded"
    # waiting for it is cheaper than importing it
    assert kind_for(Execution(code), pool(idle=1), pool(busy=1)) == "wait for loaded"


@pytest.mark.parametrize("code", ["print(1)", "", "num", "abac"])
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


def test_where_the_plain_ones_are_kept_back_one_of_the_other_kind_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "_CORES", 8)
    execution = Execution("print(1)", caller=Caller("a"))
    plain, loaded = pool(idle=4, spare=2), pool(idle=4, spare=2)
    dispatcher = Dispatcher([plain, loaded], Limits(), looks=Looks((("numpy",),)))
    grants = [dispatcher.lend_at_once(execution) for _ in range(7)]
    assert [grant.kind.pool for grant in grants if grant] == [plain] * 3 + [loaded] * 3
    assert dispatcher.lend_at_once(Execution("print(1)", caller=Caller("b")))


def test_with_one_kind_every_program_gets_it() -> None:
    only = pool(idle=1)
    dispatcher = Dispatcher([only], Limits(), looks=Looks((("numpy",),)))
    grant = dispatcher.lend_at_once(Execution("import numpy"))
    assert grant is not None
    assert grant.kind.pool is only


def kinds(*idle: int, most: int = 0) -> Dispatcher:
    """A dispatcher on so many idle sandboxes of each kind, alone in its process."""
    pools = [pool(idle=number) for number in idle]
    looks = Looks((("numpy", "pandas"), ("matplotlib.pyplot",), ("sympy",)))
    return Dispatcher(pools, Limits(), rules=Rules(reserve=0), most=most, looks=looks)


def lent(dispatcher: Dispatcher, code: str) -> int | None:
    grant = dispatcher.lend_at_once(Execution(code))
    return None if grant is None else grant.kind.number


def test_a_program_gets_the_least_kind_that_has_what_it_needs_and_else_a_larger_one() -> None:
    dispatcher = kinds(1, 1, 1, 1)
    assert [lent(dispatcher, "import numpy") for _ in range(2)] == [1, 2]
    assert lent(kinds(1, 1, 1, 1), "import sympy") == 3
    assert lent(kinds(1, 1, 1), "import sympy") == 2  # what has the most of it
    assert lent(kinds(1, 1, 0, 1), "import matplotlib") == 3
    helper = File("helper.py", b"import pandas")
    grant = kinds(1, 1, 1, 1).lend_at_once(Execution("import helper", files=(helper,)))
    assert grant is not None
    assert grant.kind.number == 1


@pytest.mark.anyio
async def test_a_loan_says_which_kind_it_is_and_whether_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "_CORES", 8)
    dispatcher = kinds(1, 1, 1, 1)
    for number, one in enumerate(dispatcher.pools):
        one.name = str(number)
    loans = [_Loan(dispatcher, Execution(code)) for code in ("", "import numpy", "import numpy", "import sympy")]
    assert loans[0].kind == ("", True, "")
    for loan in loans:
        await loan.__aenter__()
    assert [loan.kind[:2] for loan in loans] == [("0", True), ("1", True), ("2", False), ("3", True)]


def test_a_session_takes_what_is_free_rather_than_wait_for_one_that_has_to_start() -> None:
    dispatcher = kinds(1, 1, 1, 1)
    grants = [dispatcher.lend_at_once(Execution("", session=True)) for _ in range(4)]
    assert [grant.kind.number for grant in grants if grant] == [2, 3, 1, 0]
    assert dispatcher._wanted(Execution("", session=True))[0] == "0"


def test_sessions_of_one_client_get_the_only_ready_sandbox_of_a_kind_but_not_the_last_plain_one() -> None:
    pools = [pool(idle=3, spare=2), *(pool(idle=1) for _ in range(3))]
    dispatcher = Dispatcher(pools, Limits(), looks=Looks((("numpy",), ("matplotlib",), ("sympy",))))
    session = Execution("", session=True, caller=Caller("a"))
    grants = [dispatcher.lend_at_once(session) for _ in range(6)]
    assert [grant.kind.number for grant in grants if grant] == [2, 3, 1, 0, 0]
    assert dispatcher.lend_at_once(Execution("", caller=Caller("b")))


def test_what_sessions_of_all_kinds_hold_is_not_counted_on() -> None:
    dispatcher = Dispatcher([pool(idle=2, spare=2), pool(idle=2)], Limits(), most=2, looks=Looks((("numpy",),)))
    session = Execution("", session=True, caller=Caller("a"))
    assert dispatcher.lend_at_once(session)  # of the second kind
    assert dispatcher.lend_at_once(Execution("", caller=Caller("a")))  # the only one that runs programs is not kept


def test_all_kinds_together_run_no_more_than_may() -> None:
    dispatcher = kinds(2, 2, 2, 2, most=3)
    assert [lent(dispatcher, code) for code in ("", "import numpy", "import sympy", "", "import numpy")] == [
        *(0, 1, 3),
        *(None, None),
    ]


def test_a_program_waits_for_its_kind_while_the_cores_are_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "_CORES", 2)
    dispatcher = kinds(1, 4, 4, 4)
    assert [lent(dispatcher, "") for _ in range(3)] == [0, 1, None]
    assert lent(dispatcher, "import sympy") == 3


@pytest.mark.anyio
async def test_what_lingers_makes_room_for_what_is_wanted_the_largest_kinds_first() -> None:
    """Two may run, and one of each kind is kept to spare: six sandboxes."""
    dispatcher = kinds(2, 2, 2, 2, most=2)
    dispatcher.pool.on_free()
    assert [one.book.total for one in dispatcher.pools] == [2, 2, 1, 1]
    lent(dispatcher, "import sympy")
    dispatcher.pool.on_free()
    assert [one.book.total for one in dispatcher.pools] == [2, 2, 1, 1]
