"""How long what learners run takes over HTTP, and how long in a bare interpreter of the same image.

The server has its default settings and nothing else to do. The bare interpreter has no limits. The two take turns: each
runs each program once per round. The figures are medians. Where a program draws, the answer must hold its picture, and
the bare interpreter saves the same picture. A program that fails or runs too long has no figures, and is named among
what could not run.

Beside our time is the processor time of the program, as the answer tells it. If the time is much more than that, the
program was stopped for a while because it had used up its half of a processor. The grader needs a policy that allows
`exec`. It runs on a second server, which has only plain sandboxes. The programs are in `bench/programs.py`.
"""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from bench import contenders as c
from bench import markdown
from bench.client import Response
from bench.load import complaint_of
from bench.parts import latency
from bench.plan import Plan
from bench.programs import PROGRAMS, Program
from bench.server import Server
from bench.stats import Ratio, Summary

TITLE = "Learners' programs"

OURS = c.http_name("docker", c.IDLE)
_ONCE = c.Turn(0, 1)
_SERVERS: dict[str, dict[str, object]] = {"strict": {}, "off": {"policy": "off", "preload": ""}}
"""The settings of each policy's server."""


@dataclass
class _Answers:
    """Looks at the answers to one program, and keeps the processor milliseconds that each tells."""

    program: Program
    cpu: list[float] = field(default_factory=list)

    def complaint(self, response: Response) -> str:
        if complaint := complaint_of(response):
            return complaint
        answer = json.loads(response.body)
        drawn = any(shown["mediaType"] == "image/png" for shown in answer["displays"])
        if drawn != self.program.draws:
            return "a picture came" if drawn else "no picture came"
        self.cpu.append(answer["cpuTime"])
        return ""


async def measure(plan: Plan) -> dict[str, Any]:
    """Return ``{"ms": {program: {contender: rounds}}, "cpu": {program: milliseconds}}``."""
    if "docker" not in plan.engines:
        return {}
    answers = {program.name: _Answers(program) for program in PROGRAMS}
    times: dict[str, dict[str, list[list[float]]]] = {name: {OURS: [], c.BARE_IMAGE: []} for name in answers}
    rounds = plan.rounds(9, 2)
    async with AsyncExitStack() as stack:
        bare = c.bare_of_image(await stack.enter_async_context(c.spawner_in_image()))
        servers = {
            policy: await stack.enter_async_context(Server("docker", **settings))
            for policy, settings in _SERVERS.items()
        }
        ours = {
            program.name: c.OverHttp(
                OURS,
                server := servers[program.policy],
                await server.connect(),
                pause=c.PAUSE,
                fields={"display": True} if program.draws else {},
                complaint=answers[program.name].complaint,
            )
            for program in PROGRAMS
        }
        for number in range(rounds + 1):
            for program in PROGRAMS:
                if program.name not in plan.absent:
                    with plan.attempt(program.name):
                        times[program.name][c.BARE_IMAGE].append(await bare.run(program.bare, _ONCE))
                        times[program.name][OURS].append(await ours[program.name].run(program.code, _ONCE))
            print(f"  round {number} of {rounds}", file=sys.stderr)
    done = [name for name in times if name not in plan.absent]
    # without the first round: what is done once (a list of fonts is made) does not count
    return {
        "ms": {name: {who: found[1:] for who, found in times[name].items()} for name in done},
        "cpu": {name: answers[name].cpu[1:] for name in done},
    }


# ---- the report


def compared(data: dict[str, Any], program: Program) -> Ratio | None:
    """Return our time divided by the bare interpreter's."""
    return latency.compared(data["ms"], program.name, OURS, c.BARE_IMAGE) if program.name in data["ms"] else None


def met(data: dict[str, Any], program: Program) -> bool:
    """Whether the program was measured and is as fast as it should be."""
    found, ours = compared(data, program), latency.summary(data["ms"], program.name, OURS)
    return found is not None and ours is not None and program.met(found.median, ours.p50)


def render(data: dict[str, Any]) -> str:
    rows = []
    for program in PROGRAMS:
        ours, bare = (latency.summary(data["ms"], program.name, name) for name in (OURS, c.BARE_IMAGE))
        if ours and bare:
            times = [ours.p50, Summary.of(data["cpu"][program.name]).p50, bare.p50]
            cells = [*(f"{value:.1f}" for value in times), markdown.ratio(compared(data, program))]
        else:
            cells = ["not measured", "", "", ""]
        rows.append([program.name, *cells, program.target, "✓" if met(data, program) else "✗"])
    head = ["", "HTTP ms", "of it processor ms", f"{c.BARE_IMAGE}, ms", "HTTP ÷ bare", "target", ""]
    return markdown.table(head, rows)
