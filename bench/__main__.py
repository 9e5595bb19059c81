"""``make bench``: measure, and write the report.

    make bench                      everything, about 20 minutes; writes bench/README.md and the README's headline
    make bench ARGS=--quick         everything, about 3 minutes; writes below .cache/bench/report only
    make bench ARGS="--only layers,footprint"   some parts; writes likewise
    make bench ARGS="--only learners --rounds 3"   one part, with few rounds; likewise

The report names what failed and keeps the rest: results.json is written after every part.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import uvloop

from bench import contenders, machine, markdown, report
from bench.parts import (
    burst,
    floor,
    footprint,
    latency,
    layers,
    learners,
    mixed,
    openloop,
    output,
    overhead,
    startup,
    streaming,
    throughput,
)
from bench.plan import Plan
from bench.server import CACHE, ROOT

PARTS: dict[str, ModuleType] = {
    "latency": latency,
    "learners": learners,
    "throughput": throughput,
    "openloop": openloop,
    "mixed": mixed,
    "streaming": streaming,
    "output": output,
    "startup": startup,
    "footprint": footprint,
    "burst": burst,
    "layers": layers,
    "floor": floor,
    "overhead": overhead,
}

_PART_WITHIN = 900.0
"""A part that takes more seconds than this is stopped."""


def keep(results: Mapping[str, Any]) -> None:
    (CACHE / "results.json").write_text(json.dumps(results))


async def measure(quick: bool, names: list[str], rounds: int | None) -> dict[str, Any]:
    """Run the parts and return the results; they are saved after each part."""
    absent = {}
    engines = ["docker", "native"]
    if why := contenders.docker_lacks():
        engines.remove("docker")
        absent["docker"] = why
    plan = Plan(quick, tuple(engines), await contenders.fastest_interpreter(), absent, rounds)
    results: dict[str, Any] = {
        "facts": machine.facts(plan.python) | {"load before": f"{os.getloadavg()[0]:.2f}"},
        "quick": quick,
        "parts": {},
        "absent": absent,
    }
    before = machine.ticks()
    for name in names:
        print(f"{PARTS[name].TITLE} …", file=sys.stderr)
        began = time.monotonic()
        with plan.attempt(PARTS[name].TITLE):
            async with asyncio.timeout(_PART_WITHIN):
                results["parts"][name] = await PARTS[name].measure(plan)
        results["facts"]["disturbance"] = machine.disturbance(before, machine.ticks())
        keep(results)
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr)
    return results


def write(results: Mapping[str, Any], into: Path) -> None:
    """Write the report and its plots; keep the text around the report in an existing README."""
    into.mkdir(parents=True, exist_ok=True)
    try:
        from bench import plots  # noqa: PLC0415  # without plots, the rest must still be written

        drawn = plots.draw(results, into)
    except Exception as error:  # noqa: BLE001
        drawn = {}
        print(f"no plots: {error}", file=sys.stderr)
    readme = into / "README.md"
    if not readme.exists():
        shutil.copy(ROOT / "bench" / "README.md", readme)
    text = report.document(results, PARTS, drawn)
    readme.write_text(markdown.replace(readme.read_text(), "bench:report", text))


def publish_headline(results: Mapping[str, Any]) -> None:
    readme = ROOT / "README.md"
    try:
        readme.write_text(markdown.replace(readme.read_text(), "bench:headline", report.headline(results)))
    except ValueError as error:
        print(f"README.md keeps its headline: {error}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="take few samples, to see that it works")
    parser.add_argument("--only", metavar="PARTS", help=f"some of: {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of the parts whose contenders take turns")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(PARTS)
    if unknown := set(names) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    CACHE.mkdir(parents=True, exist_ok=True)
    results = uvloop.run(measure(options.quick, names, options.rounds))
    whole = not (options.quick or options.only or options.rounds or os.environ.get("BENCH_IMAGE"))
    into = ROOT / "bench" if whole else CACHE / "report"
    write(results, into)
    if whole:
        publish_headline(results)
    print(report.document(results, {name: PARTS[name] for name in names}, {}))
    print(f"\nwritten to {into.relative_to(ROOT)}/README.md", file=sys.stderr)
    if results["absent"]:
        print(f"could not run:\n{report.absences(results['absent'])}", file=sys.stderr)
    return 0 if results["parts"] else 1


if __name__ == "__main__":
    sys.exit(main())
