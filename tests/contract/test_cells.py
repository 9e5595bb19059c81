"""What a cell is and answers: its stdin, an interactive interpreter's world, await, magics, and fields of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from code_executor import Executor, Reason, Result
from code_executor.core.errors import SessionBusyError
from code_executor.core.models import Cell, Execution, Interrupt, Output, Raised, Stdin, Waiting
from code_executor.execution.session import Session
from tests.census import until

pytestmark = pytest.mark.anyio

WITHIN = 60.0
LONG = "x" * 900_000  # more than a pipe holds


@pytest.fixture
async def session(executor: Executor) -> AsyncIterator[Session]:
    async with asyncio.timeout(WITHIN), executor.session() as opened:
        yield opened


async def values(session: Session, *cells: str | Cell) -> list[str | None]:
    """Run cells; return the text of the last value of each. None of them may fail."""
    found = []
    for cell in cells:
        result = await session.run(cell)
        assert result.reason is Reason.COMPLETED, result.error
        found.append(result.value)
    return found


async def talk(session: Session, cell: Cell, *answers: list[Stdin]) -> Result:
    """Run a cell; whenever it waits, give it the next of the answers."""
    left = list(answers)
    async for event in session.stream(cell):
        if isinstance(event, Waiting):
            for item in left.pop(0) if left else ():  # it may also wait for the end, before it has come
                session.send(item)
        elif isinstance(event, Result):
            assert not left
            return event
    pytest.fail("no result")


# ---- stdin


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("import sys; sys.stdin.read()", "'1\\n2\\n'"),
        ("import sys; [int(line) for line in sys.stdin]", "[1, 2]"),
        ("open(0).read()", "'1\\n2\\n'"),
        ("open('/dev/stdin').read()", "'1\\n2\\n'"),
        ("import os; os.read(0, 9), os.read(0, 9)", "(b'1\\n2\\n', b'')"),
        ("import fileinput; list(fileinput.input())", "['1\\n', '2\\n']"),
        ("import sys; list(iter(sys.stdin.readline, ''))", "['1\\n', '2\\n']"),
    ],
)
async def test_the_stdin_of_a_cell_has_an_end(session: Session, code: str, value: str) -> None:
    assert await values(session, *[Cell(code, stdin="1\n2\n")] * 2) == [value] * 2


async def test_a_cell_that_asks_for_more_than_its_stdin_gets_eof_and_not_a_prompt(session: Session) -> None:
    for cell in (Cell("input(), input()", stdin="1\n"), Cell("input()", stdin=""), Cell("input()", interactive=False)):
        result = await session.run(cell)
        assert (result.reason, result.exception and result.exception.type) == (Reason.EXCEPTION, "EOFError")


async def test_a_session_may_say_that_nobody_types(executor: Executor) -> None:
    async with asyncio.timeout(WITHIN), executor.session(interactive=False) as session:
        assert "EOFError" in (await session.run("input()")).error
        assert (await talk(session, Cell("input()", interactive=True), [Stdin("me\n")])).value == "'me'"


async def test_a_stdin_larger_than_a_pipe_is_whole_and_what_is_left_of_it_is_dropped(session: Session) -> None:
    cells = (
        Cell("import sys; len(sys.stdin.read())", stdin=LONG),
        Cell("len(input())", stdin=f"four\n{LONG}"),
        Cell("input()", stdin="next\n"),
        Cell("import os; os.listdir('/dev/shm')"),
    )
    assert await values(session, *cells) == ["900000", "4", "'next'", "[]"]


@pytest.mark.parametrize(
    "broken",
    [
        "quit()",
        "import sys; sys.stdin.close()",
        "import sys; sys.stdin.buffer.close()",
        "import sys; sys.stdin.detach()",
        "import sys; sys.stdin = None",
        "import sys; del sys.stdin",
        "import sys; sys.stdin.readline()",
        "import sys; sys.stdin = open('/dev/null'); sys.stdin.close()",
        "import os; os.close(0)",
        "open(0).close()",
        "import os; os.dup2(os.open('/dev/null', os.O_RDONLY), 0)",
    ],
)
async def test_no_cell_breaks_stdin_for_the_next(session: Session, broken: str) -> None:
    await values(session, "from sys import stdin as kept")
    await session.run(Cell(broken, stdin="stale\nstale\n"))
    assert await values(session, Cell("input(), input()", stdin="a\nb\n")) == ["('a', 'b')"]
    await session.run(Cell(broken, stdin="stale\nstale\n"))
    assert await values(session, Cell("kept.read()", stdin="c")) == ["'c'"]
    await session.run(Cell(broken, stdin="stale\nstale\n"))
    assert (await talk(session, Cell("input()"), [Stdin("typed\n")])).value == "'typed'"


async def test_a_stdin_of_the_programs_own_stays_until_a_cell_is_given_one(session: Session) -> None:
    own = "import io, sys; sys.stdin = io.StringIO('mine\\n' * 3)"
    assert await values(session, own, "input()", Cell("input()", stdin="given\n")) == [None, "'mine'", "'given'"]


async def test_typed_input_ends_where_it_is_said_to_and_the_next_cell_can_be_typed_to(session: Session) -> None:
    read = Cell("import sys; sys.stdin.read()")
    assert (await talk(session, read, [Stdin("a\n")], [Stdin("b"), Stdin(None)])).value == "'a\\nb'"
    assert "EOFError" in (await talk(session, Cell("input()"), [Stdin(None)])).error
    assert (await talk(session, Cell("input()"), [Stdin("left\nover\n")])).value == "'left'"
    assert (await talk(session, Cell("input()"), [Stdin(f"x\n{LONG}")])).value == "'x'"
    assert (await talk(session, Cell("input()"), [Stdin("fresh\n")])).value == "'fresh'"
    both = Cell("input(), input()", stdin="given\n", interactive=True)
    assert (await talk(session, both, [Stdin("typed\n")])).value == "('given', 'typed')"


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("open(0).readline()", "'typed\\n'"),
        ("open('/dev/stdin').readline()", "'typed\\n'"),
        ("open(0, 'rb', buffering=0).read(9)", "b'typed\\n'"),
        ("import os; os.read(0, 9)", "b'typed\\n'"),
        ("import select, sys; select.select([sys.stdin], [], []) and input()", "'typed'"),
    ],
)
async def test_other_ways_to_stdin_are_told_of_as_well(
    executor: Executor, session: Session, code: str, value: str
) -> None:
    for _ in range(2):
        assert (await talk(session, Cell(code), [Stdin("typed\n")])).value == value
    before, last = code.rpartition("; ")[::2]
    answers: asyncio.Queue[Stdin] = asyncio.Queue()

    async def inputs() -> AsyncIterator[Stdin]:
        yield await answers.get()

    async for event in executor.stream(Execution(f"{before}\nprint(repr({last}))"), inputs()):
        if isinstance(event, Waiting):
            answers.put_nowait(Stdin("typed\n"))
        elif isinstance(event, Result):
            assert event.output == f"{value}\n"


async def test_a_cell_whose_stdin_has_ended_takes_no_more(session: Session) -> None:
    task = asyncio.create_task(session.run("import time; time.sleep(30)", stdin="x"))
    await until(lambda: session.cells == 1)
    with pytest.raises(SessionBusyError, match="no more input"):
        session.send(Stdin("more"))
    session.send(Interrupt())
    assert (await task).reason is Reason.CANCELLED


async def test_a_timeout_that_is_given_counts_while_a_cell_waits_unless_somebody_types(session: Session) -> None:
    result = await session.run("input()", timeout=0.5)
    assert (result.reason, result.exception and result.exception.type) == (Reason.WALL_TIME, "KeyboardInterrupt")
    async for event in session.stream(Cell("input()", timeout=0.5, interactive=True)):
        if isinstance(event, Waiting):
            await asyncio.sleep(0.7)
            session.send(Stdin("late\n"))
        elif isinstance(event, Result):
            assert (event.reason, event.value) == (Reason.COMPLETED, "'late'")


# ---- the world of an interactive interpreter


async def test_a_cell_finds_the_world_of_an_interactive_interpreter(session: Session) -> None:
    found = await values(session, "import sys; sys.argv, hasattr(sys, 'ps1'), __name__, '__file__' in globals()", "_")
    assert found == ["([''], True, '__main__', False)"] * 2
    parse = "import argparse; p = argparse.ArgumentParser(); p.add_argument('--n', default=1); p.parse_args().n"
    assert await values(session, parse, "_ + 1", "_, __") == ["1", "2", "(2, 1)"]


async def test_the_last_exception_is_remembered(session: Session) -> None:
    await session.run("def f(): 1 / 0\nf()")
    last = "import sys; type(sys.last_value).__name__, sys.last_type is type(sys.last_value)"
    assert await values(session, last) == ["('ZeroDivisionError', True)"]
    printed = (await session.run("import traceback; traceback.print_last()")).error.splitlines()
    assert (printed[0], printed[1]) == ("Traceback (most recent call last):", '  File "cell 1", line 2, in <module>')
    await session.run("x = ")
    assert await values(session, "type(sys.last_value).__name__") == ["'SyntaxError'"]


async def test_what_is_imported_from_future_stays(session: Session) -> None:
    cells = ("from __future__ import annotations", "def f(x: undefined): ...\nf.__annotations__")
    assert await values(session, *cells) == [None, "{'x': 'undefined'}"]


async def test_functions_have_a_source_and_objects_can_be_pickled_and_sent_to_processes(session: Session) -> None:
    await values(session, "def double(x):\n    return x * 2\nclass A: pass")
    assert await values(session, "import inspect; inspect.getsource(double)") == [
        r"'def double(x):\n    return x * 2\n'"
    ]
    assert await values(session, "import pickle; type(pickle.loads(pickle.dumps(A()))) is A") == ["True"]
    pool = "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: found = p.map(double, [1, 2])\nfound"
    assert await values(session, pool) == ["[2, 4]"]


# ---- await


async def test_a_cell_may_await_at_its_top_level(session: Session) -> None:
    given = "import asyncio\nasync def g():\n    yield 1\n    yield 2\nasync def h(): return 5"
    cells = (given, "await asyncio.sleep(0, 'x')", "[i async for i in g()]", "x = await h()\nx")
    assert await values(session, *cells) == [None, "'x'", "[1, 2]", "5"]
    assert (await session.run("async for i in g(): print(i)")).output == "1\n2\n"
    assert await values(session, "async with asyncio.timeout(5): y = await h()\ny") == ["5"]
    result = await session.run("await asyncio.sleep(0)\n1 / 0")
    assert (result.reason, result.line) == (Reason.EXCEPTION, 2)
    assert [line for line in result.error.splitlines() if "File" in line] == ['  File "cell 7", line 2, in <module>']


async def test_asyncio_run_works_and_tasks_begin_in_cells_that_await_nothing(session: Session) -> None:
    given = "import asyncio\nasync def h(): return 5"
    run = "asyncio.run(h())", "asyncio.get_event_loop().run_until_complete(h())"
    assert await values(session, given, *run) == [None, "5", "5"]
    assert await values(session, "t = asyncio.create_task(h())", "await t") == [None, "5"]
    assert await values(session, "asyncio.run(h()); t = asyncio.create_task(h())", "await t") == [None, "5"]


async def test_tasks_go_on_between_cells(session: Session) -> None:
    begun = "import asyncio, os\nasync def f():\n    await asyncio.sleep(0)\n    open('done', 'w').close()"
    await values(session, begun, "t = asyncio.create_task(f())")
    async with asyncio.timeout(WITHIN):
        while await values(session, "os.path.exists('done')") != ["True"]:  # awaits nothing itself
            pass


@pytest.mark.parametrize(
    "code",
    [
        "await asyncio.sleep(60)",
        "while True: await asyncio.sleep(0)",
        "await asyncio.sleep(0)\nwhile True: pass",
        "async with asyncio.TaskGroup() as g: g.create_task(asyncio.sleep(60))",
    ],
)
async def test_an_interrupt_ends_a_cell_that_awaits_and_the_loop_goes_on(session: Session, code: str) -> None:
    begun = False
    async for event in session.stream(Cell(f"import asyncio\nprint('go', flush=True)\n{code}")):
        if isinstance(event, Output) and not begun:
            begun = True
            session.send(Interrupt())
        elif isinstance(event, Result):
            result = event
    assert (result.reason, result.exception and result.exception.type) == (Reason.CANCELLED, "KeyboardInterrupt")
    assert result.line is not None
    assert result.line >= 2
    assert await values(session, "await asyncio.sleep(0, 1)") == ["1"]


async def test_a_function_may_still_not_await_and_a_program_neither(executor: Executor, session: Session) -> None:
    assert (await session.run("def f():\n    await x")).reason is Reason.SYNTAX
    assert (await executor.run("import asyncio\nawait asyncio.sleep(0)")).reason is Reason.SYNTAX


# ---- what notebooks know and Python does not


async def test_what_is_harmless_is_passed_over_and_the_rest_is_answered_with_a_sentence(session: Session) -> None:
    assert await values(session, "%matplotlib inline\n1", "%load_ext autoreload\n%autoreload 2\n2") == ["1", "2"]
    result = await session.run("x = 1\n!pip install requests")
    assert (result.reason, result.line, result.column) == (Reason.SYNTAX, 2, 1)
    assert result.error.startswith("Line 2, column 1: '!pip install requests' would install packages")
    result = await session.run("%matplotlib inline\n1 / 0")
    assert '  File "cell 4", line 2, in <module>' in result.error


# ---- fields


async def test_the_last_value_and_the_exception_are_fields_of_their_own(session: Session) -> None:
    result = await session.run("print('out')\n[1]")
    assert (result.value, result.output, result.exception) == ("[1]", "out\n[1]\n", None)
    result = await session.run("class E(Exception): pass\nraise E('why')")
    trace = (
        "Traceback (most recent call last):",
        '  File "cell 2", line 2, in <module>',
        "    raise E('why')",
        "E: why",
    )
    assert (result.value, result.exception) == (None, Raised("E", "why", trace))
    result = await session.run("import json; json.loads('')")
    assert result.exception is not None
    assert result.exception.type == "json.decoder.JSONDecodeError"
    for quiet in ("1;", "None", "x = 1", "import sys; sys.exit()", "import sys; sys.exit(2)"):
        result = await session.run(quiet)
        assert (result.value, result.exception) == (None, None)
    assert (await session.run("1", display=False)).value is None


async def test_what_cannot_be_told_whole_is_cut_and_ends_nothing(session: Session) -> None:
    result = await session.run("'x' * 200_000")
    assert (result.value, len(result.output)) == ("'" + "x" * 65_535, 200_003)
    result = await session.run("class B(Exception):\n    def __str__(self): 1 / 0\nraise B")
    assert (result.exception and result.exception.message) == ""
    result = await session.run("def f(n): return g(n)\ndef g(n): return f(n)\nf(1)")
    assert result.exception is not None
    assert (result.exception.type, len(result.exception.traceback) <= 100) == ("RecursionError", True)
    assert (await session.run("raise ValueError('\\ud800' + 'y' * 100_000)")).exception is not None
    odd = "class L:\n    def __repr__(self): return '\\ud800'\n    def _repr_html_(self): return 'x'\nL()"
    assert await values(session, odd) == ["?"]


async def test_a_program_has_neither_field(executor: Executor) -> None:
    result = await executor.run("1 / 0", display=True)
    assert (result.value, result.exception) == (None, None)
