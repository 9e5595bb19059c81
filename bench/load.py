"""Load on a server, of three kinds.

Closed: each client sends its next request when it has an answer. This shows throughput.

Open: requests are sent at scheduled times, even if earlier ones have no answer yet, and latency counts from the
scheduled time. This shows what users of a shared service notice. A closed load would send nothing while the server
stalls, and so hide the stall.

Burst: all requests at once.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.client import Connection, Response


@dataclass
class Outcome:
    """The latencies of successful requests in milliseconds, the number of failures, and the seconds in all."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    complaint: str = ""
    """What the first failure said."""
    elapsed: float = 0.0
    lateness: list[float] = field(default_factory=list)
    """For open loads: by how many milliseconds the harness sent each request late; the latency includes it."""

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.elapsed if self.elapsed else 0.0

    async def ask(self, connection: Connection, request: bytes, started: float) -> None:
        """Ask, and note how it went since ``started`` (of ``time.perf_counter``)."""
        try:
            complaint = complaint_of(await connection.ask(request))
        except ConnectionError as error:
            complaint = str(error)
        if complaint:
            self.failures += 1
            self.complaint = self.complaint or complaint
        else:
            self.latencies.append((time.perf_counter() - started) * 1000)


def complaint_of(response: Response) -> str:
    """Return what is wrong with the response; empty if the program ran and succeeded."""
    if response.status == 200 and b'"success"' in response.body:
        return ""
    return f"HTTP {response.status}: {response.body[:300].decode(errors='replace')}"


async def closed(host: str, port: int, request: bytes, *, clients: int, seconds: float) -> Outcome:
    """Let ``clients`` ask one request after the other for ``seconds``."""
    outcome = Outcome()
    connections = [await Connection.open(host, port) for _ in range(clients)]
    began = time.perf_counter()

    async def ask_on(connection: Connection) -> None:
        while connection.alive and (started := time.perf_counter()) - began < seconds:
            await outcome.ask(connection, request, started)

    try:
        await asyncio.gather(*(ask_on(connection) for connection in connections))
        outcome.elapsed = time.perf_counter() - began
    finally:
        for connection in connections:
            connection.close()
    return outcome


async def open_loop(host: str, port: int, request: bytes, times: Sequence[float], *, alone: bool = False) -> Outcome:
    """Send ``request`` at each of ``times`` (seconds from now, ascending).

    Each connection has an address of its own, or all have the same if there is one client ``alone``.
    """
    outcome = Outcome()
    free = [await Connection.open(host, port, 0 if alone else guest) for guest in range(32)]
    opened = list(free)
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    sent_all = asyncio.Event()
    began = time.perf_counter()

    async def ask_at(due: float) -> None:
        outcome.lateness.append((time.perf_counter() - due) * 1000)
        while free and not free[-1].alive:  # the server closes those that are not used for long
            free.pop()
        if free:
            connection = free.pop()
        else:
            opened.append(connection := await Connection.open(host, port, 0 if alone else len(opened)))
        await outcome.ask(connection, request, due)
        free.append(connection)

    def send(due: float) -> None:
        tasks.append(loop.create_task(ask_at(due)))

    def pace() -> None:  # in a thread: the event loop's own timers are a millisecond coarse
        for moment in times:
            due = began + moment
            time.sleep(max(0.0, due - time.perf_counter()))
            loop.call_soon_threadsafe(send, due)
        loop.call_soon_threadsafe(sent_all.set)

    pacer = threading.Thread(target=pace, daemon=True)
    pacer.start()
    try:
        await sent_all.wait()
        await asyncio.gather(*tasks)
        outcome.elapsed = time.perf_counter() - began
    finally:
        for connection in opened:
            connection.close()
    return outcome


async def burst(host: str, port: int, request: bytes, count: int) -> tuple[Outcome, list[int]]:
    """Send ``count`` requests at once, in order, each on a connection of its own, from an address of its own.

    Returns also the numbers of the requests in the order in which they were answered.
    """
    outcome = Outcome()
    finished: list[int] = []
    connections = [await Connection.open(host, port, guest) for guest in range(count)]
    began = time.perf_counter()

    async def ask(number: int, connection: Connection) -> None:
        await outcome.ask(connection, request, began)
        finished.append(number)

    try:
        await asyncio.gather(*(ask(number, connection) for number, connection in enumerate(connections)))
        outcome.elapsed = time.perf_counter() - began
    finally:
        for connection in connections:
            connection.close()
    return outcome, finished
