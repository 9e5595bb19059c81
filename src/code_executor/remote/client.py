"""The service of another process, as the ports that a front is given.

A connection is kept for the next call, except after a run that was given inputs: one of them may still be under way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from code_executor.core.caller import Caller
from code_executor.core.codec import Object, caller_object, encode
from code_executor.core.environments import Environment
from code_executor.core.errors import PoolClosedError
from code_executor.core.limits import Limits
from code_executor.core.models import (
    Allowance,
    Cell,
    Event,
    Execution,
    File,
    FileAnswer,
    FileOrder,
    Input,
    Interrupt,
    Readiness,
    Result,
    SessionInfo,
    Stdin,
)
from code_executor.remote import unix
from code_executor.remote.messages import Sent, answered, receive, send
from code_executor.service.ports import RUNS, Service

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Connections:
    """Connections to the other process, which ``descriptor`` leads to.

    A call that cannot be made raises ``PoolClosedError``: the other process is stopping. ``carried``: returns the
    current trace (empty: there is none), which goes with the call; None: there are no traces.
    """

    def __init__(self, descriptor: int, carried: Callable[[], str] | None = None) -> None:
        self._descriptor = descriptor
        self._carried = carried
        self._free: list[_Connection] = []

    @contextlib.asynccontextmanager
    async def lend(self, *, keep: bool = True) -> AsyncIterator[_Connection]:
        """Lend a connection; it is kept only if the call on it came to its end."""
        try:
            connection = self._free.pop() if self._free else await unix.connect(self._descriptor)
        except OSError as error:
            raise PoolClosedError(f"the service is stopping ({error})") from None
        try:
            yield connection
        except BaseException:
            connection[1].close()
            raise
        if keep:
            self._free.append(connection)
        else:
            connection[1].close()

    async def ask(self, op: str, **fields: Any) -> Object:
        """Make a call that has one answer."""
        async with self.lend() as (reader, writer):
            try:
                await send(writer, self._call(op, fields))
                return await receive(reader)
            except (OSError, asyncio.IncompleteReadError):
                raise PoolClosedError("the service is stopping") from None

    async def stream(
        self, op: str, inputs: AsyncIterator[Input] | None = None, **fields: Any
    ) -> AsyncGenerator[Event, None]:
        """Make a call that is answered with events; the connection is free before the last of them is yielded."""
        async with self.lend(keep=inputs is None) as (reader, writer):
            feeder = None
            try:
                await send(writer, self._call(op, fields))
                if inputs is not None:
                    feeder = asyncio.create_task(_feed(writer, inputs))
                sent = Sent()
                while True:
                    message = await receive(reader)
                    before = message.pop("before", (0, 0))
                    event: Event = answered(message)
                    if isinstance(event, Result):
                        event = sent.whole(event, before)
                        break
                    sent.note(event)
                    yield event
            except (OSError, asyncio.IncompleteReadError):
                raise PoolClosedError("the service is stopping") from None
            finally:
                if feeder is not None:
                    feeder.cancel()
                    await asyncio.wait([feeder])
        yield event

    def _call(self, op: str, fields: dict[str, Any]) -> Object:
        trace = "" if self._carried is None else self._carried()
        return {"op": op, **fields, "trace": trace} if trace else {"op": op, **fields}

    def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()


async def _feed(writer: asyncio.StreamWriter, inputs: AsyncIterator[Input]) -> None:
    with contextlib.suppress(OSError):
        async for item in inputs:
            await send(writer, encode(item))


class RemoteRuns:
    """A `Runner`."""

    def __init__(self, connections: Connections, limits: Limits) -> None:
        self._connections = connections
        self._limits = limits

    @property
    def limits(self) -> Limits:
        return self._limits

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        fields = {"execution": encode(execution), "interactive": inputs is not None}
        return self._connections.stream("run", inputs, **fields)


class RemoteSessions:
    """A `SessionDesk`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def open(
        self,
        caller: Caller,
        files: tuple[File, ...] = (),
        key: str = "",
        *,
        interactive: bool | None = None,
        environment: str = "",
        policy: str = "",
    ) -> SessionInfo:
        fields = {
            "caller": caller_object(caller),
            "files": [encode(file) for file in files],
            "key": key,
            "interactive": interactive,
            "environment": environment,
            "policy": policy,
        }
        return _session(await self._connections.ask("open_session", **fields))

    async def info(self, name: str, caller: Caller) -> SessionInfo:
        return _session(await self._connections.ask("session", name=name, caller=caller_object(caller)))

    async def restart(self, name: str, caller: Caller) -> SessionInfo:
        return _session(await self._connections.ask("restart_session", name=name, caller=caller_object(caller)))

    async def list(self, caller: Caller) -> Sequence[SessionInfo]:
        message = await self._connections.ask("sessions", caller=caller_object(caller))
        return [_session(each) for each in message["sessions"]] if "sessions" in message else answered(message)

    async def result(self, name: str, caller: Caller, number: int) -> Result:
        message = await self._connections.ask("cell_result", name=name, caller=caller_object(caller), number=number)
        result: Result = answered(message)
        return result

    def stream(self, name: str, caller: Caller, cell: Cell) -> AsyncGenerator[Event, None]:
        return self._connections.stream("run_cell", name=name, caller=caller_object(caller), cell=encode(cell))

    async def send(self, name: str, caller: Caller, item: Stdin | Interrupt) -> None:
        _done(await self._connections.ask("send", name=name, caller=caller_object(caller), item=encode(item)))

    async def order(self, name: str, caller: Caller, order: FileOrder) -> FileAnswer:
        message = await self._connections.ask("order", name=name, caller=caller_object(caller), order=encode(order))
        answer: FileAnswer = answered(message)
        return answer

    async def end(self, name: str, caller: Caller) -> None:
        _done(await self._connections.ask("end_session", name=name, caller=caller_object(caller)))


