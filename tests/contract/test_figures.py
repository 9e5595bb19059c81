"""Figures: none is lost and none comes twice, whatever a program does with matplotlib and however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from code_executor import Executor, Reason, Result
from code_executor.execution.session import Session

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n"
PLT = "import matplotlib.pyplot as plt\n"

BACKENDS = {
    "agg, switched to": f"{PLT}plt.switch_backend('agg')\nplt.plot([1]); plt.show()",
    "Agg, used with force": f"{PLT}import matplotlib\nmatplotlib.use('Agg', force=True)\nplt.plot([1]); plt.show()",
    "svg, used before pyplot": f"import matplotlib\nmatplotlib.use('svg')\n{PLT}plt.plot([1]); plt.show()",
    "pdf, in rcParams": f"import matplotlib\nmatplotlib.rcParams['backend'] = 'pdf'\n{PLT}plt.plot([1]); plt.show()",
    "svg, in the environment": f"import os\nos.environ['MPLBACKEND'] = 'svg'\n{PLT}plt.plot([1]); plt.show()",
    "none in the environment": f"import os\ndel os.environ['MPLBACKEND']\n{PLT}plt.plot([1]); plt.show()",
    "TkAgg, used before pyplot": f"import matplotlib\nmatplotlib.use('TkAgg')\n{PLT}plt.plot([1]); plt.show()",
    "Qt5Agg, used after a figure": f"{PLT}plt.plot([1])\nplt.switch_backend('Qt5Agg')\nplt.show()",
    "ps, never shown": f"import matplotlib\nmatplotlib.use('ps')\n{PLT}plt.plot([1]);",
}

PROGRAMS = {
    "shown twice without a change": (f"{PLT}fig, ax = plt.subplots(); ax.plot([1]); fig.show(); plt.show()", 1),
    "shown, changed, left open": (f"{PLT}plt.plot([1]); plt.show(block=False); plt.plot([2]);", 2),
    "shown, drawn anew, left open": (
        f"{PLT}fig, ax = plt.subplots(); plt.show(block=False); ax.plot([2]); fig.canvas.draw()",
        2,
    ),
    "saved and left open": (f"{PLT}plt.plot([1]); plt.savefig('f.png')\nplt.draw()", 1),
    "closed unshown": (f"{PLT}plt.plot([1]); plt.savefig('f.png'); plt.close()", 0),
    "saved after it was shown": (f"{PLT}plt.plot([1]); plt.show(block=False); plt.savefig('f.png')", 1),
    "animated by pause": (
        f"{PLT}fig, ax = plt.subplots()\nfor i in range(3): ax.plot([0, i]); plt.pause(0.01)\nprint(plt.get_fignums())",
        3,
    ),
    "animated by drawing": (
        f"""{PLT}
plt.ion()
fig, ax = plt.subplots(); line, = ax.plot([0, 1]); plt.show()
for i in range(2):
    line.set_ydata([0, i / 2]); fig.canvas.draw(); fig.canvas.flush_events()
print(plt.get_fignums())
""",
        3,
    ),
    "shown by waiting": (f"{PLT}plt.plot([1]); plt.show(block=True); print(plt.get_fignums())", 1),
    "the last value": (f"{PLT}fig, ax = plt.subplots(); ax.plot([1])\nfig", 1),
    "shown, and the last value": (f"{PLT}fig, ax = plt.subplots(); ax.plot([1]); plt.show()\nfig", 1),
    "shown, changed, and the last value": (f"{PLT}fig, ax = plt.subplots(); plt.show(); ax.plot([1])\nfig", 2),
    "an animation": (
        f"""{PLT}
from matplotlib.animation import FuncAnimation
fig, ax = plt.subplots()
moving = FuncAnimation(fig, lambda i: ax.plot([0, i]), frames=3)
plt.show()
""",
        1,
    ),
    "the current one as the last value": (f"{PLT}plt.plot([1])\nplt.gcf()", 1),
    "displayed": (f"{PLT}fig, ax = plt.subplots(); ax.plot([1]); display(fig); ax.plot([2]);", 2),
    "without pyplot": (
        """
from matplotlib.figure import Figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
fig = Figure(); FigureCanvasAgg(fig); fig.subplots().plot([1])
fig
""",
        1,
    ),
    "plotted by pandas": ("import pandas as pd\npd.DataFrame({'a': [1, 2]}).plot();", 1),
    "made at exit": (f"import atexit\n{PLT}atexit.register(lambda: plt.plot([1]));", 1),
    "made by a thread that outlives main": (
        f"""{PLT}
