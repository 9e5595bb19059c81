"""How long one run takes for one client, with Code Executor and with other programs.

Contenders take turns in rounds (A B C, A B C, …). Each contender has a short turn per round. If the machine's speed
drifts, it drifts for all of them. Ratios are taken within a round.
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import Any

from bench import contenders as c
from bench import markdown
from bench.contenders import Contender, Turn
from bench.plan import Plan
from bench.stats import Ratio, Summary, ratio

TITLE = "One client"

PROGRAMS = {"print": c.PRINT, "pandas": c.PANDAS}
BASELINES = {"print": (c.BARE,), "pandas": (c.BARE_IMAGE, c.BARE_SANDBOX)}
"""What each program's times are divided by: the first of these that was measured."""


async def measure(plan: Plan) -> dict[str, Any]:
    """Return per program the rounds of every contender, in milliseconds."""
    turn = plan.pick(Turn(1.0, 40), Turn(0.25, 12))
    rounds = {"print": plan.rounds(6, 4), "pandas": plan.rounds(4, 3)}
    async with AsyncExitStack() as stack:
        field: list[Contender] = []
        for name, opener in c.openers(plan.engines, plan.python).items():
            with plan.attempt(name):
                field += await opener(stack)
        return {program: await _play(plan, program, field, turn, rounds[program]) for program in PROGRAMS}


async def _play(
    plan: Plan, program: str, field: list[Contender], turn: Turn, rounds: int
) -> dict[str, list[list[float]]]:
    """Give each of ``field`` a turn in every round; a contender that fails once is left out."""
    code = PROGRAMS[program]
    results: dict[str, list[list[float]]] = {one.name: [] for one in field if code in one.programs}
    for number in range(rounds):
        for one in field:
            what = f"{one.name} ({program})"
            if one.name in results and what not in plan.absent:
                with plan.attempt(what):
                    results[one.name].append(await one.run(code, turn))
        print(f"  {program}: round {number + 1} of {rounds}", file=sys.stderr)
    return {name: found for name, found in results.items() if found}


# ---- the report


def baseline(data: dict[str, Any], program: str) -> str | None:
    return next((name for name in BASELINES[program] if name in data[program]), None)


def compared(data: dict[str, Any], program: str, name: str, to: str | None = None) -> Ratio | None:
    """Return how ``name`` compares with ``to`` (by default the program's baseline); None if one is missing."""
    to = to or baseline(data, program)
    rounds = data[program]
    return ratio(rounds[name], rounds[to]) if name in rounds and to in rounds else None


def summary(data: dict[str, Any], program: str, name: str) -> Summary | None:
    rounds = data.get(program, {}).get(name)
    return Summary.of([value for turn in rounds for value in turn]) if rounds else None


def render(data: dict[str, Any]) -> str:
    pieces = []
    for program, code in PROGRAMS.items():
        to = baseline(data, program)
        rows, bars = [], {}
        for name in data[program]:
            found, against = summary(data, program, name), compared(data, program, name)
            assert found is not None
            bars[name] = found.p50
            times = [f"{value:.2f}" for value in (found.p50, found.p90, found.p99)]
            rows.append([name, *times, str(found.count), markdown.ratio(against)])
        head = ["", "p50 ms", "p90 ms", "p99 ms", "runs", f"÷ {to}"]
        pieces += [markdown.code(code, "python"), markdown.table(head, rows), markdown.code(markdown.bars(bars, "ms"))]
    return "\n\n".join(pieces)
