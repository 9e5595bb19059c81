"""Ten thousand requests from hundreds of clients at once, of every kind there is: each gets the one answer that is its
due, what the server counted is what the clients saw, and nothing is left.

They come in two rounds of five thousand, so that what the second adds to the first can be told from what a server of
this size simply is. `ROUND` and `STAMPEDE` say what a round is made of. A good third of them reach a sandbox; the rest
do not, by design: more than the queue holds (503; about 3,000, as fast as the machine is), over their rate (429;
1,600), malformed (400, 413, 415, 422; 1,400), never whole (408; 100), or their client has gone (200).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from tests.census import census, eventually, until
from tests.conftest import Serve, Server

Kind = Callable[["Crowd", int], Coroutine[Any, Any, None]]

RATE = 100
"""Requests per client and hour: more than anybody sends, but for the greedy."""

QUEUE = 400
"""How many executions may wait: more than clients ask at once, but in the stampede."""

THREADS = 4 + (os.cpu_count() or 1)
"""What the event loop's own pool of threads may grow to; the rate limit's clean-up uses it."""

GREW_AT_MOST = 2000
"""Bytes of the server's memory per request of the second round: pages that are used again, or not, as it happens."""

HOSTILE = {
    "signal": "import os; os.kill(os.getpid(), 9)",
    "wall_time": "while True: pass",
    "output_limit": "while True: print('x' * 1000)",
    "exception": "1 / 0",
    "violation": "import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)",
}

MALFORMED = {
    400: b'{"code": "print(1)"',
    413: b'{"code": "' + b"#" * 300_000 + b'"}',
    415: b'{"code": "print(1)"}',
    422: b'{"code": "print(1)", "language": "cobol"}',
}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: dict[str, Any]


def request(body: bytes, client: str, content: str = "application/json", accept: str = "application/json") -> bytes:
    head = f"POST /api/execute HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\nAccept: {accept}\r\n"
    return f"{head}Content-Type: {content}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def program(code: str, timeout: float = 20) -> bytes:
    return json.dumps({"code": code, "language": "python", "timeout": timeout}).encode()


class Crowd:
    """The clients of one server, and the count of what they were answered."""

    def __init__(self, server: Server) -> None:
        url = httpx.URL(server.url)
        self.address = (url.host, url.port or 80)
        self.server = server
        self.statuses: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.gone: Counter[str] = Counter()
        """Clients that went away, by what they left behind."""
        self.greedy = ""
        """The address of the greedy."""

    def metric(self, beginning: str) -> int:
        """Return the sum of the server's metrics that begin so."""
        lines = httpx.get(f"{self.server.url}/metrics", timeout=60).text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(beginning))


async def ask(crowd: Crowd, *pieces: bytes) -> Answer:
    """Send a request on a connection of its own, slowly if in pieces; count its answer, which must be the only one."""
    reader, writer = await asyncio.open_connection(*crowd.address)
    try:
        for piece in pieces:
            writer.write(piece)
            if piece is not pieces[-1]:
                await asyncio.sleep(0.1)
        answer = await receive(reader)
        writer.write_eof()
        assert await reader.read() == b""
    finally:
        writer.close()
    crowd.statuses[answer.status] += 1
    if answer.status == 200:
        crowd.reasons[answer.body["reason"]] += 1
    return answer


