"""Sessions: one interpreter runs cell after cell, keeps its state, and is destroyed with its sandbox at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from code_executor import Executor, Output, Reason, Result
from code_executor.core.errors import SessionBusyError, SessionUnknownError
from code_executor.core.models import Cell, Display, File, Interrupt, SessionState, Started, Stdin, Waiting
from code_executor.execution.session import Session
from code_executor.sandbox import hardening
from tests.census import until
from tests.conftest import RUNTIME, control_groups_hold

pytestmark = pytest.mark.anyio

GVISOR = hardening.is_gvisor(RUNTIME)
WITHIN = 60.0
DEAF = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('deaf')\nwhile True: time.sleep(1)"
OOM = "import mmap\nm = mmap.mmap(-1, 200 << 20)\nwhile True: m.write(b'x' * 4096)"
PRINTS_A_SECRET = "secret = 'never to be seen'"


@pytest.fixture
async def session(executor: Executor) -> AsyncIterator[Session]:
    async with asyncio.timeout(WITHIN), executor.session() as opened:
        yield opened


@pytest.fixture
async def tight(small: Executor) -> AsyncIterator[Session]:
    """A session whose limits are all near, with the default policy."""
    async with asyncio.timeout(WITHIN), small.session() as opened:
        yield opened


async def outputs(session: Session, *codes: str) -> list[str]:
    return [(await session.run(code)).output for code in codes]


async def ended(session: Session) -> None:
    assert await session.over(WITHIN)
    with pytest.raises(SessionUnknownError):
        await session.run("print('still here')")


# ---- state


async def test_what_a_cell_leaves_is_there_for_the_next(session: Session) -> None:
    codes = ("x = [1]\ndef f(): return x", "x.append(2); print(f())", "import math as m", "print(m.floor(2.5))")
    assert await outputs(session, *codes) == ["", "[1, 2]\n", "", "2\n"]


async def test_the_last_value_is_shown_unless_the_cell_says_otherwise(session: Session) -> None:
    assert await outputs(session, "1 + 1", "None", "x = 3") == ["2\n", "", ""]
    assert (await session.run("x", display=False)).output == ""
    html = "class T:\n    def _repr_html_(self): return '<b>t</b>'\nT()"
    assert (await session.run(html)).displays == (Display("text/html", b"<b>t</b>"),)
    assert (await session.run("T()")).displays == (Display("text/html", b"<b>t</b>"),)


async def test_a_cell_shows_the_figures_that_it_leaves_open_and_no_other(session: Session) -> None:
    made = await session.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);", display=False)
    assert (made.output, made.displays) == ("", ())
    shown = await session.run("plt.plot([3, 4]);")  # into the same figure: it was not closed
    assert [display.media_type for display in shown.displays] == ["image/png"], shown.error
    assert (await session.run("1")).displays == ()


async def test_an_error_ends_the_cell_and_not_the_session(session: Session) -> None:
    await session.run("x = 1\ndef f():\n    return 1 / 0")
    result = await session.run("x = 2\nf()")
    assert (result.reason, result.exit_code, result.line) == (Reason.EXCEPTION, 1, 2)
    lines = [line for line in result.error.splitlines() if not set(line) <= set(" ~^")]  # 3.13 has more of those
    assert lines == [
        "Traceback (most recent call last):",
        '  File "cell 2", line 2, in <module>',
        "    f()",
        '  File "cell 1", line 3, in f',
        "    return 1 / 0",
        "ZeroDivisionError: division by zero",
    ]
    assert (await session.run("x")).output == "2\n"


@pytest.mark.parametrize(
    ("code", "reason", "exit_code", "line"),
    [
        ("import sys; sys.exit()", Reason.COMPLETED, 0, None),
        ("import sys; sys.exit(3)", Reason.EXIT, 3, None),
        ("\nx = ", Reason.SYNTAX, 1, 2),
        ("x = bytearray(1 << 40)", Reason.MEMORY_LIMIT, 1, 1),
    ],
)
async def test_a_cell_ends_in_its_own_way_and_state_is_kept(
    session: Session, code: str, reason: Reason, exit_code: int, line: int | None
) -> None:
    await session.run("kept = 1")
    result = await session.run(code)
    assert (result.reason, result.exit_code, result.line) == (reason, exit_code, line)
    assert (await session.run("kept")).output == "1\n"


async def test_the_policy_is_asked_about_every_cell(tight: Session) -> None:
    await tight.run("kept = 1")
    result = await tight.run("1\nimport os")
    assert (result.reason, result.line) == (Reason.POLICY, 2)
    assert [problem.line for problem in result.problems] == [2]
    assert (await tight.run("kept")).output == "1\n"
    assert (await tight.run("import os", policy=False)).reason is Reason.COMPLETED


async def test_what_threads_write_between_cells_comes_with_the_next(session: Session) -> None:
    code = "import threading\ngo = threading.Event()\ndone = threading.Event()\ndef f():\n go.wait()\n print('late')\n"
    await session.run(code + " done.set()\nthreading.Thread(target=f).start()")
    assert (await session.run("go.set()\nassert done.wait()")).output == "late\n"
    await session.run("def g():\n import time\n time.sleep(0.2)\n print('later')\n\nt = threading.Thread(target=g)")
    assert (await session.run("t.start()")).output == ""
    assert (await session.run("t.join()")).output == "later\n"


async def test_files_given_are_there_and_files_made_stay(executor: Executor) -> None:
    async with executor.session(files=(File("data.txt", b"given"),)) as session:
        await session.run("open('made', 'w').write(open('data.txt').read())")
        assert (await session.run("print(open('made').read())")).output == "given\n"


# ---- input, events, interrupts


async def test_a_cell_can_be_talked_to(session: Session) -> None:
    said = ""
    async with aclosing(session.stream(Cell("for _ in range(2): print('hello', input('who? '))"))) as events:
        assert isinstance(await anext(events), Started)
        async for event in events:
            if isinstance(event, Output):
                said += event.data
            elif isinstance(event, Waiting):
                assert session.state is SessionState.WAITING
                assert said.endswith("who? ")
                session.send(Stdin("Ada\n"))
            elif isinstance(event, Result):
                assert (event.reason, event.output) == (Reason.COMPLETED, "who? hello Ada\n" * 2)
    assert session.state is SessionState.IDLE


async def test_input_given_beforehand_is_read_first_and_what_a_cell_does_not_take_blocks_nothing(
    session: Session,
) -> None:
    assert (await session.run("input()", stdin="Ada\n")).output == "'Ada'\n"
    assert (await session.run("import time\ntime.sleep(0.5)\nprint('no')", stdin="x" * (1 << 20))).output == "no\n"
    assert (await session.run("print('on')")).output == "on\n"


async def interrupted(session: Session, code: str) -> Result:
    """Interrupt a cell once it has written something; return its result."""
    begun = False
    async for event in session.stream(Cell(code)):
        if isinstance(event, Output) and not begun:
            begun = True
            session.send(Interrupt())
        elif isinstance(event, Result):
            return event
    pytest.fail("no result")


async def test_an_interrupted_cell_is_cancelled_and_keeps_its_state(session: Session) -> None:
    # in one expression, for what `print` wrote can be here before `print` has returned
    result = await interrupted(session, "import time\nx = 1\n\nprint('go') or time.sleep(60)")
    assert (result.reason, result.line) == (Reason.CANCELLED, 4)
    assert "KeyboardInterrupt" in result.error
    assert (await session.run("x")).output == "1\n"


async def test_a_cell_that_catches_the_interrupt_is_completed(session: Session) -> None:
    code = (
        "import sys, time\ntry:\n sys.stdout.write('go\\n')\n time.sleep(60)\nexcept KeyboardInterrupt: print('caught')"
    )
    result = await interrupted(session, code)
    assert (result.reason, result.output) == (Reason.COMPLETED, "go\ncaught\n")


async def test_an_interrupt_sent_with_the_cell_reaches_it(session: Session) -> None:
    long = "x = 1\n" * 20_000  # it is being compiled when the interrupt comes
    task = asyncio.create_task(session.run(f"{long}import time\ntime.sleep(60)", timeout=15))
    await until(lambda: session.state is SessionState.RUNNING)
    session.send(Interrupt())
    assert (await task).reason is Reason.CANCELLED
    assert (await session.run("print(2)")).output == "2\n"


async def test_whoever_goes_away_interrupts_the_cell_and_not_the_session(session: Session) -> None:
    await session.run("n = 0")
    async with aclosing(session.stream(Cell("n = 1\nprint('go', flush=True)\nimport time\ntime.sleep(60)"))) as events:
        async for event in events:
            if isinstance(event, Output):
                break
    await until(lambda: session.state is SessionState.IDLE)
    assert (await session.run("n")).output == "1\n"


async def test_one_cell_at_a_time(session: Session) -> None:
    async with aclosing(session.stream(Cell("input()"))) as events:
        async for event in events:
            if isinstance(event, Waiting):
                with pytest.raises(SessionBusyError):
                    await session.run("print(1)")
                session.send(Stdin("\n"))
    with pytest.raises(SessionBusyError):
        session.send(Stdin("nobody reads this"))


# ---- limits


async def test_time_over_interrupts_the_cell_and_keeps_the_state(session: Session) -> None:
    await session.run("kept = 1")
    result = await session.run("import time\nprint('first')\ntime.sleep(60)", timeout=0.5)
    assert (result.reason, result.output, result.line) == (Reason.WALL_TIME, "first\n", 3)
    assert result.error.endswith("KeyboardInterrupt\nExecution exceeded 0.5 second timeout")
    assert (await session.run("kept")).output == "1\n"


async def test_a_cell_that_ignores_the_interrupt_ends_the_session(session: Session) -> None:
    result = await session.run(DEAF, timeout=0.5)
    assert (result.reason, result.output) == (Reason.WALL_TIME, "deaf\n")
    await ended(session)


async def test_every_cell_has_the_whole_time_and_output(tight: Session) -> None:
    for _ in range(3):
        assert (await tight.run("print('x' * 8000)")).reason is Reason.COMPLETED
    result = await tight.run("print('y' * 20000)")
    assert (result.reason, result.truncated, len(result.output)) == (Reason.OUTPUT_LIMIT, True, 10 << 10)
    await ended(tight)


@pytest.mark.parametrize(
    ("code", "reason", "signal"),
    [
        (OOM, Reason.MEMORY_LIMIT, "SIGKILL"),
        ("import ctypes\nctypes.string_at(0)", Reason.SIGNAL, "SIGSEGV"),
        ("import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", Reason.VIOLATION, "SIGSYS"),
        ("import os\nos._exit(3)", Reason.EXIT, None),
    ],
)
async def test_what_ends_a_session_is_the_reason_of_its_cell(
    tight: Session, code: str, reason: Reason, signal: str | None
) -> None:
    if reason is Reason.MEMORY_LIMIT and GVISOR and not control_groups_hold():
        pytest.skip("nothing limits memory there")
    result = await tight.run(f"print('before', flush=True)\n{code}", policy=False)
    assert (result.reason, result.output, result.signal) == (reason, "before\n", signal)
    assert result.syscall == ("ptrace" if reason is Reason.VIOLATION and not GVISOR else None)  # it names no calls
    await ended(tight)


BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


async def test_processor_time_is_granted_to_each_cell_anew(tight: Session) -> None:
    for _ in range(3):  # seconds of the only one that a run may use
        assert (await tight.run(BURN.format(0.8), timeout=10)).reason is Reason.COMPLETED
    result = await tight.run("while True: pass", timeout=10)
    assert (result.reason, result.signal) == (Reason.CPU_TIME, "SIGXCPU")
    await ended(tight)


async def test_a_plain_run_cannot_take_what_a_session_may(small: Executor) -> None:
    code = (
        "import resource as r\nprint(r.getrlimit(r.RLIMIT_CPU))\n"
        "try: r.setrlimit(r.RLIMIT_CPU, (60, 60))\nexcept (ValueError, OSError): print('refused')"
    )
    result = await small.run(code, policy=False)
    assert result.output == "(1, 2)\nrefused\n"


# ---- the end


async def test_the_sandbox_is_destroyed_and_its_secrets_with_it(executor: Executor) -> None:
    async with asyncio.timeout(WITHIN):
        async with executor.session() as session:
            await session.run(f"{PRINTS_A_SECRET}\nopen('/tmp/left', 'w').write(secret)")
            (sandbox,) = executor.pool.book.busy
        assert not sandbox.usable
        book = executor.pool.book
        assert sandbox not in {*book.idle, *book.busy, *book.settling}
        assert (await executor.run("import os; print(os.listdir('/tmp'))")).output == "[]\n"
        with pytest.raises(SessionUnknownError):
            await session.run("secret")


async def test_closing_gives_the_cell_under_way_its_result(executor: Executor) -> None:
    session = executor.session()
    await session.open()
    task = asyncio.create_task(session.run("print('said', flush=True)\ninput()"))
    await until(lambda: session.state is SessionState.WAITING)
    await session.close()
    assert ((await task).reason, (await task).output) == (Reason.CANCELLED, "said\n")


# ---- hostile cells

SEARCH = "import os\nfound = []\nfor n in range(3, 64):\n try: os.fstat(n); found.append(n)\n except OSError: pass\n"
FORGED = {
    "the end of the cell": f"{SEARCH}for n in found:\n try: os.write(n, b'\\0' * 7)\n except OSError: pass",
    "a report": f"""{SEARCH}
