"""The plots, as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench import contenders as c
from bench.parts import latency, learners
from bench.stats import percentile

mpl.use("agg")

_OURS, _OTHERS = "#1f6feb", "#9aa4b2"
_DPI = 110


def draw(results: Mapping[str, Any], into: Path) -> dict[str, str]:
    """Draw a plot for each part that has results; return the file names by part."""
    files = {}
    for name, drawer in _DRAWERS.items():
        data = results["parts"].get(name)
        if data:
            figure = drawer(data)
            figure.savefig(into / f"{name}.png", dpi=_DPI, bbox_inches="tight")
            plt.close(figure)
            files[name] = f"{name}.png"
    return files


def _latency(data: Any) -> Any:
    figure, axes = plt.subplots(1, len(latency.PROGRAMS), figsize=(13, 5))
    for axis, program in zip(axes, latency.PROGRAMS, strict=True):
        names = list(reversed(data[program]))
        values = [[value for turn in data[program][name] for value in turn] for name in names]
        medians = [percentile(one, 0.5) for one in values]
        colours = [_OURS if name.startswith("HTTP") else _OTHERS for name in names]
        axis.barh(names, medians, color=colours)
        axis.errorbar(
            medians,
            range(len(names)),
            xerr=[
                [median - percentile(one, 0.1) for median, one in zip(medians, values, strict=True)],
                [percentile(one, 0.9) - median for median, one in zip(medians, values, strict=True)],
            ],
            fmt="none",
            ecolor="black",
            capsize=2,
        )
        for place, median in enumerate(medians):
            axis.text(median, place + 0.28, f" {median:.1f}", fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(left=1)
        axis.set_xlabel("ms, median, with p10 and p90")
        axis.set_title(program)
    figure.tight_layout()
    return figure


def _learners(data: Any) -> Any:
    names = list(reversed(data["ms"]))
    figure, axis = plt.subplots(figsize=(9, 0.6 + 0.45 * len(names)))
    for offset, contender, colour in ((0.2, learners.OURS, _OURS), (-0.2, c.BARE_IMAGE, _OTHERS)):
        found = [latency.summary(data["ms"], name, contender) for name in names]
        medians = [one.p50 if one else 0.0 for one in found]
        places = [place + offset for place in range(len(names))]
        axis.barh(places, medians, height=0.4, color=colour, label=contender)
        for place, median in zip(places, medians, strict=True):
            axis.text(median, place, f" {median:.1f}", va="center", fontsize=7)
    axis.set_yticks(range(len(names)), names)
    axis.set_xscale("log")
    axis.set_xlim(left=1)
    axis.set_xlabel("ms, median")
    axis.legend(loc="lower right")
    figure.tight_layout()
    return figure


def _openloop(data: Any) -> Any:
    figure, axis = plt.subplots(figsize=(8, 4.5))
    shares = [0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999]
    for name, turn in data.items():
        axis.plot(
            [1 / (1 - share) for share in shares], [percentile(turn["ms"], share) for share in shares], label=name
        )
    axis.set_xscale("log")
    axis.set_xticks([1 / (1 - share) for share in shares], [f"p{share * 100:g}" for share in shares])
    axis.minorticks_off()
    axis.set_yscale("log")
    axis.set_ylabel("ms from when it was due")
    axis.legend()
    return figure


def _layers(data: Any) -> Any:
    figure, axis = plt.subplots(figsize=(13, 1.6 + 1.1 * len(data)))
    colours = plt.get_cmap("tab20")
    labels: dict[str, int] = {}
    for engine, found in data.items():
        left = 0.0
        for name, took in found["on"].items():
            colour = colours(labels.setdefault(name, len(labels)) % 20)
            known = name in axis.get_legend_handles_labels()[1]
            axis.barh([engine], [took], left=left, color=colour, label=None if known else name)
            left += took
    axis.set_xlabel("ms, medians, tracing taken off")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3), ncol=3, fontsize=8)
    return figure


_DRAWERS = {"latency": _latency, "learners": _learners, "openloop": _openloop, "layers": _layers}
