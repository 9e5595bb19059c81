"""A long mixed run: good, slow and hostile programs from several clients at once, beside clients that are slow or
hostile themselves, and a census before and after.

    make soak MINUTES=30 ENGINE=docker

Ends with a table in Markdown, and with status 1 where an answer was not what it should be or something was left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from code_executor.core.forms.shown import limits_object
from tests.api.slow import Slow, resident
from tests.census import census
from tests.conftest import Server, serve_for
from tests.hostile import cases
from tests.hostile.cases import BREACH, Case

CLIENTS = 3
ANSWERED_WITHIN = 120.0
ENDED_WITHIN = 120.0
"""Seconds in which a client that does not read is gone: it may wait for a sandbox first, and a head or a body for its
time."""

SETTLED = 20
"""Seconds without a change: connections to the Docker engine are kept for 15."""

PARTS = 6
GREW_AT_MOST = 10 << 20
"""Bytes that the server may grow by in the second half: what it holds on to grows on, what it once needed does not."""


@dataclass
class Findings:
    """What came of it: programs by kind, how they ended, and everything that should not have been."""

    programs: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


async def ask(http: httpx.AsyncClient, code: str, **more: object) -> dict[str, Any]:
    content = json.dumps({"code": code, **more})  # in ASCII: a lone surrogate has no other spelling
    answer = await http.post("/api/execute", content=content, headers={"Content-Type": "application/json"})
    body: dict[str, Any] = answer.json()
    return {**body, "http": answer.status_code}


async def good(http: httpx.AsyncClient, findings: Findings) -> None:
    number = random.randrange(1 << 30)
    code = f"print({number} + int(input()))"
    answer = await ask(http, code, stdin="1\n")
    note(findings, "good", answer)
    if answer.get("output") != f"{number + 1}\n":
        findings.wrong.append(f"good: {answer}")


async def slow(http: httpx.AsyncClient, findings: Findings) -> None:
    answer = await ask(http, "import time\nprint('begun')\ntime.sleep(20)", timeout=1)
    note(findings, "slow", answer)
    if (answer.get("reason"), answer.get("output")) != ("wall_time", "begun\n"):
        findings.wrong.append(f"slow: {answer}")


async def hostile(http: httpx.AsyncClient, findings: Findings, case: Case) -> None:
    asked = case.execution
    more = {"stdin": asked.stdin, "args": list(asked.args), "timeout": asked.timeout, "display": asked.display}
    limits = limits_object(asked.limits) if asked.limits is not None else None
    answer = await ask(http, asked.code, limits=limits, **more)
    note(findings, "hostile", answer)
    if BREACH in f"{answer.get('output')}{answer.get('error')}":
        findings.wrong.append(f"{case}: {answer}")


def note(findings: Findings, kind: str, answer: dict[str, Any]) -> None:
    findings.programs[kind] += 1
    findings.reasons[str(answer.get("reason", answer["http"]))] += 1


async def client(http: httpx.AsyncClient, findings: Findings, corpus: list[Case], until: float) -> None:
    while time.monotonic() < until:
        draw = random.random()
        if draw < 0.6:
            await good(http, findings)
        elif draw < 0.65:
            await slow(http, findings)
        else:
            await hostile(http, findings, random.choice(corpus))


def silent(stranger: Slow) -> None:
    """Say nothing."""
    stranger.socket.settimeout(ENDED_WITHIN)


def endless(stranger: Slow) -> None:
    """Begin a request whose head has no end."""
    stranger.socket.settimeout(ENDED_WITHIN)
    stranger.socket.sendall(b"GET / HTTP/1.1\r\n")
    with contextlib.suppress(OSError):
        for number in range(100_000):
            stranger.socket.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))


def half(stranger: Slow) -> None:
    """Send half of a body, and no more."""
    stranger.ask("POST", "/api/execute", "Content-Type: application/json", "Content-Length: 1000", body=b'{"code": "')


STRANGERS: dict[str, Callable[[Slow], object]] = {
    "reads no answer": lambda stranger: stranger.ask_for_much("json"),
    "reads no events": lambda stranger: stranger.ask_for_much("events"),
    "reads no messages": lambda stranger: stranger.ask_for_much("websocket"),
    "opens a WebSocket and says nothing": Slow.open_websocket,
    "says nothing": silent,
    "has a head without an end": endless,
    "stops in the middle of a body": half,
}


def visit(server: Server, kind: str, source: str) -> bool:
    """Be a client that does not read, or does not say what it wants; return whether the server has had enough."""
    with contextlib.closing(Slow(server, source)) as stranger:
        with contextlib.suppress(ConnectionError):
            STRANGERS[kind](stranger)
        end = time.monotonic() + ENDED_WITHIN
        while not stranger.is_gone:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
    return True


async def strangers(server: Server, findings: Findings, source: str, until: float) -> None:
    while time.monotonic() < until:
        kind = random.choice(list(STRANGERS))
        findings.programs[f"a client that {kind}"] += 1
        if not await asyncio.to_thread(visit, server, kind, source):
            findings.wrong.append(f"a client that {kind} was still connected after {ENDED_WITHIN:g} seconds")


async def at_rest(server: Server) -> dict[str, int]:
    """Return the census once it stays the same."""
    seen = [census(server.process.pid)]
    while len(seen) < SETTLED or any(each != seen[-1] for each in seen[-SETTLED:]):
        await asyncio.sleep(1)
        seen.append(census(server.process.pid))
        if len(seen) > 120:
            break
    return seen[-1]


def connected(server: Server) -> httpx.AsyncClient:
    """A client whose connections are gone when the server is counted."""
    return httpx.AsyncClient(base_url=server.url, timeout=ANSWERED_WITHIN)


async def soak(server: Server, minutes: float) -> int:
    corpus = [case for kind in cases.load() for case in kind.cases if len(case.execution.code) < 200_000]
    findings = Findings()
    async with connected(server) as http:
        await asyncio.gather(*(good(http, findings) for _ in range(20)))
    before, sizes = await at_rest(server), [resident(server)]
    async with connected(server) as http, asyncio.TaskGroup() as clients:
        until = time.monotonic() + minutes * 60
        clients.create_task(weigh(server, sizes, minutes * 60 / PARTS))
        for _ in range(CLIENTS):
            clients.create_task(client(http, findings, corpus, until))
        for number in range(CLIENTS):
            clients.create_task(strangers(server, findings, f"127.0.0.{2 + number}", until))
    async with connected(server) as http:
        await asyncio.gather(*(good(http, findings) for _ in range(20)))
    after = await at_rest(server)
    report(findings, before, after, sizes)
    # fewer descriptors are what becomes of kept connections to the engine
    more = Counter(after) - Counter(before)
    return int(bool(findings.wrong or more) or sizes[-1] - sizes[PARTS // 2] > GREW_AT_MOST)


async def weigh(server: Server, sizes: list[int], every: float) -> None:
    """Note how large the server is, in equal parts of the time."""
    for _ in range(PARTS):
        await asyncio.sleep(every)
        sizes.append(resident(server))


def report(findings: Findings, before: dict[str, int], after: dict[str, int], sizes: list[int]) -> None:
    print("| programs and clients | |\n| --- | --- |")
    for name, count in findings.programs.items():
        print(f"| {name} | {count} |")
    print("\n| ended as | |\n| --- | --- |")
    for name, count in findings.reasons.most_common():
        print(f"| {name} | {count} |")
    print("\n| census | before | after |\n| --- | --- | --- |")
    for name, count in before.items():
        print(f"| {name} | {count} | {after[name]} |")
    grown = ", ".join(f"{(size - sizes[0]) / (1 << 20):.1f}" for size in sizes[1:])
    print(f"\nmemory of the server beyond the beginning, after each {PARTS}th of the time, in MB: {grown}")
    print(f"wrong answers: {len(findings.wrong)}")
    for wrong in findings.wrong[:20]:
        print(f"WRONG {wrong[:1000]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--engine", choices=["docker", "native"], default="docker")
    options = parser.parse_args()
    with serve_for(options.engine, rate_limit="off", policy="off", preload="", pool_size=2, pool_min=2) as server:
        return asyncio.run(soak(server, options.minutes))


if __name__ == "__main__":
    sys.exit(main())