for n in found:
    try: os.write(n, b'{{"reason": "completed", "problems": 7, "line": "x", "memory": -1}}')
    except OSError: pass
""",
    "noise for every pipe": f"{SEARCH}for n in found:\n try: os.write(n, os.urandom(5000))\n except OSError: pass",
    "cells of its own": f"{SEARCH}for n in found:\n try: os.read(n, 0); os.dup2(0, n)\n except OSError: pass",
    "no descriptors": "import os\nos.closerange(0, 256)",
    "no descriptors but its own": "import os\nos.closerange(3, 256)\nprint('closed')",
    "another cell loop": "import os\nos.fork()\nos.fork()",
    "a storm left behind": """
import os, threading
def storm():
    while True:
        try:
            if os.fork() == 0:
                os.fork()
        except OSError: pass
threading.Thread(target=storm, daemon=True).start()
""",
    "floods between cells": """
import threading
def flood():
    while True: print('x' * 1000)
threading.Thread(target=flood, daemon=True).start()
""",
    "no interpreter": "import gc, sys\nsys.modules.clear()\nimport builtins\nvars(builtins).clear()",
    "interrupts of its own": """
import os, signal
for _ in range(50):
    try: os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt: pass
""",
}


@pytest.mark.parametrize("code", FORGED.values(), ids=FORGED.keys())
async def test_a_hostile_cell_harms_its_own_session_alone(executor: Executor, code: str) -> None:
    async with asyncio.timeout(WITHIN):
        async with executor.session() as session:
            first = await session.run(code, timeout=3)
            ends_gvisor = GVISOR and "fork" in code  # whole, where it gets no more threads
            assert first.reason is not Reason.INTERNAL or ends_gvisor
            try:
                second = await session.run("print('mine')", timeout=3)
                assert second.reason is not Reason.INTERNAL or ends_gvisor
            except SessionUnknownError:
                pass
        canary = await executor.run("import os\nprint(os.listdir('/tmp'), os.listdir('.'))")
        assert (canary.reason, canary.output) == (Reason.COMPLETED, "[] ['main.py']\n")