class RemoteRates:
    """`RateLimits`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def hit(self, caller: Caller, what: str = RUNS, times: int = 1) -> Allowance | None:
        return _allowance(await self._connections.ask("hit", caller=caller_object(caller), what=what, times=times))

    async def peek(self, caller: Caller) -> Allowance | None:
        return _allowance(await self._connections.ask("peek", caller=caller_object(caller)))


class RemoteEnvironments:
    """An `EnvironmentDesk`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def list(self, caller: Caller) -> Sequence[Environment]:
        message = await self._connections.ask("environments", caller=caller_object(caller))
        return list(map(answered, message["environments"])) if "environments" in message else answered(message)


class RemoteHealth:
    """`Health`."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def metrics(self, *, exemplars: bool = False) -> bytes:
        text: str = (await self._connections.ask("metrics", exemplars=exemplars))["metrics"]
        return text.encode()

    async def readiness(self) -> Readiness:
        readiness: Readiness = answered(await self._connections.ask("readiness"))
        return readiness

    async def note_replay(self) -> None:
        _done(await self._connections.ask("note_replay"))

    async def note_grade(self, verdict: str, seconds: float, tests: Mapping[str, int]) -> None:
        _done(await self._connections.ask("note_grade", verdict=verdict, seconds=seconds, tests=dict(tests)))

    async def note_debts(self, process: int, owed: int, aborted: Mapping[str, int]) -> None:
        _done(await self._connections.ask("note_debts", process=process, owed=owed, aborted=dict(aborted)))


def remote_service(connections: Connections, limits: Limits) -> Service:
    """Return the other process's service. ``limits``: those that it runs programs within."""
    return Service(
        RemoteRuns(connections, limits),
        RemoteSessions(connections),
        RemoteRates(connections),
        RemoteHealth(connections),
        RemoteEnvironments(connections),
    )


def _session(message: Object) -> SessionInfo:
    info: SessionInfo = answered(message)
    return info


def _allowance(message: Object) -> Allowance | None:
    return None if message["type"] == "nothing" else answered(message)


def _done(message: Object) -> None:
    if message["type"] != "done":
        answered(message)
