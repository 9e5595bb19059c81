"""The process that has the pools: answers the calls of workers with the service that it is given.

A worker that closes its connection stops its run, as a client that goes away stops a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, aclosing
from typing import Any

from code_executor.core.caller import LOCAL, Caller
from code_executor.core.codec import Object, caller_of_object, decode, encode
from code_executor.core.errors import CodeExecutorError
from code_executor.core.models import Event, Input, Result
from code_executor.remote import unix
from code_executor.remote.messages import Packed, Sent, pack, receive, send
from code_executor.service.ports import Service

Under = Callable[[str], AbstractContextManager[None]]


@contextlib.asynccontextmanager
async def serve(service: Service, under: Under | None = None) -> AsyncIterator[int]:
    """Answer workers for the length of the block; yield the descriptor by which they, inheriting it, reach this.

    ``under``: has what is done in its block belong to the trace that a call is of; None: there are no traces.
    """
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            connections.add(task)
            task.add_done_callback(connections.discard)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    call = await receive(reader)
                    traced = under(call["trace"]) if under is not None and "trace" in call else contextlib.nullcontext()
                    with traced:
                        await _answer(service, call, reader, writer)
        finally:
            writer.close()

    listener, descriptor = unix.listen()
    server = await asyncio.start_unix_server(connected, sock=listener, backlog=unix.BACKLOG)
    try:
        yield descriptor
    finally:
        server.close()
        os.close(descriptor)
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _answer(service: Service, call: Object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    match call["op"]:
        case "run" | "run_cell":
            inputs: asyncio.Queue[Input] = asyncio.Queue()
            await _answer_while_heard(_relay(service, call, inputs, writer), inputs, reader, writer)
        case "open_session" | "restart_session" | "environments":  # which may have to wait for a sandbox, as a run may
            await _answer_while_heard(_once(service, call), asyncio.Queue(), reader, writer)
        case _:
            await send(writer, *await _once(service, call))


async def _once(service: Service, call: Object) -> Packed:
    """Return the answer of a call that has one, or the failure."""
    try:
        return await _value(service, call)
    except CodeExecutorError as error:
        return pack(error)


async def _value(service: Service, call: Object) -> Packed:
    caller = caller_of_object(call["caller"]) if "caller" in call else LOCAL
    match call:
        case {"op": "open_session", "files": files, "key": key}:
            files = tuple(map(decode, files))
            how = {name: call[name] for name in ("interactive", "environment", "policy")}
            return pack(await service.sessions.open(caller, files, key, **how))
        case {"op": "restart_session", "name": name}:
            return pack(await service.sessions.restart(name, caller))
        case {"op": "sessions"}:
            return {"sessions": [encode(each) for each in await service.sessions.list(caller)]}, ()
        case {"op": "cell_result", "name": name, "number": number}:
            return pack(await service.sessions.result(name, caller, number))
        case {"op": "session", "name": name}:
            return pack(await service.sessions.info(name, caller))
        case {"op": "send", "name": name, "item": item}:
            await service.sessions.send(name, caller, decode(item))
        case {"op": "order", "name": name, "order": order}:
            return pack(await service.sessions.order(name, caller, decode(order)))
        case {"op": "end_session", "name": name}:
            await service.sessions.end(name, caller)
        case _:
            return await _beside(service, call, caller)
    return {"type": "done"}, ()


async def _beside(service: Service, call: Object, caller: Caller) -> Packed:
    """Return the answer of a call that is about no session."""
    match call:
        case {"op": "hit", "what": what, "times": times}:
            return _maybe(await service.rates.hit(caller, what, times))
        case {"op": "peek"}:
            return _maybe(await service.rates.peek(caller))
        case {"op": "environments"}:
            return {"environments": [encode(each) for each in await service.environments.list(caller)]}, ()
        case {"op": "metrics"}:
            return {"metrics": (await service.health.metrics(exemplars=call["exemplars"])).decode()}, ()
        case {"op": "note_grade", "verdict": verdict, "seconds": seconds, "tests": tests}:
            await service.health.note_grade(verdict, seconds, tests)
        case {"op": "note_replay"}:
            await service.health.note_replay()
        case {"op": "note_debts", "process": process, "owed": owed, "aborted": aborted}:
            await service.health.note_debts(process, owed, aborted)
        case {"op": "readiness"}:
            return pack(await service.health.readiness())
        case _:
            raise CodeExecutorError(f"no such call: {call.get('op')!r}")
    return {"type": "done"}, ()


def _maybe(value: object) -> Packed:
    return ({"type": "nothing"}, ()) if value is None else pack(value)


def _stream(service: Service, call: Object, inputs: asyncio.Queue[Input]) -> AsyncGenerator[Event, None]:
    """Begin the run, or the cell of a session, that a worker asks for."""
    if call["op"] == "run_cell":
        return service.sessions.stream(call["name"], caller_of_object(call["caller"]), decode(call["cell"]))
    return service.runs.stream(decode(call["execution"]), _items(inputs) if call["interactive"] else None)


async def _answer_while_heard(
    doing: Coroutine[Any, Any, Packed],
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
    await send(writer, *await work)


async def _hear(reader: asyncio.StreamReader, inputs: asyncio.Queue[Input]) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            inputs.put_nowait(decode(await receive(reader)))


async def _items(inputs: asyncio.Queue[Input]) -> AsyncIterator[Input]:
    while True:
        yield await inputs.get()


async def _relay(service: Service, call: Object, inputs: asyncio.Queue[Input], writer: asyncio.StreamWriter) -> Packed:
    """Send the events of a run but the last message, a result or a failure, which is returned."""
    last: Packed = {}, ()
    sent = Sent()
    try:
        async with aclosing(_stream(service, call, inputs)) as events:
            async for event in events:
                last = sent.pack_rest(event) if isinstance(event, Result) else pack(event)
                sent.note(event)
                if not isinstance(event, Result):
                    await send(writer, *last)
    except CodeExecutorError as error:
        return pack(error)
    return last