async def receive(reader: asyncio.StreamReader) -> Answer:
    """Read an answer that is well-formed."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    version, status = first.split()[:2]
    assert version == "HTTP/1.1"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = json.loads(await read_body(reader, headers))
    if status == "200":
        assert headers["content-type"] == "application/json"
    else:
        assert (headers["content-type"], body["status"]) == ("application/problem+json", int(status))
    return Answer(int(status), headers, body)


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """Read a body of a known length, or, if it is large, one in chunks."""
    if "content-length" in headers:
        return await reader.readexactly(int(headers["content-length"]))
    assert headers["transfer-encoding"] == "chunked"
    body = b""
    while length := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(length)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body


def someone(number: int) -> str:
    return f"10.0.0.{number % 250}"


# ---- the kinds of clients; each sends one request, whose number it is given


async def good(crowd: Crowd, number: int) -> None:
    answer = await ask(crowd, request(program(f"print({number})"), someone(number)))
    assert (answer.status, answer.body["output"]) == (200, f"{number}\n")


async def stampeding(crowd: Crowd, number: int) -> None:
    answer = await ask(crowd, request(program(f"print({number})"), someone(number)))
    assert_run_or_refused(answer, number, 503)


async def greedy(crowd: Crowd, number: int) -> None:
    answer = await ask(crowd, request(program(f"print({number})"), crowd.greedy))
    assert_run_or_refused(answer, number, 429)


def assert_run_or_refused(answer: Answer, number: int, refusal: int) -> None:
    if answer.status == 200:
        assert answer.body["output"] == f"{number}\n"
    else:
        assert (answer.status, int(answer.headers["retry-after"]) > 0) == (refusal, True)


async def failing(crowd: Crowd, number: int) -> None:
    reason, code = list(HOSTILE.items())[number % len(HOSTILE)]
    answer = await ask(crowd, request(program(code, 0.3 if reason == "wall_time" else 20), someone(number)))
    assert (answer.status, answer.body["reason"]) == (200, reason)


async def malformed(crowd: Crowd, number: int) -> None:
    status, body = list(MALFORMED.items())[number % len(MALFORMED)]
    content = "text/plain" if status == 415 else "application/json"
    answer = await ask(crowd, request(body, someone(number), content))
    assert answer.status == status


async def slow(crowd: Crowd, number: int) -> None:
    whole = request(program(f"print({number})"), someone(number))
    answer = await ask(crowd, whole[:30], whole[30:-40], whole[-40:-20], whole[-20:])
    assert (answer.status, answer.body["output"]) == (200, f"{number}\n")


async def never_whole(crowd: Crowd, number: int) -> None:
    answer = await ask(crowd, request(program("print(1)"), someone(number))[:-1])
    assert answer.status == 408


async def vanishing(crowd: Crowd, number: int) -> None:
    whole = request(program("import time; time.sleep(15)"), someone(number), accept="text/event-stream")
    where, piece = [("head", whole[:50]), ("body", whole[:-5]), ("queue", whole), ("run", whole)][number % 4]
    reader, writer = await asyncio.open_connection(*crowd.address)
    writer.write(piece)
    if where == "run":
        assert await reader.readexactly(12) == b"HTTP/1.1 200"
    writer.close()
    await writer.wait_closed()
    crowd.gone[where] += 1


ROUND: list[tuple[Kind, int, int]] = [  # how many requests of each, and from how many clients at once
    (good, 1200, 250),
    (failing, 10, 5),
    (greedy, 900, 50),
    (malformed, 700, 50),
    (slow, 40, 20),
    (never_whole, 50, 25),
    (vanishing, 100, 10),
]
STAMPEDE = 2000
"""The last of a round, all at once and nothing beside them: several times what the queue holds."""

ROUNDS = 2
EACH_ROUND = STAMPEDE + sum(requests for _, requests, _ in ROUND)


async def clients_of(crowd: Crowd, kind: Kind, numbers: Iterator[int]) -> None:
    for number in numbers:
        async with asyncio.timeout(200):
            await kind(crowd, number)


async def one_round(crowd: Crowd, greedy_client: str) -> None:
    crowd.greedy = greedy_client
    async with asyncio.TaskGroup() as group:
        for kind, requests, at_once in ROUND:
            numbers = iter(range(requests))
            for _ in range(at_once):
                group.create_task(clients_of(crowd, kind, numbers))
    async with asyncio.TaskGroup() as group:
        for number in range(STAMPEDE):
            group.create_task(clients_of(crowd, stampeding, iter([number])))


def resident(server: Server) -> int:
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.anyio
@pytest.mark.timeout(600)
async def test_of_ten_thousand_requests_each_gets_its_one_answer_and_nothing_is_left(serve: Serve, engine: str) -> None:
    settings = {"rate_limit": f"{RATE}/hour", "queue_size": QUEUE, "queue_timeout": 180, "body_timeout": 5}
    pool = {"pool_size": 4, "pool_min": 4, "policy": "off", "preload": ""}
    with serve(engine, trusted_proxies="127.0.0.1", **settings, **pool) as server:
        crowd = Crowd(server)

        def grew() -> Counter[str]:
            """What the server has more than before; less is what becomes of kept connections to the engine."""
            return Counter(census(server.process.pid)) - before

        await asyncio.gather(*(failing(crowd, number) for number in range(len(HOSTILE))))
        await until(lambda: crowd.metric('code_executor_sandboxes{kind="plain",state="idle"}') == 4)
        before = Counter(census(server.process.pid))
        before["threads"] = 1 + THREADS
        sizes = []
        for number in range(ROUNDS):
            await one_round(crowd, f"192.0.2.{number}")
            assert await asyncio.to_thread(eventually, lambda: not grew()), grew()
            sizes.append(resident(server))
        assert sizes[1] - sizes[0] < EACH_ROUND * GREW_AT_MOST, sizes

        assert_all_are_accounted_for(crowd)


def assert_all_are_accounted_for(crowd: Crowd) -> None:
    asked = {kind: ROUNDS * requests for kind, requests, _ in ROUND}
    statuses = crowd.statuses
    assert sum(statuses.values()) + sum(crowd.gone.values()) == 10_000 + len(HOSTILE)
    assert statuses[429] == asked[greedy] - ROUNDS * RATE
    assert statuses[408] == asked[never_whole]
    assert {statuses[status] for status in MALFORMED} == {asked[malformed] // len(MALFORMED)}
    assert 0 < statuses[503] < ROUNDS * STAMPEDE
    assert sum(crowd.gone.values()) == asked[vanishing]

    assert crowd.metric('code_executor_refused_total{why="rate_limit"}') == statuses[429]
    assert crowd.metric('code_executor_refused_total{why="PoolBusyError"}') == statuses[503]
    for reason in ("completed", *HOSTILE):
        assert crowd.metric(f'code_executor_executions_total{{reason="{reason}"') == crowd.reasons[reason]
    cancelled = crowd.metric('code_executor_executions_total{reason="cancelled"')
    assert crowd.gone["run"] <= cancelled <= crowd.gone["run"] + crowd.gone["queue"]
    assert crowd.metric("code_executor_executions_total") == statuses[200] + cancelled
    assert crowd.metric("code_executor_running ") == crowd.metric("code_executor_waiting ") == 0
