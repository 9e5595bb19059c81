"""One address takes all that it can get, in every way that there is, and another one's program still runs at once.

Clients are told apart by their address, and all of 127.0.0.0/8 is this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import websockets

from tests.api.conftest import metrics, problem
from tests.conftest import Serve, Server

pytestmark = pytest.mark.anyio

HOSTILE, VICTIM, THIRD = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SLEEP = {"code": "import time\ntime.sleep(60)"}

SANDBOXES = 3
SETTINGS = {
    "rate_limit": "off",
    "check_rate_limit": "off",
    "preload": "",
    "pool_size": SANDBOXES,
    "pool_min": SANDBOXES,
    "sessions": 1,
    "queue_timeout": 300,
}


def bomb() -> str:
    """Return 12 KB whose compiled code doubles with each of the levels of its functions."""

    def nested(depth: int, indent: str) -> str:
        if not depth:
            return f"{indent}pass\n"
        return f"{indent}try:\n{nested(0, indent + ' ')}{indent}finally:\n{nested(depth - 1, indent + ' ')}"

    return "".join(f"def f{number}():\n{nested(16, ' ')}" for number in range(18))


def client(server: Server, address: str) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(local_address=address, limits=httpx.Limits(max_connections=100))
    return httpx.AsyncClient(base_url=server.url, transport=transport, timeout=90)


Attack = Callable[[httpx.AsyncClient, Server], Awaitable[object]]


async def run(http: httpx.AsyncClient, server: Server) -> None:
    await http.post("/api/execute", json=SLEEP)


async def stream(http: httpx.AsyncClient, server: Server) -> None:
    async with http.stream("POST", "/api/execute", json=SLEEP, headers={"Accept": "text/event-stream"}) as answer:
        await answer.aread()


async def converse(http: httpx.AsyncClient, server: Server) -> None:
    url = server.url.replace("http", "ws", 1) + "/api/execute/ws"
    async with websockets.connect(url, local_addr=(HOSTILE, 0)) as socket:
        await socket.send(json.dumps({"code": "input()"}))  # for five minutes
        async for _ in socket:
            pass


async def check(http: httpx.AsyncClient, server: Server) -> None:
    await http.post("/api/check", json={"code": bomb()})


async def open_session(http: httpx.AsyncClient, server: Server) -> None:
    answer = await http.post("/api/sessions")
    if answer.status_code == 201:
        await http.post(f"{answer.headers['Location']}/cells", json=SLEEP)


ATTACKS: dict[str, tuple[Attack, ...]] = {
    "runs": (run,) * 10,
    "streams": (stream,) * 10,
    "conversations": (converse,) * 10,
    "checks": (check,) * 20,
    "a session and runs": (open_session, *(run,) * 10),
    "all of them": (open_session, *(run, stream, converse, check) * 5),
}


@contextlib.asynccontextmanager
async def attacked(server: Server, *attacks: Attack, address: str = HOSTILE) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Let an address do all this at once, until it is busy; yield what it does."""
    async with client(server, address) as hostile, client(server, THIRD) as observer:
        tasks = [asyncio.ensure_future(attack(hostile, server)) for attack in attacks]
        try:
            await until_waiting(observer, lambda number: number >= len(attacks) - SANDBOXES)
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def until_waiting(http: httpx.AsyncClient, enough: Callable[[float], bool]) -> None:
    """Ask until enough executions wait."""
    async with asyncio.timeout(60):
        while not enough(await waiting(http)):  # noqa: ASYNC110  # it is another process that we ask
            await asyncio.sleep(0.01)


async def waiting(http: httpx.AsyncClient) -> float:
    text = (await http.get("/metrics")).text
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("code_executor_waiting "))


async def queue_time(http: httpx.AsyncClient) -> float:
    """Run a program that prints; return the milliseconds for which it waited."""
    answer = await http.post("/api/execute", json={"code": "print(1)"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"] == "1\n"
    waited: float = answer.json()["queueTime"]
    return waited


@pytest.fixture(scope="module")
def fair_server(serve: Serve) -> Iterator[Server]:
    with serve("native", **SETTINGS) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS)
async def test_what_one_address_does_delays_another_by_less_than_a_second(fair_server: Server, attack: str) -> None:
    async with attacked(fair_server, *ATTACKS[attack]) as tasks, client(fair_server, VICTIM) as victim:
        for _ in range(5):
            assert await queue_time(victim) < 1000
        assert not all(task.done() for task in tasks)


async def test_without_a_reserve_it_would_wait(serve: Serve) -> None:
    with serve("native", **SETTINGS, reserve=0, max_timeout=4) as server:
        async with attacked(server, *ATTACKS["runs"]), client(server, VICTIM) as victim:
            assert await queue_time(victim) > 1000


async def test_it_holds_across_the_processes_that_answer(serve: Serve) -> None:
    with serve("native", "--workers", "2", **SETTINGS) as server:
        async with attacked(server, *ATTACKS["all of them"]), client(server, VICTIM) as victim:
            for _ in range(5):
                assert await queue_time(victim) < 1000


async def test_two_addresses_delay_a_third_once_and_not_for_good(serve: Serve) -> None:
    with serve("native", **SETTINGS, max_timeout=2) as server:
        async with (
            attacked(server, *(run,) * 40),
            attacked(server, *(run,) * 40, address=VICTIM),
            client(server, "127.0.0.4") as third,
        ):
            await queue_time(third)  # which may take as long as a run
            for _ in range(20):
                assert await queue_time(third) < 1000


async def test_who_has_a_session_can_still_run_programs(serve: Serve) -> None:
    with serve("native", **{**SETTINGS, "pool_size": 2, "pool_min": 2}) as server:
        async with client(server, HOSTILE) as http:
            assert (await http.post("/api/sessions")).status_code == 201
            assert await queue_time(http) < 1000


async def test_a_check_that_takes_too_long_is_stopped_and_says_so(fair_server: Server) -> None:
    async with client(fair_server, HOSTILE) as http:
        answer = await http.post("/api/check", json={"code": bomb()})
    assert problem(answer, 422) == (
        "The check was stopped after 2 seconds, the maximum: the source takes too long to compile."
    )
    assert answer.json()["reason"] in ("wall_time", "cpu_time")


async def test_who_has_all_its_places_taken_is_told_so_and_others_still_come_in(serve: Serve) -> None:
    with serve("native", **SETTINGS, queue_per_client=4) as server:
        async with attacked(server, *(run,) * 6) as tasks, client(server, VICTIM) as victim:
            async with client(server, HOSTILE) as hostile:
                answer = await hostile.post("/api/execute", json={"code": "print(1)"})
                assert problem(answer, 429).startswith("Too many of your executions are waiting")
                assert 1 <= int(answer.headers["Retry-After"]) <= 30
            assert await queue_time(victim) < 1000
            assert not any(task.done() for task in tasks)
        with httpx.Client(base_url=server.url) as observer:
            assert metrics(observer)['code_executor_refused_total{why="CallerBusyError"}'] == 1


async def test_clients_that_go_away_leave_the_queue(fair_server: Server) -> None:
    async with attacked(fair_server, *ATTACKS["all of them"]):
        pass
    async with client(fair_server, THIRD) as observer:
        await until_waiting(observer, lambda number: not number)
