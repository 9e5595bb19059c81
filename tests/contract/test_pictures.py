"""Pictures of figures: the same pixels as a saved figure has, whoever writes them; and none is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from code_executor import Executor, Reason
from code_executor.core.models import File

pytestmark = pytest.mark.anyio

PLT = "import numpy as np, matplotlib.pyplot as plt\nrng = np.random.default_rng(1)\n"

FIGURES = {
    "lines": "plt.plot([1, 3, 2], 'o-', label='a'); plt.legend(); plt.title('$x^2$')",
    "a histogram": "plt.hist(rng.normal(size=500), bins=30)",
    "a smooth picture": "plt.imshow(np.sin(np.mgrid[0:300, 0:300][0] / 50)); plt.colorbar()",
    "noise": "plt.figimage(rng.integers(0, 256, (480, 640, 3), dtype=np.uint8))",
    "no ground": "plt.figure(facecolor='none'); plt.plot([1, 3, 2])",
    "a ground one can look through": "plt.figure(facecolor=(1, 0, 0, 0.4)); plt.plot([1, 3, 2])",
    "one pixel to look through": "plt.figure(facecolor='none').figimage(np.full((480, 640), 5.0)[:, :639])",
    "a tight box": "plt.rc('savefig', bbox='tight'); plt.plot([1, 3, 2]); plt.ylabel('y', labelpad=90)",
    "a tight box and a layout": "plt.rc('savefig', bbox='tight'); plt.figure(layout='constrained').subplots(2, 2)",
    "a canvas of another backend": "plt.switch_backend('svg'); plt.plot([1, 3, 2])",
    "few dots": "plt.figure(dpi=33.3); plt.plot([1, 3, 2])",
    "many dots": "plt.figure(dpi=200); plt.plot([1, 3, 2])",
    "few pixels": "plt.figure(figsize=(0.03, 0.02)); plt.plot([1, 3, 2])",
    "one pixel": "plt.figure(figsize=(0.01, 0.01), facecolor='red')",
    "many pixels": "plt.figure(figsize=(16, 12), dpi=150); plt.scatter(rng.random(200), rng.random(200))",
    "a long row": "plt.figure(figsize=(170, 0.05)); plt.figimage(rng.random((5, 17_000)))",
}

SAVED = "f = plt.gcf(); f.savefig('saved.png', facecolor=f.get_facecolor(), edgecolor=f.get_edgecolor(), dpi='figure')"

COMPARED = """
from PIL import Image
one, other = Image.open('saved.png'), Image.open('shown.png')
print(one.size == other.size, one.info['dpi'] == other.info['dpi'])
print(one.convert('RGBA').tobytes() == other.convert('RGBA').tobytes())
print(other.mode, other.size)
"""

AS_MATPLOTLIB = b"Matplotlib version"
"""In every picture that matplotlib writes itself, and in none that we do."""

ODD = {
    "a numpy that says something else": """
import sys, types
sys.modules['numpy'] = types.SimpleNamespace(**vars(np) | {'asarray': lambda pixels: 'pixels'})
""",
    "a canvas that has no pixels": """
canvas = type(plt.gcf().canvas)
def fail_once(self):
    canvas.buffer_rgba = real
    raise OSError
real, canvas.buffer_rgba = canvas.buffer_rgba, fail_once
""",
    "a canvas that draws in its own way": """
from matplotlib.backends.backend_agg import FigureCanvasAgg
class Canvas(FigureCanvasAgg): pass
Canvas(plt.gcf())
""",
}


@pytest.fixture(scope="module")
async def plots(engine: str) -> AsyncIterator[Executor]:
    async with Executor.open(engine=engine, policy="off", pool_size=1, preload=("matplotlib.pyplot",)) as opened:
        yield opened


@pytest.mark.parametrize("name", FIGURES)
async def test_what_is_shown_has_the_pixels_of_what_is_saved(plots: Executor, name: str) -> None:
    run = await plots.run(f"{PLT}{FIGURES[name]}\n{SAVED}\nplt.show()", display=True)
    assert (run.reason, run.error, len(run.displays)) == (Reason.COMPLETED, "", 1)
    saved = {file.path: file.data for file in run.files}["saved.png"]
    shown = run.displays[0].data
    assert AS_MATPLOTLIB in saved
    assert AS_MATPLOTLIB not in shown
    pair = (File("saved.png", saved), File("shown.png", shown))
    compared = (await plots.run(COMPARED, files=pair)).output.splitlines()
    assert compared[:2] == ["True True", "True"], compared
    assert compared[2].startswith("RGBA " if "ground" in name or "through" in name else "RGB ")


@pytest.mark.parametrize("name", ODD)
async def test_a_picture_is_shown_where_ours_cannot_be_made(plots: Executor, name: str) -> None:
    run = await plots.run(f"{PLT}plt.plot([1, 3, 2])\n{ODD[name]}\nplt.show()\n", display=True)
    assert (run.reason, run.error, len(run.displays)) == (Reason.COMPLETED, "", 1)
    assert AS_MATPLOTLIB in run.displays[0].data


async def test_a_closed_figure_is_the_same_picture(plots: Executor) -> None:
    code = f"{PLT}fig = plt.figure(); plt.plot([1, 3, 2]); plt.show()\ndisplay(fig)"
    first, second = (await plots.run(code, display=True)).displays
    assert AS_MATPLOTLIB not in first.data
    assert first == second


async def test_a_figure_that_is_saved_is_what_matplotlib_makes_of_it(plots: Executor) -> None:
    code = f"{PLT}plt.plot([1, 3, 2]); plt.show(block=False)\nplt.savefig('a.png'); plt.gcf().savefig('b.png')"
    run = await plots.run(f"{code}\nprint(plt.gcf().canvas.get_supported_filetypes().get('shown'))", display=True)
    assert [AS_MATPLOTLIB in file.data for file in run.files] == [True, True]
    assert run.output == "None\n"
