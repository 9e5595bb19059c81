"""A matplotlib backend: ``plt.show()`` sends every open figure as a PNG and closes it, as closing its window would.

Loaded by matplotlib alone, by its name (``module://sandbox_agent.child.figures``); the agent imports nothing of it.
"""

from __future__ import annotations

import functools
import io
from typing import Any

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from sandbox_agent.child import callstack, display


class FigureManager(FigureManagerBase):  # type: ignore[misc]  # of a library without types
    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:  # noqa: ARG003  # matplotlib's signature
        """Send the figures in the order of their making."""
        for manager in Gcf.get_all_fig_managers():
            manager.show()
        Gcf.destroy_all()

    def show(self) -> None:
        picture = io.BytesIO()
        # a warning about what is drawn is of the program's line, not of this one
        save = functools.partial(self.canvas.figure.savefig, picture, format="png")
        callstack.invoke(save, caller=callstack.program_frame())
        display.send("image/png", picture.getvalue())


class FigureCanvas(FigureCanvasAgg):  # type: ignore[misc]
    manager_class: Any = FigureManager