import threading
def draw():
    main.join()
    plt.figure().subplots().plot([1])
main = threading.main_thread()
threading.Thread(target=draw).start()
""",
        1,
    ),
    "inherited by a process": (f"import os\n{PLT}plt.plot([1]);\nif os.fork(): os.wait()", 1),
}

ENDINGS = [
    ("sys.exit(0)", Reason.COMPLETED),
    ("sys.exit(3)", Reason.EXIT),
    ("raise SystemExit('no')", Reason.EXIT),
    ("1 / 0", Reason.EXCEPTION),
    ("raise KeyboardInterrupt", Reason.EXCEPTION),
]


def pictures(result: Result) -> int:
    assert all((shown.media_type, shown.data[:8]) == ("image/png", PNG) for shown in result.displays), result
    return len(result.displays)


@pytest.fixture(scope="module")
async def warm(engine: str) -> AsyncIterator[Executor]:
    async with Executor.open(engine=engine, policy="off", pool_size=1, preload=("matplotlib.pyplot",)) as opened:
        yield opened


@pytest.fixture
async def session(executor: Executor) -> AsyncIterator[Session]:
    async with executor.session() as opened:
        yield opened


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_figure_is_shown_once_whatever_the_backend(executor: Executor, backend: str) -> None:
    result = await executor.run(BACKENDS[backend], display=True, policy=False)
    assert (result.reason, result.error, pictures(result)) == (Reason.COMPLETED, "", 1)


@pytest.mark.parametrize("name", PROGRAMS)
async def test_each_state_of_a_figure_is_shown_once(executor: Executor, name: str) -> None:
    code, count = PROGRAMS[name]
    result = await executor.run(code, display=True, policy=False)
    assert (result.reason, result.error, pictures(result)) == (Reason.COMPLETED, "", count)
    if "get_fignums" in code:
        assert result.output == ("[]\n" if "block=True" in code else "[1]\n")
    else:
        assert result.output == ""


@pytest.mark.parametrize(("ending", "reason"), ENDINGS)
async def test_a_figure_is_shown_however_the_program_ends(executor: Executor, ending: str, reason: Reason) -> None:
    result = await executor.run(f"import sys\n{PLT}plt.plot([1])\n{ending}", display=True)
    assert pictures(result) == 1
    assert result.reason is reason or ending == "raise KeyboardInterrupt"


async def test_matplotlib_that_was_imported_beforehand_shows_figures_as_well(warm: Executor) -> None:
    switched = f"import matplotlib\nmatplotlib.use('svg')\n{PLT}plt.plot([1]); plt.show()\nplt.plot([2]);"
    shown = await warm.run(switched, display=True)
    assert (shown.error, pictures(shown)) == ("", 2)
    exits = await warm.run(f"import sys\n{PLT}plt.plot([1]); sys.exit()", display=True)
    assert pictures(exits) == 1
    plain = await warm.run(f"{PLT}print(plt.show.__module__, plt.get_backend())\nplt.plot([1]); plt.show()")
    assert (plain.output, pictures(plain)) == ("matplotlib.pyplot agg\n", 0)


async def test_a_figure_that_cannot_be_drawn_is_reported_and_the_others_are_shown(executor: Executor) -> None:
    result = await executor.run(f"{PLT}plt.title('$\\\\frac{{$')\nplt.figure(); plt.plot([1]);", display=True)
    assert (result.reason, pictures(result)) == (Reason.COMPLETED, 1)
    assert "ParseException" in result.error or "ValueError" in result.error
    assert "sandbox_agent" not in result.error
    raised = await executor.run(f"{PLT}plt.title('$\\\\frac{{$')\nplt.show()", display=True)
    assert (raised.reason, raised.line) == (Reason.EXCEPTION, 3)


async def test_a_warning_of_a_drawing_names_the_programs_line_or_none(executor: Executor) -> None:
    shown = await executor.run(f"{PLT}plt.title('\\u0378')\nplt.show()", display=True)
    assert "main.py:3: UserWarning: Glyph" in shown.error
    assert "\n  plt.show()" in shown.error
    left_open = await executor.run(f"{PLT}plt.title('\\u0378');", display=True)
    assert left_open.error.startswith("sys:1: UserWarning: Glyph")
    assert "sandbox_agent" not in shown.error + left_open.error
    ignored = await executor.run(
        f"import warnings\nwarnings.simplefilter('ignore')\n{PLT}plt.title('\\u0378');", display=True
    )
    assert (ignored.error, pictures(ignored)) == ("", 1)


async def test_a_cell_can_show_a_figure_again(session: Session) -> None:
    made = await session.run(f"{PLT}fig, ax = plt.subplots(); ax.plot([1, 2]); plt.show()")
    assert pictures(made) == 1
    changed = await session.run("ax.set_title('t')\nfig")
    assert (changed.output, pictures(changed)) == ("", 1)
    assert pictures(await session.run("fig")) == 1
    assert pictures(await session.run("display(fig, fig)")) == 2
    assert pictures(await session.run("1 + 1")) == 0


async def test_a_cell_leaves_a_figure_open_that_has_a_window(session: Session) -> None:
    assert pictures(await session.run(f"{PLT}fig, ax = plt.subplots(); plt.show(block=False)")) == 1
    assert pictures(await session.run("1")) == 0
    assert pictures(await session.run("ax.plot([1, 2]);")) == 1
    assert pictures(await session.run("plt.show()")) == 1
    assert (await session.run("plt.get_fignums()")).output == "[]\n"


async def test_a_cell_that_fails_shows_its_figures(session: Session) -> None:
    failed = await session.run(f"{PLT}plt.plot([1, 2])\nint('x')")
    assert (failed.reason, failed.line, pictures(failed)) == (Reason.EXCEPTION, 3, 1)
    exited = await session.run("plt.plot([1, 2])\nraise SystemExit")
    assert (exited.reason, pictures(exited)) == (Reason.COMPLETED, 1)


async def test_fonts_are_not_looked_for_in_every_program(executor: Executor) -> None:
    code = "import logging, sys\nlogging.basicConfig(level=logging.INFO, stream=sys.stdout)\nimport matplotlib.pyplot"
    look = "import matplotlib, os\nprint(os.listdir(matplotlib.get_cachedir()), os.environ['MPLCONFIGDIR'])"
    run = await executor.run(f"{code}\n{look}\nprint(matplotlib.get_cachedir())")
    assert "generated new fontManager" not in run.output
    *_, found, place = run.output.splitlines()
    assert found == f"[] {place}"  # what it says of itself is as ever


FONTS = f"""
{PLT}from matplotlib import font_manager
names = {{font.name for font in font_manager.fontManager.ttflist}}
"""

FAMILIES = ("", "plt.rcParams['font.family'] = 'serif'", "plt.rcParams['font.sans-serif'] = ['SimHei']")


async def other_scripts(executor: Executor, engine: str) -> None:
    """Go on only where there are fonts for other scripts: in the image, and on machines that happen to have them."""
    there = await executor.run(f"{FONTS}\nprint({{'WenQuanYi Micro Hei', 'Symbola'}} <= names)")
    if engine == "native" and there.output == "False\n":
        pytest.skip("this machine does not have the fonts that the image has")
    assert there.output == "True\n"


@pytest.mark.parametrize("family", FAMILIES)
async def test_other_scripts_are_drawn_whatever_the_font(warm: Executor, engine: str, family: str) -> None:
    await other_scripts(warm, engine)
    code = f"{PLT}{family}\nplt.title('汉字 ひらがな 한국어 😀', fontweight='bold'); plt.savefig('a.pdf'); plt.show()"
    run = await warm.run(code, display=True)
    assert (run.reason, pictures(run)) == (Reason.COMPLETED, 1)
    assert "Glyph" not in run.error


async def test_fonts_for_other_scripts_are_seen_in_nothing_else(warm: Executor, engine: str) -> None:
    await other_scripts(warm, engine)
    code = f"""
{FONTS}
import matplotlib
print([name for name, value in plt.rcParams.items() if value != matplotlib.rcParamsDefault[name] and name != "backend"])
print(plt.rcParams["font.family"], str(font_manager.findfont(None))[-14:])
def drawn():
    figure = plt.figure()
    figure.subplots().set_title("Title 0.25 é", style="italic")
    figure.canvas.draw()
    return bytes(figure.canvas.buffer_rgba())
pixels = drawn()
font_manager.FontManager._find_fonts_by_props = lambda self, prop, *_, **__: [self.findfont(prop)]
print(drawn() == pixels)
"""
    run = await warm.run(code)
    assert (run.error, run.output) == ("", "[]\n['sans-serif'] DejaVuSans.ttf\nTrue\n")
