"""Makes the report of what the parts found. It measures nothing and reads only the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bench import contenders as c
from bench import markdown
from bench.parts import burst, footprint, latency, learners, mixed, output, throughput
from bench.programs import A_PLOT, PROGRAMS
from bench.stats import Summary

_BUSY = 0.5
"""Above this load (runnable processes, averaged over a minute), other programs disturb the measurements."""

Results = Mapping[str, Any]
"""``{"facts": {…}, "quick": bool, "parts": {name: data}, "absent": {what: why}}``, as in results.json."""


@dataclass(frozen=True)
class Target:
    """``bound`` is a maximum if ``most`` is true, else a minimum. ``value`` takes a part's data and an engine."""

    what: str
    bound: float
    part: str
    value: Callable[[Any, str], float | None]
    most: bool = True

    def measured(self, results: Results, engine: str) -> float | None:
        try:
            return self.value(results["parts"][self.part], engine)
        except (KeyError, ValueError):  # the part did not get that far
            return None

    def met(self, value: float) -> bool:
        return value <= self.bound if self.most else value >= self.bound


def _over_bare(program: str, mode: str) -> Callable[[Any, str], float | None]:
    def value(data: Any, engine: str) -> float | None:
        found = latency.compared(data, program, c.http_name(engine, mode))
        return found.median if found else None

    return value


def _fresh_over_docker_run(data: Any, engine: str) -> float | None:
    found = latency.compared(data, "print", c.http_name(engine, c.FRESH), c.DOCKER_RUN)
    return found.median if found else None


def _rate_over_bare(data: Any, engine: str) -> float | None:
    names = [name for name in data if name.startswith(f"HTTP, {engine}") and f", {throughput.CLIENTS} " in name]
    found = [throughput.compared(data, name, throughput.bare_name(throughput.CLIENTS)) for name in names]
    return max((one.median for one in found if one), default=None)


def _tail(kind: str) -> Callable[[Any, str], float | None]:
    def value(data: Any, engine: str) -> float | None:
        turn = data.get(f"{engine}, {kind} arrivals")
        if not turn:
            return None
        found = Summary.of(turn["ms"])
        return found.p99 / found.p50

    return value


def _growth(data: Any, engine: str) -> float | None:
    return burst.growth(data[engine]) if engine in data else None


def _lost(data: Any, engine: str) -> float | None:
    return float(data[engine]["count"] - data[engine]["answered"]) if engine in data else None


def _slow(data: Any, engine: str) -> float | None:
    return float(sum(not learners.met(data, program) for program in PROGRAMS)) if engine == "docker" else None


def _start(until: str) -> Callable[[Any, str], float | None]:
    return lambda data, engine: Summary.of(data[engine][until]).p50 if engine in data else None


TARGETS = (
    Target(
        "one client, `print`, idle between requests: HTTP ÷ bare interpreter",
        0.15,
        "latency",
        _over_bare("print", c.IDLE),
    ),
    Target("the same, back to back", 0.15, "latency", _over_bare("print", c.BACK_TO_BACK)),
    Target(
        "one client, numpy and pandas, idle between requests: HTTP ÷ bare interpreter",
        0.02,
        "latency",
        _over_bare("pandas", c.IDLE),
    ),
    Target("the same, back to back", 0.02, "latency", _over_bare("pandas", c.BACK_TO_BACK)),
    Target(
        "8 clients: requests per second ÷ bare interpreters per second", 6, "throughput", _rate_over_bare, most=False
    ),
    Target("learners' programs that miss their targets", 0, "learners", _slow),
    Target("half the saturation rate, random arrivals: p99 ÷ p50", 4, "openloop", _tail("random")),
    Target("half the saturation rate, even arrivals: p99 ÷ p50", 4, "openloop", _tail("even")),
    Target("prints among plots and cells of sessions: p99, ms", 50, "mixed", mixed.tail),
    Target("the same: requests of any kind refused or failed", 0, "mixed", mixed.failures),
    Target("`reuse=0`, slower than the refill rate: HTTP ÷ `docker run`", 0.02, "latency", _fresh_over_docker_run),
    Target(
        "idle sandbox with numpy and pandas: PSS, MB",
        45,
        "footprint",
        lambda data, engine: footprint.pss(data, f"{engine}, {footprint.DEFAULT}", footprint.NUMPY),
    ),
    Target(
        "all idle sandboxes of the default pool: PSS, MB",
        420,
        "footprint",
        lambda data, engine: footprint.whole(data, f"{engine}, {footprint.DEFAULT}"),
    ),
    Target(
        "streaming, first byte: p50, ms",
        2,
        "streaming",
        lambda data, engine: Summary.of(data[engine]["first"]).p50 if engine in data else None,
    ),
    Target(
        "100,000 lines: execution time ÷ bare interpreter, half a processor each",
        3,
        "output",
        lambda data, engine: output.ratio(data, "100,000 lines") if engine == "docker" else None,
    ),
    Target("start to first answer: p50, s", 2, "startup", _start("first")),
    Target("start until sandboxes of all kinds are ready: p50, s", 15, "startup", _start("all")),
    Target("a burst of sleeping programs: lost runs", 0, "burst", _lost),
    Target("the same: server's memory, KB per waiting run", 30, "burst", _growth),
)


