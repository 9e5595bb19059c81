"""One service for several HTTP processes: the pool stays in one process, and workers reach it over a Unix socket.

A connection carries one call at a time and is kept for the next, except after a run that was given inputs, one of which
may still be under way. Messages are JSON behind a length of four bytes; both ends are this package's own. A worker that
closes its connection stops its run, as a client that goes away stops a request.

The socket has no name when its first worker starts: workers inherit a descriptor that leads to it. So nobody else can
find it, and a server that is killed leaves nothing.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import socket
import struct
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing
from typing import Any

import structlog

from code_executor.errors import (
    CodeExecutorError,
    PoolBusyError,
    PoolClosedError,
    SessionBusyError,
    SessionError,
    SessionsFullError,
    SessionsOffError,
    SessionUnknownError,
)
from code_executor.models import (
    Cancel,
    Cell,
    CellDone,
    Display,
    Event,
    Execution,
    File,
    Input,
    Interrupt,
    Limits,
    Output,
    Problem,
    Reason,
    Result,
    SessionInfo,
    SessionState,
    Started,
    Stdin,
    Waiting,
)
from code_executor.ratelimit import Verdict
from code_executor.service import RUNS, Readiness, Service

log = structlog.get_logger()

_LENGTH = struct.Struct(">I")
_BASE64 = "base64"
_BACKLOG = 2048  # a worker makes a connection for each of its requests; refused, it would take the service for gone


def _encode(value: object) -> dict[str, str]:
    """Bytes, which JSON has not."""
    if not isinstance(value, bytes):
        raise TypeError(f"a {type(value).__name__} cannot be sent")
    return {_BASE64: base64.b64encode(value).decode()}


def _decode(message: dict[str, Any]) -> Any:
    return base64.b64decode(message[_BASE64]) if message.keys() == {_BASE64} else message


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    body = json.dumps(message, default=_encode).encode()
    writer.write(_LENGTH.pack(len(body)) + body)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> dict[str, Any]:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    message: dict[str, Any] = json.loads(await reader.readexactly(length), object_hook=_decode)
    return message


# ---- the process that has the pool


def _listen() -> tuple[socket.socket, int]:
    """Return a Unix socket that listens, and a descriptor that leads to it (``O_PATH``) now that its name is gone."""
    with tempfile.TemporaryDirectory(prefix="code-executor-") as directory:
        path = os.path.join(directory, "broker.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        return listener, os.open(path, os.O_PATH | os.O_CLOEXEC)


@contextlib.asynccontextmanager
async def serve(service: Service) -> AsyncIterator[int]:
    """Answer workers for the length of the block; yield the descriptor by which they, inheriting it, reach this."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    await _answer(service, await _receive(reader), reader, writer)
        finally:
            writer.close()

    listener, door = _listen()
    server = await asyncio.start_unix_server(connected, sock=listener, backlog=_BACKLOG)
    try:
        yield door
    finally:
        server.close()
        os.close(door)
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _answer(
    service: Service, call: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    match call["op"]:
        case "run" | "run_cell":
            inputs: asyncio.Queue[Input] = asyncio.Queue()
            await _answer_while_heard(_relay(service, call, inputs, writer), inputs, reader, writer)
        case "open_session":  # which may have to wait for a sandbox, as a run may
            await _answer_while_heard(_answer_session(service, call), asyncio.Queue(), reader, writer)
        case "session" | "send" | "end_session":
            await _send(writer, await _answer_session(service, call))
        case "hit" | "peek" as op:
            client = call["client"]
            verdict = await (service.hit(client, call["what"]) if op == "hit" else service.peek(client))
            await _send(writer, {"verdict": dataclasses.asdict(verdict) if verdict else None})
        case "metrics":
            await _send(writer, {"metrics": (await service.metrics()).decode()})
        case "readiness":
            await _send(writer, dataclasses.asdict(await service.readiness()))


async def _answer_session(service: Service, call: dict[str, Any]) -> dict[str, Any]:
    """Do what a worker asks of a session; return the answer, or the failure."""
    client = call["client"]
    try:
        match call["op"]:
            case "open_session":
                files = tuple(File(**file) for file in call["files"])
                return dataclasses.asdict(await service.open_session(client, files))
            case "session":
                return dataclasses.asdict(await service.session(call["name"], client))
            case "send":
                item = Interrupt() if call["input"] == "Interrupt" else Stdin(call["data"])
                await service.send(call["name"], client, item)
            case "end_session":
                await service.end_session(call["name"], client)
    except CodeExecutorError as error:
        return _failure(error)
    return {}


def _stream(service: Service, call: dict[str, Any], inputs: asyncio.Queue[Input]) -> AsyncGenerator[Event, None]:
    """Begin the run, or the cell of a session, that a worker asks for."""
    if call["op"] == "run_cell":
        return service.stream_cell(call["name"], call["client"], Cell(**call["cell"]))
    fields = call["execution"]
    files = tuple(File(**file) for file in fields["files"])
    execution = Execution(**{**fields, "args": tuple(fields["args"]), "files": files})
    return service.stream(execution, _items(inputs) if call["interactive"] else None)


async def _answer_while_heard(
    doing: Coroutine[Any, Any, dict[str, Any]],
    inputs: asyncio.Queue[Input],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Do it for as long as the worker is there, and send what it returns."""
    work = asyncio.create_task(doing)
    # the worker's inputs, or nothing but the end of its stream
    heard = asyncio.create_task(_hear(reader, inputs))
    try:
        await asyncio.wait([work, heard], return_when=asyncio.FIRST_COMPLETED)
        if heard.done():
            raise ConnectionResetError("the worker went away")
    finally:
        for task in (work, heard):
            task.cancel()
        await asyncio.wait([work, heard])
    # only now: the worker's next call follows on this message, and must not be taken for an input of this run
    await _send(writer, await work)


async def _hear(reader: asyncio.StreamReader, inputs: asyncio.Queue[Input]) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            match await _receive(reader):
                case {"input": "Stdin", "data": data}:
                    inputs.put_nowait(Stdin(data))
                case {"input": "Interrupt"}:
                    inputs.put_nowait(Interrupt())
                case {"input": "Cancel"}:
                    inputs.put_nowait(Cancel())
                case {"input": "Cell", "cell": fields}:
                    inputs.put_nowait(Cell(**fields))


async def _items(inputs: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await inputs.get()


async def _relay(
    service: Service, call: dict[str, Any], inputs: asyncio.Queue[Input], writer: asyncio.StreamWriter
) -> dict[str, Any]:
    """Send the events of a run but the last message, a result or a failure, which is returned."""
    last: dict[str, Any] = {}
    try:
        async with aclosing(_stream(service, call, inputs)) as events:
            async for event in events:
                last = {"event": type(event).__name__, **dataclasses.asdict(event)}
                if not isinstance(event, Result):
                    await _send(writer, last)
    except CodeExecutorError as error:
        return _failure(error)
    return last


def _failure(error: CodeExecutorError) -> dict[str, Any]:
    match error:
        case PoolBusyError():
            return {"failure": "busy", "why": str(error), "retry_after": error.retry_after}
        case PoolClosedError():
            return {"failure": "closed", "why": str(error)}
        case SessionsFullError():
            return {"failure": "full", "why": str(error), "own": error.own}
        case SessionError():
            return {"failure": type(error).__name__, "why": str(error)}
    return {"failure": "other", "why": str(error)}


# ---- a worker


class RemoteService:
    """The service of another process, reached by a descriptor that leads to its Unix socket."""

    def __init__(self, door: int, limits: Limits) -> None:
        self._path = f"/proc/self/fd/{door}"
        self._limits = limits
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    @property
    def limits(self) -> Limits:
        return self._limits

    @contextlib.asynccontextmanager
    async def _connection(
        self, *, keep: bool = True
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Lend a connection; it is kept only if the call on it came to its end."""
        try:
            connection = self._free.pop() if self._free else await asyncio.open_unix_connection(self._path)
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

    async def _call(self, message: dict[str, Any]) -> dict[str, Any]:
        async with self._connection() as (reader, writer):
            try:
                await _send(writer, message)
                return await _receive(reader)
            except (OSError, asyncio.IncompleteReadError):
                raise PoolClosedError("the service is stopping") from None

    def stream(self, execution: Execution, inputs: AsyncIterator[Input] | None = None) -> AsyncGenerator[Event, None]:
        call = {"op": "run", "execution": dataclasses.asdict(execution), "interactive": inputs is not None}
        return self._stream(call, inputs)

    def stream_cell(self, name: str, client: str, cell: Cell) -> AsyncGenerator[Event, None]:
        return self._stream({"op": "run_cell", "name": name, "client": client, "cell": dataclasses.asdict(cell)}, None)

    async def open_session(self, client: str, files: tuple[File, ...] = ()) -> SessionInfo:
        listed = [dataclasses.asdict(file) for file in files]
        return await self._session({"op": "open_session", "client": client, "files": listed})

    async def session(self, name: str, client: str) -> SessionInfo:
        return await self._session({"op": "session", "name": name, "client": client})

    async def send(self, name: str, client: str, item: Stdin | Interrupt) -> None:
        call = {"op": "send", "name": name, "client": client, "input": type(item).__name__, **dataclasses.asdict(item)}
        _raise_failure(await self._call(call))

    async def end_session(self, name: str, client: str) -> None:
        _raise_failure(await self._call({"op": "end_session", "name": name, "client": client}))

    async def _session(self, call: dict[str, Any]) -> SessionInfo:
        answer = await self._call(call)
        _raise_failure(answer)
        return SessionInfo(**{**answer, "state": SessionState(answer["state"])})

    async def _stream(self, call: dict[str, Any], inputs: AsyncIterator[Input] | None) -> AsyncGenerator[Event, None]:
        async with self._connection(keep=inputs is None) as (reader, writer):
            feeder = None
            try:
                await _send(writer, call)
                if inputs is not None:
                    feeder = asyncio.create_task(_feed(writer, inputs))
                while True:
                    event = _event(await _receive(reader))
                    if isinstance(event, Result):
                        break
                    yield event
            except (OSError, asyncio.IncompleteReadError):
                raise PoolClosedError("the service is stopping") from None
            finally:
                if feeder is not None:
                    feeder.cancel()
                    await asyncio.wait([feeder])
        yield event

    async def hit(self, client: str, what: str = RUNS) -> Verdict | None:
        verdict = (await self._call({"op": "hit", "client": client, "what": what}))["verdict"]
        return Verdict(**verdict) if verdict else None

    async def peek(self, client: str) -> Verdict | None:
        verdict = (await self._call({"op": "peek", "client": client}))["verdict"]
        return Verdict(**verdict) if verdict else None

    async def metrics(self) -> bytes:
        text: str = (await self._call({"op": "metrics"}))["metrics"]
        return text.encode()

    async def readiness(self) -> Readiness:
        return Readiness(**await self._call({"op": "readiness"}))

    async def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()


def _raise_failure(message: dict[str, Any]) -> None:
    """Raise the failure that the other process sent, if it is one."""
    match message:
        case {"failure": "busy", "why": why, "retry_after": seconds}:
            raise PoolBusyError(why, seconds)
        case {"failure": "closed", "why": why}:
            raise PoolClosedError(why)
        case {"failure": "full", "why": why, "own": own}:
            raise SessionsFullError(why, own=own)
        case {"failure": kind, "why": why}:
            raise _FAILURES.get(kind, CodeExecutorError)(why)


_FAILURES: dict[str, type[CodeExecutorError]] = {
    kind.__name__: kind for kind in (SessionsOffError, SessionUnknownError, SessionBusyError)
}


def _event(message: dict[str, Any]) -> Event:
    """Make the event again, or raise the failure, that the other process sent."""
    _raise_failure(message)
    kind = message.pop("event")
    if kind == "Started":
        return Started(**message)
    if kind == "Output":
        return Output(**message)
    if kind == "Waiting":
        return Waiting()
    if kind == "Display":
        return Display(**message)
    if kind == "File":
        return File(**message)
    if kind == "CellDone":
        return CellDone(_result(message["result"]))
    return _result(message)


def _result(message: dict[str, Any]) -> Result:
    lists = {name: tuple(of(**each) for each in message[name]) for name, of in _LISTS.items()}
    return Result(**{**message, **lists, "reason": Reason(message["reason"])})


_LISTS: dict[str, type] = {"problems": Problem, "displays": Display, "files": File}


async def _feed(writer: asyncio.StreamWriter, inputs: AsyncIterator[Input]) -> None:
    with contextlib.suppress(OSError):
        async for item in inputs:
            fields = dataclasses.asdict(item)
            await _send(
                writer, {"input": type(item).__name__, **({"cell": fields} if isinstance(item, Cell) else fields)}
            )
