"""Objects: shown as the value of the last expression, as at Python's prompt, and by ``display()``, as in a notebook."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from code_executor import Executor, Reason, Result
from code_executor.core.models import Display
from code_executor.execution.session import Session

pytestmark = pytest.mark.anyio

HTML = "class H:\n    def __init__(self, x): self.x = x\n    def _repr_html_(self): return self.x\n"


@pytest.fixture
async def session(executor: Executor) -> AsyncIterator[Session]:
    async with executor.session() as opened:
        yield opened


async def shown(executor: Executor, code: str) -> Result:
    result = await executor.run(code, display=True, policy=False)
    assert result.reason is Reason.COMPLETED, result
    return result


async def test_a_pillow_image_is_a_picture(executor: Executor) -> None:
    result = await shown(executor, "from PIL import Image\nImage.new('RGB', (5, 4), 'red')")
    assert [(display.media_type, display.data[:4]) for display in result.displays] == [("image/png", b"\x89PNG")]
    assert result.output == result.error == ""


async def test_display_shows_objects_in_their_order_and_prints_the_rest(executor: Executor) -> None:
    result = await shown(executor, f"{HTML}display(H('a'), 5, 'x', None, H('b'), H)\nprint('end')")
    assert result.displays == (Display("text/html", b"a"), Display("text/html", b"b"))
    assert result.output == "5\n'x'\nNone\n<class '__main__.H'>\nend\n"


async def test_display_takes_the_options_of_a_notebook(executor: Executor) -> None:
    code = f"""{HTML}
handle = display(H('a'), display_id=True, metadata={{}})
handle.update(H('b'))
display({{'text/latex': '$x$', 'text/plain': 'x'}}, raw=True)
display(H('c'), include=['text/plain'])
display(H('d'), exclude='text/html')
display(H('e'), include='image/png')
display()
"""
    result = await shown(executor, code.replace("return self.x", "return self.x\n    def __repr__(self): return 'H'"))
    assert [display.data for display in result.displays] == [b"a", b"b", b"$x$"]
    assert result.output == "H\nH\n"


async def test_display_is_there_only_in_a_run_that_shows(executor: Executor) -> None:
    result = await executor.run("display(1)")
    assert (result.reason, result.error.splitlines()[-1]) == (
        Reason.EXCEPTION,
        "NameError: name 'display' is not defined",
    )


async def test_a_program_may_call_something_else_display(executor: Executor) -> None:
    assert (await shown(executor, "def display(x): print('own', x)\ndisplay(1)")).output == "own 1\n"


async def test_nothing_names_the_agent(executor: Executor) -> None:
    code = """
import os, sys
print(display, display.__module__, sys.displayhook, display(5, display_id=1), os.environ.get('MPLBACKEND'))
print([type(finder).__module__ for finder in sys.meta_path])
"""
    assert "agent" not in (await shown(executor, code)).output
    failed = await executor.run("class A:\n    def __repr__(self): return 1 / 0\ndisplay(A())", display=True)
    assert (failed.reason, failed.line) == (Reason.EXCEPTION, 2)


async def test_a_hook_of_the_program_shows_the_last_value(executor: Executor) -> None:
    assert (await shown(executor, "import sys\nsys.displayhook = lambda v: print('hook', v)\n5")).output == "hook 5\n"
    assert (
        await shown(executor, "import sys\nsys.displayhook = lambda v: print('hook', v)\nNone")
    ).output == "hook None\n"
    around = (
        f"{HTML}import sys\nold = sys.displayhook\ndef hook(v): print('hook'); old(v)\nsys.displayhook = hook\nH('h')"
    )
    result = await shown(executor, around)
    assert (result.output, result.displays) == ("hook\n", (Display("text/html", b"h"),))
    plain = await shown(executor, f"{HTML}import sys\nsys.displayhook = sys.__displayhook__\nH('h')")
    assert (plain.output[:18], plain.displays) == ("<__main__.H object", ())
    lost = await executor.run("import sys\ndel sys.displayhook\n5", display=True, policy=False)
    assert lost.error.splitlines()[-1] == "RuntimeError: lost sys.displayhook"
    failing = await executor.run("import sys\nsys.displayhook = lambda v: 1 / 0\n5", display=True, policy=False)
    assert (failing.reason, failing.line) == (Reason.EXCEPTION, 2)


async def test_the_last_value_of_a_cell_is_kept_for_the_next(session: Session) -> None:
    outputs = [(await session.run(code)).output for code in ("6 * 7", "_ + 1", "None", "print(_)", "_ = 0", "5", "_")]
    assert outputs == ["42\n", "43\n", "", "43\n", "", "5\n", "0\n"]


async def test_a_cell_that_shows_nothing_prints_what_it_displays(session: Session) -> None:
    result = await session.run(f"{HTML}display(5)\ndisplay(H('h'))", display=False)
    assert (result.output[:2], result.displays) == ("5\n", ())


async def test_what_is_too_much_is_counted_and_the_limit_is_named(executor: Executor) -> None:
    result = await shown(executor, f"{HTML}for _ in range(3): display(H('x' * 9_000_000))\ndisplay(H('small'))")
    assert result.displays == (Display("text/html", b"small"),)
    assert result.error == (
        "(not shown: text/html of 9,000,000 bytes; a run or a cell may show 8,388,608 bytes in all)\n"
        "(3 were not shown in all)"
    )


async def test_a_cell_is_told_of_its_own_limit_only(session: Session) -> None:
    first = await session.run(f"{HTML}H('x' * 9_000_000)")
    assert first.error.count("not shown") == 1
    second = await session.run("H('small')")
    assert (second.error, second.displays) == ("", (Display("text/html", b"small"),))


async def test_threads_show_whole_records(executor: Executor) -> None:
    code = f"""{HTML}
import threading
def work(letter):
    for _ in range(20):
        display(H(letter * 20_000))
threads = [threading.Thread(target=work, args=(letter,)) for letter in 'abcd']
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    displays = (await shown(executor, code)).displays
    assert len(displays) == 80
    assert {display.data for display in displays} == {letter * 20_000 for letter in (b"a", b"b", b"c", b"d")}


async def test_processes_show_whole_records(executor: Executor) -> None:
    code = f"""{HTML}
import os
for letter in 'abcd':
    if not os.fork():
        for _ in range(10):
            display(H(letter * 50_000))
        os._exit(0)
for _ in range(4): os.wait()
"""
    displays = (await shown(executor, code)).displays
    assert len(displays) == 40
    assert {display.data for display in displays} == {letter * 50_000 for letter in (b"a", b"b", b"c", b"d")}


FRAMES = """
import inspect, traceback
class A:
    def _repr_html_(self):
        traceback.print_stack()
        return str({frame.filename for frame in inspect.stack()})
"""


@pytest.mark.parametrize("shows", ["display(A())", "A()"])
async def test_a_method_that_is_asked_sees_the_program_below_it(executor: Executor, shows: str) -> None:
    result = await shown(executor, FRAMES + shows)
    assert [display.data.count(b".py") for display in result.displays] == [1]
    assert "agent" not in result.error