def targets(results: Results) -> str:
    """Return the table of targets, and whether each engine meets them."""
    rows = []
    for target in TARGETS:
        cells = []
        for engine in ("docker", "native"):
            value = target.measured(results, engine)
            cells.append("not measured" if value is None else f"{value:.3g} {'✓' if target.met(value) else '✗'}")
        rows.append([target.what, f"{'≤' if target.most else '≥'} {target.bound:g}", *cells])
    return markdown.table(["", "target", "docker", "native"], rows)


def headline(results: Results) -> str:
    """Return the lines for the project's README, with the caveats of the report they are from.

    Raises ``ValueError`` if no latency was measured.
    """
    data = results["parts"].get("latency")
    to = latency.baseline(data, "print") if data else None
    if not data or to is None:
        raise ValueError("no latencies were measured")
    plots = results["parts"].get("learners", {}).get("ms", {})
    bare = dict.fromkeys((to, c.BARE_IMAGE))
    rows = []
    for name in (c.http_name("docker", c.IDLE), c.http_name("native", c.IDLE), *bare, c.BWRAP, c.DOCKER_RUN, *c.PEERS):
        medians = [latency.summary(data, program, name) for program in latency.PROGRAMS]
        medians.append(latency.summary(plots, A_PLOT.name, name))
        cells = [f"{found.p50:.1f} ms" if found else "" for found in medians]
        if any(cells):
            rows.append([name, *cells])
    facts = results["facts"]
    table = markdown.table(["", "`print(1)`", "numpy and pandas", A_PLOT.name], rows)
    origin = (
        f"The table shows medians for one client, measured on {facts['date'][:10]} on {facts['processor']}, "
        f"commit {facts['commit']}. [bench/README.md](bench/README.md) has all figures and says how to repeat them."
    )
    return "\n\n".join([*caveats(results), table, origin])


def caveats(results: Results) -> list[str]:
    """Return why these figures must not be quoted, a sentence each; nothing if they may be."""
    found = []
    if results["quick"]:
        found.append("**This was a quick run with few samples: do not quote these figures.**")
    if float(results["facts"]["load before"]) > _BUSY:
        found.append(f"**The machine was busy (load {results['facts']['load before']}): do not quote these figures.**")
    return found


def document(results: Results, parts: Mapping[str, ModuleType], plots: Mapping[str, str]) -> str:
    """Return the report in Markdown. ``plots``: file names by the part whose section they belong to."""
    pieces = [*caveats(results), "## Targets", targets(results)]
    for name, part in parts.items():
        pieces.append(f"## {part.TITLE}")
        pieces.append(_story(part))
        pieces.append(_findings(part, results["parts"].get(name)))
        if name in plots:
            pieces.append(f"![{part.TITLE}]({plots[name]})")
    if results["absent"]:
        pieces += ["## What could not run", absences(results["absent"])]
    pieces += ["## Machine", "\n".join(f"- {name}: {value}" for name, value in results["facts"].items())]
    return "\n\n".join(pieces)


def absences(absent: Mapping[str, str]) -> str:
    """Return a list of what could not run, grouped by reason."""
    by_reason: dict[str, list[str]] = {}
    for what, why in absent.items():
        by_reason.setdefault(why, []).append(what)
    return "\n".join(f"- {'; '.join(what)}: {why}" for why, what in by_reason.items())


def _findings(part: ModuleType, data: Any) -> str:
    try:
        return str(part.render(data)) if data else "Not measured."
    except (ValueError, KeyError, IndexError) as error:  # an unfinished part must not hide the others
        return f"Not measured: {type(error).__name__}: {error}"


def _story(part: ModuleType) -> str:
    """Return the docstring of a part, as paragraphs."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (part.__doc__ or "").split("\n\n"))
